# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Snapshots that are kept under a name: when the name appears, and when it never does."""

from __future__ import annotations

import errno
import fcntl
import os
from datetime import datetime, timezone

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.operations.snapshot import keep_snapshot, plan_snapshot
from ansible_collections.appstate.backup.plugins.module_utils.sqlite.examine import examine_live
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import (
    AppStateError, BusyError, ConfigurationError, DatabaseError, SourceError)

NOW = datetime(2026, 11, 19, 3, 0, 0, tzinfo=timezone.utc)
BROKEN = ["CREATE TABLE t (a CHECK (a > 0))", "PRAGMA ignore_check_constraints = ON", "INSERT INTO t VALUES (-1)"]


@pytest.fixture
def kept(place):
    """A directory for snapshots that everybody may pass."""
    path = os.path.join(place.path, "kept")
    os.mkdir(path)
    return path


def keep(source, destination, force=False, **words):
    """Plans and keeps a snapshot, as the module does."""
    return keep_snapshot(source, plan_snapshot(source, destination, NOW, force), force=force, **words)


@pytest.mark.parametrize("journal, method", [("wal", "backup"), ("delete", "clone")])
def test_a_directory_gets_a_file_named_after_the_database_and_the_time(place, kept, journal, method):
    path = place.database("notes.sqlite", journal)
    told = keep(path, kept)
    assert told["path"] == os.path.join(kept, "notes-20261119T030000Z.db")
    assert os.listdir(kept) == ["notes-20261119T030000Z.db"]
    assert (told["method"], told["journal_mode"], told["integrity"]["ok"], told["foreign_keys"]) == (
        method, journal, True, 0)
    assert told["passport"]["tables"]["accounts"] == 100
    found = os.stat(told["path"])
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777, found.st_nlink) == (
        os.geteuid(), os.getegid(), 0o600, 1)
    assert found.st_size == told["bytes"]


@pytest.mark.parametrize("name", ["copy", "a?mode=rw#.db", "n\nl.db", "\udcff.db"])
def test_a_file_gets_the_name_that_it_is_given(place, kept, name):
    target = os.path.join(kept, name)
    assert keep(place.database(), target)["path"] == target
    assert os.listdir(kept) == [name]
    assert examine_live(target)["passport"]["tables"]["accounts"] == 100


def test_planning_changes_nothing(place, kept):
    path = place.database(journal="delete")
    target = plan_snapshot(path, kept, NOW)
    assert (target.path, target.replaces) == (os.path.join(kept, "notes-20261119T030000Z.db"), False)
    assert os.listdir(kept) == []
    assert os.listdir(place.application) == ["notes.db"]


def test_a_file_that_exists_is_replaced_only_with_force(place, kept):
    path, target = place.database(), os.path.join(kept, "a.db")
    with open(target, "w") as file:
        file.write("kept")
    for call in (plan_snapshot, lambda source, destination, now: keep(source, destination)):
        with pytest.raises(ConfigurationError, match="a.db: exists already"):
            call(path, target, NOW)
    assert open(target).read() == "kept"
    assert plan_snapshot(path, target, NOW, force=True).replaces
    keep(path, target, force=True)
    assert examine_live(target)["passport"]["tables"]["accounts"] == 100


def test_a_file_that_appears_after_the_plan_is_not_replaced(place, kept):
    path, target = place.database(), os.path.join(kept, "a.db")
    plan = plan_snapshot(path, target, NOW)
    with open(target, "w") as file:
        file.write("kept")
    with pytest.raises(ConfigurationError, match="exists already"):
        keep_snapshot(path, plan)
    assert open(target).read() == "kept"
    assert os.listdir(kept) == ["a.db"]


def test_what_is_no_plain_file_is_never_replaced(place, kept):
    path = place.database()
    os.symlink(path, os.path.join(kept, "link.db"))
    os.mkfifo(os.path.join(kept, "pipe.db"))
    for name in ("link.db", "pipe.db"):
        with pytest.raises(ConfigurationError, match="not a regular file"):
            plan_snapshot(path, os.path.join(kept, name), NOW, force=True)


def test_the_database_itself_is_never_replaced(place):
    path = place.database(journal="delete")
    os.link(path, os.path.join(place.path, "same.db"))
    for target in (path, os.path.join(place.path, "same.db")):
        with pytest.raises(ConfigurationError, match="is the database itself"):
            plan_snapshot(path, target, NOW, force=True)


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
def test_a_name_with_a_sidecar_is_refused_with_force_too(place, kept, suffix):
    target = os.path.join(kept, "a.db")
    with open(target + suffix, "wb"):
        pass
    with pytest.raises(ConfigurationError, match="a.db%s lies beside it" % suffix):
        plan_snapshot(place.database(), target, NOW, force=True)


def test_a_directory_that_does_not_exist_is_not_made(place):
    with pytest.raises(ConfigurationError, match="does not exist"):
        plan_snapshot(place.database(), os.path.join(place.path, "none", "a.db"), NOW)
    assert not os.path.exists(os.path.join(place.path, "none"))


def test_a_database_that_is_missing_or_none_is_refused_while_planning(place, kept):
    with pytest.raises(SourceError, match="is missing"):
        plan_snapshot(os.path.join(place.application, "none.db"), kept, NOW)
    text = os.path.join(place.application, "text.db")
    with open(text, "w") as file:
        file.write("hello")
    place.give(text)
    with pytest.raises(DatabaseError, match="is not a SQLite database"):
        plan_snapshot(text, kept, NOW)
    assert os.listdir(place.application) == ["text.db"]


def test_a_corrupt_database_never_gets_the_name(place, kept):
    path, target = place.database(statements=BROKEN), os.path.join(kept, "a.db")
    with pytest.raises(DatabaseError, match="notes.db: is corrupt: CHECK constraint failed in t") as caught:
        keep(path, target)
    assert caught.value.path == path
    assert os.listdir(kept) == []
    with open(target, "w") as file:
        file.write("kept")
    with pytest.raises(DatabaseError):
        keep(path, target, force=True)
    assert open(target).read() == "kept"
    assert os.listdir(kept) == ["a.db"]
    assert keep(path, target, force=True, integrity="none")["integrity"]["ok"] is None


def test_a_locked_database_leaves_nothing(place, kept):
    path = place.database(journal="delete")
    place.process(path, "connection.execute('BEGIN EXCLUSIVE')\nready()\ntime.sleep(60)")
    with pytest.raises(BusyError, match="stayed locked"):
        keep(path, kept, deadline_seconds=0.3)
    assert os.listdir(kept) == []


def test_a_destination_that_the_owner_cannot_reach_is_served_from_elsewhere(place):
    private = os.path.join(place.path, "private")
    os.mkdir(private, 0o700)
    assert os.path.dirname(keep(place.database(), private)["path"]) == private
    assert len(os.listdir(private)) == 1


def test_a_destination_on_another_file_system_gets_a_whole_file(place, small_disk):
    target = os.path.join(small_disk, "a.db")
    if os.geteuid() == 0:
        told = keep(place.database(), target)
        assert os.path.getsize(target) == told["bytes"]
        assert os.listdir(small_disk) == ["a.db"]


def test_what_the_system_refuses_is_told_with_the_path(place, kept, monkeypatch):
    def refuse(*unused, **words):
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    path = place.database()
    for name in ("rename", "link"):
        monkeypatch.setattr(os, name, refuse)
    with pytest.raises(AppStateError, match="a.db: the snapshot of .* failed: Input/output error"):
        keep(path, os.path.join(kept, "a.db"))
    assert os.listdir(kept) == []


@pytest.mark.parametrize("elsewhere", [False, True])
def test_what_a_killed_snapshot_left_is_reaped_by_the_next(place, kept, small_disk, kill_at, elsewhere):
    path = place.database()
    target = os.path.join(small_disk if elsewhere and os.geteuid() == 0 else kept, "a.db")
    keep(path, target)
    for number in range(1, 200):
        if not kill_at(number, lambda: keep(path, target, force=True)):
            break
        assert os.path.getsize(target) > 0
        keep(path, target, force=True)
        assert os.listdir(os.path.dirname(target)) == ["a.db"], number
    assert number > 10


def test_the_copy_of_a_snapshot_that_goes_on_beside_this_one_is_left_alone(place, kept):
    path = place.database()
    with open(os.path.join(kept, ".a.db.%s.tmp" % ("0" * 12)), "w", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        keep(path, os.path.join(kept, "a.db"))
        assert len(os.listdir(kept)) == 2
    keep(path, os.path.join(kept, "a.db"), force=True)
    assert os.listdir(kept) == ["a.db"]


def test_a_full_disk_leaves_what_was_there(place, small_disk):
    path = place.database(journal="delete", statements=[
        "INSERT INTO transfers (amount) VALUES (randomblob(3000000))"])
    if os.geteuid() == 0:
        with pytest.raises(Exception, match="not enough space"):
            keep(path, os.path.join(small_disk, "a.db"))
        assert os.listdir(small_disk) == []
