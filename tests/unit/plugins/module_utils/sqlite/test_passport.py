# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What identifies a database's content."""

from __future__ import annotations

import sqlite3

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.sqlite.passport import (
    quoted, read_passport, schema_digest, tables_of)


@pytest.fixture
def connection():
    """An empty database in memory, as the engine opens one."""
    made = sqlite3.connect(":memory:", isolation_level=None)
    made.text_factory = bytes
    return made


def test_a_passport_tells_what_sqlite_tells(connection):
    connection.executescript("""
        PRAGMA page_size = 8192;
        PRAGMA encoding = 'UTF-16le';
        CREATE TABLE notes (id INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT);
        CREATE TABLE "odd ""name"" too" (a);
        CREATE VIEW seen AS SELECT * FROM notes;
        INSERT INTO notes (body) VALUES ('one'), ('two');
        PRAGMA user_version = -3;
        PRAGMA application_id = 77;
        ANALYZE;
    """)
    passport = read_passport(connection)
    assert passport.pop("schema_digest") == schema_digest(connection)
    assert passport.pop("page_count") > 3
    assert passport == {"page_size": 8192, "encoding": "UTF-16le", "journal_mode": "memory", "user_version": -3,
                        "application_id": 77, "tables": {"notes": 2, 'odd "name" too': 0}}


def test_rows_need_not_be_counted(connection):
    connection.execute("CREATE TABLE t (a)")
    assert read_passport(connection, row_counts=False)["tables"] is None


def test_a_virtual_table_that_cannot_be_read_has_no_count(connection):
    connection.execute("CREATE VIRTUAL TABLE found USING fts4(body, content='')")
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute("INSERT INTO sqlite_master VALUES ('table', 'map', 'map', 0, "
                       "'CREATE VIRTUAL TABLE map USING geopoly_of_tomorrow(shape)')")
    connection.execute("PRAGMA writable_schema = RESET")
    tables = read_passport(connection)["tables"]
    assert (tables["found"], tables["map"]) == (None, None)
    assert tables["found_segdir"] == 0


def test_a_name_that_is_no_text_is_shown_and_not_counted(connection):
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute("INSERT INTO sqlite_master VALUES ('table', CAST(x'ff61' AS TEXT), CAST(x'ff61' AS TEXT), 0, "
                       "'CREATE VIRTUAL TABLE b USING fts4(a)')")
    assert tables_of(connection)[0][0] == b"\xffa"
    with pytest.raises(ValueError):
        quoted(b"\xffa")
    with pytest.raises(ValueError):
        quoted(b"a\0b")


def test_the_digest_is_that_of_the_schema_and_of_nothing_else(connection):
    connection.executescript("CREATE TABLE a (x); CREATE TABLE b (y); CREATE INDEX i ON a (x);")
    digest = schema_digest(connection)
    connection.executescript("INSERT INTO a VALUES (1); ANALYZE; VACUUM;")
    assert schema_digest(connection) == digest
    other = sqlite3.connect(":memory:")
    other.text_factory = bytes
    other.executescript("CREATE TABLE b (y); CREATE TABLE a (x); CREATE INDEX i ON a (x);")
    assert schema_digest(other) == digest
    connection.execute("ALTER TABLE b ADD COLUMN z")
    assert schema_digest(connection) != digest
    assert len(digest) == 64
