# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.monitor import drills
from ansible_collections.appstate.backup.plugins.module_utils.monitor.drills import KEPT, Drills
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import AppStateError
# Fixtures: pytest finds them by their names in this file.
from ansible_collections.appstate.backup.tests.unit.plugins.live_databases import place, small_disk  # noqa: F401  # pylint: disable=unused-import


def record(number=0, **words):
    """What a drill says of itself, as far as it matters here; each number is another day."""
    return dict({"app": "notes", "drilled": "2026-%02d-%02dT03:00:00Z" % (number // 28 + 1, number % 28 + 1), "ok": True}, **words)


def add(state, *records):
    for each in records:
        Drills(str(state), "notes").add(each)


def test_before_the_first_drill_there_is_nothing(tmp_path):
    assert Drills(str(tmp_path / "state"), "notes").records == []
    assert os.listdir(tmp_path) == []


def test_the_newest_come_last_and_each_app_has_its_own(tmp_path):
    told = Drills(str(tmp_path / "state"), "notes")
    told.add(record(0, problem="\u00e4\udcff"))
    told.add(record(1, ok=False))
    assert told.records == Drills(str(tmp_path / "state"), "notes").records == [record(0, problem="\u00e4\udcff"), record(1, ok=False)]
    assert Drills(str(tmp_path / "state"), "wiki").records == []


def test_a_hundred_are_kept(tmp_path):
    told = Drills(str(tmp_path), "notes")
    for number in range(KEPT + 3):
        told.add(record(number))
    assert KEPT == 100
    assert Drills(str(tmp_path), "notes").records == [record(number) for number in range(3, KEPT + 3)]


def test_the_same_drill_is_told_once(tmp_path):
    add(tmp_path, record(0), record(1), record(1, ok=False), record(1, ok=False, problem="ping"))
    assert Drills(str(tmp_path), "notes").records == [record(0), record(1, ok=False, problem="ping")]


def test_it_is_one_private_file_that_a_person_can_read(tmp_path):
    add(tmp_path / "state", record(0), record(1))
    path = tmp_path / "state" / "drills" / "notes.json"
    assert json.loads(path.read_text(encoding="ascii")) == {"drills": [record(0), record(1)]}
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == path.parent.parent.stat().st_mode & 0o777 == 0o700
    assert os.listdir(path.parent) == ["notes.json"]


def test_a_reader_never_sees_half_a_file(tmp_path):
    add(tmp_path, record(0))
    with open(tmp_path / "drills" / "notes.json", encoding="ascii") as file:
        before = file.read()
        add(tmp_path, record(1))
        file.seek(0)
        assert file.read() == before
    assert len(Drills(str(tmp_path), "notes").records) == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_write_that_fails_leaves_what_was_there(small_disk):
    state = os.path.join(small_disk, "state")
    add(state, record(0))
    with pytest.raises(OSError):
        add(state, record(1, problem="x" * (4 << 20)))
    assert Drills(state, "notes").records == [record(0)] and os.listdir(os.path.join(state, "drills")) == ["notes.json"]


@pytest.mark.parametrize("content", [
    b"", b"{", b"[]", b"{}", b'{"drills": {}}', b'{"drills": 3}', b'{"drills": null}', b"\xff", b"[" * 100000, b" " * 17000000],
    ids=lambda content: content[:14])
def test_a_file_that_is_damaged_counts_as_none_and_is_replaced(tmp_path, content):
    add(tmp_path, record(0))
    (tmp_path / "drills" / "notes.json").write_bytes(content)
    assert Drills(str(tmp_path), "notes").records == []
    add(tmp_path, record(1))
    assert Drills(str(tmp_path), "notes").records == [record(1)]


@pytest.mark.parametrize("odd", [
    None, 3, "text", [], {}, {"ok": True}, {"drilled": None, "ok": True}, {"drilled": 3, "ok": True}, {"drilled": "yesterday", "ok": True},
    {"drilled": "2026-01-01T03:00:00", "ok": True}])
def test_a_record_that_nobody_wrote_is_left_out(tmp_path, odd):
    add(tmp_path, record(0))
    (tmp_path / "drills" / "notes.json").write_text(json.dumps({"drills": [record(0), odd, record(2)]}), encoding="ascii")
    assert Drills(str(tmp_path), "notes").records == [record(0), record(2)]


def test_a_link_in_its_place_is_not_followed(tmp_path):
    add(tmp_path, record(0))
    path, target = tmp_path / "drills" / "notes.json", tmp_path / "target"
    os.rename(path, target)
    os.symlink(target, path)
    assert Drills(str(tmp_path), "notes").records == []
    add(tmp_path, record(1))
    assert not path.is_symlink() and json.loads(target.read_text(encoding="ascii")) == {"drills": [record(0)]}


def test_a_place_that_is_no_directory_is_an_error_when_it_is_written(tmp_path):
    (tmp_path / "state").write_text("")
    told = Drills(str(tmp_path / "state"), "notes")
    assert told.records == []
    with pytest.raises((OSError, AppStateError)):
        told.add(record(0))


def test_of_records_that_say_much_fewer_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(drills, "MOST_BYTES", 3000)
    for number in range(10):
        add(tmp_path, record(number, problem="x" * 500))
    assert Drills(str(tmp_path), "notes").records == [record(number, problem="x" * 500) for number in range(6, 10)]
