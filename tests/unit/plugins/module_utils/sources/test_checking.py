# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import shutil
import sqlite3

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.app import parse_app
from ansible_collections.appstate.backup.plugins.module_utils.source import FORMATS
from ansible_collections.appstate.backup.plugins.module_utils.sources.checking import (
    CHECKERS, COPY, MARKS, Check, checks_of, kind_of, record_of)
from ansible_collections.appstate.backup.plugins.module_utils.sources.finding import problems_of

APP = parse_app({"name": "all", "root": "/srv/all", "destination": "/b", "sources": [
    {"type": "sqlite", "path": "data/x.db"},
    {"type": "files", "path": "uploads"},
    {"type": "postgresql", "database": "club"},
    {"type": "command", "path": "db.sql", "argv": ["dump"], "format": "sql"},
    {"type": "http", "path": "state.db", "url": "https://localhost/", "format": "sqlite"},
    {"type": "volume", "volume": "club-data", "databases": [{"path": "db/club.db", "assertions": [{"sql": "SELECT 1"}]}]}]})


def told(checks):
    return [(check.path, check.kind) for check in checks]


def test_every_kind_has_a_checker():
    assert set(CHECKERS) == {"postgresql"} | set(FORMATS) and set(MARKS.values()) < set(CHECKERS)


@pytest.mark.parametrize("path, expected", [
    ("data/x.db", [("data/x.db", "sqlite")]),
    ("uploads", []),
    ("postgresql/club.dump", [("postgresql/club.dump", "postgresql")]),
    ("db.sql", [("db.sql", "sql")]),
    ("state.db", [("state.db", "sqlite")]),
    ("volumes/club-data", [("volumes/club-data/db/club.db", "sqlite")]),
])
def test_what_is_checked_of_each_source(path, expected):
    source = APP.source_at(path)
    assert told(checks_of(record_of(source), source)) == expected
    assert told(checks_of(record_of(source), None)) == expected


def test_kinds_of_sources():
    assert [kind_of(source) for source in APP.sources] == ["sqlite", None, "postgresql", "sql", "sqlite", None]


def test_a_database_in_a_volume_has_its_own_assertions_and_passport():
    source = APP.source_at("volumes/club-data")
    record = dict(record_of(source), databases=[{"path": "db/club.db", "passport": {"tables": {"t": 1}}}, {"path": "gone.db"}])
    known, gone = checks_of(record, source)
    assert (known.recorded, known.source.assertions[0].sql) == ({"tables": {"t": 1}}, "SELECT 1")
    assert (gone.recorded, gone.source) == (None, None)


def test_a_database_is_extracted_with_its_sidecars_and_a_dump_alone():
    assert Check("a/x.db", "sqlite").names == {b"a/x.db": COPY, b"a/x.db-wal": COPY + "-wal", b"a/x.db-shm": COPY + "-shm",
                                               b"a/x.db-journal": COPY + "-journal"}
    assert Check("x.dump", "postgresql").names == {b"x.dump": COPY}


@pytest.fixture
def room():
    """A private directory with a database in it, and its open descriptor."""
    place = os.path.realpath(os.path.join("/var/tmp", "appstate-test-checking-%d" % os.getpid()))
    os.mkdir(place, 0o700)
    with sqlite3.connect(os.path.join(place, COPY)) as connection:
        connection.execute("CREATE TABLE notes (id INTEGER)")
    connection.close()
    descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    yield place, descriptor
    os.close(descriptor)
    shutil.rmtree(place)


def test_what_is_wrong_is_told(room):
    place, descriptor = room
    assert problems_of(Check("x", "sqlite").findings(descriptor)) == []
    assert problems_of(Check("x", "zip").findings(descriptor)) == ["is of a kind (zip) that this version cannot check"]
    differing = problems_of(Check("x", "sqlite", {"tables": {"notes": 5}}).findings(descriptor))
    assert len(differing) == 1 and "rows of notes" in differing[0]
    with open(os.path.join(place, COPY), "r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 100)
    assert "corrupt" in problems_of(Check("x", "sqlite").findings(descriptor))[0]
