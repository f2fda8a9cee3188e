# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.operations.journal import Journal
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import (
    ArchiveError, BusyError, LockedError, RestoreError, SourceError, SpaceError)
from ansible_collections.appstate.backup.plugins.module_utils.system.locks import AppLock
from ansible_collections.appstate.backup.plugins.module_utils.system.process import Identity, run_child
from ansible_collections.appstate.backup.tests.unit.plugins.host import GROUP, OWNER


def without_asides(found):
    """A tree without what a restore set aside."""
    return {path: told for path, told in found.items() if b".before-restore-" not in path}


def without_own(found):
    """A host's tree without the engine's own locks, and the journal's time."""
    return {path: told[:4] if path.startswith(b"state") else told for path, told in found.items()
            if path != b"state" and not path.startswith(b"locks")}


def without_sidecars(found):
    """A tree without what reading a WAL database leaves beside it."""
    return {path: told for path, told in found.items() if not path.endswith((b"-wal", b"-shm"))}


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_a_restore_brings_back_every_byte_mode_owner_and_time(host, tree, journal):
    host.fill(journal)
    host.backup()
    before = without_sidecars(tree(host.root))
    host.damage()
    outcome = host.restore().restore()
    assert outcome.changed and outcome.state == "restored"
    after = without_asides(tree(host.root))
    # A snapshot's bytes and time are those of the snapshot.
    database = os.fsencode("data/notes.db")
    assert host.notes() == 20
    assert after.pop(database)[:3] == before.pop(database)[:3]
    assert after == before


def test_a_second_restore_of_the_same_backup_changes_nothing(host, tree):
    host.fill()
    host.backup()
    host.damage()
    host.restore().restore()
    before = tree(host.root)
    again = host.restore().restore()
    assert (again.changed, again.state) == (False, "restored")
    assert tree(host.root) == before


def test_rows_of_a_left_over_wal_do_not_come_back(host):
    host.fill()
    host.backup()
    host.crash()
    assert os.path.getsize(host.at("data/notes.db-wal")) > 0
    told = host.restore().restore().to_dict()
    assert host.notes() == 20
    assert any("-wal.before-restore-" in path for path in told["moved_aside"])


def test_a_left_over_journal_goes_with_its_database(host):
    host.fill("delete")
    host.backup()
    host.write("data/notes.db-journal", b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + b"\0" * 600)
    host.restore().restore()
    assert not os.path.exists(host.at("data/notes.db-journal"))
    assert host.notes() == 20


def test_a_wal_without_its_database_is_moved_aside_and_put_back(host, tree):
    host.fill()
    host.backup()
    host.crash()
    os.unlink(host.at("data/notes.db"))
    before = tree(host.root)
    host.restore().restore()
    assert host.notes() == 20
    host.restore().roll_back()
    assert tree(host.root) == before


def test_a_rollback_is_to_the_byte_also_after_the_app_wrote(host, tree):
    host.fill()
    host.backup()
    host.damage()
    host.crash()
    before = tree(host.root)
    host.restore().restore()
    host.crash(count=9)
    host.write("uploads/later.bin")
    host.write("data/settings.json", b"later")
    outcome = host.restore().roll_back()
    assert (outcome.state, outcome.changed) == ("rolled_back", True)
    assert tree(host.root) == before
    assert host.left() == []


def test_a_commit_deletes_what_was_set_aside_and_nothing_else(host, tree):
    host.fill()
    host.backup()
    host.damage()
    host.restore().restore()
    host.write("uploads/mine.before-restore-20200101T000000Z")
    restored = tree(host.root)
    outcome = host.restore().commit()
    assert (outcome.state, outcome.changed) == ("committed", True)
    kept = {path: told for path, told in restored.items()
            if b".before-restore-" not in path or path.startswith(b"uploads/mine")}
    assert tree(host.root) == kept
    assert host.left() == []


def test_commit_and_rollback_with_nothing_pending_change_nothing(host, tree):
    host.fill()
    before = tree(host.root)
    for step in (host.restore().commit, host.restore().roll_back):
        outcome = step()
        assert (outcome.state, outcome.changed) == ("none", False)
    assert tree(host.root) == before and host.left() == []


def test_staged_state_is_used_by_the_restore_and_given_up_by_a_rollback(host, tree):
    host.fill()
    host.backup()
    host.damage()
    before = tree(host.root)
    assert host.restore().stage().changed
    assert not host.restore().stage().changed
    staged = [name for name in os.listdir(host.root) if name.startswith(".appstate-")]
    assert len(staged) == 1 and os.stat(host.at(staged[0])).st_mode & 0o777 == 0o700
    assert host.restore().roll_back().changed
    assert tree(host.root) == before
    host.restore().stage()
    assert host.restore().restore().changed
    assert host.notes() == 20
    assert not [name for name in os.listdir(host.root) if name.startswith(".appstate-")]


def test_another_backup_replaces_what_was_staged(host):
    host.fill()
    first = host.backup().backup
    host.add_notes(1)
    host.backup()
    host.restore({"which": first.id}).stage()
    host.restore().restore()
    assert host.notes() == 21
    assert host.left() == [Journal(host.app(), host.machine, host.root).path]


@pytest.mark.parametrize("pending", [False, True])
def test_validate_only_leaves_no_trace(host, tree, pending):
    host.fill()
    host.backup()
    host.damage()
    if pending:
        host.restore().restore()
    before = tree(host.path)
    outcome = host.restore().validate()
    assert (outcome.state, outcome.changed) == ("none", False)
    assert without_own(tree(host.path)) == without_own(before)


def test_validate_only_keeps_what_is_staged(host, tree):
    host.fill()
    host.backup()
    host.restore().stage()
    before = tree(host.root)
    host.restore().validate()
    assert tree(host.root) == before
    assert not host.restore().stage().changed


def test_a_source_that_did_not_exist_is_moved_aside(host, tree):
    host.fill()
    sources = host.sources() + [{"type": "files", "path": "custom.ini", "required": False},
                                {"type": "sqlite", "path": "data/cache.db", "required": False}]
    host.backup(sources=sources)
    host.write("custom.ini")
    host.database("data/cache.db")
    before = tree(host.root)
    told = host.restore(sources=sources).restore().to_dict()
    assert told["absent"] == [host.at("data/cache.db"), host.at("custom.ini")]
    assert not os.path.exists(host.at("custom.ini")) and not os.path.exists(host.at("data/cache.db"))
    host.restore(sources=sources).roll_back()
    assert tree(host.root) == before


def test_a_rollback_removes_what_the_app_made_where_nothing_was(host, tree):
    host.fill()
    sources = host.sources() + [{"type": "files", "path": "custom.ini", "required": False}]
    host.backup(sources=sources)
    before = tree(host.root)
    host.restore(sources=sources).restore()
    host.write("custom.ini", b"made by the restored app")
    host.restore(sources=sources).roll_back()
    assert tree(host.root) == before


def test_a_source_that_the_backup_does_not_have_stays(host):
    host.fill()
    host.backup()
    host.write("later.ini", b"later")
    sources = host.sources() + [{"type": "files", "path": "later.ini"}]
    told = host.restore(sources=sources).restore().to_dict()
    assert "later.ini is not in the backup, so it stays as it is" in told["warnings"]
    assert os.path.exists(host.at("later.ini"))


def test_only_some_members_are_restored(host):
    host.fill()
    host.write("uploads/deep/other.bin", b"then")
    host.backup()
    for only, restored in ((["data/notes.db"], ["data/notes.db"]),
                           (["data"], ["data/notes.db", "data/settings.json"]),
                           (["./uploads/deep/", "uploads/deep"], ["uploads/deep"]),
                           (["data", "data/notes.db"], ["data/notes.db", "data/settings.json"])):
        host.damage()
        told = host.restore({"only": only}).restore().to_dict()
        assert sorted(told["restored"]) == [host.at(path) for path in restored]
        assert os.path.exists(host.at("uploads/new.bin"))
        assert host.notes() == (20 if "data/notes.db" in restored else 23)
        host.restore().roll_back()
        host.restore().restore()
        host.restore().commit()


@pytest.mark.parametrize("only", ["nothing", "uploads/nothing", "", ".."])
def test_something_that_the_backup_does_not_have_cannot_be_restored(host, tree, only):
    host.fill()
    host.backup()
    before = tree(host.root)
    with pytest.raises((RestoreError, ArchiveError), match="notes"):
        host.restore({"only": [only]}).restore()
    assert tree(host.root) == before and host.left() == []


def test_owner_group_and_modes_of_the_app_win(host):
    host.fill()
    host.backup()
    stated = {"owner": 3005, "group": 3006, "file_mode": "0604", "directory_mode": "0705"}
    host.restore(**stated).restore()
    for path, mode in (("data/notes.db", 0o604), ("uploads", 0o705), ("uploads/a.bin", 0o604), ("uploads/deep/er", 0o705)):
        found = os.stat(host.at(path))
        assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (3005, 3006, mode)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_without_root_it_is_told_what_could_not_be_given_back(host):
    host.fill()
    os.chown(host.write("uploads/theirs.bin"), 3009, GROUP)
    host.backup()
    for place in (host.state, host.locks, host.destination):
        os.makedirs(place, exist_ok=True)
        for folder, unused, names in os.walk(place):
            for path in [folder] + [os.path.join(folder, name) for name in names]:
                host.own(path)

    def restore():
        return host.restore().restore().to_dict()["warnings"]

    said = run_child(restore, identity=Identity(OWNER, GROUP))
    assert [text for text in said if text.startswith("only root can give files to others: what should belong to user 3009 is now")]
    assert os.stat(host.at("uploads/theirs.bin")).st_uid == OWNER


def test_a_process_that_holds_the_database_is_named_and_nothing_is_moved(host, tree):
    host.fill()
    host.backup()
    before = tree(host.root)
    connection = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT * FROM notes').fetchone(); print(1, flush=True); input()"
    holder = subprocess.Popen([sys.executable, "-c", connection, host.at("data/notes.db")], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE)
    try:
        holder.stdout.readline()
        with pytest.raises(BusyError, match=r"notes\.db.*\(process %d\)" % holder.pid) as caught:
            host.restore().restore()
        assert caught.value.exit_code == 75 and caught.value.app == "notes"
    finally:
        holder.communicate(b"\n")
    # What was staged waits, so that the next try is quick.
    found = {path: told for path, told in tree(host.root).items() if not path.startswith(b".appstate-notes")}
    assert {path: told for path, told in before.items() if not path.endswith((b"-wal", b"-shm"))} == found
    assert host.restore().restore().changed


def test_two_runs_at_once(host):
    host.fill()
    host.backup()
    with AppLock(host.locks, "notes"):
        for step in (host.backup, host.restore().restore, host.restore().roll_back, host.restore().commit):
            with pytest.raises(LockedError, match="app notes: .*process %d" % os.getpid()):
                step()


def mount(*arguments):
    subprocess.run(["mount", *arguments], check=True)


def test_a_mount_point_cannot_be_swapped(host, tree):
    host.fill()
    host.backup()
    for options in (["-t", "tmpfs", "tmpfs"], ["--bind", host.destination]):
        mount(*options, host.at("uploads"))
        try:
            before = tree(host.root)
            with pytest.raises(RestoreError, match="app notes: .*/uploads"):
                host.restore().restore()
            with pytest.raises(RestoreError, match="app notes: .*/uploads"):
                host.restore().predict("restored", False)
            assert tree(host.root) == before
        finally:
            subprocess.run(["umount", host.at("uploads")], check=True)
    assert host.left() == []


def test_a_mount_inside_a_target_is_not_carried_away(host, tree):
    host.fill()
    host.backup()
    mount("-t", "tmpfs", "tmpfs", host.at("uploads/deep"))
    try:
        before = tree(host.root)
        with pytest.raises(RestoreError, match="uploads/deep"):
            host.restore().restore()
        assert tree(host.root) == before
    finally:
        subprocess.run(["umount", host.at("uploads/deep")], check=True)


def test_not_enough_space_for_staging(host, tree):
    host.fill()
    host.write("uploads/large.bin", os.urandom(8 << 20))
    host.backup()
    small = host.place("small")
    os.mkdir(small)
    mount("-t", "tmpfs", "-o", "size=20m,mode=755", "tmpfs", small)
    try:
        with open(os.path.join(small, "mine"), "w") as file:
            file.write("mine")
        before = tree(small)
        with pytest.raises(SpaceError, match="app notes: .*not enough space"):
            host.restore({"target_root": small}).restore()
        assert tree(small) == before
    finally:
        subprocess.run(["umount", small], check=True)
    assert host.left() == []


def test_a_corrupt_database_in_the_backup_is_never_swapped_in(host, tree):
    host.fill()
    path = host.at("data/notes.db")
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=delete")
    connection.close()
    with open(path, "r+b") as file:
        file.seek(4096 + 8)
        file.write(b"\xff" * 200)
    archive = host.place("cold.tgz")
    subprocess.run(["tar", "czf", archive, "-C", host.root, "data", "uploads"], check=True)
    before = tree(host.root)
    with pytest.raises(Exception, match="app notes: data/notes.db: .*corrupt|malformed"):
        host.restore({"archive": archive}).restore()
    assert tree(host.root) == before and host.left() == []


@pytest.mark.parametrize("state, pending", [
    ("staged", None), ("staged", "staged"), ("staged", "restored"), ("restored", None), ("restored", "staged"),
    ("restored", "restored"), ("committed", None), ("committed", "staged"), ("committed", "restored"),
    ("rolled_back", None), ("rolled_back", "staged"), ("rolled_back", "restored")])
def test_what_is_predicted_is_what_happens(host, tree, state, pending):
    host.fill()
    host.backup()
    steps = {"staged": "stage", "restored": "restore", "committed": "commit", "rolled_back": "roll_back"}
    if pending:
        getattr(host.restore(), steps[pending])()
    before = tree(host.path)
    predicted = host.restore().predict(state, False)
    assert tree(host.path) == before
    happened = getattr(host.restore(), steps[state])()
    assert (predicted.changed, predicted.state) == (happened.changed, happened.state)
    for key in ("root", "restored", "absent"):
        assert predicted.to_dict()[key] == happened.to_dict()[key]


def test_what_cannot_be_restored_is_not_predicted(host):
    host.fill()
    host.backup()
    with pytest.raises(SourceError, match="directory above"):
        host.restore({"target_root": host.place("none", "fresh")}).predict("restored", False)
    with pytest.raises(ArchiveError, match="uploads/nothing"):
        host.restore({"only": ["uploads/nothing"]}).predict("restored", False)
