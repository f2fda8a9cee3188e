# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The engine on a real host, killed by SIGKILL at each system call that changes what is live or published.

strace(1) delivers the signal at the chosen call; the run is repeated with the next call until it gets through. After
each kill the next run ends what was begun, and the state is wholly the old one or wholly the new one.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import time

import pytest
from hosts.collection import PLACE, collections_path
from hosts.fleet import Fleet
from hosts.packages import require
from ledgers import SCRIPTOR, SUM, Ledger, passport, rows
from trees import below, without_times

RENAMES = "rename,renameat,renameat2"
REMOVALS = "unlink,unlinkat,rmdir"
KEPT = (b"public/uploads", b"data/settings/custom.scriptor-config.php", b"data/imanager.db")
AROUND = {b".", b"data", b"data/settings", b"public"}
ENGINE = """
import json, sys
sys.path.insert(0, "/opt/collections")
from ansible_collections.appstate.backup.plugins.module_utils.app import parse_app
from ansible_collections.appstate.backup.plugins.module_utils.operations.backup import take_backup
from ansible_collections.appstate.backup.plugins.module_utils.operations.request import Request
from ansible_collections.appstate.backup.plugins.module_utils.operations.restore import Restore
from ansible_collections.appstate.backup.plugins.module_utils.system.machine import this_machine
app = parse_app(json.loads(sys.argv[2]))
if sys.argv[1] == "backup":
    take_backup(app, this_machine())
else:
    getattr(Restore(app, this_machine(), Request(app)), sys.argv[1])()
"""


class Engine:
    """The engine beside an application that stands still: killed in the midst of its writing, and backed up before."""

    def __init__(self, fleet, folder):
        self.host = fleet["host1"]
        plugins = PLACE + "/plugins/module_utils"
        shutil.copytree(collections_path(folder) + plugins, self.host.path("/opt/collections" + plugins))
        self.ledger = Ledger(self.host, SCRIPTOR).install("wal")
        self.ledger.start()
        self.ledger.wait_for_writes()
        self.run("backup")
        self.rows = passport(self.ledger.manifests()[0])["tables"]["transfers"]
        self.ledger.wait_for_writes()
        self.ledger.set_flag("hold")
        self.host.run(["kill", "-9", str(self.ledger.pid())])
        self.old = self.state()
        assert b"data/imanager.db-wal" in self.old

    def run(self, action, kill_at=None, calls=RENAMES):
        """Do one thing; with ``kill_at``, die as that call begins. Whether it got through."""
        command = ["python3", "-c", ENGINE, action, json.dumps(self.ledger.app())]
        if kill_at is not None:
            command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=" + calls, "-e",
                       "inject=%s:signal=KILL:when=%d" % (calls, kill_at)] + command
        done = self.host.run(command, check=False)
        assert done.returncode == 0 or (kill_at is not None and done.returncode in (-9, 137)), done.stderr
        return done.returncode == 0

    def killed_at_each(self, action, calls=RENAMES):
        """Do one thing over and over, killed at the first call, the second, ..., until it gets through."""
        for number in itertools.count(1):
            if self.run(action, number, calls):
                assert number > 2, "strace saw no call that could be killed"
                return
            yield number

    def state(self):
        """Everything below the root, with the times that a restore has to leave out."""
        return without_times(self.ledger.tree(), AROUND)

    def is_new(self):
        """Whether what is live is what the backup holds."""
        report = self.ledger.report()
        return (rows(report), report["sum"], report["integrity"]) == (self.rows, SUM, "ok")


@pytest.fixture(scope="module", name="engine")
def engine_on_a_host(tmp_path_factory):
    require({"strace": "strace"})
    with Fleet(1) as fleet:
        yield Engine(fleet, str(tmp_path_factory.mktemp("collections")))


def test_a_killed_restore_is_undone_or_done_by_the_next_run(engine):
    for number in engine.killed_at_each("restore"):
        if number % 2:
            engine.run("restore")
            assert engine.is_new(), number
        engine.run("roll_back")
        assert engine.state() == engine.old, number
    assert engine.is_new()
    engine.run("roll_back")
    assert engine.state() == engine.old


def test_a_killed_rollback_is_completed_by_the_next_one(engine):
    engine.run("restore")
    for number in engine.killed_at_each("roll_back"):
        engine.run("roll_back")
        assert engine.state() == engine.old, number
        engine.run("restore")
    assert engine.state() == engine.old


def test_a_killed_commit_is_completed_by_the_next_one(engine):
    engine.run("restore")
    new = below(engine.ledger.tree(), *KEPT)
    for number in itertools.chain(range(1, 12), [40, 60]):
        assert not engine.run("commit", number, RENAMES + "," + REMOVALS), number
        assert below(engine.ledger.tree(), *KEPT) == new, number
    engine.run("commit")
    now = engine.state()
    assert not [path for path in now if b".before-restore-" in path or b".appstate" in path]
    assert below(engine.ledger.tree(), *KEPT) == new


def test_a_killed_backup_is_never_listed_and_leaves_nothing(engine):
    whole = engine.ledger.published()
    for number in engine.killed_at_each("backup"):
        listed = [name for name in engine.ledger.published() if name.endswith(".json") and not name.startswith(".")]
        assert listed == [name for name in whole if name.endswith(".json")], number
    now = engine.ledger.published()
    assert len(now) == len(whole) + 2 and set(whole) <= set(now), now
    for place in ("/var/backups", "/var/backups/scriptor", "/var/lib/appstate-backup", "/opt/scriptor"):
        left = [name for name in os.listdir(engine.host.path(place)) if name.startswith(".")]
        assert not left, (place, left)


def test_a_backup_killed_while_it_writes_leaves_nothing_to_the_next(engine):
    whole = engine.ledger.published()
    process = engine.host.start(["python3", "-c", ENGINE, "backup", json.dumps(engine.ledger.app())])
    until = time.monotonic() + 20
    while engine.ledger.published() == whole:
        assert time.monotonic() < until
    process.kill()
    process.wait()
    engine.run("backup")
    now = engine.ledger.published()
    assert not [name for name in now if name.startswith(".")], now
    assert not [name for name in os.listdir(engine.host.path("/var/backups")) if name.startswith(".")]
