# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Snapshots of live databases, beside writers that never rest."""

from __future__ import annotations

import os
import time

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.sqlite import sandbox
from ansible_collections.appstate.backup.plugins.module_utils.sqlite.examine import start_examination
from ansible_collections.appstate.backup.plugins.module_utils.sqlite.header import parse_header
from ansible_collections.appstate.backup.plugins.module_utils.sqlite.snapshot import take_snapshot
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import (
    AppStateError, BusyError, ConfigurationError, DatabaseError, SourceError, SpaceError)

ROOT = os.geteuid() == 0
WAYS = [("wal", "auto", "backup"), ("wal", "backup", "backup"), ("wal", "vacuum", "vacuum"),
        ("delete", "auto", "clone"), ("delete", "backup", "backup"), ("delete", "clone", "clone"),
        ("delete", "vacuum", "vacuum"), ("persist", "auto", "clone"), ("truncate", "auto", "clone")]
EXCLUSIVE = """
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("BEGIN EXCLUSIVE")
    connection.execute("UPDATE accounts SET balance = balance + 1")
    ready()
    time.sleep(60)
"""
FILL = ("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) "
        "INSERT INTO transfers (amount) SELECT randomblob(3000) FROM n")


def checked(directory):
    """The examination of a snapshot; the accounts must add up."""
    sandbox.give_to_sandbox(directory, "s.db")
    found = start_examination(directory, "s.db", assertions=[
        {"sql": "SELECT sum(balance) FROM accounts", "equals": 10000}]).result()
    assert found["integrity"]["ok"] and found["assertions"][0]["ok"]
    return found


@pytest.mark.parametrize("journal, method, used", WAYS)
def test_a_snapshot_is_the_database(place, journal, method, used):
    path, room = place.database(journal=journal, page_size=8192), place.room()
    with open(path, "rb") as file:
        original = parse_header(file.read(100))
    told = take_snapshot(path, room, "s.db", method)
    assert os.listdir(room) == ["s.db"]
    assert told["method"] == used
    assert told["journal_mode"] == ("wal" if journal == "wal" else "delete")
    assert told["bytes"] == os.path.getsize(os.path.join(room, "s.db"))
    assert 0 < told["seconds"] < 5
    found = os.stat(os.path.join(room, "s.db"))
    assert (found.st_uid, found.st_mode & 0o777) == (place.owner, 0o600)
    with open(os.path.join(room, "s.db"), "rb") as file:
        copied = parse_header(file.read(100))
    assert (copied.page_size, copied.user_version, copied.application_id) == (8192, 7, 1234)
    assert (copied.journal == original.journal) or method == "vacuum"
    checked(room)


@pytest.mark.parametrize("journal, method, used", WAYS)
def test_tables_with_constraints_and_generated_columns_are_in_a_snapshot(place, journal, method, used):
    path, room = place.database(journal=journal, statements=[
        "CREATE TABLE sizes (size INT CHECK (size >= 0), half AS (size / 2) STORED)", "INSERT INTO sizes VALUES (1), (4)"]), place.room()
    assert take_snapshot(path, room, "s.db", method)["method"] == used
    assert checked(room)["passport"]["tables"]["sizes"] == 2


def test_a_database_that_its_owner_may_only_read_can_be_vacuumed(place):
    path, room = place.database(), place.room()
    os.chmod(path, 0o400)
    take_snapshot(path, room, "s.db", "vacuum")
    checked(room)


@pytest.mark.parametrize("journal, method, used", WAYS)
def test_a_snapshot_beside_a_writer_that_never_rests_is_one_transaction(place, journal, method, used):
    path = place.database(journal=journal, statements=[FILL % 500])
    writers = [place.transfers(path), place.transfers(path)]
    rooms = [place.room() for unused in range(3)]
    for room in rooms:
        assert take_snapshot(path, room, "s.db", method, 20.0)["method"] == used
    with open(place.stop_file(path), "w"):
        pass
    assert sum(int(writer.stdout.read().split()[0]) for writer in writers) > 20
    counts = [checked(room)["passport"]["tables"]["transfers"] for room in rooms]
    assert counts == sorted(counts)


def test_a_wal_writer_hardly_waits_for_a_snapshot(place):
    path = place.database(statements=[FILL % 15000])
    writer = place.transfers(path, pause=0.002)
    assert take_snapshot(path, place.room(), "s.db")["bytes"] > 40 << 20
    assert place.stop(path, writer)[1] < 0.25


def test_the_log_of_a_live_database_is_left_alone(place):
    path = place.database()
    place.process(path, """
        connection.execute("UPDATE accounts SET balance = balance + 1")
        connection.execute("UPDATE accounts SET balance = balance - 1")
        ready()
        time.sleep(60)
    """)
    before = [open(path + suffix, "rb").read() for suffix in ("", "-wal")]
    assert before[1]
    for method in ("auto", "backup", "vacuum"):
        room = place.room()
        take_snapshot(path, room, "s.db", method)
        checked(room)
    assert [open(path + suffix, "rb").read() for suffix in ("", "-wal")] == before


def test_what_only_the_log_holds_is_in_the_snapshot(place):
    path = place.database()
    victim = place.process(path, """
        connection.execute("INSERT INTO transfers (amount) VALUES (x'01')")
        ready()
        time.sleep(60)
    """)
    victim.kill()
    victim.wait()
    before = open(path + "-wal", "rb").read()
    room = place.room()
    take_snapshot(path, room, "s.db")
    assert checked(room)["passport"]["tables"]["transfers"] == 1
    assert open(path + "-wal", "rb").read() == before


@pytest.mark.parametrize("method", ["auto", "backup", "clone", "vacuum"])
def test_a_crashed_application_is_recovered_before_its_snapshot(place, method):
    path, room = place.database(journal="delete"), place.room()
    place.crash(path)
    take_snapshot(path, room, "s.db", method)
    assert checked(room)["passport"]["tables"]["transfers"] == 0


@pytest.mark.parametrize("journal, method", [(way[0], way[1]) for way in WAYS])
def test_an_exclusive_lock_ends_at_the_deadline_and_leaves_nothing(place, journal, method):
    path, room = place.database(journal=journal), place.room()
    place.process(path, EXCLUSIVE)
    started = time.monotonic()
    with pytest.raises(BusyError, match=r"stayed locked by another process for 0\.4 s"):
        take_snapshot(path, room, "s.db", method, 0.4)
    assert time.monotonic() - started < 1.5
    assert os.listdir(room) == []


def test_a_deadline_in_the_middle_of_a_copy_ends_it_and_leaves_nothing(place):
    path = place.database(statements=[FILL % 60000], page_size=512)
    room = place.room()
    started = time.monotonic()
    with pytest.raises(BusyError, match="deadline"):
        take_snapshot(path, room, "s.db", "vacuum", 0.05)
    assert time.monotonic() - started < 2
    assert os.listdir(room) == []


def test_a_wal_database_is_never_cloned(place):
    path, room = place.database(), place.room()
    with pytest.raises(SourceError, match="cannot be cloned: it is in WAL mode"):
        take_snapshot(path, room, "s.db", "clone")
    assert os.listdir(room) == []


@pytest.mark.parametrize("method, used", [("auto", "clone"), ("backup", "backup"), ("clone", "clone")])
def test_a_database_that_its_owner_may_not_write_can_be_taken(place, method, used):
    path, room = place.database(journal="delete"), place.room()
    os.chmod(path, 0o444)
    assert take_snapshot(path, room, "s.db", method)["method"] == used
    checked(room)


def test_a_missing_database_is_an_error_and_not_made(place):
    room = place.room()
    with pytest.raises(SourceError, match="missing.db: is missing"):
        take_snapshot(os.path.join(place.application, "missing.db"), room, "s.db")
    assert os.listdir(place.application) == os.listdir(room) == []


@pytest.mark.parametrize("content, reason", [(b"", "is empty"), (b"x" * 5000, "is not a SQLite database")])
@pytest.mark.parametrize("method", ["auto", "backup", "clone", "vacuum"])
def test_what_is_no_database_is_an_error(place, content, reason, method):
    path, room = os.path.join(place.application, "a.db"), place.room()
    with open(path, "wb") as file:
        file.write(content)
    place.give(path)
    with pytest.raises(DatabaseError, match=reason):
        take_snapshot(path, room, "s.db", method)
    assert os.listdir(room) == []
    assert open(path, "rb").read() == content


def test_a_corrupt_database_is_not_made_to_look_sound_by_vacuum(place):
    path, room = place.database(journal="delete", statements=[
        "CREATE TABLE notes (body)", "CREATE INDEX bodies ON notes (body)",
        "INSERT INTO notes VALUES ('abcdefgh'), ('ijklmnop')"]), place.room()
    with open(path, "rb") as file:
        content = file.read()
    with open(path, "wb") as file:
        file.write(content.replace(b"abcdefgh", b"zbcdefgh", 1))
    with pytest.raises(DatabaseError, match="is corrupt"):
        take_snapshot(path, room, "s.db", "vacuum")
    assert os.listdir(room) == []


@pytest.mark.parametrize("method", ["backup", "clone", "vacuum"])
def test_a_full_disk_is_an_error_that_leaves_nothing(place, small_disk, method):
    path = place.database(journal="delete", statements=[FILL % 2000])
    with pytest.raises(SpaceError if ROOT else AppStateError, match="not enough space" if ROOT else "s.db|notes.db"):
        take_snapshot(path, small_disk, "s.db", method)
    assert os.listdir(small_disk) == []


def test_an_unknown_method_is_refused(place):
    with pytest.raises(ConfigurationError, match="unknown snapshot method 'copy'"):
        take_snapshot(place.database(), place.room(), "s.db", "copy")


@pytest.mark.parametrize("name", ["q?mode=memory.db", "h#ash 100%25.db", "new\nline.db"])
@pytest.mark.parametrize("method", ["backup", "clone", "vacuum"])
def test_odd_names_of_both(place, name, method):
    plain, room = place.database(journal="delete"), place.room()
    path = os.path.join(place.application, name)
    os.rename(plain, path)
    take_snapshot(path, room, name, method)
    assert os.listdir(room) == [name]
    assert os.listdir(place.application) == [name]


def test_a_snapshot_that_is_there_already_is_not_overwritten(place):
    path, room = place.database(), place.room()
    take_snapshot(path, room, "s.db")
    before = os.stat(os.path.join(room, "s.db"))
    with pytest.raises(ConfigurationError, match="exists already"):
        take_snapshot(path, room, "s.db")
    after = os.stat(os.path.join(room, "s.db"))
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
