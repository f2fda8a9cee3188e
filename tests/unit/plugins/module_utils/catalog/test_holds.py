# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
from datetime import datetime, timezone

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.catalog import holds

ID = "notes-20261119T030001Z"
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=timezone.utc)


@pytest.fixture
def directory(tmp_path):
    """An open directory."""
    descriptor = os.open(tmp_path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def test_a_hold_says_who_and_why_and_is_private(tmp_path, directory):
    assert holds.hold(directory, ID, "root (sudo by eve)", "before the move\n\u00e4", NOW)
    path = tmp_path / (ID + ".hold")
    assert json.loads(path.read_text()) == {"since": "2026-11-20T12:00:00Z", "who": "root (sudo by eve)",
                                            "why": "before the move\n\u00e4"}
    assert path.stat().st_mode & 0o777 == 0o600
    assert holds.held_ids(directory) == {ID}


def test_a_second_hold_leaves_the_first(tmp_path, directory):
    holds.hold(directory, ID, "one", "first", NOW)
    assert not holds.hold(directory, ID, "two", "second", NOW)
    assert json.loads((tmp_path / (ID + ".hold")).read_text())["who"] == "one"


def test_a_release_ends_it_once(tmp_path, directory):
    holds.hold(directory, ID, "one", "", NOW)
    assert holds.release(directory, ID)
    assert not holds.release(directory, ID)
    assert holds.held_ids(directory) == set() and os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["readme.hold", ".hold", "notes-20261119T030001Z.hold.tmp", "notes-2026.hold"])
def test_other_files_are_no_holds(tmp_path, directory, name):
    (tmp_path / name).write_text("x")
    assert holds.held_ids(directory) == set()
