# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Taking in backups that were made elsewhere: what is taken, what is refused, and kills at every moment."""

from __future__ import annotations

import datetime
import json
import os
import shutil
import stat

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.archive.age import make_pair
from ansible_collections.appstate.backup.plugins.module_utils.catalog import catalog
from ansible_collections.appstate.backup.plugins.module_utils.catalog.catalog import list_backups
from ansible_collections.appstate.backup.plugins.module_utils.operations import import_backup as importing
from ansible_collections.appstate.backup.plugins.module_utils.operations.import_backup import import_backup
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import (
    AppStateError, ArchiveError, LockedError, SourceError, SpaceError)
from ansible_collections.appstate.backup.plugins.module_utils.system.locks import AppLock
from ansible_collections.appstate.backup.tests.unit.plugins.form import sampled
from ansible_collections.appstate.backup.tests.unit.plugins.no_links import cannot_link

STRIDE = sampled(5)


class Collector:
    """A host with backups, a directory that they come by, and the directory that they are collected in."""

    def __init__(self, host):
        self.host = host
        self.way = host.place("way")
        self.destination = host.place("collected")
        for directory in (self.way, self.destination):
            os.mkdir(directory, 0o700)
        host.fill()

    @property
    def app(self):
        return self.host.app(destination=self.destination)

    @property
    def directory(self):
        return os.path.join(self.destination, "notes")

    def made(self, **words):
        """A new backup of the host, copied to the way; gives the path of its archive there."""
        return self.send(self.host.backup(**words).backup)

    def send(self, backup):
        for path in (backup.path, os.path.join(os.path.dirname(backup.path), backup.stem + ".json")):
            shutil.copy(path, self.way)
            os.chmod(os.path.join(self.way, os.path.basename(path)), 0o644)
        return os.path.join(self.way, os.path.basename(backup.path))

    def take(self, path, **words):
        return import_backup(self.app, self.host.machine, path, **words)

    def listed(self):
        """What is listed as good, with each of them verified."""
        found = list_backups(self.directory, "notes")
        assert [backup.problem for backup in found] == [None] * len(found)
        for backup in found:
            assert self.host.verify("checksum", self.app, which=backup.id).ok
        return [backup.id for backup in found]

    def files(self):
        return sorted(os.listdir(self.directory)) if os.path.isdir(self.directory) else []


@pytest.fixture(name="collector")
def collector_of_a_host(host):
    return Collector(host)


def flip(path, position=200):
    with open(path, "r+b") as file:
        file.seek(position)
        byte = file.read(1)
        file.seek(position)
        file.write(bytes([byte[0] ^ 1]))


@pytest.mark.parametrize("move", [False, True])
def test_a_backup_is_taken_in_once(collector, move):
    path = collector.made()
    inode = os.stat(path).st_ino
    taken = collector.take(path, move=move)
    assert taken.changed and collector.listed() == [taken.backup.id]
    assert collector.files() == sorted([taken.backup.id + ".json", taken.backup.id + ".tar.zst"])
    for place, mode in ((collector.directory, 0o700), (taken.backup.path, 0o600)):
        assert stat.S_IMODE(os.stat(place).st_mode) == mode
    assert os.listdir(collector.way) == [] if move else len(os.listdir(collector.way)) == 2
    assert (os.stat(taken.backup.path).st_ino == inode) is move
    again = collector.take(path, move=move)
    assert not again.changed and again.backup.id == taken.backup.id
    assert collector.host.verify("content", collector.app).ok


def test_a_move_of_what_is_here_already_removes_the_second_one_when_the_first_is_sound(collector):
    path = collector.made()
    taken = collector.take(path).backup
    assert collector.take(path, move=True, dry_run=True).changed and os.path.exists(path)
    assert not collector.take(taken.path, move=True).changed and os.path.exists(taken.path)
    flip(taken.path)
    with pytest.raises(ArchiveError, match="is damaged"):
        collector.take(path, move=True)
    flip(taken.path)
    assert collector.take(path, move=True).changed
    assert os.listdir(collector.way) == [] and collector.listed() == [taken.id]
    assert not collector.take(path, move=True).changed


def test_it_is_in_the_audit_log_once(collector):
    path = collector.made()
    for unused in range(2):
        collector.take(path)
    with open(collector.host.place("state", "audit.jsonl"), encoding="ascii") as file:
        lines = [json.loads(line) for line in file]
    assert [(line["action"], line["result"], line["archive"]) for line in lines] == [("import", "ok", path)]


def test_a_dry_run_verifies_and_writes_nothing(collector, tree):
    path = collector.made()
    before = tree(collector.way), tree(collector.destination)
    told = collector.take(path, move=True, dry_run=True)
    assert told.changed and told.backup.path.startswith(collector.directory)
    assert (tree(collector.way), tree(collector.destination)) == before
    flip(path)
    with pytest.raises(ArchiveError, match="is damaged"):
        collector.take(path, dry_run=True)


def test_a_rolling_name_becomes_an_id(collector):
    host = collector.host
    backup = host.backup().backup
    directory = os.open(os.path.dirname(backup.path), os.O_RDONLY)
    rolled = catalog.roll(directory, os.path.dirname(backup.path), backup, "notes-03")
    os.close(directory)
    path = collector.send(rolled)
    assert os.path.basename(path) == "notes-03.tar.zst"
    taken = collector.take(path, move=True)
    assert taken.changed and collector.listed() == [backup.id]
    assert collector.files() == sorted([backup.id + ".json", backup.id + ".tar.zst"])
    assert os.listdir(collector.way) == []


def test_an_encrypted_backup_is_taken_in_by_its_digest(collector):
    identity, recipient = make_pair()
    path = collector.made(encryption={"recipients": [recipient]})
    taken = collector.take(path)
    assert taken.backup.path.endswith(".tar.zst.age") and len(collector.listed()) == 1
    assert collector.host.verify("checksum", collector.app, identity=identity).ok
    other = collector.made(encryption={"recipients": [recipient]})
    flip(other, 400)
    with pytest.raises(ArchiveError, match="its digest differs"):
        collector.take(other)
    assert collector.listed() == [taken.backup.id]


def test_what_is_damaged_is_refused_and_nothing_is_left(collector):
    good, bad = collector.made(), collector.made()
    flip(bad)
    collector.take(good)
    before = collector.files()
    for move in (False, True):
        with pytest.raises(ArchiveError, match="is damaged.*in all.*Copy it once more"):
            collector.take(bad, move=move)
        assert collector.files() == before and os.path.exists(bad) and os.stat(bad).st_nlink == 1
    os.truncate(bad, 100)
    with pytest.raises(ArchiveError, match="is not good: the archive has 100 bytes"):
        collector.take(bad)


def test_a_manifest_that_does_not_fit_is_refused(collector):
    first, second = collector.made(), collector.made()
    os.unlink(second)
    os.rename(first, second)
    os.unlink(first[:-len(".tar.zst")] + ".json")
    with pytest.raises(ArchiveError, match="is not good|is damaged"):
        collector.take(second)
    os.unlink(second[:-len(".tar.zst")] + ".json")
    with pytest.raises(ArchiveError, match="has no manifest beside it"):
        collector.take(second, move=True)
    assert collector.files() == []


def test_what_is_no_backup_of_this_app_is_refused(collector):
    path = collector.made()
    other = collector.host.app(name="other", destination=collector.destination)
    with pytest.raises(ArchiveError, match="app other.*is a backup of the app notes"):
        import_backup(other, collector.host.machine, path)
    with pytest.raises(SourceError, match="is not called as an archive"):
        collector.take(collector.host.write("uploads/a.bin"))
    for missing in ("/nonexistent/a.tar.zst", path.replace("notes-2", "notes-1")):
        with pytest.raises(SourceError, match="does not exist"):
            collector.take(missing, move=True)
    shutil.copy(path, path.replace(".zst", ".gz"))
    with pytest.raises(ArchiveError, match="is that of notes-"):
        collector.take(path.replace(".zst", ".gz"))


def test_generations_are_refused(collector):
    if shutil.which("rsync") is None:
        pytest.fail("rsync is missing")
    path = collector.made(sources=[{"type": "files", "path": "uploads", "method": "rsync"}])
    with pytest.raises(ArchiveError, match="is not good: its generation .* is missing"):
        collector.take(path)
    with pytest.raises(ArchiveError, match="generations .*method: rsync"):
        collector.take(path.replace(collector.way, collector.host.app().directory))


def test_what_is_here_already_stays(collector):
    path = collector.made()
    taken = collector.take(path).backup
    os.truncate(taken.path, 10)
    with pytest.raises(ArchiveError, match="is here already, and not good"):
        collector.take(path)
    os.unlink(os.path.join(collector.directory, taken.id + ".json"))
    with pytest.raises(AppStateError, match="is there without a manifest"):
        collector.take(path)
    assert os.path.getsize(taken.path) == 10


def test_another_backup_with_this_id_is_refused(collector):
    host = collector.host
    taken = collector.take(collector.made()).backup
    before = collector.files()
    host.time = taken.manifest.created - datetime.timedelta(seconds=1)
    other = host.place("other")
    os.mkdir(other)
    host.add_notes(5)
    backup = host.backup(destination=other).backup
    assert backup.id == taken.id
    with pytest.raises(ArchiveError, match="with another archive than"):
        collector.take(backup.path)
    assert collector.files() == before


def test_a_directory_that_is_missing_is_not_made(collector):
    path = collector.made()
    os.rmdir(collector.destination)
    with pytest.raises(SourceError, match="mount what belongs there"):
        collector.take(path)


def test_one_at_a_time(collector):
    path = collector.made()
    with AppLock(collector.host.locks, "notes"):
        with pytest.raises(LockedError):
            collector.take(path)


def test_what_others_can_write_or_name_is_copied_not_linked(collector):
    path = collector.made()
    os.chmod(path, 0o666)
    inode = os.stat(path).st_ino
    assert os.stat(collector.take(path, move=True).backup.path).st_ino != inode
    path = collector.made()
    os.link(path, path + ".second")
    assert os.stat(collector.take(path, move=True).backup.path).st_nlink == 1
    assert os.listdir(collector.way) == [os.path.basename(path) + ".second"]


def test_a_file_system_without_links_gets_a_copy(collector, monkeypatch):
    cannot_link(monkeypatch)
    path = collector.made()
    collector.take(path, move=True)
    assert len(collector.listed()) == 1 and os.listdir(collector.way) == []


def test_a_full_disk_leaves_nothing(collector, small_disk):
    collector.host.write("uploads/large.bin", os.urandom(1_500_000))
    path = collector.made()
    collector.destination = small_disk
    for move in (False, True):
        # Without root, it is a disk that cannot be written.
        with pytest.raises(SpaceError if os.geteuid() == 0 else AppStateError):
            collector.take(path, move=move)
        assert collector.files() == [] and os.path.exists(path)


@pytest.mark.parametrize("move", [False, True])
def test_a_kill_at_any_moment_lists_nothing_half_and_the_next_call_ends_it(collector, kill_at, move):
    first = collector.made()
    earlier = collector.take(first).backup.id
    paths = [os.path.join(collector.way, name) for name in os.listdir(collector.way)]
    for path in paths:
        os.unlink(path)
    backup = collector.host.backup().backup
    for directory in (collector.way, collector.directory):
        shutil.copytree(directory, directory + ".saved")
    point, killed = 1, 0
    while True:
        path = collector.send(backup)
        if not kill_at(point, lambda: collector.take(path, move=move)):
            break
        killed += 1
        assert collector.listed() in ([earlier], [backup.id, earlier]), point
        assert collector.take(path, move=move).backup.id == backup.id
        assert collector.listed() == [backup.id, earlier], point
        assert len(collector.files()) == 4, (point, collector.files())
        assert len(os.listdir(collector.way)) == (0 if move else 2), (point, os.listdir(collector.way))
        for directory in (collector.way, collector.directory):
            shutil.rmtree(directory)
            shutil.copytree(directory + ".saved", directory)
        point += STRIDE
    assert killed > 10 / STRIDE


def test_the_lookup_of_one_id_finds_rolling_names_too(collector):
    path = collector.made()
    taken = collector.take(path).backup
    directory = os.open(collector.directory, os.O_RDONLY)
    catalog.roll(directory, collector.directory, taken, "notes-03")
    os.close(directory)
    assert not collector.take(path).changed
    assert importing.catalog.find(collector.directory, "notes", taken.id).stem == "notes-03"
