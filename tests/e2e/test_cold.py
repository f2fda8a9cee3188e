# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An application that is stopped for its backup, through the playbook and over ssh: its downtime, and a run that is killed."""

from __future__ import annotations

import json
import threading
import time

import pytest
from hosts.fleet import Fleet
from ledgers import PROGRAM, SCRIPTOR, SUM, Ledger, passport, rows
from notebooks import wait_for

BACKUP = "appstate.backup.backup"
# How long a stop takes that gives the test time to kill the run.
SLOW = 6


@pytest.fixture(scope="module", name="fleet")
def one_host():
    with Fleet(1) as fleet:
        yield fleet


@pytest.fixture(scope="module", name="ledger")
def ledger_that_runs(fleet):
    ledger = Ledger(fleet["host1"], SCRIPTOR).install("wal")
    ledger.start()
    ledger.wait_for_writes()
    return ledger


def runs(ledger):
    """Whether its background process is there."""
    return ledger.host.run(["kill", "-0", str(ledger.pid())], check=False).returncode == 0


def audit(ledger):
    """The audit log of its host."""
    return [json.loads(line) for line in ledger.host.read("/var/lib/appstate-backup/audit.jsonl").splitlines()]


def cold(ledger, **service):
    """How an operator describes it, to be stopped for its backup."""
    app = dict(ledger.app(), mode="cold")
    return dict(app, service=dict(app["service"], **service))


def test_it_is_stopped_and_started_and_the_downtime_is_told(fleet, ledger):
    before = ledger.pid()
    fleet.write_inventory({"appstate_apps": [cold(ledger)]})
    predicted = fleet.playbook(BACKUP, check=True).ok()
    assert "would be backed up, and stopped meanwhile" in repr(predicted.results("ansible.builtin.debug"))
    assert ledger.pid() == before
    run = fleet.playbook(BACKUP).ok()
    manifest = ledger.manifests()[-1]
    assert 0 < manifest["downtime"] < manifest["duration"]
    assert "app stopped for %.1f s" % manifest["downtime"] in repr(run.results("ansible.builtin.debug"))
    assert runs(ledger) and ledger.pid() != before
    taken = passport(manifest)["tables"]["transfers"]
    ledger.wait_for_writes()
    report = ledger.report()
    assert (report["sum"], report["integrity"]) == (SUM, "ok") and rows(report) > taken


def test_a_module_that_is_killed_keeps_nobody_waiting_and_the_app_is_started(fleet, ledger):
    stop = ["sh", "-c", "%s stop scriptor; sleep %d" % (PROGRAM, SLOW)]
    fleet.write_inventory({"appstate_apps": [cold(ledger, stop=stop)]})
    published = ledger.published()
    outcome = []
    thread = threading.Thread(target=lambda: outcome.append(fleet.playbook(BACKUP)))
    thread.start()
    wait_for(lambda: not runs(ledger), 60)
    begun = time.monotonic()
    holder = ledger.host.read("/run/appstate-backup/scriptor.lock").split()[-1].decode()
    ledger.host.run(["kill", "-9", holder])
    thread.join()
    # Ansible did not wait for the process that starts the app, which still has the stop to see through.
    assert time.monotonic() - begun < SLOW and not runs(ledger)
    assert outcome[0].returncode != 0
    (told,) = wait_for(lambda: [line for line in audit(ledger) if line["action"] == "start"], 60)
    assert told["result"] == "ok" and told["downtime"] >= SLOW
    ledger.wait_for_writes()
    fleet.write_inventory({"appstate_apps": [cold(ledger)]})
    fleet.playbook(BACKUP).ok()
    # No process that guarded a run is left, and nothing of the one that was killed.
    assert ledger.host.run(["pgrep", "-f", "backup[.]backup|AnsiballZ"], check=False).stdout == ""
    now = ledger.published()
    assert len(now) == len(published) + 2 and not [name for name in now if name.startswith(".")], now
