# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pruning of real directories: what goes, what never goes, and what is left by a kill at any moment."""

from __future__ import annotations

import datetime
import json
import os
import shutil

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.catalog import holds
from ansible_collections.appstate.backup.plugins.module_utils.catalog.catalog import list_backups
from ansible_collections.appstate.backup.plugins.module_utils.monitor.status import FAILED, OK, Status
from ansible_collections.appstate.backup.plugins.module_utils.operations.prune import PruneRefused, prune, prune_recorded
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import AppStateError, LockedError
from ansible_collections.appstate.backup.plugins.module_utils.system.locks import AppLock


class Filled:
    """An application with backups of some days."""

    def __init__(self, host, days=4):
        self.host = host
        host.fill()
        self.ids = []
        for unused in range(days):
            self.ids.insert(0, host.backup().backup.id)
            host.time += datetime.timedelta(days=1)
        self.directory = host.app().directory

    def app(self, **words):
        return self.host.app(**dict({"retention": {"keep_last": 2}}, **words))

    def prune(self, dry_run=False, **words):
        return prune(self.app(**words), self.host.machine, dry_run)

    def listed(self):
        return [backup.id for backup in list_backups(self.directory, "notes") if backup.problem is None]

    def audit(self):
        try:
            with open(self.host.place("state", "audit.jsonl"), encoding="ascii") as file:
                return [json.loads(line) for line in file]
        except FileNotFoundError:
            return []


@pytest.fixture
def filled(host):
    return Filled(host)


def test_what_the_rules_do_not_keep_goes_with_its_archive(filled):
    pruned = filled.prune()
    assert pruned.changed and pruned.removed == filled.ids[2:]
    assert filled.listed() == filled.ids[:2]
    assert {name.split(".")[0] for name in os.listdir(filled.directory)} == set(filled.ids[:2])
    again = filled.prune()
    assert not again.changed and again.removed == []
    assert [decision.to_dict() for decision in again.decisions] == [
        {"id": filled.ids[0], "kept": True, "reasons": ["the newest verified", "last"]},
        {"id": filled.ids[1], "kept": True, "reasons": ["last"]}]


def test_a_dry_run_says_the_same_and_changes_nothing(filled, tree):
    before = tree(filled.directory)
    predicted = filled.prune(dry_run=True)
    assert tree(filled.directory) == before and filled.audit() == []
    assert predicted.removed == filled.prune().removed


def test_what_it_did_not_make_stays(filled, tree):
    """Names that look much like ours too: an archive without a manifest, a manifest that is none, another app's backup."""
    for name in ("README", "notes.tar.gz", "notes-20200101T000000Z.tar.gz", ".hidden", "notes-20200101T000000Z.txt",
                 "notes-2020.json", "wiki-20200101T000000Z.json.bak", ".other.json.partial"):
        with open(os.path.join(filled.directory, name), "w", encoding="ascii") as file:
            file.write("mine")
    with open(os.path.join(filled.directory, "notes-20190101T000000Z.json"), "w", encoding="ascii") as file:
        file.write("{}")
    os.mkdir(os.path.join(filled.directory, "notes-20180101T000000Z.json"))
    os.symlink("/etc/passwd", os.path.join(filled.directory, "notes-20170101T000000Z.json"))
    ours = {os.fsencode(name) for name in os.listdir(filled.directory) if name.split(".")[0] in filled.ids[1:]}
    before = tree(filled.directory)
    filled.prune(retention={"keep_last": 1})
    assert filled.listed() == filled.ids[:1]
    assert tree(filled.directory) == {path: told for path, told in before.items() if path not in ours}


def test_a_backup_that_is_not_good_stays(filled):
    oldest = filled.ids[-1]
    manifest = os.path.join(filled.directory, oldest + ".json")
    with open(manifest, "ab") as file:
        file.write(b" ")
    pruned = filled.prune()
    assert oldest not in pruned.removed and os.path.exists(manifest)


def test_a_hold_keeps_a_backup_until_it_is_released(filled):
    directory = os.open(filled.directory, os.O_RDONLY)
    holds.hold(directory, filled.ids[3], "root", "before the move", filled.host.time)
    assert filled.prune().removed == [filled.ids[2]]
    holds.release(directory, filled.ids[3])
    os.close(directory)
    assert filled.prune().removed == [filled.ids[3]]


def test_without_rules_nothing_goes(filled):
    assert not filled.prune(retention=None).changed
    assert filled.listed() == filled.ids


def test_where_there_are_no_backups_there_is_nothing_to_prune(host):
    host.fill()
    pruned = prune(host.app(retention={"keep_last": 1}), host.machine)
    assert (pruned.changed, pruned.decisions, pruned.asides) == (False, [], [])


def test_backups_can_be_pruned_where_the_application_is_gone(filled):
    shutil.rmtree(filled.host.root)
    assert filled.prune().removed == filled.ids[2:]


def test_it_is_refused_after_a_run_that_failed(filled):
    status = Status(filled.host.state, "notes")
    status.write(state=FAILED, problem="disk full")
    with pytest.raises(PruneRefused) as caught:
        prune_recorded(filled.app(), filled.host.machine)
    assert "disk full" in str(caught.value) and "appstate-backup run notes" in str(caught.value)
    assert filled.listed() == filled.ids and "disk full" in filled.audit()[-1]["result"]
    status.write(state=OK)
    assert prune_recorded(filled.app(), filled.host.machine).removed == filled.ids[2:]
    assert (filled.audit()[-1]["result"], filled.audit()[-1]["removed"]) == ("ok", filled.ids[2:])


def test_it_waits_for_no_lock(filled):
    with AppLock(filled.host.locks, "notes"), pytest.raises(LockedError) as caught:
        filled.prune()
    assert caught.value.exit_code == 75


def test_what_cannot_be_removed_is_an_error_and_recorded(filled):
    """A directory in the place of the archive: unlink(2) refuses it to root too."""
    oldest = filled.ids[-1]
    archive, = [name for name in os.listdir(filled.directory) if name.startswith(oldest) and not name.endswith(".json")]

    def swap(name):
        os.unlink(os.path.join(filled.directory, name))
        os.mkdir(os.path.join(filled.directory, name))

    real = os.rename

    def rename(*arguments, **words):
        real(*arguments, **words)
        if arguments[0] == oldest + ".json":
            swap(archive)

    os.rename = rename
    try:
        with pytest.raises(AppStateError) as caught:
            prune_recorded(filled.app(), filled.host.machine)
    finally:
        os.rename = real
    assert "cannot be pruned" in str(caught.value)
    assert "cannot be pruned" in filled.audit()[-1]["result"]
    assert filled.listed() == filled.ids[:2]


def test_a_kill_at_any_moment_leaves_only_what_can_be_restored_and_the_next_ends_it(filled, kill_at):
    saved = filled.host.place("saved")
    shutil.copytree(filled.directory, saved)
    point = 1
    while True:
        killed = kill_at(point, filled.prune)
        listed = filled.listed()
        assert listed[:2] == filled.ids[:2] and set(listed) <= set(filled.ids)
        for id in listed:
            assert filled.host.verify("checksum", which=id).ok
        filled.prune()
        assert sorted({name.split(".")[0] for name in os.listdir(filled.directory)}) == sorted(filled.ids[:2])
        if not killed:
            break
        shutil.rmtree(filled.directory)
        shutil.copytree(saved, filled.directory)
        point += 1
    assert point > 8


def test_the_next_backup_ends_it_too(filled, kill_at):
    """After each kill there is something left, and never anything that a backup run would not take away."""
    assert kill_at(10, filled.prune)
    filled.host.backup(retention={"keep_last": 9})
    assert filled.host.left() == []
    names = os.listdir(filled.directory)
    assert len(names) == 2 * len(filled.listed()) and not [name for name in names if name.startswith(".")]


class Restored(Filled):
    """An application that was restored twice, the second time by force, so that old state stands aside."""

    def __init__(self, host):
        super().__init__(host, 1)
        host.restore().restore()
        host.add_notes(2)
        host.restore({"force": True}).restore()

    def asides(self):
        return sorted(os.path.join(folder, name) for folder, folders, names in os.walk(self.host.root)
                      for name in folders + names if ".before-restore-" in name)

    def settle(self, age="7d", dry_run=False):
        return self.prune(dry_run, retention={"keep_last": 1, "before_restore": age})


@pytest.fixture
def restored(host):
    return Restored(host)


def test_what_stands_aside_expires_only_after_the_restore_has_ended(restored):
    before = restored.asides()
    restored.host.time += datetime.timedelta(days=30)
    assert restored.settle().asides == [] and restored.asides() == before
    restored.host.restore().commit()
    left = restored.asides()
    assert left and set(left) < set(before)
    assert sorted(restored.settle(dry_run=True).asides) == left == restored.asides()
    pruned = restored.settle()
    assert pruned.changed and sorted(pruned.asides) == left and restored.asides() == []
    assert restored.host.notes() == 20 and not restored.settle().changed


def test_it_expires_by_its_own_rule_and_never_without_one(restored):
    restored.host.restore().commit()
    left = restored.asides()
    restored.host.time += datetime.timedelta(days=6)
    assert restored.settle().asides == []
    assert restored.prune(retention={"keep_last": 1}).asides == []
    restored.host.time += datetime.timedelta(days=2)
    assert sorted(restored.settle().asides) == left


def test_only_what_stands_beside_a_source_expires(restored):
    restored.host.restore().commit()
    for name in ("other.before-restore-20200101T000000Z", "uploads/x.before-restore-20200101T000000Z",
                 "data/notes.db.before-restore-20200101", "data/notes.db.before-restore-20200101T000000Z.bak"):
        restored.host.write(name)
    restored.host.time += datetime.timedelta(days=30)
    restored.settle()
    assert [os.path.relpath(path, restored.host.root) for path in restored.asides()] == [
        "data/notes.db.before-restore-20200101", "data/notes.db.before-restore-20200101T000000Z.bak",
        "other.before-restore-20200101T000000Z", "uploads/x.before-restore-20200101T000000Z"]


def test_a_link_that_looks_as_if_it_stood_aside_is_not_followed(restored):
    restored.host.restore().commit()
    outside = restored.host.place("outside")
    os.mkdir(outside)
    with open(os.path.join(outside, "precious"), "w", encoding="ascii"):
        pass
    os.symlink(outside, restored.host.at("uploads.before-restore-20200101T000000Z"))
    restored.settle()
    assert os.listdir(outside) == ["precious"]
    assert not os.path.lexists(restored.host.at("uploads.before-restore-20200101T000000Z"))
