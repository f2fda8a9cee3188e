# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime
import json
import os
import shutil
import subprocess

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.catalog import catalog
from ansible_collections.appstate.backup.plugins.module_utils.operations.backup import check_backup, take_backup
from ansible_collections.appstate.backup.plugins.module_utils.operations.journal import SWAPPING, Journal
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import (
    AppStateError, RestoreError, SourceError, SpaceError)


@pytest.mark.parametrize("compression, program", [("zstd", "--zstd"), ("gzip", "-z")])
def test_a_backup_is_a_plain_archive_and_its_manifest(host, compression, program):
    host.fill()
    taken = host.backup(compression=compression)
    backup = taken.backup
    assert taken.complete and taken.warnings == []
    assert backup.id == "notes-20261119T030001Z"
    assert sorted(os.listdir(host.app().directory)) == [backup.id + ".json", os.path.basename(backup.path)]
    for folder in (host.app().directory, backup.path, backup.path.replace(".tar.zst", ".json").replace(".tar.gz", ".json")):
        assert os.stat(folder).st_mode & 0o077 == 0
    listed = subprocess.run(["tar", program, "-tf", backup.path], check=True, stdout=subprocess.PIPE).stdout.decode().split("\n")
    assert listed == ["data/notes.db", "uploads/", "uploads/a.bin", "uploads/deep/", "uploads/deep/er/", "uploads/deep/er/b.bin",
                      "uploads/link", "data/settings.json", ".appstate/members.jsonl", ".appstate/manifest.json", ""]
    assert host.left() == []


def test_the_archive_can_be_extracted_by_tar_at_another_root(host, tree):
    host.fill()
    taken = host.backup()
    os.mkdir(host.place("by-hand"))
    subprocess.run(["tar", "-xf", taken.backup.path, "-C", host.place("by-hand")], check=True)
    assert host.notes(root=host.place("by-hand")) == 20
    by_hand, live = tree(host.place("by-hand")), tree(host.root)
    for path in (b"uploads/a.bin", b"uploads/deep/er/b.bin", b"uploads/link"):
        assert by_hand[path][:4] == live[path][:4]
    digest = subprocess.run(["b2sum", "-l", "256", taken.backup.path], check=True, stdout=subprocess.PIPE).stdout.split()[0].decode()
    assert taken.backup.to_dict(host.time)["digest"] == digest


def test_what_the_manifest_tells(host):
    host.fill()
    content = host.backup().backup.manifest.content
    assert (content["format"], content["app"], content["host"], content["kind"]) == (1, "notes", "host", "full")
    assert content["created"] == "2026-11-19T03:00:01Z"
    assert content["verified"]["level"] == "content"
    assert [source["path"] for source in content["sources"]] == ["data/notes.db", "uploads", "data/settings.json"]
    assert content["members"]["count"] == 8
    assert content["archive"]["size"] == os.path.getsize(host.at(host.app().directory, content["archive"]["name"]))


def test_a_live_application_is_left_as_it_is(host, tree):
    host.fill("delete")
    before = tree(host.root)
    host.backup()
    assert tree(host.root) == before


def test_two_backups_of_one_second_have_two_names(host):
    host.fill()
    times = iter([0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
    begin = host.time
    host.machine.now = lambda: begin + datetime.timedelta(seconds=next(times, 2))
    assert host.backup().backup.id != host.backup().backup.id


def test_a_clock_that_stands_still_is_told_of(host):
    host.fill()
    host.machine.now = lambda: datetime.datetime(2026, 11, 19, tzinfo=datetime.timezone.utc)
    host.backup()
    with pytest.raises(AppStateError, match="app notes: .*there is a backup of this second already. Look at the clock"):
        host.backup()


def test_something_that_cannot_be_read_makes_it_incomplete(host):
    """As the application's own user, since root reads all."""
    host.fill("delete")
    host.write("uploads/shut", mode=0)
    for path in (host.destination, host.path):
        os.chmod(path, 0o777)
    report = host.place("report")
    child = os.fork()
    if not child:
        found = os.stat(host.root)
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(found.st_gid)
            os.setuid(found.st_uid)
        taken = host.backup()
        with open(report, "w") as file:
            json.dump([taken.complete, taken.warnings, taken.backup.manifest.sources[1]["unreadable"]], file)
        os._exit(0)
    os.waitpid(child, 0)
    with open(report) as file:
        assert json.load(file) == [False, ["could not be read: uploads/shut: Permission denied"], 1]


def test_progress_is_told_in_bytes(host):
    host.fill()
    seen = []
    take_backup(host.app(), host.machine, seen.append)
    # Once when it is written, once when it is read back.
    total = host.backup().backup.manifest.bytes
    assert sum(seen) == 2 * total


def test_a_root_or_a_destination_that_is_not_there(host):
    host.fill()
    with pytest.raises(SourceError, match="app notes: .*/none: the app's root cannot be opened"):
        host.backup(root=host.place("none"))
    with pytest.raises(SourceError, match="app notes: .*/disk: the destination cannot be opened.*mount"):
        host.backup(destination=host.place("disk"))
    assert not os.path.exists(host.place("disk"))


def test_a_full_destination(host):
    host.fill()
    host.write("uploads/large", os.urandom(4 << 20))
    for compression in ("zstd", "gzip"):
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=755", "tmpfs", host.destination], check=True)
        try:
            with pytest.raises(SpaceError, match="app notes: .*no space left"):
                host.backup(compression=compression)
            assert os.listdir(host.destination) == ["notes"] and os.listdir(host.app().directory) == []
        finally:
            subprocess.run(["umount", host.destination], check=True)
    assert host.left() == []


def test_a_failure_in_the_middle_leaves_nothing(host, monkeypatch):
    host.fill()
    earlier = host.backup().backup

    def fails(count):
        raise OSError(5, "Input/output error")

    with pytest.raises(AppStateError, match="app notes: .*the backup failed: Input/output error"):
        take_backup(host.app(), host.machine, fails)
    assert sorted(os.listdir(host.app().directory)) == [earlier.id + ".json", os.path.basename(earlier.path)]
    assert host.left() == []


def test_leftovers_of_others_are_not_touched(host):
    host.fill()
    directory = host.app().directory
    os.mkdir(directory, 0o700)
    others = ["notes-20200101T000000Z.tar.gz", ".other-20200101T000000Z.tar.gz.partial", "readme.txt"]
    for name in others:
        with open(os.path.join(directory, name), "w") as file:
            file.write("not ours")
    with open(os.path.join(directory, ".notes-20200101T000000Z.tar.zst.partial"), "w") as file:
        file.write("ours")
    host.backup()
    assert set(others) < set(os.listdir(directory))
    assert ".notes-20200101T000000Z.tar.zst.partial" not in os.listdir(directory)


def test_a_directory_that_somebody_else_owns_is_not_written_to(host):
    host.fill()
    os.mkdir(host.app().directory)
    host.own(host.app().directory)
    with pytest.raises(AppStateError, match="app notes: .*belongs to user id"):
        host.backup()
    assert os.listdir(host.app().directory) == []


def test_nothing_is_written_through_a_link_that_takes_the_place_of_its_directory(host, monkeypatch):
    host.fill()
    elsewhere, own = host.place("elsewhere"), host.place("backups", "notes")
    os.mkdir(elsewhere)
    os.utime(elsewhere, (0, 0))
    real = catalog.reap_partials

    def swap_once_it_is_open(*arguments):
        real(*arguments)
        os.rename(own, own + ".kept")
        os.symlink(elsewhere, own)

    monkeypatch.setattr(catalog, "reap_partials", swap_once_it_is_open)
    host.backup()
    assert len(os.listdir(own + ".kept")) == 2
    assert (os.listdir(elsewhere), os.stat(elsewhere).st_mtime) == ([], 0)


def test_no_backup_of_a_half_restored_state(host):
    host.fill()
    host.backup()
    host.restore().stage()
    host.backup()
    journal = Journal(host.app(), host.machine, host.root)
    journal.write(phase=SWAPPING)
    for step in (host.backup, lambda: check_backup(host.app(), host.machine)):
        with pytest.raises(RestoreError, match="app notes: .*cut off in the middle. End it with .*rolled_back"):
            step()
    host.restore().roll_back()
    host.backup()


def test_a_pending_restore_does_not_hinder_a_backup_and_is_no_part_of_it(host):
    host.fill()
    sources = [{"type": "files", "path": "data"}, {"type": "sqlite", "path": "data/notes.db"}]
    host.backup(sources=sources)
    host.restore({"only": ["data/notes.db"]}, sources=sources).restore()
    taken = host.backup(sources=sources)
    assert taken.warnings == []
    listed = subprocess.run(["tar", "-tf", taken.backup.path], check=True, stdout=subprocess.PIPE).stdout
    assert b"before-restore" not in listed and b".appstate-notes" not in listed


def test_checking_writes_nothing_and_refuses_what_a_backup_refuses(host, tree):
    host.fill()
    before = tree(host.path)
    assert check_backup(host.app(), host.machine) > 0
    assert tree(host.path) == before
    shutil.rmtree(host.at("uploads"))
    with pytest.raises(SourceError, match="app notes: .*uploads: the source is missing"):
        check_backup(host.app(), host.machine)
    with pytest.raises(SourceError, match="app notes: .*the destination cannot be opened"):
        check_backup(host.app(destination=host.place("disk")), host.machine)
    with pytest.raises(SourceError, match="app notes: .*the app's root cannot be opened"):
        check_backup(host.app(root=host.place("none")), host.machine)
    with pytest.raises(SourceError, match="app notes: .*data: is not a regular file"):
        check_backup(host.app(sources=[{"type": "sqlite", "path": "data"}]), host.machine)
