# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Drills that are killed before their first, second, third … step: live state is as it was to the inode, and the next
drill takes away what they left."""

from __future__ import annotations

import json
import os
import shutil
import time

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.monitor.drills import Drills
from ansible_collections.appstate.backup.plugins.module_utils.operations import drill as drill_file
from ansible_collections.appstate.backup.plugins.module_utils.operations.drill import DrillRequest
from ansible_collections.appstate.backup.plugins.module_utils.operations.drill_run import run_drill
from ansible_collections.appstate.backup.tests.unit.plugins.form import sampled
from ansible_collections.appstate.backup.tests.unit.plugins.leftovers import children

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start an app apart from the live one")
STRIDE = sampled(7)


def everything(top):
    """All that a file system knows of a tree, its inodes' own times among them."""
    found = {}
    for folder, folders, names in os.walk(top):
        for name in [""] + folders + names:
            path = os.path.join(folder, name)
            seen = os.lstat(path)
            found[path] = (seen.st_ino, seen.st_mode, seen.st_uid, seen.st_gid, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_nlink)
    return found


def drill(host, **words):
    monitoring = {"metrics_directory": host.place("metrics"), "syslog": False}
    told = dict({"monitoring": monitoring}, **words.pop("drill", {}))
    return run_drill(host.app(drill=told, **words), host.machine, DrillRequest())


def killed_everywhere(host, kill_at, after, stride=STRIDE, **words):
    """Kills at many steps, with what ``after`` has to say of each; gives how many there were."""
    before = everything(host.root), everything(os.path.join(host.destination, "notes"))
    point = 1
    while kill_at(point, lambda: drill(host, **words)):
        assert (everything(host.root), everything(os.path.join(host.destination, "notes"))) == before, point
        after(point)
        point += stride
    return point


@pytest.fixture
def filled(host):
    host.fill()
    host.backup()
    os.mkdir(host.place("metrics"))
    return host


def test_live_state_is_untouched_and_the_next_drill_takes_all_away(filled, kill_at):
    def after(point):
        held = filled.left()
        assert all(os.path.dirname(path) == filled.destination or ".drill.scratch-" in path or path.startswith(filled.state)
                   for path in held), (point, held)
        if point % 4 == 1:
            done = drill(filled)
            assert done.ok and filled.left() == [] and os.listdir(filled.destination) == ["notes"], (point, done.problem, filled.left())
            records = Drills(filled.state, "notes").records
            assert records[-1] == json.loads(json.dumps(done.to_dict())), point

    assert killed_everywhere(filled, kill_at, after) > 60
    assert drill(filled).ok and filled.left() == [] and os.listdir(filled.destination) == ["notes"]
    assert os.listdir(filled.place("metrics")) == ["appstate_backup_notes.drill.prom"]


@ROOT
def test_nothing_of_a_place_that_was_made_for_the_application_stays(filled, kill_at, monkeypatch):
    """A host that has never had it: the directory where its state is seen comes and goes."""
    monkeypatch.setattr(drill_file, "SETTLED", 0.05)
    root = filled.place("elsewhere", "deep", "notes")
    words = {"root": root, "drill": {"boot": {"argv": ["sleep", "300"]}}}

    def after(point):
        until = time.monotonic() + 5
        while os.path.exists(filled.place("elsewhere")) and time.monotonic() < until:
            time.sleep(0.005)
        assert not os.path.exists(filled.place("elsewhere")), point

    # The moments at which it is there are few.
    killed_everywhere(filled, kill_at, after, 1, **words)
    before = children()
    assert drill(filled, **words).ok and not os.path.exists(filled.place("elsewhere")) and filled.left() == [] and children() == before


def test_a_place_of_its_own_for_scratch_is_emptied_too(filled, kill_at):
    scratch = filled.place("scratch")
    os.mkdir(scratch)
    killed_everywhere(filled, kill_at, lambda unused: None, 4 * STRIDE, drill={"scratch": scratch})
    assert drill(filled, drill={"scratch": scratch}).ok and os.listdir(scratch) == []
    shutil.rmtree(scratch)
    done = drill(filled, drill={"scratch": scratch})
    assert not done.ok and "%s: there is no place for temporary files" % scratch in done.problem
