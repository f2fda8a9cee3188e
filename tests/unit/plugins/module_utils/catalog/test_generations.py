# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import fcntl
import os
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.appstate.backup.plugins.module_utils.archive.manifest import FORMAT, Manifest
from ansible_collections.appstate.backup.plugins.module_utils.catalog import catalog, generations
from ansible_collections.appstate.backup.plugins.module_utils.system import files
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import LockedError

DIGEST = "0" * 64


def stem(number, app="notes"):
    return "%s-20261119T0300%02dZ" % (app, number)


class Store:
    """An app's directory with backups that refer to generations."""

    def __init__(self, path):
        self.path = str(path)
        self.descriptor = os.open(self.path, files.DIRECTORY)

    def at(self, *names):
        return os.path.join(self.path, *names)

    def grow(self, number, source=1, app="notes"):
        """A new generation, which ``publish`` puts under its name."""
        growing = generations.GrowingGeneration(self.descriptor, "%s.%d.tree" % (stem(number, app), source))
        os.mkdir("files", dir_fd=growing.descriptor)
        with open(self.at(".%s.partial" % growing.name, "files", "blob"), "w"), \
                open(self.at(".%s.partial" % growing.name, "members.jsonl"), "wb") as lines:
            lines.write(b"line\n")
        return growing

    def generation(self, number, source=1, app="notes"):
        growing = self.grow(number, source, app)
        growing.publish()
        growing.close()
        return growing.name

    def backup(self, number, names=(), app="notes"):
        """Publishes a backup that needs some generations."""
        sources = [{"type": "files", "path": "source%d" % count, "present": True, "method": "rsync", "generation": name,
                    "bytes": 7, "list": {"count": 1, "bytes": 5, "digest": DIGEST}} for count, name in enumerate(names)]
        content = {"format": FORMAT, "id": stem(number, app), "app": app, "host": "host",
                   "created": "2026-11-19T03:00:%02dZ" % number, "duration": 1.5, "kind": "full", "app_version": None,
                   "sources": sources, "members": {"count": 0, "bytes": 10, "digest": DIGEST}, "verified": None, "warnings": []}
        with catalog.Publication(self.descriptor, stem(number, app), ".tar.gz") as publication:
            os.write(publication.descriptor, b"archive")
            publication.publish(Manifest(content).beside({"name": stem(number, app) + ".tar.gz", "size": 7, "digest": DIGEST}, None))

    def reap(self):
        catalog.reap_partials(self.descriptor, "notes")

    def left(self):
        return sorted(name for name in os.listdir(self.path) if "tree" in name)

    def problems(self):
        return {backup.id: backup.problem for backup in catalog.list_backups(self.path, "notes")}


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path)
    yield made
    os.close(made.descriptor)


def test_a_backup_is_good_only_with_all_its_generations(store):
    names = [store.generation(1, 1), store.generation(1, 2)]
    store.backup(1, names)
    store.backup(2, names[:1])
    assert store.problems() == {stem(1): None, stem(2): None}
    os.rename(store.at(names[1]), store.at("elsewhere"))
    assert store.problems() == {stem(1): "its generation %s is missing" % names[1], stem(2): None}
    os.rename(store.at("elsewhere"), store.at(names[1]))
    os.truncate(store.at(names[0], "members.jsonl"), 4)
    assert store.problems() == dict.fromkeys([stem(1), stem(2)],
                                             "the list of its generation %s has 4 bytes, and the manifest says 5" % names[0])
    assert [backup.id for backup in catalog.good_backups(store.path, "notes")] == []


def test_what_a_restore_writes_counts_generations_too(store):
    store.backup(1, [store.generation(1, 1), store.generation(1, 2)])
    manifest = catalog.newest_good(store.path, "notes").manifest
    assert (manifest.bytes, manifest.archived_bytes) == (24, 10)


@pytest.mark.parametrize("name", ["../notes-20261119T030001Z.1.tree", "notes-20261119T030001Z.tree", "x", ".", 1])
def test_a_manifest_cannot_name_another_place(store, name):
    store.backup(1, [name])
    assert store.problems() == {stem(1): "the manifest is damaged (it is not as it was written)"}


def test_while_it_grows_it_has_a_partial_name_and_is_shut(store):
    growing = store.grow(1)
    assert store.left() == [".%s.1.tree.partial" % stem(1)]
    assert os.stat(store.at(store.left()[0])).st_mode & 0o777 == 0o700
    growing.publish()
    assert store.left() == ["%s.1.tree" % stem(1)]
    growing.remove()
    growing.close()
    assert store.left() == []


def test_what_nobody_needs_any_more_is_reaped(store):
    first, second = store.generation(1), store.generation(2)
    store.backup(1, [first])
    store.backup(2, [second])
    store.backup(3, [second])
    store.reap()
    assert store.left() == [first, second]
    for number, left in ((1, [second]), (2, [second]), (3, [])):
        catalog.remove(store.descriptor, next(backup for backup in catalog.list_backups(store.path, "notes") if backup.id == stem(number)))
        catalog.reap_generations(store.descriptor, "notes")
        assert store.left() == left


def test_while_a_manifest_cannot_be_read_all_stay(store):
    """Nobody knows which ones it needs; and an archive whose manifest was lost has another one inside."""
    first = store.generation(1)
    store.backup(1, [first])
    with open(store.at(stem(1) + ".json"), "r+b") as file:
        file.write(b"damage")
    store.reap()
    assert store.left() == [first]
    os.unlink(store.at(stem(1) + ".json"))
    store.reap()
    assert store.left() == [first]
    os.unlink(store.at(stem(1) + ".tar.gz"))
    store.reap()
    assert store.left() == []


def test_a_backup_that_is_not_good_keeps_its_generations(store):
    names = [store.generation(1, 1), store.generation(1, 2)]
    store.backup(1, names)
    os.unlink(store.at(stem(1) + ".tar.gz"))
    store.reap()
    assert store.left() == names


def test_other_apps_and_other_files_are_left_alone(store):
    for name in ("notes.tree", "notes-20261119T030001Z.tree", "notes-20261119T030001Z.1.tree.old", ".x.1.tree.partial", "tree"):
        os.mkdir(store.at(name))
    store.generation(1, app="other")
    store.grow(2, app="other").close()
    before = store.left()
    store.reap()
    assert store.left() == before


def test_what_a_killed_run_left_goes(store):
    store.grow(1).close()
    store.generation(2)
    store.reap()
    assert store.left() == []


def test_it_waits_for_what_a_killed_run_started(store, monkeypatch):
    growing = store.grow(1)
    started = time.monotonic()
    # A process that has inherited it, and with it the lock.
    held = os.dup(growing.descriptor)
    growing.close()
    thread = threading.Thread(target=lambda: (time.sleep(0.3), os.close(held)))
    thread.start()
    store.reap()
    thread.join()
    assert time.monotonic() - started >= 0.3 and store.left() == []
    growing = store.grow(2)
    monkeypatch.setattr(generations, "PATIENCE", 0.1)
    with pytest.raises(LockedError, match="a process of a run that was killed still writes there. Look for rsync"):
        store.reap()
    fcntl.flock(growing.descriptor, fcntl.LOCK_UN)
    growing.close()


def test_its_name_is_taken_for_another_backup_too(store):
    store.generation(1)
    assert not catalog.is_free(store.descriptor, stem(1)) and catalog.is_free(store.descriptor, stem(2))


@settings(max_examples=80)
@given(history=st.lists(st.tuples(st.sampled_from(["new", "same", "two"]), st.booleans()), min_size=1, max_size=8),
       stop=st.integers(0, 8))
def test_whatever_is_kept_keeps_its_generations(tmp_path_factory, history, stop):
    """Random backups, some of which share generations; random ones go, and a run may be killed before it reaps."""
    store = Store(tmp_path_factory.mktemp("store"))
    try:
        needs, latest = {}, None
        for number, (how, unused) in enumerate(history):
            if how == "two":
                needs[number] = [store.generation(number, 1), store.generation(number, 2)]
            else:
                needs[number] = latest if how == "same" and latest else [store.generation(number, 1)]
            latest = needs[number]
            store.backup(number, needs[number])
        kept = {number for number, (unused, keep) in enumerate(history) if keep}
        backups = {backup.id: backup for backup in catalog.list_backups(store.path, "notes")}
        for number in set(range(len(history))) - kept:
            catalog.remove(store.descriptor, backups[stem(number)])
            if number == stop:
                store.reap()
        store.reap()
        assert store.problems() == {stem(number): None for number in kept}
        assert store.left() == sorted({name for number in kept for name in needs[number]})
    finally:
        os.close(store.descriptor)
