# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Empty tables, of copies and of live databases: found under any name, and never at the database's cost."""

from __future__ import annotations

import hashlib

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.sqlite.emptiness import empty_tables, filled_tables
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import AppStateError, SourceError

TABLES = ["CREATE TABLE pages (a)", "INSERT INTO pages VALUES (1)", "CREATE TABLE users (a)", 'CREATE TABLE "odd "" näme" (a)',
          "CREATE TABLE sequences (id INTEGER PRIMARY KEY AUTOINCREMENT)", "CREATE VIEW vacant AS SELECT 1 WHERE 0",
          "CREATE TABLE sqlitelike (a)", "CREATE INDEX i ON users (a)"]


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_tables_without_rows_are_found(copy, journal):
    assert empty_tables(*copy(TABLES, journal=journal)) == ['odd " näme', "sequences", "sqlitelike", "users"]


def test_what_is_no_database_is_an_error(copy):
    with pytest.raises(AppStateError):
        empty_tables(*copy(b"SQLite format 3\0" + b"x" * 5000))


def test_a_live_database_tells_which_have_rows_and_stays_as_it_is(place):
    path = place.database()
    digest = hashlib.sha256(open(path, "rb").read()).hexdigest()
    assert filled_tables(path, ["transfers", "accounts", "no such table"]) == ["accounts"]
    assert hashlib.sha256(open(path, "rb").read()).hexdigest() == digest


def test_one_that_stays_locked_or_is_missing_is_an_error(place):
    path = place.database(journal="delete")
    place.process(path, "connection.execute('BEGIN EXCLUSIVE')\nready()\ntime.sleep(60)")
    with pytest.raises(AppStateError):
        filled_tables(path, ["accounts"])
    with pytest.raises(SourceError):
        filled_tables(path + ".none", ["accounts"])
