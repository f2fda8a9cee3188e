# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Dumps of the real sqlite3 program, and what becomes of those that are not whole."""

from __future__ import annotations

import os
import sqlite3
import subprocess

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.sqlite import loading
from ansible_collections.appstate.backup.plugins.module_utils.sqlite.examine import start_examination
from ansible_collections.appstate.backup.plugins.module_utils.sqlite.loading import start_loading
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import DatabaseError

SCHEMA = """
CREATE TABLE notes (id INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT NOT NULL, data BLOB);
CREATE TABLE tags (note INTEGER REFERENCES notes(id), tag TEXT, PRIMARY KEY (note, tag)) WITHOUT ROWID;
CREATE INDEX by_tag ON tags(tag);
CREATE VIEW tagged AS SELECT text, tag FROM notes JOIN tags ON note = id;
CREATE TRIGGER cleared AFTER DELETE ON notes BEGIN DELETE FROM tags WHERE note = old.id; SELECT ';'; END;
CREATE VIRTUAL TABLE words USING fts5(text);
INSERT INTO notes (text, data) VALUES ('it''s; a "note"', x'00ff'), ('two
lines', NULL), ('caf\N{LATIN SMALL LETTER E WITH ACUTE}', zeroblob(10));
INSERT INTO tags VALUES (1, 'a'), (2, 'b');
INSERT INTO words SELECT text FROM notes;
ANALYZE;
PRAGMA user_version = 7;
"""


class Place:
    """A private directory with a script in it."""

    def __init__(self, path):
        self.path = str(path)

    def load(self, script):
        with open(os.path.join(self.path, "script"), "wb") as file:
            file.write(script)
        loading = start_loading(self.path, "script", "loaded.db", 60)
        try:
            return loading.result()
        finally:
            loading.kill()

    def examined(self):
        return start_examination(self.path, "loaded.db", wall_seconds=60).result()

    def refused(self, script):
        with pytest.raises(DatabaseError) as caught:
            self.load(script)
        return str(caught.value)


@pytest.fixture(name="room")
def fixture_room(tmp_path):
    return Place(tmp_path)


def dump_of(path, script=SCHEMA):
    """What the sqlite3 program dumps of a database that a script makes."""
    connection = sqlite3.connect(str(path))
    connection.executescript(script)
    connection.close()
    return subprocess.run(["sqlite3", str(path), ".dump"], stdout=subprocess.PIPE, check=True).stdout


def test_what_the_sqlite3_program_dumps_is_loaded_and_found_good(room, tmp_path):
    told = room.load(dump_of(tmp_path / "live.db"))
    assert told["transaction"] and told["statements"] > 10
    found = room.examined()
    assert found["integrity"]["ok"] and found["foreign_keys"] == 0
    tables = found["passport"]["tables"]
    assert (tables["notes"], tables["tags"], tables["words"]) == (3, 2, 3)


def test_it_holds_what_was_dumped(room, tmp_path):
    room.load(dump_of(tmp_path / "live.db"))
    loaded, live = sqlite3.connect(os.path.join(room.path, "loaded.db")), sqlite3.connect(str(tmp_path / "live.db"))
    for query in ("SELECT * FROM notes", "SELECT * FROM tagged", "SELECT * FROM sqlite_sequence",
                  "SELECT rowid FROM words WHERE words MATCH 'lines'",
                  "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'words%' "
                  "AND name NOT LIKE 'sqlite_stat%' ORDER BY 1, 2"):
        assert loaded.execute(query).fetchall() == live.execute(query).fetchall()
    loaded.close()
    live.close()


def test_wherever_a_dump_is_cut_it_is_refused_or_whole(room, tmp_path):
    """By the splitting and the loading themselves, without a process for each byte."""
    dump = dump_of(tmp_path / "live.db", "CREATE TABLE t (a TEXT);"
                                         "CREATE TRIGGER g AFTER DELETE ON t BEGIN SELECT 1; END;"
                                         "INSERT INTO t VALUES ('x;y'), ('it''s');")
    whole = len(dump.rstrip(b"\n"))
    for end in range(len(dump) + 1):
        (tmp_path / "cut").write_bytes(dump[:end])
        database = str(tmp_path / ("loaded-%d" % end))
        try:
            told = loading._load(str(tmp_path / "cut"), database, 1 << 24)
        except DatabaseError as error:
            assert end < whole, str(error)
            continue
        assert end >= whole and told["transaction"]
        connection = sqlite3.connect(database)
        assert connection.execute("SELECT a FROM t").fetchall() == [("x;y",), ("it's",)]
        connection.close()


@pytest.mark.parametrize("script, words", [
    (b"", "has no statement"), (b"-- nothing\n", "has no statement"), (b"\n\n", "has no statement"),
    (b"PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\nCOMMIT;\n", "makes no table"),
    (b"BEGIN;\nCREATE TABLE t(a);\nINSERT INTO t VALUES(1);\n", "transaction is still open"),
    (b"BEGIN;\nCREATE TABLE t(a);\nINSERT INTO t VALU", "in the middle of a statement (line 3)"),
    (b"BEGIN;\nCREATE TABLE t(a);\nROLLBACK; -- due to errors\n", "ends in ROLLBACK"),
    (b"CREATE TABLE t(a);\nSAVEPOINT s;\nROLLBACK TO s;\nRELEASE s;", "ends in ROLLBACK"),
    (b".mode insert\nCREATE TABLE t(a);\n", "command of the sqlite3 program (.mode, line 1)"),
    (b"CREATE TABLE t(a);\n.read /etc/passwd\n;", "(.read, line 2)"),
    (b"CREATE TABLE t(a);\nATTACH '/tmp/other.db' AS other;\n", "has ATTACH"),
    (b"CREATE TABLE t(a);\nDETACH main;\n", "has DETACH"),
    (b"CREATE TABLE t(a);\nVACUUM INTO '/tmp/other.db';\n", "has ATTACH"),
    (b"CREATE TABLE t(a);\nSELECT load_extension('/tmp/x');\n", "load_extension"),
    (b"CREATE TABLE t(a);\nINSERT INTO nowhere VALUES(1);\n", "fails at line 2: no such table: nowhere"),
    (b"CREATE TABLE t(a PRIMARY KEY);\nINSERT INTO t VALUES(1);\nINSERT INTO t VALUES(1);\n",
     "fails at line 3: UNIQUE"),
    (b"-- MySQL dump\nCREATE TABLE `t` (`a` int) ENGINE=InnoDB;\n", "fails at line 2"),
    (b"<!DOCTYPE html><html><body>Sign in;</body></html>", 'fails at line 1: near "<"'),
    (b"\x00\x01\x02;", "NUL"), (b"\xff\xfe;", "no UTF-8")])
def test_what_is_not_whole_or_leads_out_is_refused(room, script, words):
    assert words in room.refused(script)


def test_a_dump_of_a_corrupt_database_is_refused(room, tmp_path):
    path = tmp_path / "live.db"
    dump_of(path, "CREATE TABLE t (a TEXT);" + "INSERT INTO t VALUES (hex(randomblob(300)));" * 60)
    content = bytearray(path.read_bytes())
    content[4096 * 3:4096 * 4] = b"\xaa" * 4096
    path.write_bytes(content)
    done = subprocess.run(["sqlite3", str(path), ".dump"], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, check=False)
    assert b"ROLLBACK; -- due to errors" in done.stdout
    assert "ends in ROLLBACK" in room.refused(done.stdout)


def test_settings_that_a_dump_has_no_business_with_have_no_effect(room):
    told = room.load(b"PRAGMA journal_mode=WAL;\nPRAGMA trusted_schema=ON;\nPRAGMA max_page_count=9999999;\n"
                     b"PRAGMA user_version=5;\nPRAGMA application_id=77;\nCREATE TABLE t(a);\n")
    assert not told["transaction"]
    found = room.examined()["passport"]
    assert (found["user_version"], found["application_id"], found["journal_mode"]) == (5, 77, "delete")


def test_only_one_transaction_around_everything_shows_that_nothing_is_missing(room):
    two = b"BEGIN;CREATE TABLE a(x);COMMIT;BEGIN;CREATE TABLE b(x);COMMIT;"
    assert not room.load(two)["transaction"]
    assert not room.load(b"BEGIN;CREATE TABLE a(x);COMMIT;CREATE TABLE b(x);")["transaction"]
    assert room.load(b"PRAGMA foreign_keys=OFF;BEGIN;CREATE TABLE a(x);COMMIT;PRAGMA user_version=3;")["transaction"]


def test_a_dump_that_grows_without_end_is_ended(room, monkeypatch):
    monkeypatch.setattr(loading, "LARGEST_BASE", 1 << 20)
    assert "more than 16 times as large" in room.refused(
        b"CREATE TABLE t(a);\nINSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n) "
        b"SELECT zeroblob(1000) FROM n;\n")


def test_texts_that_are_no_utf8_and_functions_of_newer_dumps_are_understood(room):
    room.load(b"CREATE TABLE t(a);\nINSERT INTO t VALUES('caf\xe9');\n"
              b"INSERT INTO t VALUES(unistr('a\\u000ab\\\\c\\00e9'));\n")
    connection = sqlite3.connect(os.path.join(room.path, "loaded.db"))
    connection.text_factory = bytes
    assert connection.execute("SELECT a FROM t").fetchall() == [(b"caf\xe9",), ("a\nb\\c\xe9".encode(),)]
    connection.close()


def test_a_second_loading_begins_anew(room):
    room.load(b"CREATE TABLE a(x);")
    room.load(b"CREATE TABLE a(x);")
    assert room.examined()["passport"]["tables"] == {"a": 0}
