# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import gzip
import hashlib
import os
import random
import shutil
import sqlite3
import subprocess
import tarfile

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.operations.selection import Selected
from ansible_collections.appstate.backup.plugins.module_utils.operations.verify import LEVELS
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import ArchiveError, SourceError
from ansible_collections.appstate.backup.plugins.module_utils.system.scratch import Scratch


def said(verification):
    """What is wrong, as ``member: problem``."""
    return ["%s: %s" % (item["member"], item["problem"]) for item in verification.problems]


@pytest.mark.parametrize("level", LEVELS)
def test_a_good_backup_has_no_problems(host, tree, level):
    host.fill()
    backup = host.backup().backup
    before = tree(host.path)
    for words in ({}, {"archive": backup.path}, {"app": host.app()}):
        found = host.verify(level, **words)
        assert (found.ok, found.problems, found.level) == (True, [], level)
        assert found.members == (None if level == "presence" else 8)
    assert tree(host.path) == before


def test_one_flipped_byte_in_the_archive_is_found_wherever_it_is(host):
    host.fill()
    backup = host.backup().backup
    with open(backup.path, "rb") as file:
        content = file.read()
    places = set(random.Random(7).sample(range(len(content)), 25)) | {0, 4, len(content) - 1}
    for place in sorted(places):
        with open(backup.path, "wb") as file:
            file.write(content[:place] + bytes([content[place] ^ 4]) + content[place + 1:])
        for level in ("checksum", "content"):
            assert not host.verify(level).ok, (place, level)
        with pytest.raises(ArchiveError, match="app notes: .*damaged|decompressed|cut short"):
            host.restore().restore()
    assert host.left() == []


def test_a_flipped_byte_that_no_decompressor_looks_at(host):
    host.fill()
    backup = host.backup(compression="gzip").backup
    with open(backup.path, "r+b") as file:
        file.seek(5)  # A time that nobody reads.
        file.write(b"\1")
    assert said(host.verify("checksum")) == ["None: the archive is not the one that was written (its digest differs)"]
    with pytest.raises(ArchiveError, match="app notes: .*damaged.*its digest differs"):
        host.restore().restore()


@pytest.mark.parametrize("keep", [1, 100, -600, -1])
def test_an_archive_cut_short(host, keep):
    host.fill()
    backup = host.backup().backup
    with open(backup.path, "rb") as file:
        content = file.read()[:keep]
    alone = host.place("alone.tar.zst")
    with open(alone, "wb") as file:
        file.write(content)
    assert not host.verify("checksum", archive=alone).ok
    assert not host.verify("content", archive=alone).ok


def repacked(host, change):
    """The newest backup's archive, changed and packed again, with nothing beside it."""
    backup = host.backup(compression="gzip").backup
    room = host.place("repacked")
    os.mkdir(room)
    subprocess.run(["tar", "-xf", backup.path, "-C", room], check=True)
    names = subprocess.run(["tar", "-tf", backup.path], check=True, stdout=subprocess.PIPE).stdout.decode().split()
    names = change(room, names) or names
    archive = host.place("changed.tar")
    subprocess.run(["tar", "--format=pax", "--no-recursion", "-cf", archive, "-C", room] + names, check=True)
    return archive


def test_problems_name_their_members(host):
    host.fill()

    def change(room, names):
        with open(os.path.join(room, "uploads", "a.bin"), "r+b") as file:
            file.write(b"X")
        with open(os.path.join(room, "data", "settings.json"), "ab") as file:
            file.write(b"more")
        os.chmod(os.path.join(room, "uploads", "deep"), 0o700)

    found = said(host.verify("checksum", archive=repacked(host, change)))
    assert "uploads/a.bin: has other content than was backed up (its digest differs)" in found
    assert "data/settings.json: has 6 bytes, and the list says 2" in found
    assert "uploads/deep: has another mode than the list says" in found


def test_a_member_that_is_missing_or_too_many(host):
    host.fill()
    archive = repacked(host, lambda room, names: [name for name in names if name != "uploads/a.bin"])
    assert any("uploads/a.bin" in item for item in said(host.verify("checksum", archive=archive)))


def test_the_database_of_an_old_archive_is_examined(host):
    host.database(rows=400, journal="delete")
    archive = host.place("old.tgz")

    def pack():
        subprocess.run(["tar", "-czf", archive, "-C", host.root, "data"], check=True)

    pack()
    assert host.verify(archive=archive).ok
    with open(host.at("data/notes.db"), "r+b") as file:
        file.seek(2 * 4096)
        file.write(b"\xff" * 600)
    pack()
    assert host.verify("checksum", archive=archive).ok
    found = said(host.verify("content", archive=archive))
    assert len(found) == 1 and found[0].startswith("data/notes.db: the database is corrupt")


def test_assertions_are_asked_where_an_app_is_given(host):
    host.fill()
    backup = host.backup().backup
    sources = [dict(source, assertions=[{"sql": "SELECT count(*) FROM notes", "min": 1000}]) if source["type"] == "sqlite"
               else source for source in host.sources()]
    assert host.verify("content", archive=backup.path).ok
    found = host.verify("content", app=host.app(sources=sources))
    assert len(found.problems) == 1 and found.problems[0]["member"] == "data/notes.db"
    assert found.problems[0]["problem"].startswith("an assertion does not hold")


def test_an_archive_without_a_list_whose_manifest_lies_beside_it(host):
    """Its digest is right, and nothing in it tells what its members have to be."""
    host.fill()
    backup = host.backup(compression="gzip").backup
    with tarfile.open(backup.path) as archive, tarfile.open(host.place("bare.tar.gz"), "w:gz", format=tarfile.PAX_FORMAT) as bare:
        for info in archive:
            if not info.name.startswith(".appstate/"):
                bare.addfile(info, archive.extractfile(info) if info.isreg() else None)
    os.replace(host.place("bare.tar.gz"), backup.path)
    with open(backup.path, "rb") as file:
        data = file.read()
    told = dict(backup.manifest.archive, size=len(data), digest=hashlib.blake2b(data, digest_size=32).hexdigest())
    with open(backup.path[:-len(".tar.gz")] + ".json", "wb") as file:
        file.write(backup.manifest.beside(told, backup.manifest.content["verified"]).to_bytes())
    for level in ("checksum", "content"):
        assert said(host.verify(level)) == [
            "None: a manifest lies beside the archive, and in it there is neither one nor a list of members"]
    with pytest.raises(ArchiveError, match="neither one nor a list of members"):
        host.restore().validate()


@pytest.mark.parametrize("level", ["checksum", "content"])
def test_a_bare_database_that_is_cut_or_corrupt(host, level):
    host.database(rows=400, journal="delete")
    whole = host.place("whole.db.gz")
    with open(host.at("data/notes.db"), "rb") as source, gzip.open(whole, "wb") as target:
        shutil.copyfileobj(source, target)
    assert host.verify(level, archive=whole).ok
    os.truncate(whole, os.path.getsize(whole) - 30)
    assert len(host.verify(level, archive=whole).problems) == 1
    plain = host.place("plain.db")
    shutil.copy(host.at("data/notes.db"), plain)
    os.truncate(plain, 2 * 4096)
    assert host.verify("content", archive=plain).ok is False


@pytest.mark.parametrize("content", [b"", b"text\n" * 500, b"\0" * 2048])
def test_a_file_that_is_nothing_to_restore_from(host, content):
    path = host.place("file")
    with open(path, "wb") as file:
        file.write(content)
    for level in LEVELS:
        assert not host.verify(level, archive=path).ok


def test_damage_that_no_digest_of_the_archive_shows(host):
    """Somebody packs a backup anew, its list and manifest too, with a database of another content."""
    host.fill("delete")
    connection = sqlite3.connect(host.at("data/notes.db"))
    connection.execute("VACUUM")
    connection.close()

    def change(room, names):
        other = sqlite3.connect(os.path.join(room, "data", "notes.db"))
        other.execute("DELETE FROM notes WHERE id = 1")
        other.commit()
        other.close()

    found = said(host.verify("content", archive=repacked(host, change)))
    assert found == ["data/notes.db: has other content than was backed up (its digest differs)"]


def test_leftovers_of_killed_verifications_are_reaped(host, kill_at):
    host.fill()
    host.backup()
    directory = host.app().directory
    names = sorted(os.listdir(directory))
    for point in (2, 4, 6):
        assert kill_at(point, host.verify)
    assert host.verify().ok
    assert sorted(os.listdir(directory)) == names


def test_what_the_system_refuses_is_an_error_that_names_the_archive(host, monkeypatch):
    host.fill()
    path = host.backup().backup.path

    def gone(*unused, **words):
        raise FileNotFoundError(2, "No such file or directory", "/somewhere")

    monkeypatch.setattr(Selected, "read", gone)
    with pytest.raises(SourceError, match="cannot be verified: No such file or directory") as raised:
        host.verify()
    assert raised.value.path == path


def test_a_verification_writes_nothing_through_a_link_that_takes_the_place_of_its_room(host, monkeypatch):
    host.fill()
    host.backup()
    elsewhere = host.place("elsewhere")
    os.mkdir(elsewhere)
    os.utime(elsewhere, (0, 0))
    real = Scratch.seal

    def swap_once_it_is_open(room):
        real(room)
        os.rename(room.path, room.path + ".kept")
        os.symlink(elsewhere, room.path)

    monkeypatch.setattr(Scratch, "seal", swap_once_it_is_open)
    assert host.verify().ok
    assert (os.listdir(elsewhere), os.stat(elsewhere).st_mtime) == ([], 0)
