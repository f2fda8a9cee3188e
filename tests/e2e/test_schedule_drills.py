# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Drills that nobody starts by hand: one host with cron, one with systemd, and one where they are not root's.

One story, told in order: backups without drills, one of which is damaged unseen, drills every minute, some apps without
them, and all of it taken away.
"""

from __future__ import annotations

import json
import os

import pytest
from hosts.fleet import Fleet
from notebooks import METRICS, PORT, Notebook, Pings, wait_for

SCHEDULE = "appstate.backup.schedule"
OWNER = "www-data"
STATE, OWN_STATE = "/var/lib/appstate-backup", "/var/lib/papers-state"
BACKUPS = "/srv/backups"
LOGS = "/var/log/appstate-backup"
UNITS = "/etc/systemd/system"
DRILL_METRICS = "/var/lib/node_exporter_of_drills"
MAIL = "/var/mail/root"
# What takes cron's mail; Debian's cron hands it to whatever is installed under this name.
SENDMAIL = "#!/bin/sh\nexec cat >> %s\n" % MAIL
# Backups are made by hand, so that a test knows which there are.
NEVER = {"minute": 0, "hour": 0, "day": 1, "month": 1}
EACH_MINUTE = {"minute": "*", "hour": "*"}
# A backup goes on for as long as this is there.
HOLD = "/var/tmp/hold"
HELD = {"before": [["sh", "-c", "while [ -e %s ]; do sleep 0.1; done" % HOLD]]}
# A program that leaves another one behind, which has left its session.
LEAVES = {"argv": ["sh", "-c", "setsid sleep 4242 & exec sleep 4243"], "isolated": False}
GUARDED = "rehearsal.service"
NEVER_WELL = {"url": "http://127.0.0.1:9/", "retries": 100}
DRILLS = {"notes": {"schedule": EACH_MINUTE}, "damaged": {"schedule": EACH_MINUTE}, "papers": {"schedule": EACH_MINUTE},
          "sketches": {"schedule": EACH_MINUTE, "boot": LEAVES},
          "guarded": {"schedule": NEVER, "boot": {"unit": GUARDED}, "health": NEVER_WELL}}


class Story:
    """The fleet and its applications."""

    def __init__(self, fleet):
        self.fleet = fleet
        self.cron, self.timer, self.other = fleet.hosts
        self.pings = Pings(self.cron)
        self.apps = {"notes": Notebook(self.cron, "notes"), "damaged": Notebook(self.cron, "damaged"),
                     "sketches": Notebook(self.timer, "sketches"), "guarded": Notebook(self.timer, "guarded"),
                     "papers": Notebook(self.other, "papers", OWNER)}

    def write_inventory(self, drills):
        """Host variables; ``drills`` has how apps are drilled, from their names on."""
        each = {host.name: {"appstate_apps": []} for host in self.fleet}
        for name, notebook in self.apps.items():
            each[notebook.host.name]["appstate_apps"].append(self.described(notebook, drills.get(name)))
        each["host2"]["schedule_backend"] = "systemd"
        each["host3"].update(schedule_user=OWNER, schedule_group=OWNER, appstate_state_directory=OWN_STATE,
                             appstate_lock_directory=OWN_STATE + "/locks")
        self.fleet.write_inventory({}, each)

    def described(self, notebook, drill):
        """An app whose drills have their own ping and metrics."""
        told = notebook.app(self.cron.address, destination=BACKUPS, schedule=NEVER, hooks=HELD, objectives={"rpo": "2h"})
        if drill is not None:
            ping = {"url": "http://%s:%d/drill-of-%s" % (self.cron.address, PORT, notebook.name), "attempts": 1}
            told["drill"] = dict(drill, monitoring={"ping": ping, "metrics_directory": DRILL_METRICS})
        return told

    def back_up(self, name):
        """The command's own run, by hand."""
        words = ["--state-directory", OWN_STATE, "--lock-directory", OWN_STATE + "/locks"] if name == "papers" else []
        notebook = self.apps[name]
        notebook.host.run(["appstate-backup"] + words + ["run", name], user=OWNER if name == "papers" else None)

    def hold(self, host, command):
        """Start a run that takes its backup only when ``HOLD`` has gone."""
        host.write(HOLD, "")
        process = host.start(command)
        wait_for(lambda: HOLD in host.run(["ps", "-eo", "args"]).stdout, 20)
        return process

    def records(self, name):
        """What the host remembers of an app's drills."""
        path = "%s/drills/%s.json" % (OWN_STATE if name == "papers" else STATE, name)
        return json.loads(self.apps[name].host.read(path))["drills"]

    def metrics(self, name):
        """The metrics of its drills, from name without prefix to number."""
        text = self.apps[name].host.read("%s/appstate_backup_%s.drill.prom" % (DRILL_METRICS, name)).decode()
        samples = [line.split() for line in text.splitlines() if not line.startswith("#")]
        return {label[len("appstate_backup_drill_"):label.index("{")]: float(value) for label, value in samples}

    def log(self, name):
        """What its drills have said."""
        return self.apps[name].host.read("%s/%s.drill.log" % (LOGS, name)).decode()

    def damage(self, name):
        """One bit of its newest archive flips, as on a disk that grows old."""
        folder = self.apps[name].host.path("%s/%s" % (BACKUPS, name))
        (archive,) = [each for each in os.listdir(folder) if ".tar" in each]
        with open(os.path.join(folder, archive), "r+b") as stream:
            stream.seek(os.fstat(stream.fileno()).st_size // 2)
            byte = stream.read(1)[0]
            stream.seek(-1, os.SEEK_CUR)
            stream.write(bytes([byte ^ 4]))


@pytest.fixture(scope="module", name="story")
def three_hosts():
    with Fleet(3, cron=True, systemd=["host2"]) as fleet:
        story = Story(fleet)
        story.cron.write("/usr/sbin/sendmail", SENDMAIL, mode=0o755)
        story.timer.write("%s/%s" % (UNITS, GUARDED), "[Service]\nExecStart=sleep 4244\n")
        for host in fleet:
            # A host is laid over the outer machine, on which somebody may have drilled.
            host.run(["rm", "-rf", STATE])
            host.run(["install", "-d", "-o", OWNER, METRICS, DRILL_METRICS])
        for notebook in story.apps.values():
            notebook.install()
        yield story


@pytest.fixture(scope="module", name="held")
def backups_without_drills(story):
    story.write_inventory({})
    story.fleet.playbook(SCHEDULE).ok()
    for name in story.apps:
        story.back_up(name)
    for host in story.fleet:
        assert "drill" not in installed(story, host)
    story.damage("damaged")
    return story.hold(story.cron, ["appstate-backup", "run", "notes"])


@pytest.fixture(scope="module", name="drilled")
def drills_that_nobody_started(story, held):
    story.write_inventory(DRILLS)
    story.fleet.playbook(SCHEDULE).ok()
    for name in ("notes", "sketches", "papers", "damaged/fail"):
        wait_for(lambda path="/drill-of-" + name: story.pings.received(path), 150,
                 lambda path="/drill-of-" + name: "no %s in %r" % (path, story.pings.received()))
    return held


def installed(story, host):
    """All that has a host start something."""
    if host is story.timer:
        return host.run(["sh", "-c", "ls %s; systemctl list-timers --all" % UNITS]).stdout
    return host.run(["sh", "-c", "cat /etc/cron.d/appstate-backup-*"]).stdout


def started(story, unit):
    """What systemd says of a unit."""
    return story.timer.run(["systemctl", "is-active", unit], check=False).stdout.strip()


def test_a_drill_goes_on_while_a_backup_is_made(story, drilled):
    assert drilled.poll() is None and story.records("notes")[0]["ok"]
    os.unlink(story.cron.path(HOLD))
    assert drilled.wait(30) == 0 and len(story.apps["notes"].backups(BACKUPS)) == 2


@pytest.mark.parametrize("name", ["notes", "sketches", "papers"])
def test_a_drill_that_went_well_is_told_everywhere(story, drilled, name):
    host, backup, record = story.apps[name].host, story.apps[name].backups(BACKUPS)[0], story.records(name)[0]
    assert (record["ok"], record["problem"], record["backup"]["id"], record["host"]) == (True, None, backup, host.name)
    assert {"checksum", "integrity", "restore", "rpo", "ping"} <= {case["check"] for case in record["cases"]}
    metrics = story.metrics(name)
    assert (metrics["last_success"], metrics["checks_failed"], metrics["rpo_objective_seconds"]) == (1, 0, 7200)
    said = "drill of %s: " % backup
    assert said in story.log(name)
    assert story.pings.received("/drill-of-%s/start" % name)
    (first, *_more) = story.pings.received("/drill-of-" + name)
    assert first["from"] == host.address and said in first["body"]
    assert not story.pings.received("/drill-of-%s/fail" % name)


def test_a_damaged_backup_turns_the_drill_red_and_not_the_backup(story, drilled):
    app, record = story.apps["damaged"], story.records("damaged")[0]
    assert [case["check"] for case in record["cases"] if case["outcome"] == "failed"] == ["checksum"]
    said = "drill of %s: FAILED" % app.backups(BACKUPS)[0]
    assert said in story.log("damaged")
    assert story.metrics("damaged")["last_success"] == 0 and story.metrics("damaged")["checks_failed"] == 1
    (first, *_more) = story.pings.received("/drill-of-damaged/fail")
    assert said in first["body"] and "checksum" in first["body"] and not story.pings.received("/drill-of-damaged")
    mail = wait_for(lambda: os.path.exists(app.host.path(MAIL)) and app.host.read(MAIL).decode(), 20)
    assert "drill damaged >>" in mail and said in mail
    assert "app damaged: the last drill failed: " in app.command("check", "damaged").stdout
    # Of its backup, all that was told is that it went well.
    assert app.status()["state"] == "ok" and app.metrics()["last_run_success"] == 1
    assert story.pings.received("/damaged") and not story.pings.received("/damaged/fail") and "run damaged >>" not in mail


def test_what_an_application_leaves_behind_ends_with_its_drill(story, drilled):
    service = "appstate-backup-sketches.drill.service"
    assert story.timer.run(["systemctl", "show", "-P", "LastTriggerUSec", service.replace(".service", ".timer")]).stdout != "\n"
    story.timer.run(["systemctl", "stop", service.replace(".service", ".timer")])
    wait_for(lambda: started(story, service) == "inactive", 60)
    assert not [line for line in story.timer.run(["ps", "-eo", "args"]).stdout.splitlines() if line in ("sleep 4242", "sleep 4243")]
    story.timer.run(["systemctl", "start", service.replace(".service", ".timer")])


def test_a_timer_has_a_drill_wait_for_a_backup_that_is_due_too(story, drilled):
    drill = "appstate-backup-guarded.drill.service"
    assert story.hold(story.timer, ["systemctl", "start", "--no-block", "appstate-backup-guarded.service"]).wait(30) == 0
    story.timer.run(["systemctl", "start", "--no-block", drill])
    jobs = story.timer.run(["systemctl", "list-jobs", "--no-legend"]).stdout
    os.unlink(story.timer.path(HOLD))
    (waiting,) = [line for line in jobs.splitlines() if drill in line]
    assert "waiting" in waiting
    wait_for(lambda: started(story, GUARDED) == "active", 30, lambda: story.timer.run(["systemctl", "status", drill], check=False).stdout)
    assert len(story.apps["guarded"].backups(BACKUPS)) == 2


def test_a_drill_that_is_killed_leaves_no_service_behind(story, drilled):
    drill = "appstate-backup-guarded.drill.service"
    assert (started(story, GUARDED), started(story, drill)) == ("active", "activating")
    story.timer.run(["systemctl", "kill", "--kill-who=main", "--signal=KILL", drill])
    wait_for(lambda: started(story, drill) == "failed", 30)
    assert started(story, GUARDED) == "inactive" and drill in story.timer.run(["systemctl", "--failed"]).stdout
    assert not os.path.exists(story.timer.path("/run/systemd/system/%s.d" % GUARDED))


def changes(run):
    """The tasks that changed something, or would."""
    return [(event["host"], event["task"]) for event in run.events if event["result"].get("changed")]


def test_a_second_run_changes_nothing(story, drilled):
    assert changes(story.fleet.playbook(SCHEDULE).ok()) == []


def test_an_app_that_asks_for_it_no_more_is_only_backed_up(story, drilled):
    story.write_inventory({name: dict(DRILLS[name], schedule=NEVER) for name in ("damaged", "guarded", "papers")})
    foretold = {task.rpartition(" : ")[2] for _host, task in changes(story.fleet.playbook(SCHEDULE, check=True, limit="host2").ok())}
    assert {"Stop the timers", "Remove the timers and their services"} <= foretold
    before = {host.name: installed(story, host) for host in story.fleet}
    assert " drill notes " in before["host1"] and "appstate-backup-sketches.drill.timer" in before["host2"]
    story.fleet.playbook(SCHEDULE).ok()
    after = {host.name: installed(story, host) for host in story.fleet}
    assert " run notes " in after["host1"] and " drill notes " not in after["host1"] and " drill damaged " in after["host1"]
    assert "sketches.drill" not in after["host2"] and "guarded.drill" in after["host2"]
    assert started(story, "appstate-backup-sketches.timer") == "active"
    assert story.records("notes") and story.records("sketches")


def test_absent_takes_all_of_it_away(story, drilled):
    story.fleet.playbook(SCHEDULE, {"schedule_state": "absent"}).ok()
    for host in story.fleet:
        left = [path for folder in (METRICS, DRILL_METRICS, "/etc/cron.d", UNITS) for path in os.listdir(host.path(folder))]
        assert not [path for path in left if path.startswith("appstate")]
        for path in (LOGS, STATE + "/drills", OWN_STATE + "/drills"):
            assert not os.path.exists(host.path(path)), (host, path)
    assert "appstate" not in story.timer.run(["systemctl", "list-units", "--all"]).stdout
    assert all(app.backups(BACKUPS) for app in story.apps.values())
