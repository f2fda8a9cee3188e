# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.monitor.status import FAILED, NEVER, OK, Status
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import AppStateError


def test_before_the_first_run_there_is_nothing(tmp_path):
    status = Status(str(tmp_path / "state"), "notes")
    assert status.content == {"state": NEVER}
    assert os.listdir(tmp_path) == []


def test_what_was_written_is_read_and_the_rest_stays(tmp_path):
    state = str(tmp_path / "state")
    Status(state, "notes").write(state=OK, last_success="2026-11-19T03:00:00Z", warnings=["\u00e4"])
    Status(state, "notes").write(state=FAILED, problem="disk full")
    assert Status(state, "notes").content == {"state": FAILED, "last_success": "2026-11-19T03:00:00Z", "warnings": ["\u00e4"],
                                              "problem": "disk full"}
    assert Status(state, "wiki").content == {"state": NEVER}


def test_it_is_one_private_file_that_a_person_can_read(tmp_path):
    Status(str(tmp_path / "state"), "notes").write(state=OK)
    path = tmp_path / "state" / "status" / "notes.json"
    assert json.loads(path.read_text()) == {"state": "ok"}
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == path.parent.parent.stat().st_mode & 0o777 == 0o700
    assert os.listdir(path.parent) == ["notes.json"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff", b" " * 2000000], ids=lambda content: content[:3])
def test_a_file_that_is_damaged_counts_as_none_and_is_replaced(tmp_path, content):
    Status(str(tmp_path), "notes").write(state=OK)
    path = tmp_path / "status" / "notes.json"
    path.write_bytes(content)
    status = Status(str(tmp_path), "notes")
    assert status.content == {"state": NEVER}
    status.write(state=FAILED)
    assert Status(str(tmp_path), "notes").content == {"state": FAILED}


def test_a_link_in_its_place_is_not_followed(tmp_path):
    Status(str(tmp_path), "notes").write(state=OK)
    path = tmp_path / "status" / "notes.json"
    target = tmp_path / "target"
    os.rename(path, target)
    os.symlink(target, path)
    status = Status(str(tmp_path), "notes")
    assert status.content == {"state": NEVER}
    status.write(state=FAILED)
    assert not path.is_symlink() and json.loads(target.read_text()) == {"state": "ok"}


def test_a_place_that_is_no_directory_is_an_error_when_it_is_written(tmp_path):
    (tmp_path / "state").write_text("")
    status = Status(str(tmp_path / "state"), "notes")
    assert status.content == {"state": NEVER}
    with pytest.raises((OSError, AppStateError)):
        status.write(state=OK)
