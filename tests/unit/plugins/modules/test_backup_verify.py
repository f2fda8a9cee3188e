# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import subprocess

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.archive.age import make_pair


@pytest.mark.parametrize("level", ["presence", "checksum", "content"])
def test_a_good_backup(host, run, tree, returned, level):
    host.fill()
    backup = host.backup().backup
    before = tree(host.path)
    for check in (True, False):
        found = run.ok(app=host.described(), level=level, check=check)
        assert (found["changed"], found["verified"], found["level"], found["problems"]) == (False, True, level, [])
        assert set(returned) <= set(found) and found["backup"]["id"] == backup.id
    assert tree(host.path) == before


def test_what_is_wrong_fails_the_task_member_by_member(host, run):
    host.fill()
    backup = host.backup().backup
    with open(backup.path, "r+b") as file:
        file.seek(50)
        file.write(b"\xff\xff")
    found = run.failed(app=host.described())
    assert found["verified"] is False and found["problems"] and found["backup"]["id"] == backup.id
    assert found["msg"].startswith("app notes: %s: " % backup.path)


def test_choosing(host, run):
    host.fill()
    first, second = host.backup().backup, host.backup().backup
    assert run.ok(app=host.described(), which=first.id, level="presence")["backup"]["id"] == first.id
    assert run.ok(app=host.described(), before=first.manifest.content["created"], level="presence")["backup"]["id"] == first.id
    assert run.ok(archive=second.path)["backup"]["id"] == second.id
    assert "exclude one another" in run.failed(app=host.described(), which=first.id, archive=first.path)["msg"]
    assert "is no time" in run.failed(app=host.described(), before="yesterday")["msg"]
    assert "has no backup" in run.failed(app=host.described(), which="notes-20200101T000000Z")["msg"]


def test_the_archive_of_an_old_recipe(host, run):
    host.fill("delete")
    archive = host.place("old.tgz")
    subprocess.run(["tar", "czf", archive, "-C", host.root, "data", "uploads"], check=True)
    assert run.ok(archive=archive)["verified"] is True
    os.truncate(archive, os.path.getsize(archive) // 2)
    assert run.failed(archive=archive)["verified"] is False


def test_neither_an_app_nor_an_archive(run):
    assert "Give 'app', 'archive', or both" in run.failed()["msg"]


@pytest.fixture
def sealed(host):
    """An encrypted backup that is at a remote alone: ``(backup, identity, app)``."""
    host.fill()
    identity, recipient = make_pair()
    words = {"encryption": {"recipients": [recipient]}, "remotes": [{"name": "offsite", "remote": host.place("remote"), "host": "web1"}]}
    backup = host.backup(**words).backup
    os.makedirs(host.place("remote", "web1"))
    os.rename(host.app().directory, host.place("remote", "web1", "notes"))
    return backup, identity, host.described(**words)


def test_an_encrypted_backup_at_a_remote(host, run, tree, sealed):
    backup, identity, app = sealed
    with open(host.place("key"), "w", encoding="ascii") as file:
        file.write(identity)
    before = tree(host.path)
    for words in ({"identity": identity}, {"identity_file": host.place("key")}):
        for level in ("presence", "checksum", "content"):
            found = run.ok(app=app, remote="offsite", level=level, **words)
            assert found["verified"] and found["backup"]["id"] == backup.id and found["backup"]["encryption"] == app["encryption"]
            assert identity.split()[-1] not in json.dumps(found)
    found = run.ok(app=app, remote="offsite", level="checksum")
    assert found["verified"] and found["members"] is None
    assert tree(host.path) == before


def test_identities_that_are_refused(host, run, sealed):
    unused, identity, app = sealed
    assert "no identity was given" in run.failed(app=app, remote="offsite")["msg"]
    assert "belongs to none of the recipients" in run.failed(app=app, remote="offsite", identity=make_pair()[0])["msg"]
    assert "'identity' and 'identity_file' exclude one another" in run.failed(app=app, remote="offsite", identity=identity, identity_file="/x")["msg"]
    assert "/none: the file with the identity cannot be read" in run.failed(app=app, remote="offsite", identity_file=host.place("none"))["msg"]
