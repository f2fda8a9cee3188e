# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A tree of uploads that rsync mirrors in generations, through the playbooks: backup, damage, restore."""

from __future__ import annotations

import os
import pwd
import shutil

import pytest
from hosts.fleet import Fleet
from trees import make_uploads, tree

ROOT = "/srv/gallery"
APP = {"name": "gallery", "root": ROOT, "destination": "/var/backups", "retention": {"keep_last": 2},
       "sources": [{"type": "sqlite", "path": "gallery.db"},
                   {"type": "files", "path": "blobs", "method": "rsync", "exclude": ["*.part"]}]}
TABLE = "CREATE TABLE blobs (name); INSERT INTO blobs VALUES ('video.mp4')"
BACKUP, RESTORE = "appstate.backup.backup", "appstate.backup.restore"


@pytest.fixture(scope="module", name="gallery")
def gallery_on_a_host():
    with Fleet(1) as fleet:
        host = fleet["host1"]
        fleet.write_inventory({"appstate_apps": [APP]})
        owner = pwd.getpwnam("www-data")
        host.run(["install", "-d", "-o", "www-data", "-g", "www-data", ROOT, ROOT + "/blobs"])
        host.run(["sqlite3", ROOT + "/gallery.db", TABLE], user="www-data")
        make_uploads(host.path(ROOT + "/blobs"), owner.pw_uid, owner.pw_gid)
        yield fleet, host


def taken(fleet):
    """The id of a new backup, and its generation."""
    (result,) = fleet.playbook(BACKUP).ok().results("appstate.backup.backup")[-1]["results"]
    (told,) = [source for source in result["backup"]["sources"] if source["path"] == "blobs"]
    return result["backup"]["id"], told["generation"]


def test_generations_are_shared_restored_and_pruned(gallery):
    fleet, host = gallery
    blobs, backups = host.path(ROOT + "/blobs"), host.path("/var/backups/gallery")
    before = {path: entry for path, entry in tree(blobs).items() if path != b"draft.part"}
    first, generation = taken(fleet)
    assert taken(fleet)[1] == generation
    assert tree(os.path.join(backups, generation, "files")) == before

    shutil.rmtree(os.path.join(blobs, "many"))
    with open(os.path.join(blobs, "video.mp4"), "ab") as stream:
        stream.write(b"damage")
    latest, damaged = taken(fleet)
    shared = os.path.join("files", "report final.txt")
    assert os.path.samefile(os.path.join(backups, generation, shared), os.path.join(backups, damaged, shared))
    assert sorted(name for name in os.listdir(backups) if name.endswith(".tree")) == [generation, damaged]
    assert not os.path.exists(os.path.join(backups, first + ".json")), "two are kept"

    (listed,) = fleet.module("appstate.backup.backup_info", {"app": APP}).ok().results("appstate.backup.backup_info")
    second = listed["backups"][-1]["id"]
    assert [backup["id"] for backup in listed["backups"]] == [latest, second]
    fleet.playbook(RESTORE, {"restore_app": "gallery", "restore_which": second, "restore_commit": True}).ok()
    assert tree(blobs) == before

    shutil.rmtree(os.path.join(backups, generation))
    (listed,) = fleet.module("appstate.backup.backup_info", {"app": APP}).ok().results("appstate.backup.backup_info")
    assert [backup["problem"] for backup in listed["backups"]] == [None, "its generation %s is missing" % generation]
    assert fleet.module("appstate.backup.backup_verify", {"app": APP}).ok()
