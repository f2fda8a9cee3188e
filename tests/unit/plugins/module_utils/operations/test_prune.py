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
from ansible_collections.appstate.backup.plugins.module_utils.operations import prune as prune_module
from ansible_collections.appstate.backup.plugins.module_utils.operations.hold import hold
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


def between(monkeypatch, module, name, step):
    """Has something done once, right after a function of a module was called for the first time."""
    real = getattr(module, name)

    def called(*arguments, **words):
        monkeypatch.setattr(module, name, real)
        told = real(*arguments, **words)
        step()
        return told

    monkeypatch.setattr(module, name, called)


def test_a_hold_that_comes_while_it_is_pruned_keeps_a_backup(filled, monkeypatch):
    between(monkeypatch, prune_module, "decide", lambda: hold(filled.app(), filled.host.machine, filled.ids[3], "why"))
    pruned = filled.prune()
    assert pruned.removed == [filled.ids[2]] and pruned.decisions[3].reasons == ["it is on hold"]
    assert filled.listed() == [filled.ids[0], filled.ids[1], filled.ids[3]]


def test_a_hold_that_comes_too_late_says_so_and_leaves_nothing(filled, monkeypatch):
    between(monkeypatch, holds, "hold", filled.prune)
    monkeypatch.setattr(prune_module, "held_ids", lambda directory: set())
    with pytest.raises(AppStateError, match="%s has just been pruned" % filled.ids[3]):
        hold(filled.app(), filled.host.machine, filled.ids[3], "why")
    assert filled.listed() == filled.ids[:2] and not [name for name in os.listdir(filled.directory) if name.endswith(".hold")]


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


class Remote:
    """The same backups at a remote that is a directory."""

    def __init__(self, filled):
        self.filled = filled
        self.path = filled.host.place("remote")
        self.folder = os.path.join(self.path, "host", "notes")
        shutil.copytree(filled.directory, self.folder)
        for name in ("README", "package.json", "notes-20200101T000000Z.tar.gz"):
            with open(os.path.join(self.folder, name), "w", encoding="ascii") as file:
                file.write("{}")

    def prune(self, dry_run=False, recorded=False):
        app = self.filled.app(retention=None, remotes=[{"name": "offsite", "remote": self.path, "retention": {"keep_last": 2}}])
        return (prune_recorded if recorded else prune)(app, self.filled.host.machine, dry_run, app.remote("offsite"))

    def ids(self):
        """Of all that is there, the strangers left out."""
        names = set(os.listdir(self.folder)) - {"README", "package.json", "notes-20200101T000000Z.tar.gz"}
        assert len(os.listdir(self.folder)) == len(names) + 3
        ids = sorted({name.split(".")[0] for name in names}, reverse=True)
        assert len(names) == 2 * len(ids)
        return ids


@pytest.fixture
def remote(filled):
    return Remote(filled)


def test_a_remote_is_pruned_by_its_own_rules_and_nothing_else_is(remote, tree):
    filled = remote.filled

    def all_but_locks():
        return {path: told for path, told in tree(filled.host.path).items() if not path.startswith(b"locks")}

    before = all_but_locks()
    predicted = remote.prune(dry_run=True)
    assert all_but_locks() == before and not os.path.exists(filled.host.place("state", "remotes"))
    pruned = remote.prune(recorded=True)
    assert pruned.removed == predicted.removed == filled.ids[2:] and pruned.remote == "offsite" and pruned.changed
    assert remote.ids() == filled.ids[:2] and filled.listed() == filled.ids
    line, = filled.audit()
    assert (line["action"], line["result"], line["remote"], line["removed"]) == ("prune", "ok", "offsite", filled.ids[2:])
    assert not remote.prune(recorded=True).changed and len(filled.audit()) == 1


def test_a_remote_without_rules_has_those_of_the_app_and_nothing_is_removed_where_nobody_says_so(remote):
    filled = remote.filled

    def pruned(retention, **words):
        app = filled.app(retention=retention, remotes=[dict({"name": "offsite", "remote": remote.path}, **words)])
        return prune(app, filled.host.machine, remote=app.remote("offsite"))
    assert not pruned({"keep_last": 1}, delete=False).changed and not pruned(None).changed
    assert remote.ids() == filled.ids
    assert pruned({"keep_last": 3}).removed == filled.ids[3:] and remote.ids() == filled.ids[:3]


def test_what_is_on_hold_here_is_so_there(remote):
    filled = remote.filled
    directory = os.open(filled.directory, os.O_RDONLY)
    holds.hold(directory, filled.ids[3], "me", "why", filled.host.time)
    os.close(directory)
    assert remote.prune().removed == [filled.ids[2]] and remote.ids() == filled.ids[:2] + [filled.ids[3]]


def test_a_hold_that_comes_while_a_remote_is_pruned_keeps_a_backup_there(remote, monkeypatch):
    filled = remote.filled
    between(monkeypatch, prune_module, "decide", lambda: hold(filled.app(), filled.host.machine, filled.ids[3], "why"))
    pruned = remote.prune()
    assert pruned.removed == [filled.ids[2]] and pruned.decisions[3].reasons == ["it is on hold"]
    assert remote.ids() == filled.ids[:2] + [filled.ids[3]]


def test_the_newest_verified_stays_at_a_remote_and_what_is_not_good(remote):
    filled = remote.filled
    for id in filled.ids[:2]:
        os.truncate(os.path.join(remote.folder, next(name for name in os.listdir(remote.folder) if name.startswith(id) and ".tar" in name)), 3)
    pruned = remote.prune()
    assert pruned.removed == [] and len(pruned.decisions) == 5  # The lost archive among them.
    assert remote.ids() == filled.ids


def test_a_remote_is_not_pruned_after_a_run_that_failed(remote):
    Status(remote.filled.host.state, "notes").write(state=FAILED, problem="disk full")
    with pytest.raises(PruneRefused, match="disk full"):
        remote.prune()
    assert remote.ids() == remote.filled.ids


def test_a_remote_that_cannot_be_pruned_is_told(remote):
    shutil.rmtree(remote.path)
    with pytest.raises(AppStateError, match="app notes: remote offsite: .* does not exist"):
        remote.prune(recorded=True)
    line, = remote.filled.audit()
    assert line["remote"] == "offsite" and "does not exist" in line["result"]


def test_a_kill_at_any_step_of_pruning_a_remote(filled, stepwise):
    remote = Remote(filled)
    for point in stepwise.each(remote.prune):
        listed = {name for name in os.listdir(remote.folder) if name.endswith(".json") and name != "package.json"}
        for name in listed:
            assert any(other.startswith(name[:-5] + ".tar") for other in os.listdir(remote.folder)), point
        remote.prune()
        assert remote.ids() == filled.ids[:2], point
        assert os.listdir(filled.host.place("state", "remotes")) == []
