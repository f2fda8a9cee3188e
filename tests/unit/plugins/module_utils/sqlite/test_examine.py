# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private copies and live databases under examination: nothing unsound passes, nothing outlives its limits."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.sqlite import sandbox
from ansible_collections.appstate.backup.plugins.module_utils.sqlite.examine import (
    examine_live, fold_sidecars, start_examination)
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import (
    BusyError, DatabaseError, SourceError)
from ansible_collections.appstate.backup.plugins.module_utils.system.process import NOBODY, run_child

ROOT = os.geteuid() == 0
ROWS = ("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) "
        "INSERT INTO notes SELECT i, 'text ' || i FROM n")
NOTES = ["CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT)", "CREATE INDEX bodies ON notes (body)", ROWS]
FULL_TEXT = {
    "fts3": ["CREATE VIRTUAL TABLE words USING fts3(body)"],
    "fts4": ["CREATE VIRTUAL TABLE words USING fts4(body)"],
    "fts5": ["CREATE VIRTUAL TABLE words USING fts5(body)"],
    "odd": ['CREATE VIRTUAL TABLE "wo""r ds" USING FTS5 (body, tokenize = \'porter unicode61\')'],
}


def digest(path):
    """What tells whether one byte of a file changed."""
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def examine(made, **words):
    """Examines a private copy, and sees to it that it is as it was afterwards."""
    directory, name = made
    before = digest(os.path.join(directory, name))
    try:
        return start_examination(directory, name, **words).result()
    finally:
        assert digest(os.path.join(directory, name)) == before
        assert os.listdir(directory) == [name]


def content(made):
    """The bytes of a private copy."""
    with open(os.path.join(*made), "rb") as file:
        return file.read()


@pytest.mark.parametrize("journal", ["wal", "delete"])
@pytest.mark.parametrize("integrity", ["full", "quick", "none"])
def test_a_sound_database_is_sound(copy, journal, integrity):
    found = examine(copy(NOTES + ["PRAGMA user_version = 5"], journal=journal), integrity=integrity)
    assert found["integrity"] == {"level": integrity, "ok": None if integrity == "none" else True, "messages": [],
                                  "unchecked": []}
    assert found["foreign_keys"] == (0 if integrity == "full" else None)
    passport = found["passport"]
    assert (passport["tables"], passport["user_version"], passport["journal_mode"]) == ({"notes": 500}, 5, journal)
    assert found["assertions"] == []


def test_any_name_can_be_examined(copy):
    for name in ("a?mode=rw.db", "h#.db", "100%41.db", "new\nline", "-wal"):
        assert examine(copy(NOTES, name=name))["integrity"]["ok"]


def test_the_child_is_nobody_and_sees_nothing_else(copy):
    directory, name = copy(NOTES)
    told = run_child(lambda: [os.geteuid(), os.listdir("/")], identity=NOBODY, root=directory)
    if ROOT:
        assert told == [NOBODY.uid, [name]]


def test_assertions_are_asked_of_the_copy(copy):
    wanted = [{"sql": "SELECT count(*) FROM notes", "min": 500}, {"sql": "SELECT count(*) FROM notes", "max": 1},
              {"sql": "DELETE FROM notes"}]
    assert [outcome["ok"] for outcome in examine(copy(NOTES), assertions=wanted)["assertions"]] == [True, False, False]


def test_violations_of_foreign_keys_are_counted(copy):
    found = examine(copy(NOTES + ["CREATE TABLE tags (note REFERENCES notes)", "INSERT INTO tags VALUES (1), (-1), (-2)"]))
    assert (found["integrity"]["ok"], found["foreign_keys"]) == (True, 2)


def test_a_reference_that_cannot_be_checked_has_no_count(copy):
    found = examine(copy(NOTES + ["CREATE TABLE tags (note REFERENCES notes (body))"]))
    assert (found["integrity"]["ok"], found["foreign_keys"]) == (True, None)


def test_a_damaged_index_is_found(copy):
    damaged = content(copy(NOTES)).replace(b"text 123", b"text 12x", 1)
    found = examine(copy(damaged))
    assert found["integrity"]["ok"] is False
    assert found["integrity"]["messages"]
    assert (found["passport"], found["assertions"]) == (None, [])


def test_a_row_that_breaks_a_constraint_is_found(copy):
    found = examine(copy(["CREATE TABLE t (a CHECK (a > 0))", "PRAGMA ignore_check_constraints = ON",
                          "INSERT INTO t VALUES (-1)"]))
    assert found["integrity"]["messages"] == ["CHECK constraint failed in t"]
    assert found["integrity"]["ok"] is False


def test_no_more_than_twenty_messages_are_told(copy):
    damaged = content(copy(NOTES)).replace(b"text 1", b"text x")
    found = examine(copy(damaged))
    assert found["integrity"]["ok"] is False
    assert len(found["integrity"]["messages"]) <= 20


@pytest.mark.parametrize("kind", sorted(FULL_TEXT))
@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_full_text_is_checked_too(copy, kind, journal):
    name = '"wo""r ds"' if kind == "odd" else "words"
    statements = FULL_TEXT[kind] + ["INSERT INTO %s VALUES ('some words to find'), ('others to miss')" % name]
    assert examine(copy(statements, journal=journal))["integrity"]["ok"]
    shadow = '"wo""r ds_content"' if kind == "odd" else "words_content"
    changed = statements + ["UPDATE %s SET c0%s = 'nothing of this was indexed'"
                            % (shadow, "" if kind in ("fts5", "odd") else "body")]
    found = examine(copy(changed, journal=journal))["integrity"]
    assert found["ok"] is False
    assert "malformed" in found["messages"][0]
    assert examine(copy(changed, journal=journal), integrity="quick")["integrity"]["level"] == "quick"


def test_full_text_that_nobody_here_can_check_is_told(copy):
    found = examine(copy(["CREATE VIRTUAL TABLE words USING fts4(body, content='')",
                          "INSERT INTO words (docid, body) VALUES (1, 'one')"]))
    assert found["integrity"] == {"level": "full", "ok": True, "messages": [], "unchecked": ["words"]}
    assert found["passport"]["tables"]["words"] is None


def test_a_module_that_is_not_here_is_told(copy):
    found = examine(copy(["PRAGMA writable_schema = ON", "INSERT INTO sqlite_master VALUES ('table', 'later', 'later', 0, "
                          "'CREATE VIRTUAL TABLE later USING fts5(body, tokenize = ''of_tomorrow'')')"]))
    assert found["integrity"]["unchecked"] == ["later"]


@pytest.mark.parametrize("start, reason", [
    (b"", "is empty"), (b"not a database at all", "not a SQLite database"), (b"SQLite format 3\0", "cut short")])
def test_what_is_no_database_is_an_error(copy, start, reason):
    made = copy(start)
    with pytest.raises(DatabaseError, match=reason) as caught:
        examine(made)
    assert caught.value.path == os.path.join(*made)


@pytest.mark.parametrize("keep", [100, 4096, 8192, 12000])
def test_a_database_that_was_cut_short_never_passes(copy, keep):
    try:
        found = examine(copy(content(copy(NOTES))[:keep]))
    except DatabaseError:
        return
    assert found["integrity"]["ok"] is False


def test_a_database_that_needs_its_application_says_what_is_missing(tmp_path):
    room = tmp_path / "room"
    room.mkdir()
    connection = sqlite3.connect(str(room / "a.db"))
    connection.create_collation("of_the_application", lambda one, other: (one > other) - (one < other))
    connection.execute("CREATE TABLE t (a COLLATE of_the_application UNIQUE)")
    connection.close()
    sandbox.give_to_sandbox(str(room), "a.db")
    with pytest.raises(DatabaseError, match="without its application: no such collation sequence: of_the_application"):
        examine((str(room), "a.db"))
    assert examine((str(room), "a.db"), integrity="none")["passport"]["tables"] == {"t": 0}


def test_one_flipped_byte_never_crashes_the_examination(copy):
    whole = content(copy(NOTES))
    for place in list(range(0, 110, 7)) + list(range(4096, len(whole), 1777)):
        flipped = bytearray(whole)
        flipped[place] ^= 0xff
        try:
            found = examine(copy(bytes(flipped)), wall_seconds=10)
        except DatabaseError:
            continue
        assert found["integrity"]["ok"] in (True, False)


def planted(sql, rows=1):
    """Statements that put a table of our choice into the schema."""
    return ["CREATE TABLE bomb (a)", "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) "
            "INSERT INTO bomb SELECT i FROM n" % rows, "PRAGMA writable_schema = ON",
            "UPDATE sqlite_master SET sql = '%s' WHERE name = 'bomb'" % sql.replace("'", "''")]


@pytest.mark.parametrize("sql", [
    "CREATE TABLE bomb (a, CHECK (length(hex(zeroblob(400000000))) > 0))",
    "CREATE TABLE bomb (a, b TEXT NOT NULL AS (hex(zeroblob(450000000))) VIRTUAL)"])
def test_a_bomb_that_wants_memory_ends_at_its_limit(copy, sql):
    started = time.monotonic()
    with pytest.raises(DatabaseError, match="limit of 256 MiB of memory"):
        examine(copy(planted(sql)), wall_seconds=20)
    assert time.monotonic() - started < 10


def test_a_bomb_that_wants_time_ends_at_its_limit(copy):
    sql = "CREATE TABLE bomb (a, CHECK (length(hex(zeroblob(9000000 + a))) > 0))"
    started = time.monotonic()
    with pytest.raises(DatabaseError, match=r"could not be examined: .* limit of 1 s"):
        examine(copy(planted(sql, 3000)), wall_seconds=1)
    assert time.monotonic() - started < 3


def test_an_assertion_without_end_ends_at_the_limit(copy):
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    with pytest.raises(DatabaseError, match="limit of 0.5 s"):
        examine(copy(NOTES), assertions=[{"sql": endless}], wall_seconds=0.5)


def test_an_examination_can_be_given_up(copy):
    with start_examination(*copy(NOTES)) as examination:
        examination.kill()
        with pytest.raises(DatabaseError, match="killed before it answered"):
            examination.result()


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_a_live_database_is_examined_in_one_transaction(place, journal):
    path = place.database(journal=journal)
    writer = place.transfers(path)
    for level in ("full", "quick", "none"):
        found = examine_live(path, level)
        assert found["integrity"]["ok"] is (None if level == "none" else True)
        assert found["passport"]["tables"]["accounts"] == 100
        assert (found["passport"]["journal_mode"], found["passport"]["application_id"]) == (journal, 1234)
        assert found["size"] >= 4096
        assert (found["wal_size"] > 0) is (journal == "wal")
    assert place.stop(path, writer)[0] > 0


def test_a_live_database_that_is_missing_corrupt_or_locked_is_an_error(place):
    missing = os.path.join(place.application, "missing.db")
    with pytest.raises(SourceError, match="is missing"):
        examine_live(missing)
    assert not os.path.exists(missing)
    text = os.path.join(place.application, "text.db")
    with open(text, "w") as file:
        file.write("hello")
    place.give(text)
    with pytest.raises(DatabaseError, match="text.db: is not a SQLite database"):
        examine_live(text)
    path = place.database(journal="delete")
    place.process(path, "connection.execute('BEGIN EXCLUSIVE')\nready()\ntime.sleep(60)")
    with pytest.raises(BusyError, match="stayed locked"):
        examine_live(path, deadline_seconds=0.2)


def cold_copy(place, path):
    """Copies a database with its sidecars, as an old recipe for cold backups does, and gives it to the sandbox."""
    room = place.room()
    for suffix in ("", "-wal", "-journal"):
        if os.path.exists(path + suffix):
            with open(path + suffix, "rb") as source, open(os.path.join(room, "a.db" + suffix), "wb") as target:
                target.write(source.read())
    sandbox.give_to_sandbox(room, "a.db")
    return room


def test_a_log_beside_a_copy_is_folded_into_it(place):
    path = place.database()
    victim = place.process(path, """
        connection.execute("UPDATE accounts SET balance = balance + 1")
        ready()
        time.sleep(60)
    """)
    victim.kill()
    victim.wait()
    room = cold_copy(place, path)
    fold_sidecars(room, "a.db")
    assert os.listdir(room) == ["a.db"]
    found = start_examination(room, "a.db", assertions=[
        {"sql": "SELECT sum(balance) FROM accounts", "equals": 10100}]).result()
    assert found["assertions"][0]["ok"]
    assert found["passport"]["journal_mode"] == "wal"


def test_a_journal_beside_a_copy_is_rolled_back(place):
    path = place.database(journal="delete")
    place.crash(path)
    room = cold_copy(place, path)
    fold_sidecars(room, "a.db")
    assert os.listdir(room) == ["a.db"]
    assert start_examination(room, "a.db", assertions=[
        {"sql": "SELECT sum(balance) FROM accounts", "equals": 10000}]).result()["assertions"][0]["ok"]


def test_a_journal_that_would_make_the_database_huge_is_an_error(place):
    path = place.database(journal="delete")
    place.crash(path)
    # The pages that the database had before, in the journal's header: https://www.sqlite.org/fileformat2.html, section 3.
    with open(path + "-journal", "r+b") as journal:
        journal.seek(16)
        journal.write((1 << 20).to_bytes(4, "big"))
    with pytest.raises(DatabaseError, match="larger than all that there is of it"):
        fold_sidecars(cold_copy(place, path), "a.db")


def test_folding_what_is_no_database_is_an_error(copy):
    with pytest.raises(DatabaseError, match="not a SQLite database"):
        fold_sidecars(*copy(b"hello there"))
