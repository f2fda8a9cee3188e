# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restores that meet an earlier one which waits for its commit."""

from __future__ import annotations

import os

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.system.errors import ArchiveError, RestoreError


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
