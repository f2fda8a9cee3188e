# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restores that wait for their commit, and others that meet them or come in between."""

from __future__ import annotations

import os

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.operations.restore import Restore
from ansible_collections.appstate.backup.plugins.module_utils.operations.swap import Swap
from ansible_collections.appstate.backup.plugins.module_utils.system import files
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import ArchiveError, RestoreError, SpaceError


def test_a_pending_restore_of_another_backup_is_not_covered_up(host, tree):
    host.fill()
    first = host.backup().backup
    host.add_notes(1)
    host.backup()
    host.restore({"which": first.id}).restore()
    before = tree(host.root)
    with pytest.raises(RestoreError, match="neither committed nor rolled back.*before-restore"):
        host.restore().restore()
    assert tree(host.root) == before


def test_force_restores_over_a_pending_one_and_deletes_nothing(host):
    host.fill()
    first = host.backup().backup
    host.add_notes(1)
    host.backup()
    host.add_notes(1)
    host.restore({"which": first.id}).restore()
    host.restore({"force": True}).restore()
    assert host.notes() == 21
    asides = sorted(name for name in os.listdir(host.at("data")) if name.startswith("notes.db.before"))
    assert [host.notes("data/" + name) for name in asides] == [22, 20]


def test_a_forced_restore_that_fails_keeps_the_earlier_one(host, tree):
    host.fill()
    host.backup()
    host.damage()
    before = tree(host.root)
    host.restore().restore()
    restored = tree(host.root)
    broken = host.place("broken.tgz")
    with open(broken, "wb") as file:
        file.write(b"\x1f\x8b\x08" + b"\0" * 50)
    with pytest.raises(ArchiveError):
        host.restore({"force": True, "archive": broken}).restore()
    assert tree(host.root) == restored
    assert host.restore().roll_back().changed
    assert tree(host.root) == before


def test_a_rollback_of_a_forced_restore_leads_back_to_the_earlier_one(host, tree):
    host.fill()
    first = host.backup().backup
    host.add_notes(1)
    host.backup()
    before = tree(host.root)
    host.restore({"which": first.id}).restore()
    between = tree(host.root)
    host.restore({"force": True}).restore()
    host.restore().roll_back()
    assert tree(host.root) == between
    host.restore().roll_back()
    assert tree(host.root) == before


@pytest.mark.parametrize("state", ["restored", "committed", "rolled_back"])
@pytest.mark.parametrize("far", ["staged", "restored"])
def test_another_restore_that_came_in_between_is_left_alone(host, tree, state, far):
    """Nobody commits, undoes or swaps in what somebody else restored after this one was staged."""
    host.fill()
    host.backup()
    ours = host.restore().stage().to_dict()["transaction"]
    host.restore().roll_back()
    host.add_notes(1)
    host.backup()
    host.damage()
    theirs = (host.restore().stage if far == "staged" else host.restore().restore)().to_dict()["transaction"]
    assert ours != theirs
    before = tree(host.path)
    late = host.restore({"transaction": ours})
    with pytest.raises(RestoreError, match="somebody ended this restore meanwhile: a restore of .* is under way"):
        {"restored": late.restore, "committed": late.commit, "rolled_back": late.roll_back}[state]()
    after = tree(host.path)
    ours_and_theirs = [path for path in before if path.startswith((b"app/", b"backups/"))]
    assert ours_and_theirs and all(after[path] == before[path] for path in ours_and_theirs)
    assert host.restore({"transaction": theirs}).roll_back().changed


def test_what_was_staged_and_taken_away_is_not_staged_once_more(host, tree):
    host.fill()
    host.backup()
    ours = host.restore().stage().to_dict()["transaction"]
    host.restore().roll_back()
    before = tree(host.root)
    with pytest.raises(RestoreError, match="somebody ended this restore meanwhile"):
        host.restore({"transaction": ours}).restore()
    assert tree(host.root) == before
    assert not host.restore({"transaction": ours}).roll_back().changed


def test_a_restore_goes_by_one_name_from_its_beginning_to_its_end(host):
    host.fill()
    host.backup()
    host.damage()
    staged = host.restore().stage().to_dict()["transaction"]
    assert host.restore({"transaction": staged}).restore().to_dict()["transaction"] == staged
    assert host.restore({"transaction": staged}).commit().changed


def test_a_rollback_that_the_system_stops_says_how_it_goes_on(host, tree, monkeypatch):
    host.fill()
    host.backup()
    host.damage()
    before = tree(host.root)
    host.restore().restore()
    real, left = os.rename, [2]

    def refuse(*names, **words):
        if b".before-restore-" in os.fsencode(names[0]):
            left[0] -= 1
            if not left[0]:
                raise OSError(5, "Input/output error")
        return real(*names, **words)
    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(RestoreError, match="cut off in the middle .*: Input/output error. .*roll back again"):
        host.restore().roll_back()
    with pytest.raises(RestoreError, match="cut off in the middle"):
        host.backup()
    assert host.restore().roll_back().changed
    assert tree(host.root) == before


def test_what_was_staged_over_a_pending_restore_does_not_hide_it(host, tree):
    """Staged with force; another restore without it does not take the place of what waits for its commit."""
    host.fill()
    first = host.backup().backup
    host.add_notes(1)
    second = host.backup().backup
    host.add_notes(1)
    third = host.backup().backup
    host.restore({"which": first.id}).restore()
    restored = tree(host.root)
    host.restore({"which": second.id, "force": True}).stage()
    staged = tree(host.root)
    late = {"which": third.id}
    for step in (host.restore(late).restore, host.restore(late).stage, lambda: host.restore(late).predict("restored", False)):
        with pytest.raises(RestoreError, match="an earlier restore \\(of %s\\) is neither committed nor rolled back" % first.id):
            step()
        assert tree(host.root) == staged
    again = host.restore({"which": first.id}).restore()
    assert (again.state, again.to_dict()["backup"]["id"]) == ("restored", first.id)
    assert tree(host.root) == restored and host.notes() == 20
    assert host.restore().roll_back().changed and host.notes() == 22


class FullDisk:
    """The state directory takes no journal from the moment on that one says a certain phase, or a certain step begins."""

    def __init__(self, monkeypatch, sign):
        self.is_full = False
        real = files.write_atomically

        def write(directory, name, data, *rest):
            if name.startswith("restore-") and (self.is_full or sign in data):
                self.is_full = True
                raise OSError(28, os.strerror(28))
            real(directory, name, data, *rest)
        self._patch = monkeypatch.context()
        self._patch.__enter__().setattr(files, "write_atomically", write)

    def gets_space(self):
        self._patch.__exit__(None, None, None)


def undone_on_a_full_disk(disk, host, tree, before, step):
    """A step that cannot record its end: live state is the old one at once, and all is told and ended once there is space."""
    with pytest.raises(RestoreError, match="restore-notes.json: what was there before is back in its place, .*no space is left"):
        step()
    assert disk.is_full and without_staging(tree(host.root)) == before
    with pytest.raises(RestoreError, match="cut off in the middle"):
        host.backup()
    disk.gets_space()
    assert host.restore().roll_back().changed
    assert tree(host.root) == before and host.left() == []


@pytest.mark.parametrize("sign", [b'"made": [\n  "data"\n', b'"phase": "restored"'])
def test_a_swap_that_cannot_be_recorded_is_undone_although_that_cannot_be_recorded_either(host, tree, monkeypatch, sign):
    host.fill()
    host.backup()
    if b"made" in sign:
        os.rename(host.at("data"), host.at("away"))
    else:
        host.damage()
    before = tree(host.root)
    undone_on_a_full_disk(FullDisk(monkeypatch, sign), host, tree, before, host.restore().restore)


def test_a_swap_that_was_killed_is_undone_on_a_full_disk(host, tree, monkeypatch):
    host.fill()
    host.backup()
    host.damage()
    before = tree(host.root)

    def kill(*unused):
        raise KeyboardInterrupt
    with monkeypatch.context() as killed:
        killed.setattr(Restore, "_undo", lambda self: None)
        killed.setattr(Swap, "_make_parents", kill)
        with pytest.raises(KeyboardInterrupt):
            host.restore().restore()
    assert without_staging(tree(host.root)) != before
    undone_on_a_full_disk(FullDisk(monkeypatch, b""), host, tree, before, host.restore().roll_back)


def test_a_rollback_that_cannot_be_recorded_is_not_begun(host, tree, monkeypatch):
    host.fill()
    host.backup()
    host.damage()
    before = tree(host.root)
    host.restore().restore()
    restored = tree(host.root)
    disk = FullDisk(monkeypatch, b"rolling back")
    with pytest.raises(SpaceError, match="restore-notes.json: the journal of a restore could not be written: no space is left"):
        host.restore().roll_back()
    assert tree(host.root) == restored
    disk.gets_space()
    assert host.restore().roll_back().changed and tree(host.root) == before


def without_staging(found):
    return {path: told for path, told in found.items() if not path.startswith(b".appstate-")}
