# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Drills of what is at a remote: in a directory and in a real object store, encrypted or not."""

from __future__ import annotations

import os
import shutil
from datetime import timedelta

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.archive.age import make_pair
from ansible_collections.appstate.backup.plugins.module_utils.catalog.remote import catalog_at
from ansible_collections.appstate.backup.plugins.module_utils.operations.copies import copy_to
from ansible_collections.appstate.backup.plugins.module_utils.operations import drill as drill_file
from ansible_collections.appstate.backup.plugins.module_utils.operations.drill import DrillRequest, drill
from ansible_collections.appstate.backup.tests.unit.plugins.leftovers import nothing_left
from ansible_collections.appstate.backup.tests.unit.plugins.object_store import SECRET, ObjectStore


class Offsite:
    """A host whose only backups are at a remote."""

    def __init__(self, host, remote, encrypted=False):
        self.host = host
        host.fill()
        self.identity, recipient = make_pair() if encrypted else (None, None)
        self.words = {"remotes": [dict({"name": "offsite", "attempts": 1}, **remote)],
                      "encryption": {"recipients": [recipient]} if encrypted else None}
        self.app = host.app(**self.words)
        self.backups = []

    def take(self):
        """One more backup there."""
        backup = self.host.backup(**self.words).backup
        assert copy_to(self.app, self.app.remote("offsite"), self.host.machine, backup).error is None
        shutil.rmtree(os.path.join(self.host.destination, "notes"))
        self.backups.append(backup)
        return backup

    def request(self, **words):
        return DrillRequest(**dict({"remote": catalog_at(self.app, "offsite", self.host.machine), "identity": self.identity}, **words))

    def drill(self, request=None, **words):
        with nothing_left():
            done = drill(self.host.app(**dict(self.words, **words)), self.host.machine, self.request(**(request or {})))
        assert self.host.left() == [] and os.listdir(self.host.destination) == []
        return done


@pytest.fixture
def directory(host):
    os.mkdir(host.place("remote"))
    return {"remote": host.place("remote")}


@pytest.fixture(params=["directory", "object store"])
def remote(request, directory):
    if request.param == "directory":
        yield directory
        return
    with ObjectStore() as store:
        yield {"remote": "s3:bucket/backups", "options": store.options()}


def outcomes(done):
    return [(case.check, case.outcome) for case in done.cases]


def failures(done):
    return [(case.check, case.message) for case in done.failed]


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
def test_a_good_backup_at_a_remote(host, remote, encrypted, tree):
    offsite = Offsite(host, remote, encrypted)
    backup = offsite.take()
    before = tree(host.root)
    done = offsite.drill(objectives={"rpo": "1h", "rto": "5m"})
    assert done.ok, done.problem
    assert [check for check, outcome in outcomes(done) if outcome == "passed"][:5] == ["rpo", "choose", "checksum", "integrity", "passport"]
    told = done.to_dict()
    assert told["remote"] == "offsite" and told["backup"]["id"] == backup.id and 0 < told["rpo_seconds"] < 60 and told["bytes"] > 3000
    assert tree(host.root) == before
    assert SECRET not in repr(told) and (offsite.identity is None or offsite.identity.split()[-1] not in repr(told))


def test_a_host_that_has_no_destination_and_never_had_the_app(host, directory, monkeypatch):
    os.mkdir(host.place("tmp"))
    monkeypatch.setattr(drill_file, "FALLBACK", host.place("tmp"))
    offsite = Offsite(host, directory)
    offsite.take()
    shutil.rmtree(host.root)
    os.rmdir(host.destination)
    done = drill(host.app(**offsite.words), host.machine, offsite.request())
    assert done.ok, done.problem
    assert not os.path.exists(host.root) and not os.path.exists(host.destination) and os.listdir(host.place("tmp")) == []


def test_no_backup_here_is_no_fault_of_those_there(host, directory):
    """Its age is that of the newest there, also where another one is restored."""
    offsite = Offsite(host, directory)
    first, second = offsite.take(), offsite.take()
    now = host.machine.now
    host.machine.now = lambda: now() + timedelta(hours=30)
    done = offsite.drill({"which": first.id}, objectives={"rpo": "26h"})
    assert failures(done)[0][0] == "rpo" and done.backup["id"] == first.id and done.restored is not None
    assert round(done.rpo / 3600, 1) == 30.0 and done.rpo < (host.machine.now() - second.manifest.created).total_seconds()


@pytest.mark.parametrize("given", ["wrong", "missing"])
def test_without_the_right_key_it_fails_and_says_why(host, remote, given):
    offsite = Offsite(host, remote, True)
    backup = offsite.take()
    done = offsite.drill({"identity": make_pair()[0] if given == "wrong" else None}, objectives={"rto": "1h"})
    assert [check for check, unused in failures(done)] == ["checksum", "rto"]
    message = failures(done)[0][1]
    assert {"wrong": "the identity does not open it: it belongs to none of the recipients",
            "missing": "is encrypted, and no identity was given"}[given] in message and os.path.basename(backup.path) in message
    assert done.problem == "app notes: drill: checksum: " + message and ("choose", "passed") in outcomes(done) and ("restore", "skipped") in outcomes(done)
    assert done.restored is None and done.bytes is None


def test_what_is_no_key_at_all(host, directory):
    offsite = Offsite(host, directory, True)
    offsite.take()
    done = offsite.drill({"identity": "AGE-SECRET-KEY-nonsense"})
    assert [check for check, unused in failures(done)] == ["checksum"] and "nonsense" not in repr(done.to_dict())


def test_damage_there_is_noticed(host, directory):
    offsite = Offsite(host, directory)
    backup = offsite.take()
    path = host.place("remote", "host", "notes", os.path.basename(backup.path))
    with open(path, "r+b") as file:
        file.seek(os.path.getsize(path) // 2)
        file.write(b"\xff\x00\xff")
    done = offsite.drill()
    assert [check for check, unused in failures(done)] == ["checksum"] and path in done.problem


def test_a_remote_that_is_not_there(host, directory):
    offsite = Offsite(host, directory)
    offsite.take()
    os.rename(host.place("remote"), host.place("away"))
    done = offsite.drill(objectives={"rpo": "26h"})
    assert [check for check, unused in failures(done)] == ["rpo", "choose"]
    assert "offsite" in done.problem and "%s does not exist" % host.place("remote") in done.problem and not os.path.exists(host.place("remote"))


def test_an_object_store_that_nobody_answers_for(host):
    with ObjectStore() as store:
        offsite = Offsite(host, {"remote": "s3:bucket/backups", "options": store.options(), "timeout": 4})
        offsite.take()
        store.stop()
        done = offsite.drill()
    assert [check for check, unused in failures(done)] == ["rpo", "choose"] and "remote offsite" in done.problem
    assert SECRET not in repr(done.to_dict())


def test_an_object_store_that_goes_in_the_middle(host):
    host.write("uploads/large.bin", os.urandom(40 << 20))
    with ObjectStore() as store:
        offsite = Offsite(host, {"remote": "s3:bucket/backups", "options": store.options(), "timeout": 5})
        offsite.take()
        read = []

        def stop(count):
            read.append(count)
            if sum(read) > 1 << 20:
                store.stop()

        done = drill(host.app(**offsite.words), host.machine, offsite.request(), stop)
    assert [check for check, unused in failures(done)] in (["checksum"], ["restore"]) and "notes" in done.problem
    assert host.left() == [] and os.listdir(host.destination) == []


def test_nobody_knows_that_remote_or_that_backup(host, directory):
    offsite = Offsite(host, directory)
    offsite.take()
    done = offsite.drill({"which": "notes-20200101T000000Z"})
    assert [check for check, unused in failures(done)] == ["choose"]
    assert done.problem.startswith("app notes: drill: choose: %s/host/notes: has no backup 'notes-20200101T000000Z'" % host.place("remote"))


def test_any_of_those_of_the_last_days_there(host, directory, monkeypatch):
    offsite = Offsite(host, directory)
    old = offsite.take()
    host.time += timedelta(days=40)
    recent = [offsite.take().id for unused in range(2)]
    offered = []
    monkeypatch.setattr(drill_file.secrets, "choice", lambda ids: offered.append(sorted(ids)) or ids[-1])
    done = offsite.drill({"which": "random", "within": "30d"})
    assert done.ok and done.backup["id"] == recent[0] and done.to_dict()["which"] == "random"
    done = offsite.drill({"which": "random"})
    assert done.ok and done.backup["id"] == old.id
    assert offered == [recent, [old.id] + recent]
    host.time += timedelta(days=40)
    done = offsite.drill({"which": "random", "within": "30d"})
    assert failures(done) == [("choose", "%s/host/notes: there is no good backup of the last 30d to choose from. See why backups fail, or choose from a "
                               "longer time." % host.place("remote"))]


def test_a_backup_of_another_host(host, directory):
    offsite = Offsite(host, directory)
    offsite.take()
    os.rename(host.place("remote", "host"), host.place("remote", "web2"))
    done = offsite.drill({"remote": catalog_at(offsite.app, "offsite", host.machine, "web2")})
    assert done.ok, done.problem
    assert [check for check, unused in failures(offsite.drill())] == ["choose"]
