# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import shutil


def test_backups_are_listed_newest_first(host, run, tree, returned):
    assert run.ok(app=host.described()) == {"changed": False, "backups": []}
    host.fill()
    first, second = host.backup().backup, host.backup().backup
    before = tree(host.path)
    for check in (True, False):
        listed = run.ok(app=host.described(), check=check)
        assert not listed["changed"] and set(returned) <= set(listed)
        assert [(backup["id"], backup["good"], backup["problem"]) for backup in listed["backups"]] == [
            (second.id, True, None), (first.id, True, None)]
    assert tree(host.path) == before
    told = listed["backups"][0]
    assert told["size"] == os.path.getsize(second.path) and told["path"] == second.path
    assert isinstance(told["age_seconds"], int) and told["created"] == second.manifest.content["created"]
    assert told["verified"]["level"] == "content" and told["host"] == "host"
    assert told["sources"][0]["passport"]["tables"] == {"notes": 20}


def test_what_is_not_good_says_why(host, run):
    host.fill()
    first, second = host.backup().backup, host.backup().backup
    os.unlink(second.path)
    listed = run.ok(app=host.described())["backups"]
    assert [(backup["id"], backup["good"], backup["problem"]) for backup in listed] == [
        (first.id, True, None), (second.id, False, "the archive is missing")]


def test_one_archive(host, run):
    host.fill()
    backup = host.backup().backup
    alone = host.place("alone.tar.zst")
    shutil.copy(backup.path, alone)
    assert run.ok(archive=backup.path)["backups"][0]["good"] is True
    told = run.ok(archive=alone, app=host.described(destination=None))["backups"]
    assert len(told) == 1 and told[0]["good"] is None and told[0]["id"] == "alone.tar.zst"


def test_bad_input(host, run):
    assert run.failed()["msg"] == "neither an app nor an archive is given. Give 'app', 'archive', or both."
    assert "app notes: " in run.failed(app=host.described(name="notes", destination="x"))["msg"]
    assert "/none.tgz" in run.failed(archive=host.place("none.tgz"))["msg"]


def test_what_is_at_a_remote(host, run, tree):
    host.fill()
    backup = host.backup().backup
    os.makedirs(host.place("remote", "web1"))
    shutil.move(host.app().directory, host.place("remote", "web1", "notes"))
    remotes = {"remotes": [{"name": "offsite", "remote": host.place("remote"), "host": "web1"}, {"name": "other", "remote": host.place("remote")}]}
    before = tree(host.path)
    for app in (host.described(**remotes), host.described(destination=None, **remotes)):
        told, = run.ok(app=app, remote="offsite")["backups"]
        assert (told["id"], told["good"], told["encryption"]) == (backup.id, True, None)
        assert told["path"] == host.place("remote", "web1", "notes", os.path.basename(backup.path))
    assert run.ok(app=host.described(**remotes), remote="other", remote_host="web1")["backups"][0]["id"] == backup.id
    assert run.ok(app=host.described(**remotes), remote="other", remote_host="web2")["backups"] == []
    assert run.ok(app=host.described(**remotes))["backups"] == [] and tree(host.path) == before
    assert "has no remote 'x'. Its remotes are: offsite, other" in run.failed(app=host.described(**remotes), remote="x")["msg"]
    assert "is no name of a host" in run.failed(app=host.described(**remotes), remote="other", remote_host="../x")["msg"]
    assert "Name the remote, too" in run.failed(app=host.described(**remotes), remote_host="web1")["msg"]
    assert "Give the app, too" in run.failed(archive=backup.path, remote="offsite")["msg"]
    assert "'archive' and 'remote' exclude one another" in run.failed(app=host.described(**remotes), archive=backup.path, remote="other")["msg"]
