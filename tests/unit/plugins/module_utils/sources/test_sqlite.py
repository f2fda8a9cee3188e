# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Databases as sources of real backups."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from types import SimpleNamespace

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.sources.finding import problems_of
from ansible_collections.appstate.backup.plugins.module_utils.sources.sqlite import findings_of, refuse, sidecars_of
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import (
    AppStateError, AssertionFailed, BusyError, DatabaseError, SourceError)


def sqlite(**words):
    """The one source of these tests."""
    return [dict({"type": "sqlite", "path": "data/notes.db"}, **words)]


def nothing_made(host):
    """Whether a failed backup left nothing at the destination."""
    return all(not names for unused, unused, names in os.walk(host.destination)) and host.left() == []


def record(taken):
    return taken.backup.manifest.sources[0]


@pytest.mark.parametrize("journal, method, used", [
    ("wal", "auto", "backup"), ("delete", "auto", "clone"), ("wal", "backup", "backup"), ("delete", "backup", "backup"),
    ("delete", "clone", "clone"), ("wal", "vacuum", "vacuum"), ("delete", "vacuum", "vacuum")])
def test_a_database_comes_with_its_passport(host, journal, method, used):
    host.database(journal=journal)
    told = record(host.backup(sources=sqlite(method=method)))
    assert (told["type"], told["path"], told["present"], told["members"]) == ("sqlite", "data/notes.db", True, 1)
    assert (told["method"], told["integrity"], told["foreign_keys"], told["assertions"]) == (used, "full", 0, [])
    passport = told["passport"]
    assert (passport["tables"], passport["page_size"]) == ({"notes": 20}, 4096)
    assert passport["page_count"] * passport["page_size"] == told["bytes"]
    assert len(passport["schema_digest"]) == 64


def test_rows_that_stand_in_the_wal_alone_are_in_the_backup(host):
    host.database()
    host.crash(count=7)
    assert record(host.backup(sources=sqlite()))["passport"]["tables"] == {"notes": 27}
    assert os.path.getsize(host.at("data/notes.db-wal")) > 0


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_what_was_committed_before_the_start_is_in_it_beside_a_writer(host, journal):
    host.database(journal=journal)
    script = ("import os, sqlite3, sys\nc = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)\nn = 0\n"
              "while True:\n    c.execute(\"INSERT INTO notes (text) VALUES ('w')\")\n    n += 1\n"
              "    sys.stdout.write('%d\\n' % n); sys.stdout.flush()\n")
    writer = subprocess.Popen([sys.executable, "-c", script, host.at("data/notes.db")], stdout=subprocess.PIPE)
    try:
        for unused in range(50):
            committed = int(writer.stdout.readline())
        taken = host.backup(sources=sqlite())
    finally:
        writer.kill()
        writer.wait()
        writer.stdout.close()
    assert record(taken)["passport"]["tables"]["notes"] >= 20 + committed
    assert host.verify(which=taken.backup.id).ok


def test_a_hot_journal_is_recovered_and_not_taken(host):
    host.database(journal="delete")
    script = ("import os, sqlite3, sys\nc = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
              "c.execute('PRAGMA cache_size=2')\nc.execute('BEGIN IMMEDIATE')\n"
              "c.execute('WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<2000)"
              " INSERT INTO notes(text) SELECT hex(randomblob(200)) FROM n')\nos.kill(os.getpid(), 9)\n")
    subprocess.run([sys.executable, "-c", script, host.at("data/notes.db")], check=False)
    host.own(host.at("data/notes.db-journal"))
    assert os.path.getsize(host.at("data/notes.db-journal")) > 512
    assert record(host.backup(sources=sqlite()))["passport"]["tables"] == {"notes": 20}


def test_a_locked_database_is_busy_at_its_deadline(host):
    host.database(journal="delete")
    connection = sqlite3.connect(host.at("data/notes.db"), isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(BusyError, match="app notes: .*data/notes.db") as caught:
            host.backup(sources=sqlite(), snapshot_deadline=0.3)
        assert caught.value.exit_code == 75
    finally:
        connection.close()
    assert nothing_made(host)


def corrupt(host):
    """Damages a table's page, so that integrity_check finds it."""
    host.database(rows=400, journal="delete")
    with open(host.at("data/notes.db"), "r+b") as file:
        file.seek(2 * 4096)
        file.write(b"\xff" * 600)


@pytest.mark.parametrize("method", ["auto", "backup", "vacuum"])
def test_a_corrupt_database_is_never_published(host, tree, method):
    corrupt(host)
    before = tree(host.root)
    with pytest.raises(DatabaseError, match=r"app notes: .*data/notes.db: .*(corrupt|malformed)"):
        host.backup(sources=sqlite(method=method))
    assert nothing_made(host) and tree(host.root) == before


def test_a_corrupt_database_leaves_the_earlier_backups(host):
    host.database()
    first = host.backup(sources=sqlite()).backup
    os.unlink(host.at("data/notes.db"))
    corrupt(host)
    with pytest.raises(DatabaseError):
        host.backup(sources=sqlite())
    assert sorted(os.listdir(host.app().directory)) == [first.id + ".json", os.path.basename(first.path)]
    assert host.verify().ok


@pytest.mark.parametrize("content", [b"", b"no database at all" * 100, b"SQLite format 3\0" + b"\0" * 84])
def test_a_file_that_is_no_database(host, content):
    host.write("data/notes.db", content)
    with pytest.raises((DatabaseError, SourceError), match="app notes: .*data/notes.db: "):
        host.backup(sources=sqlite())
    assert nothing_made(host)


def test_a_missing_database_is_an_error_unless_it_may_be(host):
    with pytest.raises(SourceError, match="app notes: .*data/notes.db: the database is missing. .*required: false"):
        host.backup(sources=sqlite())
    assert nothing_made(host) and not os.path.exists(host.at("data"))
    told = record(host.backup(sources=sqlite(required=False)))
    assert told == {"type": "sqlite", "path": "data/notes.db", "present": False}


def test_a_link_a_directory_and_a_fifo_are_refused(host):
    host.database("data/real.db")
    path = host.at("data/notes.db")
    os.symlink("real.db", path)
    for make in (os.mkdir, os.mkfifo, None):
        with pytest.raises(SourceError, match="app notes: .*data/notes.db: is not a regular file. Name the database itself"):
            host.backup(sources=sqlite())
        if os.path.isdir(path):
            os.rmdir(path)
        else:
            os.unlink(path)
        if make:
            make(path)


def test_assertions_are_asked_of_the_copy_and_recorded(host):
    host.database()
    asked = [{"sql": "SELECT count(*) FROM notes", "min": 1}, {"sql": "SELECT text FROM notes WHERE id = 1", "equals": "note 0"}]
    told = record(host.backup(sources=sqlite(assertions=asked)))
    assert [(item["sql"], item["value"], item["ok"]) for item in told["assertions"]] == [
        (asked[0]["sql"], 20, True), (asked[1]["sql"], "note 0", True)]


@pytest.mark.parametrize("asked", [
    {"sql": "SELECT count(*) FROM notes", "min": 21}, {"sql": "SELECT count(*) FROM notes", "max": 19},
    {"sql": "SELECT text FROM notes WHERE id = 1", "equals": "other"}, {"sql": "SELECT 0"}, {"sql": "SELECT * FROM none"},
    {"sql": "DELETE FROM notes"}])
def test_an_assertion_that_does_not_hold_ends_the_backup(host, tree, asked):
    host.database()
    with pytest.raises(AssertionFailed, match="app notes: .*data/notes.db: an assertion does not hold"):
        host.backup(sources=sqlite(assertions=[asked]))
    assert nothing_made(host) and host.notes() == 20


def test_foreign_keys_are_told_and_fail_only_where_the_app_says_so(host):
    host.database()
    connection = sqlite3.connect(host.at("data/notes.db"))
    connection.execute("CREATE TABLE tags (note INTEGER REFERENCES notes (id))")
    connection.execute("INSERT INTO tags VALUES (99)")
    connection.commit()
    connection.close()
    taken = host.backup(sources=sqlite())
    assert record(taken)["foreign_keys"] == 1
    assert taken.warnings == ["%s has 1 rows that violate a foreign key" % host.at("data/notes.db")]
    with pytest.raises(AppStateError, match="1 rows violate a foreign key"):
        host.backup(sources=sqlite(foreign_keys=True))


def test_a_full_text_table_that_cannot_be_checked_is_told(host):
    host.database()
    with sqlite3.connect(host.at("data/notes.db")) as connection:
        connection.execute("CREATE VIRTUAL TABLE words USING fts4(content='', text)")
    connection.close()
    assert [text for text in host.backup(sources=sqlite()).warnings if "words" in text]


def test_no_room_for_the_snapshot(host, tree):
    host.database(rows=20000)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k,mode=755", "tmpfs", host.destination], check=True)
    try:
        with pytest.raises(AppStateError, match="app notes: .*not enough space for the snapshot"):
            host.backup(sources=sqlite())
        assert nothing_made(host)
    finally:
        subprocess.run(["umount", host.destination], check=True)


def examined(ok=True, messages=(), assertions=(), foreign_keys=0, passport=None):
    return {"integrity": {"ok": ok, "messages": list(messages)}, "assertions": list(assertions), "foreign_keys": foreign_keys,
            "passport": passport}


def test_what_is_wrong_is_told_in_one_sentence():
    assert problems_of(findings_of(examined())) == []
    with pytest.raises(DatabaseError, match="app notes: /x.db: the database is corrupt: one; two; three. Restore an earlier backup"):
        refuse(examined(False, ["one", "two", "three", "four"]), "notes", "/x.db")
    with pytest.raises(AssertionFailed, match=r"app notes: /x.db: an assertion does not hold: no rows \(SELECT 1\). Look into the"):
        refuse(examined(assertions=[{"ok": True, "sql": "SELECT 2"}, {"ok": False, "message": "no rows", "sql": "SELECT 1"}]), "notes", "/x.db")


def test_each_look_is_a_finding():
    assertions = [{"ok": True, "sql": "SELECT 1"}, {"ok": False, "sql": "SELECT 0", "message": "no"}]
    source = SimpleNamespace(foreign_keys=True)
    found = findings_of(examined(assertions=assertions, foreign_keys=2, passport={"tables": {}}), source, {"tables": {}})
    assert [(each.check, each.about, each.problem) for each in found] == [
        ("integrity", "", None), ("assertion", "SELECT 1", None),
        ("assertion", "SELECT 0", "an assertion does not hold: no (SELECT 0)"),
        ("foreign_keys", "", "2 rows violate a foreign key"), ("passport", "", None)]
    assert [each.check for each in findings_of(examined(False, ["x"]), source, {"tables": {}})] == ["integrity"]


def test_passports_are_compared_by_all_that_both_could_read():
    before = {"page_size": 4096, "user_version": 1, "tables": {"a": 1, "virtual": None, "gone": 1}}
    after = {"page_size": 4096, "user_version": 2, "tables": {"a": 2, "virtual": 5, "new": 1}}
    assert problems_of(findings_of(examined(passport=before), recorded=before)) == []
    assert problems_of(findings_of(examined(passport=after), recorded=before)) == [
        "is not the database that was backed up (user_version, rows of a, rows of gone, rows of new differ)"]


def test_sidecars_go_where_their_database_goes():
    assert sidecars_of("data/x.db") == ["data/x.db-wal", "data/x.db-shm", "data/x.db-journal"]
