# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import gzip
import hashlib
import json
import os
import pathlib
import shutil
import subprocess

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.archive.extract import RESERVE
from ansible_collections.appstate.backup.plugins.module_utils.archive.manifest import FORMAT
from ansible_collections.appstate.backup.plugins.module_utils.operations.selection import MORE_MEMBERS, select
from ansible_collections.appstate.backup.plugins.module_utils.operations.staging import Staging, predicted_plan
from ansible_collections.appstate.backup.plugins.module_utils.system import files
from ansible_collections.appstate.backup.plugins.module_utils.system.accounts import Ownership
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import (
    AppStateError, ArchiveError, ConfigurationError, DatabaseError, SchemaTooNewError, SpaceError)
from ansible_collections.appstate.backup.tests.unit.plugins import raw_tar
from ansible_collections.appstate.backup.tests.unit.plugins.exchanging import exchange_made, is_as_planted, plant_directory

NAME = ".appstate-notes.restore-0123456789abcdef"


class Stage:
    """A staging directory below a host's root."""

    def __init__(self, host, app=None):
        self._host = host
        self.root = os.open(host.root, files.DIRECTORY)
        self.staging = Staging(app or host.app(), self.root, host.root, NAME)

    def fill(self, only=(), **words):
        with select(self._host.app(), **words) as selected:
            return self.staging.fill(selected, only, Ownership())

    def close(self):
        self.staging.discard()
        os.close(self.root)


@pytest.fixture
def stage(host):
    made = Stage(host)
    yield made
    made.close()


def test_all_is_extracted_below_one_private_directory(host, stage, tree):
    host.fill("delete")
    host.backup()
    before = tree(host.root)
    plan = stage.fill()
    assert [target.path for target in plan.targets] == ["data/notes.db", "uploads", "data/settings.json"]
    assert os.stat(host.at(NAME)).st_mode & 0o777 == 0o700 and os.stat(host.at(NAME)).st_uid == os.geteuid()
    staged = tree(host.at(NAME, "tree"))
    for path in (b"uploads", b"uploads/a.bin", b"uploads/deep/er/b.bin", b"uploads/link", b"data/settings.json"):
        assert staged[path] == before[path]
    assert {path: told for path, told in tree(host.root).items() if not path.startswith(NAME.encode())} == before


def test_nothing_is_extracted_into_a_directory_that_was_put_there_meanwhile(host, stage, monkeypatch):
    """Its owner could exchange all that is in it, while root gives it to others."""
    host.fill("delete")
    host.backup()
    exchanged = exchange_made(monkeypatch, plant_directory, NAME)
    with pytest.raises(AppStateError, match="not the directory that was made"):
        stage.fill()
    assert exchanged == [host.at(NAME)] and is_as_planted(exchanged[0])
    shutil.rmtree(host.at(NAME + ".made"))


def test_only_what_was_asked_for_is_extracted(host, stage, tree):
    host.fill()
    host.backup()
    stage.fill(["uploads/deep"])
    assert sorted(path for path, told in tree(host.at(NAME, "tree")).items() if len(told) > 3) == [b"uploads/deep/er/b.bin"]


def test_a_database_of_another_content_than_the_manifest_says_is_refused(host, stage):
    """Packed anew, with a list and a manifest that fit, but for the passport."""
    host.fill("delete")
    backup = host.backup(compression="gzip").backup
    room = host.place("room")
    os.mkdir(room)
    subprocess.run(["tar", "-xf", backup.path, "-C", room], check=True)
    with open(os.path.join(room, ".appstate", "manifest.json")) as file:
        manifest = json.load(file)
    manifest["sources"][0]["passport"]["tables"]["notes"] = 21
    with open(os.path.join(room, ".appstate", "manifest.json"), "w") as file:
        file.write(json.dumps(manifest, sort_keys=True, indent=1) + "\n")
    names = subprocess.run(["tar", "-tf", backup.path], check=True, stdout=subprocess.PIPE).stdout.decode().split()
    archive = host.place("other.tar")
    subprocess.run(["tar", "--format=pax", "--no-recursion", "-cf", archive, "-C", room] + names, check=True)
    with pytest.raises(DatabaseError, match=r"app notes: data/notes.db: .*not the database that was backed up \(rows of notes"):
        stage.fill(archive=archive)


def test_a_newer_format_is_refused_and_not_guessed_at(host, stage):
    host.fill()
    backup = host.backup(compression="gzip").backup
    room = host.place("room")
    os.mkdir(room)
    subprocess.run(["tar", "-xf", backup.path, "-C", room], check=True)
    with open(os.path.join(room, ".appstate", "manifest.json"), "w") as file:
        file.write(json.dumps({"format": FORMAT + 1}))
    archive = host.place("newer.tar")
    subprocess.run(["tar", "-cf", archive, "-C", room, "data", ".appstate/members.jsonl", ".appstate/manifest.json"], check=True)
    with pytest.raises((SchemaTooNewError, ArchiveError), match="format 2.*Upgrade|format 2"):
        stage.fill(archive=archive)


def test_an_archive_of_ours_without_its_manifest_beside_it(host, stage):
    host.fill()
    backup = host.backup().backup
    alone = host.place("alone.tar.zst")
    shutil.copy(backup.path, alone)
    stage.fill(archive=alone)
    assert stage.staging.warnings == ["the archive has no manifest beside it, so damage in its padding goes unseen"]


def test_an_archive_without_a_manifest_is_read_no_further_than_there_is_room(host, stage, monkeypatch):
    """What was packed to a few kilobytes may be terabytes; this one has no end, so nobody has read it to there."""
    archive = host.place("bomb.tar")
    for headers, free_bytes, free_inodes in ((2, 1 << 40, 1), (1, RESERVE + 99, 1 << 20), (2, RESERVE + 250, 1 << 20)):
        with open(archive, "wb") as file:
            file.write(raw_tar.entry(b"uploads/a", b"x" * 100) * headers)
        with monkeypatch.context() as patched:
            patched.setattr(files, "free_bytes", lambda unused, free=free_bytes: free)
            patched.setattr(files, "free_inodes", lambda unused, free=free_inodes: free)
            with pytest.raises(SpaceError, match="more in the archive than fits there"):
                stage.fill(archive=archive)
        stage.staging.discard()


def test_a_backup_of_more_files_than_the_file_system_takes_is_refused_at_once(host, stage, monkeypatch):
    host.fill()
    host.backup()
    monkeypatch.setattr(files, "free_inodes", lambda unused: 5)
    with pytest.raises(SpaceError, match="not enough inodes for staging the restore: 8 needed, 5 free"):
        stage.fill()


def test_a_backup_is_read_no_further_than_its_manifest_says(host, monkeypatch):
    host.fill()
    backup = host.backup(compression="gzip").backup
    plain = gzip.decompress(pathlib.Path(backup.path).read_bytes())
    more = b"".join(raw_tar.entry(b"more/%d" % number) for number in range(MORE_MEMBERS + 1))
    data = gzip.compress(more + plain)
    pathlib.Path(backup.path).write_bytes(data)
    told = dict(backup.manifest.archive, size=len(data), digest=hashlib.blake2b(data, digest_size=32).hexdigest())
    manifest = pathlib.Path(backup.path[:-len(".tar.gz")] + ".json")
    manifest.write_bytes(backup.manifest.beside(told, backup.manifest.content["verified"]).to_bytes())
    with select(host.app()) as selected:
        contents = selected.read(None)
    assert contents.problems[0]["problem"] == "there is more in the archive than its manifest says"
    contents.lines.close()


def test_the_archive_of_another_app_says_so(host):
    host.fill()
    backup = host.backup().backup
    stage = Stage(host, host.app(name="other"))
    try:
        stage.fill(archive=backup.path)
        assert stage.staging.warnings == ["the archive is a backup of the app notes"]
    finally:
        stage.close()


def test_another_root_has_to_be_absolute(host):
    with pytest.raises(ConfigurationError, match="app notes: 'target_root' is not an absolute path: 'restore'"):
        host.restore({"target_root": "restore"})


def test_a_prediction_reads_the_archive_to_its_end(host, tree):
    host.fill()
    backup = host.backup().backup
    before = tree(host.path)
    with select(host.app()) as selected:
        plan = predicted_plan(host.app(), selected, ["data"])
    assert [target.path for target in plan.targets] == ["data/notes.db", "data/settings.json"]
    assert tree(host.path) == before
    with open(backup.path, "r+b") as file:
        file.seek(-10, 2)
        file.write(b"x")
    with select(host.app()) as selected:
        with pytest.raises(AppStateError, match="damaged|decompressed"):
            predicted_plan(host.app(), selected, [])
