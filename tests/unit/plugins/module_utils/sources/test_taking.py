# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.app import parse_app
from ansible_collections.appstate.backup.plugins.module_utils.source import SOURCES
from ansible_collections.appstate.backup.plugins.module_utils.sources.taking import TAKERS, Room, takers_of
from ansible_collections.appstate.backup.plugins.module_utils.system import files
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import SourceError


@pytest.fixture
def room(tmp_path):
    app = parse_app({"name": "notes", "root": str(tmp_path), "destination": "/backups", "sources": [
        {"type": "files", "path": "first"}, {"type": "sqlite", "path": "x.db"}, {"type": "files", "path": "second", "required": False},
        {"type": "sqlite", "path": "y.db"}]})
    descriptor = os.open(str(tmp_path), files.DIRECTORY)
    yield Room(app, descriptor)
    os.close(descriptor)


def test_each_type_of_source_has_a_taker_with_the_same_interface():
    assert set(TAKERS) == set(SOURCES)
    for taker in TAKERS.values():
        for name in ("look", "prepare", "write", "finish", "record", "publish", "close"):
            assert callable(getattr(taker, name))


def test_databases_come_first_and_the_rest_in_the_operators_order(room):
    assert [taker.record()["path"] for taker in takers_of(room)] == ["x.db", "y.db", "first", "second"]


def test_looking_up(room, tmp_path):
    first, database, second, unused = room.app.sources
    assert room.look_up(second) is None
    with pytest.raises(SourceError, match="app notes: .*/first: the source is missing. .*required: false"):
        room.look_up(first)
    with pytest.raises(SourceError, match="app notes: .*/x.db: the database is missing"):
        room.look_up(database)
    (tmp_path / "first").write_text("x")
    assert room.look_up(first).st_size == 1


def test_warnings_are_kept_up_to_a_hundred_and_then_counted(room):
    for number in range(150):
        room.warn("warning %d" % number)
    for number in range(120):
        room.unreadable.append("file %d" % number)
    said = room.all_warnings()
    assert len(said) == 201
    assert said[99] == "warning 99" and said[100] == "could not be read: file 0" and said[-1] == "and 70 more"
