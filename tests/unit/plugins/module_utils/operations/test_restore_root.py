# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Roots that a restore makes, roots that are somebody's already, and roots that vanish under it."""

from __future__ import annotations

import os
import shutil

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.system.errors import AppStateError, RestoreError, SourceError
from ansible_collections.appstate.backup.tests.unit.plugins.exchanging import STRANGER, exchange_made, plant_directory


def test_a_root_is_none_that_was_put_there_while_it_was_made(host, monkeypatch):
    host.fill()
    host.backup()
    shutil.rmtree(host.root)
    planted = []

    def plant(path):
        plant_directory(path)
        planted.append(os.open(path, os.O_RDONLY))

    exchanged = exchange_made(monkeypatch, plant, os.path.basename(host.root))
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(AppStateError, match="not the directory that was made"):
        host.restore().restore()
    # An empty one is removed again, as the root would be.
    assert exchanged == [host.root] and len(os.listdir("/proc/self/fd")) == before + 1
    found = os.fstat(planted[0])
    os.close(planted[0])
    assert (found.st_uid, found.st_mode & 0o7777) == (STRANGER if os.geteuid() == 0 else os.geteuid(), 0o700)


def test_validate_only_of_a_missing_root_leaves_no_root(host):
    host.fill()
    host.backup()
    fresh = host.place("fresh")
    warnings = host.restore({"target_root": fresh}).validate().to_dict()["warnings"]
    assert not os.path.exists(fresh)
    assert "%s did not exist and was made" % fresh in warnings


def test_a_fresh_root_is_made_and_filled(host, tree):
    host.fill()
    host.backup()
    fresh = host.place("fresh")
    host.restore({"target_root": fresh}).restore()
    assert host.notes(root=fresh) == 20
    assert os.stat(fresh).st_mode & 0o777 == 0o755
    original, restored = tree(host.root), tree(fresh)
    for path in (b"uploads/a.bin", b"uploads/deep/er/b.bin", b"uploads/link", b"data/settings.json"):
        assert restored[path] == original[path]
    host.restore({"target_root": fresh}).roll_back()
    assert not os.path.exists(fresh)


def test_a_root_without_a_directory_above_it_is_refused(host):
    host.fill()
    host.backup()
    with pytest.raises(SourceError, match="app notes: .*/none/fresh.*directory above"):
        host.restore({"target_root": host.place("none", "fresh")}).restore()
    assert not os.path.exists(host.place("none"))


def test_a_root_that_holds_something_else_keeps_it(host, tree):
    host.fill()
    host.backup()
    other = host.place("other")
    os.makedirs(os.path.join(other, "uploads"))
    with open(os.path.join(other, "uploads", "old"), "w") as file:
        file.write("old")
    with open(os.path.join(other, "stays"), "w") as file:
        file.write("stays")
    before = tree(other)
    told = host.restore({"target_root": other}).restore().to_dict()
    assert len(told["moved_aside"]) == 1
    assert host.notes(root=other) == 20 and os.path.exists(os.path.join(other, "stays"))
    host.restore({"target_root": other}).roll_back()
    assert tree(other) == before


def test_a_root_that_vanished_under_a_pending_restore_is_an_error(host):
    host.fill()
    host.backup()
    fresh = host.place("fresh")
    os.mkdir(fresh)
    restore = host.restore({"target_root": fresh})
    restore.restore()
    shutil.rmtree(fresh)
    for step in (restore.restore, restore.commit, restore.roll_back, restore.stage, restore.validate):
        with pytest.raises(RestoreError, match="app notes: .*fresh"):
            step()


def test_a_staged_restore_to_a_root_that_vanished_begins_anew(host):
    host.fill()
    host.backup()
    fresh = host.place("fresh")
    restore = host.restore({"target_root": fresh})
    restore.stage()
    shutil.rmtree(fresh)
    restore.restore()
    assert host.notes(root=fresh) == 20


def test_another_backup_is_staged_for_a_root_that_staging_made(host):
    host.fill()
    first = host.backup().backup
    host.add_notes(1)
    host.backup()
    fresh = host.place("fresh")
    host.restore({"target_root": fresh, "which": first.id}).stage()
    host.restore({"target_root": fresh}).restore()
    assert host.notes(root=fresh) == 21
