# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Self-tests of real backups: each fault is seen by its check, and each check that is blind is found out by its fault."""

from __future__ import annotations

import os
import sqlite3

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.archive.age import make_pair
from ansible_collections.appstate.backup.plugins.module_utils.catalog import catalog
from ansible_collections.appstate.backup.plugins.module_utils.catalog.remote import catalog_at
from ansible_collections.appstate.backup.plugins.module_utils.monitor import ping
from ansible_collections.appstate.backup.plugins.module_utils.operations import drill as drill_file
from ansible_collections.appstate.backup.plugins.module_utils.operations import selection, selftest
from ansible_collections.appstate.backup.plugins.module_utils.operations.copies import copy_to
from ansible_collections.appstate.backup.plugins.module_utils.operations.drill import DrillRequest
from ansible_collections.appstate.backup.plugins.module_utils.operations.faults import FAULTS
from ansible_collections.appstate.backup.plugins.module_utils.operations.references import References
from ansible_collections.appstate.backup.plugins.module_utils.operations.selftest import self_test
from ansible_collections.appstate.backup.plugins.module_utils.operations.version import VersionGuard
from ansible_collections.appstate.backup.plugins.module_utils.sources import sqlite as sqlite_source
from ansible_collections.appstate.backup.plugins.module_utils.sources.checking import Check
from ansible_collections.appstate.backup.plugins.module_utils.sqlite import examine, loading
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import AppStateError, ArchiveError, IdentityError, SpaceError
from ansible_collections.appstate.backup.tests.unit.plugins.leftovers import nothing_left

ROOT = os.geteuid() == 0
EXPECTED = {"cut_archive": "choose", "flipped_byte": "checksum", "flipped_page": "integrity", "stale_wal": "passport",
            "emptied_table": "passport", "rolled_back_dump": "integrity", "missing_upload": "references", "wrong_owner": "ownership",
            "newer_schema": "version", "full_disk": "restore", "dead_ping": "ping"}
FOR_ROOT = ("wrong_owner", "full_disk")
needs_root = pytest.mark.skipif(not ROOT, reason="only root can give files to others, and mount")


@pytest.fixture
def filled(host):
    host.fill()
    return host


def left(host):
    """What it should have removed at the destination, where there is room for it; other tests may drill elsewhere meanwhile."""
    return [name for name in os.listdir(host.destination) if name != "notes"]


def run(host, request=None, **words):
    """A self-test that leaves nothing behind."""
    with nothing_left():
        found = self_test(host.app(**words), host.machine, DrillRequest(**(request or {})))
    assert left(host) == []
    assert [outcome.fault for outcome in found.outcomes] == list(EXPECTED)
    assert found.ok == (found.problem is None) and all(outcome.message for outcome in found.outcomes)
    return found


def skipped(found):
    return {outcome.fault: outcome.message for outcome in found.outcomes if outcome.outcome == "skipped"}


def all_seen(found, *but):
    """Whether each fault was seen, by its own check and by no other, but some that could not be made here."""
    assert found.ok and found.untouched is None, found.problem
    assert set(skipped(found)) == set(but) | (set() if ROOT else set(FOR_ROOT)), skipped(found)
    for outcome in found.outcomes:
        if outcome.outcome != "skipped":
            assert (outcome.outcome, outcome.red) == ("seen", [EXPECTED[outcome.fault]]), (outcome.fault, outcome.red, outcome.message)
    return True


def messages(found):
    return {outcome.fault: outcome.message for outcome in found.outcomes}


def test_each_fault_is_seen_by_exactly_the_check_that_is_there_for_it(filled):
    filled.backup()
    assert {fault.name: fault.check for fault in FAULTS} == EXPECTED
    found = run(filled)
    assert all_seen(found)
    said = messages(found)
    assert "rows of notes differ" in said["emptied_table"] and "rows of appstate_selftest" in said["stale_wal"]
    assert "ROLLBACK" in said["rolled_back_dump"] and "its digest differs" in said["flipped_byte"]
    assert "Connection refused" in said["dead_ping"] and "the manifest says" in said["cut_archive"]


def test_nothing_but_its_own_place_is_written(filled, tree):
    filled.backup(retention={"keep_last": 1})
    os.mkdir(filled.place("metrics"))
    before = tree(filled.path)
    monitoring = {"metrics_directory": filled.place("metrics"), "ping": {"url": "http://127.0.0.1:1/real", "attempts": 1}}
    # An application that would be started, and objectives that would be missed.
    assert all_seen(run(filled, drill={"monitoring": monitoring, "boot": {"argv": ["/nonexistent"]}}, objectives={"rpo": "1s", "rto": 0.001}))
    assert tree(filled.path) == before


def _see_nothing_of_space(monkeypatch):
    real = drill_file._Drilling._fail
    monkeypatch.setattr(drill_file._Drilling, "_fail", lambda self, error: None if isinstance(error, SpaceError) else real(self, error))


def _take_any_size(monkeypatch):
    real = catalog.backup_beside

    def unjudged(path):
        found = real(path)
        found.problem = None
        return found
    monkeypatch.setattr(catalog, "backup_beside", unjudged)


# By fault: what makes the check that is there for it blind, and which others depend on the same.
BLIND = {
    "cut_archive": (_take_any_size, ()),
    "flipped_byte": (lambda patch: patch.setattr(selection.Selected, "_compare", lambda *unused: None), ()),
    "flipped_page": (lambda patch: patch.setattr(examine, "_check", lambda connection, level: {
        "level": level, "ok": True, "messages": [], "unchecked": []}), ()),
    "stale_wal": (lambda patch: patch.setattr(Check, "names", property(lambda self: {self.path.encode(): "database.db"})), ()),
    "emptied_table": (lambda patch: patch.setattr(sqlite_source, "_differing", lambda *unused: []), ("stale_wal",)),
    "rolled_back_dump": (lambda patch: patch.setattr(loading._Script, "_authorize", lambda *unused: sqlite3.SQLITE_OK), ()),
    "missing_upload": (lambda patch: patch.setattr(References, "compare", lambda *unused: ([], [])), ()),
    "wrong_owner": (lambda patch: patch.setattr(drill_file._Drilling, "_check_ownership", lambda self, *unused: self._drill.add("ownership")), ()),
    "newer_schema": (lambda patch: patch.setattr(VersionGuard, "judge", lambda self: None), ()),
    "full_disk": (_see_nothing_of_space, ()),
    "dead_ping": (lambda patch: patch.setattr(ping, "send", lambda *unused: None), ()),
}


@pytest.mark.parametrize("fault", list(EXPECTED))
def test_a_check_that_is_blind_is_found_out_by_its_fault(filled, monkeypatch, fault):
    if fault in FOR_ROOT and not ROOT:
        pytest.skip("only root can make it")
    filled.backup()
    blind, others = BLIND[fault]
    blind(monkeypatch)
    found = run(filled)
    assert not found.ok and found.untouched is None
    assert {outcome.fault for outcome in found.missed} == {fault, *others}
    assert "app notes: self-test: not seen: " in found.problem and fault in found.problem


@pytest.mark.parametrize("check", sorted(set(EXPECTED.values())))
def test_a_drill_that_never_says_one_thing_is_found_out(filled, monkeypatch, check):
    """Whatever the reason is that a check never fails."""
    if not ROOT and check in ("ownership", "restore"):
        pytest.skip("only root can make its fault")
    filled.backup()
    real = drill_file.Drill.add
    monkeypatch.setattr(drill_file.Drill, "add", lambda self, name, problem=None, *rest, **words: real(
        self, name, None if name == check else problem, *rest, **words))
    assert {outcome.fault for outcome in run(filled).missed} == {fault for fault, by in EXPECTED.items() if by == check}


def test_a_fault_that_another_check_finds_is_missed_all_the_same(filled, monkeypatch):
    filled.backup()
    _take_any_size(monkeypatch)
    (missed,) = run(filled).missed
    assert missed.red == ["checksum"] and missed.message.startswith("was found, and not by choose as it has to be: checksum: ")


def test_where_the_untouched_copy_is_red_nothing_can_be_said(filled):
    filled.backup()
    sources = filled.sources()
    sources[0]["assertions"] = [{"sql": "SELECT count(*) FROM notes", "min": 1000}]
    found = run(filled, sources=sources)
    assert not found.ok and "at least 1000" in found.untouched and set(skipped(found)) == set(EXPECTED)
    assert found.problem.startswith("app notes: self-test: the untouched copy is not green: assertion: ")
    assert found.to_dict()["untouched"] is False


def test_a_backup_that_is_damaged_is_no_backup_to_begin_with(filled):
    path = filled.backup().backup.path
    with open(path, "r+b") as archive:
        archive.seek(-9, os.SEEK_END)
        archive.write(b"otherwise")
    with pytest.raises(ArchiveError, match="damaged|decompressed"):
        self_test(filled.app(), filled.machine, DrillRequest())
    assert left(filled) == []


def test_files_alone(host):
    host.write("uploads/a.bin", b"a" * 3000)
    sources = [{"type": "files", "path": "uploads"}]
    host.backup(sources=sources)
    found = run(host, sources=sources)
    assert all_seen(found, "flipped_page", "stale_wal", "emptied_table", "rolled_back_dump", "missing_upload", "newer_schema")
    assert messages(found)["stale_wal"] == "the backup has no SQLite database"
    assert "no database that could be asked" in messages(found)["missing_upload"]


def test_a_database_alone(filled):
    sources = filled.sources()[:1]
    filled.backup(sources=sources)
    found = run(filled, sources=sources)
    assert all_seen(found, "missing_upload") and "no file beside" in messages(found)["missing_upload"]


def test_what_the_app_says_of_its_files_and_its_version_is_what_is_tested(filled):
    filled.write("uploads/named'.bin")
    sources = filled.sources()
    sources[0]["references"] = [{"sql": "SELECT 'nobody' WHERE 0 UNION SELECT '/named''.bin'", "under": "uploads"}]
    words = {"sources": sources, "version": {"sql": "SELECT user_version FROM pragma_user_version"}, "version_max": 41}
    filled.backup(**words)
    said = messages(run(filled, **words))
    assert "uploads that the backup lacks: named'.bin" in said["missing_upload"]
    assert "schema version 42, and the installed application understands no newer one than 41" in said["newer_schema"]
    words["version_max"] = {"argv": ["/nonexistent"]}
    assert "schema version 1, " in messages(run(filled, **words))["newer_schema"]
    words.update(version={"sql": "SELECT 17"}, version_max=20)
    assert "schema version 1, " in messages(run(filled, **words))["newer_schema"]


def test_an_app_that_names_nothing_that_is_there_is_given_a_name(filled):
    sources = filled.sources()
    sources[0]["references"] = [{"sql": "SELECT 'none' WHERE 0", "under": "uploads"}]
    filled.backup(sources=sources)
    assert "uploads that the backup lacks: a.bin" in messages(run(filled, sources=sources))["missing_upload"]


def test_the_app_s_own_dump_is_rolled_back(filled):
    dump = [{"type": "command", "path": "notes.sql", "argv": ["sqlite3", filled.at("data/notes.db"), ".dump"], "format": "sql"},
            {"type": "files", "path": "uploads"}]
    filled.backup(sources=dump)
    found = run(filled, sources=dump)
    assert all_seen(found, "flipped_page", "stale_wal", "emptied_table", "newer_schema")
    assert "ROLLBACK" in messages(found)["rolled_back_dump"]


def test_a_dump_of_a_server_is_asked_where_that_runs(host, postgres):
    postgres.create()
    host.write("blobs/a.tar.gz")
    words = {"sources": [postgres.source(), {"type": "files", "path": "blobs"}]}
    host.backup(**words)
    without = ("flipped_page", "stale_wal", "emptied_table", "rolled_back_dump", "newer_schema")
    found = run(host, **words)
    assert all_seen(found, *without) and "lacks: a.tar.gz" in messages(found)["missing_upload"]
    assert postgres.databases() == {"club"}
    words["sources"][0]["port"] = 1
    assert all_seen(run(host, **words), "missing_upload", *without)


@needs_root
def test_where_the_app_is_not_on_this_host_nobody_can_say_whose_files_they_are(filled):
    filled.backup()
    found = run(filled, root=filled.place("nowhere"))
    assert all_seen(found, "wrong_owner") and "is not on this host" in messages(found)["wrong_owner"]


@needs_root
def test_where_nothing_can_be_mounted_no_disk_is_full(filled, monkeypatch):
    def refuse(unused):
        raise selftest.ChildError("this host does not let it have a view of its own: Operation not permitted")
    filled.backup()
    monkeypatch.setattr(selftest, "enter_full_disk", refuse)
    found = run(filled)
    assert all_seen(found, "full_disk") and "Operation not permitted" in messages(found)["full_disk"]


def test_a_fault_that_cannot_be_made_for_want_of_room_was_not_seen(filled, monkeypatch):
    def full(unused):
        raise SpaceError("no space left for the archive", remedy="Free some space")
    filled.backup()
    monkeypatch.setattr(FAULTS[2], "make", full)
    (missed,) = run(filled).missed
    assert missed.fault == "flipped_page" and missed.message.startswith("could not be tried: no space left")


@needs_root
def test_full_disks_are_nobody_elses(filled):
    filled.backup()
    with open("/proc/self/mounts", encoding="ascii") as mounts:
        before = mounts.read()
    run(filled)
    with open("/proc/self/mounts", encoding="ascii") as mounts:
        assert mounts.read() == before


@pytest.fixture
def sealed(filled):
    """A host whose only backups are encrypted and at a remote: ``(words of the app, identity)``."""
    identity, recipient = make_pair()
    os.mkdir(filled.place("remote"))
    words = {"remotes": [{"name": "offsite", "remote": filled.place("remote")}], "encryption": {"recipients": [recipient]}}
    app, backup = filled.app(**words), filled.backup(**words).backup
    assert copy_to(app, app.remote("offsite"), filled.machine, backup).error is None
    catalog.remove(catalog.files.open_directory(app.directory), backup)
    return words, identity


def test_what_is_encrypted_at_a_remote_is_opened_and_tested(filled, sealed):
    words, identity = sealed
    remote = catalog_at(filled.app(**words), "offsite", filled.machine)
    assert all_seen(run(filled, {"remote": remote, "identity": identity}, **words))
    with pytest.raises(IdentityError):
        self_test(filled.app(**words), filled.machine, DrillRequest(remote=remote))
    with pytest.raises(IdentityError):
        self_test(filled.app(**words), filled.machine, DrillRequest(remote=remote, identity=make_pair()[0]))
    assert left(filled) == []


def test_a_mirror_beside_the_archive_is_tested_in_it(filled):
    sources = filled.sources()
    sources[1]["method"] = "rsync"
    filled.backup(sources=sources)
    found = run(filled, sources=sources)
    assert all_seen(found) and "uploads that the backup lacks: a.bin" in messages(found)["missing_upload"]


def test_a_backup_is_chosen_as_for_a_drill(filled):
    first = filled.backup().backup.id
    filled.backup()
    assert run(filled, {"which": first}).backup["id"] == first
    with pytest.raises(AppStateError, match="has no backup"):
        self_test(filled.app(), filled.machine, DrillRequest("notes-20200101T000000Z"))


def test_what_stands_in_the_way_of_all_of_it_names_the_app(filled, monkeypatch):
    filled.backup()

    def fail(*unused):
        raise OSError(5, "Input/output error", "/somewhere")
    monkeypatch.setattr(selftest.BackupCopy, "_unpack", fail)
    with pytest.raises(AppStateError, match="app notes: /somewhere: the self-test failed: Input/output error"):
        self_test(filled.app(), filled.machine, DrillRequest())
    assert left(filled) == []


def test_what_a_killed_self_test_left_is_removed_by_the_next(filled):
    filled.backup()
    os.makedirs(os.path.join(filled.destination, ".appstate-notes.selftest.scratch-0123456789abcdef", "left"))
    assert all_seen(run(filled))
