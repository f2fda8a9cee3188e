# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backups with generations: listed, verified, pruned and restored like all others, whatever moment a run is killed at."""

from __future__ import annotations

import os
import shutil
import time

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.catalog.catalog import list_backups
from ansible_collections.appstate.backup.plugins.module_utils.operations.backup import check_backup
from ansible_collections.appstate.backup.plugins.module_utils.operations.prune import prune
from ansible_collections.appstate.backup.plugins.module_utils.operations.selection import describe
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import ArchiveError, SourceError
from ansible_collections.appstate.backup.tests.unit.plugins.form import sampled

STRIDE = sampled(7)
SOURCES = [{"type": "sqlite", "path": "data/notes.db"}, {"type": "files", "path": "uploads", "method": "rsync"},
           {"type": "files", "path": "data/settings.json"}]


class Stored:
    """The app of a Host, whose uploads are mirrored."""

    def __init__(self, host):
        self.host = host
        host.fill("delete")
        self.directory = os.path.join(host.destination, "notes")

    def app(self, **words):
        return self.host.app(**dict({"sources": SOURCES}, **words))

    def backup(self):
        return self.host.backup(sources=SOURCES).backup

    def restore(self, **request):
        return self.host.restore(request, sources=SOURCES)

    def verify(self, **words):
        return self.host.verify(app=self.app(), **words)

    def listed(self):
        return {backup.id: backup.problem for backup in list_backups(self.directory, "notes")}

    def generations(self):
        return sorted(name for name in os.listdir(self.directory) if "tree" in name)

    def generation(self, backup, *names):
        return os.path.join(self.directory, backup.manifest.generations[0]["generation"], *names)

    def prune(self, **rules):
        return prune(self.app(retention=rules or {"keep_last": 1}), self.host.machine)


@pytest.fixture
def stored(host):
    return Stored(host)


def test_it_comes_back_as_it_was(stored, host, tree):
    host.write("uploads/odd \n\udcff", b"odd")
    os.link(host.at("uploads/a.bin"), host.at("uploads/same"))
    before = tree(host.at("uploads"))
    backup = stored.backup()
    assert stored.verify().ok and stored.verify(level="checksum").ok
    host.damage()
    shutil.rmtree(host.at("uploads"))
    stored.restore().restore()
    stored.restore().commit()
    assert tree(host.at("uploads")) == before and host.notes() == 20
    for name in ("a.bin", "same"):
        assert os.stat(host.at("uploads", name)).st_nlink == 1, "no file of the app is a file of the backup"
        assert os.stat(stored.generation(backup, "files", name)).st_nlink == 1
    assert stored.verify().ok


def test_one_file_of_it_comes_back_alone(stored, host):
    stored.backup()
    host.damage()
    stored.restore(only=["uploads/deep/er/b.bin"]).restore()
    assert open(host.at("uploads/deep/er/b.bin"), "rb").read() == b"b" and os.path.exists(host.at("uploads/new.bin"))


def test_it_is_predicted_and_validated_like_all_others(stored, host, tree):
    stored.backup()
    host.damage()
    before = tree(host.root)
    assert sorted(stored.restore().predict("restored", False).to_dict()["restored"]) == sorted(host.at(source["path"]) for source in SOURCES)
    assert stored.restore().validate().to_dict()["warnings"] == []
    assert tree(host.root) == before


def test_an_older_one_comes_back_after_newer_ones(stored, host, tree):
    before = tree(host.at("uploads"))
    first = stored.backup()
    host.damage()
    stored.backup()
    stored.restore(which=first.id).restore()
    stored.restore().commit()
    assert tree(host.at("uploads")) == before and host.notes() == 20


def test_damage_is_refused_with_the_name_of_the_file(stored, host, tree):
    backup = stored.backup()
    with open(stored.generation(backup, "files", "a.bin"), "r+b") as file:
        file.write(b"tampered")
    host.damage()
    before = tree(host.root)
    with pytest.raises(ArchiveError, match="the archive is damaged: uploads/a.bin has other content than was backed up"):
        stored.restore().restore()
    assert tree(host.root) == before
    problems = [{"member": "uploads/a.bin", "problem": "has other content than was backed up (its digest differs)"}]
    assert stored.verify().problems == problems and stored.verify(level="checksum").problems == problems


def test_without_its_generation_a_backup_is_not_good(stored, host):
    first = stored.backup()
    host.write("uploads/new.bin", b"more")
    second = stored.backup()
    shutil.rmtree(stored.generation(second))
    name = os.path.basename(stored.generation(second))
    assert stored.listed() == {first.id: None, second.id: "its generation %s is missing" % name}
    with pytest.raises(ArchiveError, match="cannot be restored: its generation %s is missing" % name):
        stored.restore(which=second.id).restore()
    stored.restore().restore()  # The newest that is good.
    assert not os.path.exists(host.at("uploads/new.bin"))


def test_an_archive_elsewhere_needs_its_generation_beside_it(stored, host):
    backup = stored.backup()
    os.mkdir(host.place("copy"))
    archive = shutil.copy(backup.path, host.place("copy"))
    name = os.path.basename(stored.generation(backup))
    shutil.rmtree(stored.directory)
    host.damage()
    with pytest.raises(ArchiveError, match="uploads its generation %s cannot be opened beside the archive" % name):
        stored.restore(archive=archive).restore()
    assert describe(archive, host.machine.now())["good"] is None


def test_an_archive_elsewhere_is_restored_with_its_generation(stored, host, tree):
    before = tree(host.at("uploads"))
    backup = stored.backup()
    shutil.copytree(stored.directory, host.place("copy"), symlinks=True, copy_function=_copy_with_owner)
    _own_directories(stored.directory, host.place("copy"))
    shutil.rmtree(stored.directory)
    host.damage()
    archive = host.place("copy", os.path.basename(backup.path))
    os.unlink(host.place("copy", backup.id + ".json"))  # The manifest inside says the same.
    stored.restore(archive=archive).restore()
    stored.restore().commit()
    assert tree(host.at("uploads")) == before and host.notes() == 20


def _copy_with_owner(source, target, follow_symlinks=True):
    shutil.copy2(source, target, follow_symlinks=follow_symlinks)
    found = os.lstat(source)
    os.chown(target, found.st_uid, found.st_gid, follow_symlinks=False)


def _own_directories(source, target):
    for folder, folders, unused in os.walk(source):
        for name in folders:
            found = os.lstat(os.path.join(folder, name))
            os.chown(os.path.join(target, os.path.relpath(folder, source), name), found.st_uid, found.st_gid)


def test_a_check_looks_for_rsync_and_writes_nothing(stored, host, monkeypatch, tree):
    before = tree(host.path)
    check_backup(stored.app(compression="gzip"), host.machine)
    assert tree(host.path) == before
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SourceError, match="app notes: 'method: rsync' needs rsync"):
        check_backup(stored.app(compression="gzip"), host.machine)


def test_pruning_keeps_what_a_kept_backup_shares(stored, host):
    first = stored.backup()
    second = stored.backup()
    host.write("uploads/new.bin")
    third = stored.backup()
    names = [os.path.basename(stored.generation(backup)) for backup in (first, third)]
    assert stored.generations() == names
    assert stored.prune(keep_last=2).removed == [first.id]
    assert stored.generations() == names and stored.verify(which=second.id).ok
    assert stored.prune(keep_last=1).removed == [second.id]
    assert stored.generations() == names[1:] and stored.verify(which=third.id).ok


def everything_listed_is_whole(stored, point):
    for id, problem in stored.listed().items():
        assert problem is None, point
        assert stored.verify(which=id).ok, point


def test_a_backup_that_is_killed_at_any_moment(stored, host, kill_at):
    """Each one has something new to copy."""
    stored.backup()
    point = 1
    while True:
        host.write("uploads/number", b"%d" % point)
        before = stored.listed()
        killed = kill_at(point, stored.backup)
        listed = stored.listed()
        assert listed == before or len(listed) == len(before) + 1, point
        everything_listed_is_whole(stored, point)
        host.time = host.machine.now()
        stored.backup()
        assert host.left() == [], point
        needed = {source["generation"] for backup in list_backups(stored.directory, "notes")
                  for source in backup.manifest.generations}
        assert set(stored.generations()) == needed, point
        stored.prune()
        if not killed:
            break
        point += STRIDE


def test_a_backup_that_is_killed_while_rsync_copies(stored, host):
    stored.backup()
    host.write("uploads/large", b"")
    os.truncate(host.at("uploads/large"), 1 << 30)
    child = os.fork()
    if not child:
        stored.backup()
        os._exit(0)
    deadline = time.monotonic() + 20
    while not any(os.path.isdir(os.path.join(stored.directory, name, "files")) for name in stored.generations()
                  if name.endswith(".partial")) and time.monotonic() < deadline:
        time.sleep(0.001)
    os.kill(child, 9)
    os.waitpid(child, 0)
    assert [name for name in stored.generations() if name.endswith(".partial")]
    everything_listed_is_whole(stored, None)
    os.unlink(host.at("uploads/large"))
    host.time = host.machine.now()
    stored.backup()
    assert host.left() == []


def test_pruning_that_is_killed_at_any_moment(stored, host, kill_at):
    stored.backup()
    for point in range(1, 200, STRIDE):
        for number in range(2):
            host.write("uploads/number", b"%d.%d" % (point, number))
            stored.backup()
        killed = kill_at(point, stored.prune)
        everything_listed_is_whole(stored, point)
        stored.prune()
        assert len(stored.listed()) == len(stored.generations()) == 1 and host.left() == [], point
        if not killed:
            return
    raise AssertionError("never came to its end")


@pytest.mark.parametrize("outer, inner", [("archive", "rsync"), ("rsync", "archive"), ("rsync", "rsync")])
def test_sources_in_one_another(host, tree, outer, inner):
    host.database("data/notes.db", journal="delete")
    host.write("data/a")
    host.write("data/blobs/deep/b")
    os.symlink("deep/b", host.at("data/blobs/link"))
    os.symlink("a", host.at("data/link"))
    host.write("zebra/c")
    sources = [{"type": "files", "path": "data", "method": outer}, {"type": "files", "path": "zebra", "method": outer},
               {"type": "files", "path": "data/blobs", "method": inner}, {"type": "sqlite", "path": "data/notes.db"}]
    for name in ("data", "data/blobs"):
        os.utime(host.at(name), ns=(0, 1700000000123456789))
    before, times = tree(host.root), [os.stat(host.at(name)).st_mtime_ns for name in ("data", "data/blobs", "data/blobs/deep")]
    host.backup(sources=sources)
    shutil.rmtree(host.at("data/blobs"))
    host.write("data/a", b"damage")
    host.add_notes(3)
    host.restore(sources=sources).restore()
    host.restore(sources=sources).commit()
    after = tree(host.root)
    for found in (before, after):
        del found[b"data/notes.db"]
    assert after == before and host.notes() == 20
    assert [os.stat(host.at(name)).st_mtime_ns for name in ("data", "data/blobs", "data/blobs/deep")] == times
