# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What goes wrong while nobody looks is seen: in the status file, the metrics, the exit status, the ping and cron's mail.

One host, one app for each misfortune, all started by cron.
"""

from __future__ import annotations

import os
import random

import pytest
from hosts.fleet import Fleet
from notebooks import METRICS, Notebook, Pings, replace_text, wait_for

SCHEDULE = "appstate.backup.schedule"
CONFIG = "/etc/appstate-backup/apps.d"
MAIL = "/var/mail/root"
# What takes cron's mail; Debian's cron hands it to whatever is installed under this name.
SENDMAIL = "#!/bin/sh\nexec cat >> %s\n" % MAIL
RED = {"full": 1, "corrupt": 1, "hanging": 1, "missing": 1, "edited": 78}
SAID = {"full": "not enough space", "corrupt": "notes.db", "hanging": "did not end within 2 s",
        "missing": "the destination cannot be", "edited": "retension"}


@pytest.fixture(scope="module", name="apps")
def misfortunes():
    with Fleet(1, cron=True) as fleet:
        (host,) = fleet
        host.write("/usr/sbin/sendmail", SENDMAIL, mode=0o755)
        host.run(["mkdir", "-p", METRICS, "/srv/small"])
        host.run(["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", "/srv/small"])
        apps = {name: Notebook(host, name).install() for name in list(RED) + ["down", "stale"]}
        with open(host.path(apps["corrupt"].database), "r+b") as stream:
            stream.seek(50_000)
            stream.write(random.Random(1).randbytes(60_000))
        pings = Pings(host)
        described = {name: notebook.app(host.address) for name, notebook in apps.items()}
        described["full"].update(destination="/srv/small", allow_network_destination=True)
        described["missing"]["destination"] = "/srv/mount"
        described["hanging"]["hooks"] = {"before": [["sleep", "3600"]], "timeout": 2}
        described["down"]["monitoring"]["ping"]["url"] = "http://%s:9/down" % host.address
        # A run that was killed left its lock file, with its number in it; nobody has that number now.
        host.write("/run/appstate-backup/stale.lock", "process 4000000\n", mode=0o600)
        os.chmod(host.path("/run/appstate-backup"), 0o700)
        fleet.write_inventory({"schedule_minute": "*", "schedule_hour": "*", "appstate_apps": list(described.values())})
        fleet.playbook(SCHEDULE).ok()
        # As when a disk is not mounted any more. Of a run in between, the metrics tell.
        host.run(["rm", "-rf", "/srv/mount"])
        replace_text(host, CONFIG + "/edited.json", '"retention"', '"retension"')
        for name in apps:
            wait_for(lambda name=name: os.path.exists(host.path(METRICS + "/appstate_backup_%s.prom" % name)), 150,
                     lambda name=name: "no metrics of %s" % name)
        for name in ("edited", "missing"):
            wait_for(lambda name=name: pings.received("/%s/fail" % name), 130, lambda: "pings: %r" % pings.received())
        for notebook in apps.values():
            notebook.pings, notebook.fleet = pings, fleet
        yield apps


@pytest.mark.parametrize("name", sorted(RED))
def test_a_failure_is_seen_everywhere(apps, name):
    app = apps[name]
    status = app.status()
    assert status["state"] == "failed" and SAID[name] in status["problem"], status
    metrics = app.metrics()
    assert metrics["last_run_success"] == 0
    # These may have had a good run before.
    assert name in ("edited", "missing") or "last_success_timestamp_seconds" not in metrics
    failures = app.pings.received("/%s/fail" % name)
    assert failures and SAID[name] in failures[-1]["body"], failures
    assert SAID[name] in app.log()
    assert SAID[name] in app.host.read("/var/lib/appstate-backup/audit.jsonl").decode()


@pytest.mark.parametrize("name", sorted(RED))
def test_cron_mails_a_failure(apps, name):
    mail = wait_for(lambda: SAID[name] in apps[name].host.read(MAIL).decode() and apps[name].host.read(MAIL).decode(), 20)
    assert "run %s >>" % name in mail


@pytest.mark.parametrize("name", sorted(RED))
def test_a_failure_ends_with_its_own_status(apps, name):
    done = wait_for(lambda: unlocked(apps[name].command("run", name)), 60)
    assert done.returncode == RED[name] and SAID[name] in done.stderr, (done.returncode, done.stderr)


def unlocked(done):
    """A command that did not meet a run of cron's."""
    return None if done.returncode == 75 else done


def test_a_failure_publishes_nothing(apps):
    for name in ("full", "corrupt", "hanging"):
        place = "/srv/small" if name == "full" else "/var/backups"
        folder = apps[name].host.path("%s/%s" % (place, name))
        left = os.listdir(folder) if os.path.isdir(folder) else []
        assert apps[name].backups(place) == [] and not [each for each in left if ".tar" in each], left


def test_a_hook_that_hangs_is_ended(apps):
    assert "sleep 3600" not in apps["hanging"].host.run(["ps", "-eo", "args", "--ppid", "1"]).stdout


def test_a_ping_that_cannot_be_sent_is_reported_and_fails_nothing(apps):
    app = apps["down"]
    status = app.status()
    assert status["state"] == "ok" and "could not be sent" in status["ping"], status
    assert app.metrics()["ping_failed"] == 1 and app.metrics()["last_run_success"] == 1
    assert app.backups() and "could not be sent" in app.log()


def test_the_lock_of_a_dead_process_holds_nobody_up(apps):
    app = apps["stale"]
    assert app.status()["state"] == "ok" and app.backups() and app.pings.received("/stale")


def test_check_names_every_failure(apps):
    done = apps["full"].command("check", "full", "corrupt", "hanging")
    assert done.returncode != 0
    for name in ("full", "corrupt", "hanging"):
        assert "app %s: the last run failed" % name in done.stdout, done.stdout


def test_without_python_the_log_says_so_and_the_ping_stays_away(apps):
    app = apps["stale"]
    python = app.host.path("/usr/bin/python3")
    os.rename(python, python + ".away")
    try:
        wait_for(lambda: "python3" in app.log() and "No such file" in app.log(), 100, app.log)
        count = len(app.pings.received("/stale"))
        wait_for(lambda: app.log().count("No such file") > 1, 100, app.log)
        assert len(app.pings.received("/stale")) == count
        mail = app.host.read(MAIL).decode()
        assert "No such file" in mail and "run stale >>" in mail
    finally:
        os.rename(python + ".away", python)
