# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backups that are taken apart and put together again are the same ones, but for what was to be changed."""

from __future__ import annotations

import os

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.archive.age import make_pair
from ansible_collections.appstate.backup.plugins.module_utils.catalog.catalog import backup_beside
from ansible_collections.appstate.backup.plugins.module_utils.operations.backup_copy import BackupCopy
from ansible_collections.appstate.backup.plugins.module_utils.operations.selection import select
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import ArchiveError, SpaceError
from ansible_collections.appstate.backup.plugins.module_utils.system.scratch import Scratch
from ansible_collections.appstate.backup.tests.unit.plugins.leftovers import nothing_left


@pytest.fixture
def filled(host):
    host.fill()
    return host


def put_together(host, identity=None, alter=None, tell=None, words=None):
    """The Manifest of a copy that verifies as good, whatever was changed in it."""
    app = host.app(**(words or {}))
    with nothing_left(), select(app, identity=identity) as selected, Scratch([host.path], "notes") as room:
        with BackupCopy(selected, room) as backup:
            place = room.directory()
            archive = backup.publish(place, alter and (lambda member: alter(backup, member)), tell)
        assert sorted(os.listdir(place)) == sorted([os.path.basename(archive), backup.manifest.id + ".json"])
        found = host.verify(archive=archive, app=app)
        assert found.ok, found.problems
        return backup_beside(archive).manifest


def essence(manifest):
    return {key: value for key, value in manifest.content.items() if key not in ("archive", "digest")}


def test_what_is_not_changed_is_the_same_backup_to_the_last_member(filled):
    manifest = filled.backup().backup.manifest
    assert essence(put_together(filled)) == essence(manifest)


def test_what_was_encrypted_is_not_any_more(filled):
    identity, recipient = make_pair()
    words = {"encryption": {"recipients": [recipient]}}
    manifest = filled.backup(**words).backup.manifest
    copied = put_together(filled, identity, words=words)
    told = essence(manifest)
    del told["encryption"]
    assert essence(copied) == told and not copied.archive["name"].endswith(".age")


def test_what_stood_beside_the_archive_is_in_it(filled):
    plain = filled.backup().backup.manifest
    sources = filled.sources()
    sources[1]["method"] = "rsync"
    mirrored = filled.backup(sources=sources).backup.manifest
    copied = put_together(filled, words={"sources": sources})
    assert mirrored.generations and not copied.generations
    assert copied.archived_bytes == plain.archived_bytes == mirrored.bytes and copied.content["members"]["count"] == plain.content["members"]["count"]


def test_members_can_be_left_out_replaced_and_added(filled):
    filled.backup()

    def alter(backup, member):
        if member.path == b"uploads/a.bin":
            return []
        if member.path == b"data/settings.json":
            return [(member, backup.path(b"uploads/deep/er/b.bin"))]
        return backup.unaltered(member)

    before = put_together(filled)
    after = put_together(filled, alter=alter, tell=lambda content: content["warnings"].append("changed"))
    count, size = before.content["members"]["count"], before.archived_bytes
    assert (after.content["members"]["count"], after.archived_bytes) == (count - 1, size - 3000 - len(b"{}") + len(b"b"))
    assert after.content["warnings"] == ["changed"] and before.content["warnings"] == []


def test_what_is_damaged_is_not_made_good(filled):
    path = filled.backup().backup.path
    with open(path, "r+b") as archive:
        archive.seek(4)
        flipped = archive.read(1)[0] ^ 0x10
        archive.seek(4)
        archive.write(bytes([flipped]))
    with nothing_left(), select(filled.app()) as selected, Scratch([filled.path], "notes") as room:
        with pytest.raises(ArchiveError, match="its digest differs"):
            BackupCopy(selected, room)


def test_where_there_is_no_room_for_a_copy_none_is_begun(filled, small_disk):
    filled.backup()
    with nothing_left(), select(filled.app()) as selected, Scratch([small_disk if os.geteuid() == 0 else filled.path], "notes") as room:
        if os.geteuid() != 0:
            pytest.skip("only root can mount a small disk")
        with pytest.raises(SpaceError, match="a copy of the backup"):
            BackupCopy(selected, room)
