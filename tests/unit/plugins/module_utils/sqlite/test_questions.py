# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An operator's queries: answered in full or not at all, and nothing but answered."""

from __future__ import annotations

import os

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.sqlite.questions import ask_copy
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import DatabaseError, QueryError

FILES = ["CREATE TABLE files (path)",
         "INSERT INTO files VALUES ('a/b.png'), (NULL), (''), (7), (1.5), (x'ff00ff'), ('ü'), ('zwei\nzeilen')"]
MANY = ("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) "
        "SELECT 'blobs/sha256/' || printf('%%064d', i) FROM n")


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_values_of_every_kind_come_as_they_are(copy, journal):
    directory, name = copy(FILES, journal=journal)
    answer = ask_copy(directory, name, "SELECT path, 'another column' FROM files ORDER BY rowid")
    assert list(answer) == list(answer) == [b"a/b.png", b"", b"7", b"1.5", b"\xff\\0\xff", "ü".encode(), b"zwei\nzeilen"]
    assert len(answer) == 7
    assert os.listdir(directory) == [name]


def test_a_long_answer_is_whole(copy):
    directory, name = copy(FILES)
    answer = ask_copy(directory, name, MANY % 100000)
    assert answer.count == len(set(answer)) == 100000


@pytest.mark.parametrize("words", [{"most_values": 99}, {"most_bytes": 7000}])
def test_too_much_is_refused(copy, words):
    directory, name = copy(FILES)
    assert len(ask_copy(directory, name, MANY % 100, **dict({key: value + 1000 for key, value in words.items()}))) == 100
    with pytest.raises(QueryError, match="it gives more than"):
        ask_copy(directory, name, MANY % 100, **words)
    assert os.listdir(directory) == [name]


@pytest.mark.parametrize("sql, says", [
    ("SELECT path FROM nowhere", "no such table: nowhere"), ("SELEC 1", "syntax error"),
    ("DELETE FROM files", "not authorized"), ("SELECT 1; SELECT 2", "one statement"),
    ("ATTACH 'other.db' AS other", "not authorized"), ("PRAGMA writable_schema = 1", "not authorized"),
    ("SELECT load_extension('evil')", "not authorized")])
def test_what_is_no_reading_statement_is_refused(copy, sql, says):
    directory, name = copy(FILES)
    with pytest.raises(QueryError, match=says) as caught:
        ask_copy(directory, name, sql)
    assert os.path.join(directory, name) in str(caught.value) and sql in str(caught.value)
    assert os.listdir(directory) == [name]


def test_what_is_no_database_is_told_as_such(copy):
    with pytest.raises(DatabaseError):
        ask_copy(*copy(b"SQLite format 3\0" + b"x" * 5000), "SELECT 1")


def test_a_query_that_never_ends_is_ended(copy):
    with pytest.raises(DatabaseError, match="limit"):
        ask_copy(*copy(FILES), "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
                 wall_seconds=1)
