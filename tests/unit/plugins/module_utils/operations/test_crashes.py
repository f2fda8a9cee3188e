# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kills at every moment: each run is repeated in a child that is killed before its first, second, third … step.

Whatever the moment, live state is wholly old or wholly new, or the next call makes it so, and nothing is left behind.
"""

from __future__ import annotations

import os
import shutil

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.catalog.catalog import list_backups
from ansible_collections.appstate.backup.plugins.module_utils.operations.journal import refuse_unfinished
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import RestoreError
from ansible_collections.appstate.backup.tests.unit.plugins.form import sampled

STRIDE = sampled(9)


class Moments:
    """An application and all that surrounds it, as it was before a run; comes back for each kill."""

    def __init__(self, host, kill_at):
        self._host = host
        self._kill_at = kill_at
        self._saved = host.path + ".saved"

    def each(self, run, stride=1):
        """Yields after a kill at each moment of a run (or each ``stride``-th), until the run comes to its end."""
        shutil.copytree(self._host.path, self._saved, symlinks=True)
        self._own_again(self._saved, self._host.path)
        point, stride = 1, stride * STRIDE
        try:
            while self._kill_at(point, run):
                yield point
                self._put_back()
                point += stride
        finally:
            shutil.rmtree(self._saved)

    def _put_back(self):
        for name in os.listdir(self._host.path):
            shutil.rmtree(os.path.join(self._host.path, name))
        for name in os.listdir(self._saved):
            shutil.copytree(os.path.join(self._saved, name), self._host.place(name), symlinks=True)
        self._own_again(self._host.path, self._saved)

    def _own_again(self, copy, original):
        for folder, folders, names in os.walk(original):
            for name in folders + names:
                found = os.lstat(os.path.join(folder, name))
                place = os.path.join(copy, os.path.relpath(folder, original), name)
                os.chown(place, found.st_uid, found.st_gid, follow_symlinks=False)


@pytest.fixture
def moments(host, kill_at):
    """A function that yields after each kill; see ``Moments.each``."""
    return Moments(host, kill_at).each


def prepared(host):
    """A host with a backup, and with another state since then: sidecars, a new source, one whose parents are gone."""
    host.fill("delete")
    host.write("more/deep/file")
    sources = host.sources() + [{"type": "files", "path": "more/deep"},
                                {"type": "files", "path": "never", "required": False}]
    app = host.app(sources=sources)
    host.backup(sources=sources)
    host.damage()
    host.write("data/notes.db-journal", b"stale")
    host.write("never")
    shutil.rmtree(host.at("more"))
    return {"sources": sources}, app


def restored_tree(host, tree, sources):
    """The state that a restore leads to, with what it set aside, and the state before it."""
    old = tree(host.root)
    host.restore(**sources).restore()
    new = without_asides(tree(host.root))
    host.restore(**sources).roll_back()
    assert tree(host.root) == old
    return old, new


def without_asides(found):
    return {path: told for path, told in found.items() if b".before-restore-" not in path}


def live(found):
    """A tree without staging."""
    return {path: told for path, told in found.items() if not path.startswith(b".appstate-")}


# Extracting has many moments that are alike; swapping begins from staged state with each of its own.
@pytest.mark.parametrize("staged, stride", [(True, 1), (False, 5)])
def test_a_killed_restore_is_rolled_back_to_the_byte(host, tree, moments, staged, stride):
    sources, app = prepared(host)
    old, new = restored_tree(host, tree, sources)
    if staged:
        host.restore(**sources).stage()
    for point in moments(host.restore(**sources).restore, stride):
        found = live(tree(host.root))
        if found != old and without_asides(found) != new:
            with pytest.raises(RestoreError, match="cut off in the middle"):
                refuse_unfinished(app, host.machine)
        host.restore(**sources).roll_back()
        assert tree(host.root) == old, point
        assert host.left() == [], point
        assert host.restore(**sources).roll_back().changed is False


@pytest.mark.parametrize("staged, stride", [(True, 1), (False, 7)])
def test_a_killed_restore_can_be_restored_again(host, tree, moments, staged, stride):
    sources, unused = prepared(host)
    old, new = restored_tree(host, tree, sources)
    if staged:
        host.restore(**sources).stage()
    for point in moments(host.restore(**sources).restore, stride):
        host.restore(**sources).restore()
        assert without_asides(tree(host.root)) == new, point
        host.restore(**sources).commit()
        assert tree(host.root) == new, point
        assert host.left() == [], point


def test_whatever_comes_next_ends_what_was_cut_off_and_says_so(host, tree, moments):
    sources, unused = prepared(host)
    old, new = restored_tree(host, tree, sources)
    host.restore(**sources).stage()
    for point in moments(host.restore(**sources).restore, 11):
        half = live(tree(host.root)) != old and without_asides(live(tree(host.root))) != new
        outcome = host.restore(**sources).validate() if point % 2 else host.restore(**sources).commit()
        if half:
            assert outcome.changed and "cut off in the middle" in outcome.to_dict()["warnings"][-1], point
            assert tree(host.root) == old, point


def test_a_killed_rollback_is_completed(host, tree, moments):
    sources, unused = prepared(host)
    old, new = restored_tree(host, tree, sources)
    host.restore(**sources).restore()
    host.write("uploads/later.bin")
    host.write("data/notes.db-wal", b"later")
    for point in moments(host.restore(**sources).roll_back):
        host.restore(**sources).roll_back()
        assert tree(host.root) == old, point
        assert host.left() == [], point


def test_what_the_app_makes_after_a_rollback_that_was_cut_off_at_its_very_end_stays(host, tree, moments):
    host.fill("delete")
    sources = {"sources": host.sources() + [{"type": "files", "path": "custom.ini", "required": False}]}
    host.backup(**sources)
    old = tree(host.root)
    host.restore(**sources).restore()
    ended = 0
    for unused in moments(host.restore(**sources).roll_back):
        if tree(host.root) == old:
            ended += 1
            host.write("custom.ini", b"made by the app, which goes on with its old state")
            host.restore(**sources).roll_back()
            assert os.path.exists(host.at("custom.ini"))
    assert ended or STRIDE > 1


def test_a_killed_commit_is_completed(host, tree, moments):
    sources, unused = prepared(host)
    old, new = restored_tree(host, tree, sources)
    host.restore(**sources).restore()
    for point in moments(host.restore(**sources).commit):
        assert without_asides(tree(host.root)) == new, point
        host.restore(**sources).commit()
        assert tree(host.root) == new, point
        assert host.left() == [], point


def test_a_killed_restore_to_a_fresh_root_leaves_no_root(host, tree, moments):
    sources, unused = prepared(host)
    fresh = {"target_root": host.place("fresh")}
    for point in moments(host.restore(fresh, **sources).restore, 5):
        again = host.restore(fresh, **sources)
        if point % 2:
            again.roll_back()
            assert not os.path.exists(fresh["target_root"]), point
        again.restore()
        assert host.notes(root=fresh["target_root"]) == 20, point
        assert os.stat(fresh["target_root"]).st_mode & 0o777 == 0o755, point
        again.roll_back()
        assert not os.path.exists(fresh["target_root"]), point
        assert host.left() == [], point


def test_a_killed_validation_leaves_a_pending_restore_alone(host, tree, moments):
    sources, unused = prepared(host)
    old, new = restored_tree(host, tree, sources)
    host.restore(**sources).restore()
    for point in moments(host.restore(**sources).validate, 5):
        assert without_asides(live(tree(host.root))) == new, point
        host.restore(**sources).roll_back()
        assert tree(host.root) == old, point
        assert host.left() == [], point


def test_a_killed_forced_restore_leads_back_to_the_earlier_one(host, tree, moments):
    sources, unused = prepared(host)
    old = tree(host.root)
    host.restore(**sources).restore()
    host.add_notes(4)
    between = tree(host.root)
    host.restore({"force": True}, **sources).stage()
    for point in moments(host.restore({"force": True}, **sources).restore):
        assert host.restore(**sources).roll_back().state == "rolled_back"
        assert tree(host.root) == between, point
        host.restore(**sources).roll_back()
        assert tree(host.root) == old, point
        assert host.left() == [], point


def test_a_killed_backup_is_never_listed_and_reaped_by_the_next(host, tree, moments):
    host.fill("delete")
    host.backup()
    before = tree(host.root)
    for point in moments(host.backup):
        for backup in list_backups(host.app().directory, "notes"):
            assert backup.problem is None
            assert host.verify(which=backup.id).ok, point
        assert tree(host.root) == before, point
        kept = [backup.id for backup in list_backups(host.app().directory, "notes")]
        host.backup()
        names = sorted(os.listdir(host.app().directory))
        assert len(names) == 2 * len(kept) + 2, point
        assert host.left() == [], point
        assert os.listdir(host.destination) == ["notes"], point
