# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import subprocess

import pytest


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
