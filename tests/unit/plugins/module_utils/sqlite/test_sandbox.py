# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who opens a database, and how."""

from __future__ import annotations

import os
import sqlite3
import stat
import time

import pytest
from hypothesis import given
from hypothesis import strategies as some

from ansible_collections.appstate.backup.plugins.module_utils.sqlite import sandbox
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import (
    AppStateError, BusyError, DatabaseError, SourceError, SpaceError)
from ansible_collections.appstate.backup.plugins.module_utils.system.process import NOBODY, identity_of, run_child

ROOT = os.geteuid() == 0
ODD_NAMES = ["a b.db", "q?mode=memory.db", "h#ash.db", "100%25.db", "n\nl.db", "\u00fc.db",
             b"\xff\xfe.db".decode("utf-8", "surrogateescape"), ":memory:", "file:x.db", "&immutable=1"]


def as_owner(path, function, *arguments):
    """Runs a function as the database's owner."""
    return run_child(function, arguments, sandbox.owner_of(path))


def sum_of_balances(path, seconds=2.0):
    """Opens the live database and adds up the accounts."""
    with sandbox.clear_errors(path, seconds):
        connection = sandbox.open_live(path, time.monotonic() + seconds)
        return connection.execute("SELECT sum(balance) FROM accounts").fetchone()[0]


def test_a_database_is_opened_by_its_owner(place):
    path = place.database()
    assert sandbox.owner_of(path) == identity_of(place.owner, place.group)
    assert as_owner(path, os.geteuid) == place.owner


def test_a_file_that_is_missing_is_said_to_be_and_not_made(place):
    path = os.path.join(place.application, "none.db")
    with pytest.raises(SourceError, match="is missing"):
        sandbox.owner_of(path)
    with pytest.raises(SourceError, match="is missing"):
        sandbox.owner_of(os.path.join(path, "deeper.db"))
    for opened in (sandbox.open_live, sandbox.open_live_reserved):
        with pytest.raises(sqlite3.OperationalError):
            opened(path, 0)
    with pytest.raises(sqlite3.OperationalError):
        sandbox.open_private(path)
    assert os.listdir(place.application) == []


def test_links_and_specials_are_refused(place):
    path = place.database()
    os.symlink(path, os.path.join(place.application, "link.db"))
    os.mkfifo(os.path.join(place.application, "pipe.db"))
    os.mkdir(os.path.join(place.application, "directory.db"))
    for name, reason in (("link.db", "symbolic link"), ("pipe.db", "not a regular file"),
                         ("directory.db", "not a regular file")):
        special = os.path.join(place.application, name)
        with pytest.raises(SourceError, match=reason):
            sandbox.owner_of(special)
        with pytest.raises(SourceError, match=reason):
            sandbox.read_header(special)


def test_a_link_above_the_database_is_fine(place):
    path = place.database()
    os.symlink(place.application, os.path.join(place.path, "link"))
    through = os.path.join(place.path, "link", os.path.basename(path))
    assert sandbox.owner_of(through).uid == place.owner
    assert as_owner(through, sum_of_balances, through) == 10000


@pytest.mark.skipif(not ROOT, reason="without root, a child is always who we are")
def test_a_link_above_the_database_that_a_user_could_swap_is_not_followed(place, tmp_path):
    (tmp_path / "secret").mkdir(0o700)
    (tmp_path / "secret" / "a.db").write_bytes(b"x")
    os.symlink(str(tmp_path / "secret"), os.path.join(place.application, "link"))
    with pytest.raises(AppStateError, match="could be swapped by an unprivileged user"):
        sandbox.owner_of(os.path.join(place.application, "link", "a.db"))


def as_root_owned(path):
    """Makes a file root's, where we are root."""
    if ROOT:
        os.chown(path, 0, 0)
    return path


def test_a_database_of_root_that_only_root_can_reach_is_opened_by_root(tmp_path):
    path = tmp_path / "a.db"
    path.write_bytes(b"x")
    assert sandbox.owner_of(str(path)).uid == os.geteuid()


def test_a_database_of_root_in_a_users_directory_is_opened_by_that_user(place):
    path = as_root_owned(place.database())
    assert sandbox.owner_of(path).uid == place.owner


def test_a_database_of_root_below_a_users_directory_is_opened_by_that_user(place):
    inner = os.path.join(place.application, "inner")
    os.mkdir(inner)
    path = os.path.join(inner, "a.db")
    with open(path, "wb"):
        pass
    assert sandbox.owner_of(path).uid == place.owner


@pytest.mark.parametrize("mode", [0o1777, 0o777])
def test_a_database_of_root_where_everybody_writes_is_opened_by_nobody(tmp_path, mode):
    path = tmp_path / "a.db"
    path.write_bytes(b"x")
    tmp_path.chmod(mode)
    assert sandbox.owner_of(str(path)).uid == (NOBODY.uid if ROOT else os.geteuid())


def test_a_database_of_root_where_a_group_writes_is_opened_by_nobody_with_that_group(place, tmp_path):
    path = tmp_path / "a.db"
    path.write_bytes(b"x")
    os.chown(str(tmp_path), -1, place.group)
    tmp_path.chmod(0o770)
    found = sandbox.owner_of(str(path))
    assert (found.uid, found.gid) == ((NOBODY.uid if ROOT else place.owner), place.group)


def test_what_is_given_to_the_sandbox_is_nobodys(tmp_path):
    (tmp_path / "room").mkdir()
    for name in ("a.db", "a.db-wal"):
        (tmp_path / "room" / name).write_bytes(b"x")
    sandbox.give_to_sandbox(str(tmp_path / "room"), "a.db")
    if ROOT:
        for path in (tmp_path / "room", tmp_path / "room" / "a.db", tmp_path / "room" / "a.db-wal"):
            assert (path.stat().st_uid, path.stat().st_gid) == (NOBODY.uid, NOBODY.gid)
        assert stat.S_IMODE((tmp_path / "room").stat().st_mode) == 0o700
        assert stat.S_IMODE((tmp_path / "room" / "a.db").stat().st_mode) == 0o600


def test_a_link_that_lies_in_wait_is_never_given_away(tmp_path):
    (tmp_path / "secret").write_bytes(b"x")
    for make, kept in ((os.symlink, OSError), (os.link, SourceError)):
        room = tmp_path / make.__name__
        room.mkdir()
        make(str(tmp_path / "secret"), str(room / "a.db"))
        if ROOT:
            with pytest.raises(kept):
                sandbox.give_to_sandbox(str(room), "a.db")
    assert (tmp_path / "secret").stat().st_uid == os.geteuid()


@pytest.mark.parametrize("name", ODD_NAMES)
@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_a_path_of_any_bytes_is_opened_and_nothing_else_is_made(place, name, journal):
    plain = place.database("plain.db", journal)
    path = os.path.join(os.fsencode(place.application), os.fsencode(name))
    os.rename(plain, path)
    assert as_owner(path, sum_of_balances, path) == 10000
    sidecars = {os.fsencode(name) + suffix for suffix in ((b"-wal", b"-shm") if journal == "wal" else ())}
    assert set(os.listdir(os.fsencode(place.application))) == {os.fsencode(name)} | sidecars


@given(some.binary(min_size=1, max_size=40).filter(lambda name: b"\0" not in name and b"/" not in name))
def test_a_uri_holds_no_character_that_means_something_in_it(name):
    for path in (b"/" + name, b"//" + name, name):
        uri = sandbox.uri_of(path)
        assert uri.isascii() and not set("?#&=\n ") & set(uri)
        assert uri.startswith("file:///" if path.startswith(b"/") else "file:./")


def test_reading_a_live_wal_database_leaves_its_log_alone(place):
    path = place.database()
    place.process(path, """
        connection.execute("UPDATE accounts SET balance = balance + 1")
        connection.execute("UPDATE accounts SET balance = balance - 1")
        ready()
        time.sleep(60)
    """)
    before = [open(path + suffix, "rb").read() for suffix in ("", "-wal")]
    assert before[1]
    assert as_owner(path, sum_of_balances, path) == 10000
    assert [open(path + suffix, "rb").read() for suffix in ("", "-wal")] == before


def test_the_log_of_a_killed_writer_is_read_and_left_alone(place):
    path = place.database()
    victim = place.process(path, """
        connection.execute("UPDATE accounts SET balance = balance + 1")
        ready()
        time.sleep(60)
    """)
    victim.kill()
    victim.wait()
    before = [open(path + suffix, "rb").read() for suffix in ("", "-wal")]
    assert as_owner(path, sum_of_balances, path) == 10100
    assert [open(path + suffix, "rb").read() for suffix in ("", "-wal")] == before


def test_a_hot_journal_is_rolled_back_as_the_owner(place):
    path = place.database(journal="delete")
    place.crash(path)
    assert as_owner(path, sum_of_balances, path) == 10000
    assert not os.path.exists(path + "-journal")


def test_a_planted_journal_deletes_nothing_that_its_owner_could_not(place, tmp_path):
    path = place.database(journal="delete")
    place.crash(path)
    victim = os.path.join(place.path, "system-file")
    with open(victim, "wb") as file:
        file.write(b"precious")
    # A journal ends with the name of its super-journal, the name's length and checksum, and a magic number:
    # https://www.sqlite.org/fileformat2.html#the_rollback_journal and writeSuperJournal() in pager.c.
    name = os.fsencode(victim)
    with open(path + "-journal", "ab") as journal:
        for part in (1 << 31, name, len(name), sum(name), b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7"):
            journal.write(part if isinstance(part, bytes) else part.to_bytes(4, "big"))
    as_root_owned(path)
    as_root_owned(path + "-journal")
    try:
        as_owner(path, sum_of_balances, path)
    except (SourceError, DatabaseError):
        pass
    if ROOT:
        assert open(victim, "rb").read() == b"precious"


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_an_exclusive_lock_is_waited_for_until_the_deadline(place, journal):
    path = place.database(journal=journal)
    place.process(path, """
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("UPDATE accounts SET balance = balance")
        ready()
        time.sleep(60)
    """)
    started = time.monotonic()
    with pytest.raises(BusyError, match="stayed locked by another process for 0.3 s"):
        as_owner(path, sum_of_balances, path, 0.3)
    assert 0.3 <= time.monotonic() - started < 2


def test_a_lock_that_goes_away_in_time_is_waited_for(place):
    path = place.database(journal="delete")
    place.process(path, """
        connection.execute("BEGIN EXCLUSIVE")
        ready()
        time.sleep(0.5)
        connection.execute("ROLLBACK")
        time.sleep(60)
    """)
    assert as_owner(path, sum_of_balances, path, 10.0) == 10000


def test_a_database_whose_directory_its_owner_cannot_write_says_so(place):
    path = place.database()
    os.chmod(place.application, 0o555)
    if ROOT:
        os.chown(place.application, 0, 0)
        with pytest.raises(SourceError, match="owner must be able to write the directory"):
            as_owner(path, sum_of_balances, path)
    os.chmod(place.application, 0o755)


@pytest.mark.parametrize("raised, kind, words", [
    (sqlite3.DatabaseError("database disk image is malformed"), DatabaseError, "is corrupt"),
    (sqlite3.OperationalError("database or disk is full"), SpaceError, "not enough space"),
    (sqlite3.OperationalError("disk I/O error"), SourceError, "Check the disk"),
    (sqlite3.OperationalError("interrupted"), BusyError, "not done within 3 s"),
    (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), DatabaseError, "is corrupt"),
    (OverflowError("too large"), DatabaseError, "is corrupt"),
    (PermissionError(13, "denied"), SourceError, "cannot be read by user id"),
    (OSError(28, "full"), SpaceError, "not enough space")])
def test_every_error_is_told_in_plain_words(raised, kind, words):
    with pytest.raises(kind, match=words):
        with sandbox.clear_errors("/a.db", 3):
            raise raised


def test_running_out_of_memory_is_not_hidden():
    with pytest.raises(MemoryError):
        with sandbox.clear_errors("/a.db"):
            raise MemoryError
