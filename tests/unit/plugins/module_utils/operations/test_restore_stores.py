# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restores of an app that keeps part of its state outside of its root, where a command puts it."""

from __future__ import annotations

import os

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.system.errors import AppStateError, RestoreError
from ansible_collections.appstate.backup.tests.unit.plugins.form import sampled

STRIDE = sampled(9)
FEED = 'cat >"$0.new" && mv "$0.new" "$0"'


@pytest.fixture
def stored(host):
    """A host with a backup of files and of a store, both of which have changed since: ``(host, words, path of the store)``."""
    host.fill("delete")
    store = host.place("store")
    write(store, b"old state of the store")
    sources = host.sources() + [{"type": "command", "path": "dumps/store", "format": "raw", "argv": ["cat", store],
                                 "restore_argv": ["sh", "-euc", FEED, store]}]
    host.backup(sources=sources)
    host.damage()
    write(store, b"live state of the store")
    return host, {"sources": sources}, store


def write(path, content):
    with open(path, "wb") as file:
        file.write(content)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def test_a_store_goes_and_comes_with_the_files(stored, tree):
    host, words, store = stored
    damaged, rows = tree(host.root), host.notes
    staged = host.restore(**words).stage()
    assert read(store) == b"live state of the store" and any("dumped while the app" in text for text in staged.to_dict()["warnings"])
    outcome = host.restore(**words).restore().to_dict()
    assert read(store) == b"old state of the store" and rows() == 20
    assert any("dumps/store" in text for text in outcome["restored"])
    aside = next(path for path in outcome["moved_aside"] if "/dumps/store.before-restore-" in path)
    assert read(aside) == b"live state of the store"
    assert host.restore(**words).roll_back().changed
    assert read(store) == b"live state of the store" and tree(host.root) == damaged
    host.restore(**words).restore()
    assert host.restore(**words).commit().changed
    assert read(store) == b"old state of the store" and not os.path.exists(host.at("dumps"))
    assert host.left() == []


def test_a_store_that_fails_takes_the_files_back(stored, tree):
    host, words, store = stored
    damaged = tree(host.root)
    words["sources"][-1]["restore_argv"] = ["sh", "-c", 'grep -q live && exit 0; echo half >"$0"; exit 9', store]
    with pytest.raises(AppStateError, match="status 9"):
        host.restore(**words).restore()
    assert tree(host.root) == damaged and host.left() == []


def test_another_root_gets_the_dump_as_a_file(stored):
    host, words, store = stored
    target = host.place("elsewhere")
    os.mkdir(target)
    host.restore({"target_root": target}, **words).restore()
    assert read(os.path.join(target, "dumps/store")) == b"old state of the store"
    assert read(store) == b"live state of the store"


def test_files_alone_leave_the_store_alone(stored):
    host, words, store = stored
    host.restore({"only": ["data"]}, **words).restore()
    assert read(store) == b"live state of the store"
    host.restore(**words).roll_back()
    host.restore({"only": ["dumps/store"]}, **words).restore()
    assert read(store) == b"old state of the store"


def test_a_prediction_tells_of_the_store_and_touches_nothing(stored):
    host, words, store = stored
    told = host.restore(**words).predict("restored", False).to_dict()
    assert any("dumps/store" in text for text in told["restored"])
    assert read(store) == b"live state of the store" and host.left() == []


def test_what_a_pending_restore_is_about_may_not_vanish_from_the_description(stored):
    host, words, store = stored
    host.restore(**words).restore()
    with pytest.raises(RestoreError, match="the source dumps/store, which the app has no more"):
        host.restore(sources=words["sources"][:-1]).roll_back()
    assert host.restore(**words).roll_back().changed
    assert read(store) == b"live state of the store"


@pytest.mark.parametrize("staged", [True, False])
def test_a_killed_restore_is_rolled_back_whole(stored, tree, kill_at, staged):
    host, words, store = stored
    damaged = tree(host.root)
    if staged:
        host.restore(**words).stage()
    point, stride = 1, STRIDE * (1 if staged else 7)
    while kill_at(point, host.restore(**words).restore):
        host.restore(**words).roll_back()
        assert read(store) == b"live state of the store", point
        assert tree(host.root) == damaged, point
        assert host.left() == [], point
        if staged:
            host.restore(**words).stage()
        point += stride
    assert read(store) == b"old state of the store"


@pytest.mark.parametrize("ending", ["roll_back", "commit"])
def test_a_killed_ending_is_gone_on_with(stored, tree, kill_at, ending):
    host, words, store = stored
    damaged = tree(host.root)
    point = 1
    while True:
        host.restore({"force": True}, **words).restore()
        killed = kill_at(point, getattr(host.restore(**words), ending))
        getattr(host.restore(**words), ending)()
        assert host.left() == [], point
        if ending == "roll_back":
            assert read(store) == b"live state of the store" and tree(host.root) == damaged, point
        else:
            assert read(store) == b"old state of the store", point
            write(store, b"live state of the store")
        if not killed:
            return
        point += 3 * STRIDE
