# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module backup_import, on real backups of another destination."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(name="archive")
def archive_of_a_backup(host):
    host.fill()
    os.mkdir(host.place("collected"))
    return host.backup().backup.path


@pytest.fixture(name="words")
def words_of_the_task(host, archive):
    return {"app": host.described(destination=host.place("collected")), "archive": archive}


def test_check_mode_says_what_happens_and_it_happens_once(host, words, run, tree, returned):
    before = tree(host.place("collected"))
    checked = run.ok(check=True, diff=True, **words)
    assert tree(host.place("collected")) == before
    results = [checked] + [run.ok(check=check, diff=True, **words) for check in (False, True, False)]
    assert [result["changed"] for result in results] == [True, True, False, False]
    path = host.place("collected", "notes", os.path.basename(words["archive"]))
    assert checked["diff"] == results[1]["diff"] == {"before": "", "after": path + "\n"}
    assert results[3]["diff"]["before"] == results[3]["diff"]["after"]
    for result in results:
        assert set(returned) <= set(result)
        assert (result["id"], result["backup"]["path"], result["backup"]["good"]) == (result["id"], path, True)
    assert os.path.exists(path) and os.path.exists(words["archive"])


def test_moving(host, words, run):
    assert run.ok(move=True, **words)["changed"]
    assert os.listdir(host.place("backups", "notes")) == []
    for check in (True, False):
        assert not run.ok(move=True, check=check, **words)["changed"]


def test_what_is_damaged_fails_and_says_so(host, words, run):
    with open(words["archive"], "r+b") as file:
        file.seek(60)
        file.write(b"\xff\xff\xff")
    for check in (True, False):
        result = run.failed(check=check, **words)
        assert result["msg"].startswith("app notes: %s: is damaged: " % words["archive"])
        assert not os.path.exists(host.place("collected", "notes")) or os.listdir(host.place("collected", "notes")) == []


def test_a_path_is_needed_and_has_to_lead_somewhere(host, run):
    host.fill()
    assert "archive" in run.failed(app=host.described())["msg"]
    assert "the archive does not exist" in run.failed(app=host.described(), archive="/nonexistent.tar.zst")["msg"]
