# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role schedule over ssh: one host with cron, one with systemd, and one where runs are not root's.

One story, told in order: what check mode foretells, the role, runs that nobody starts by hand, the role again, and all
of it taken away.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import types

import pytest
from hosts.collection import REPOSITORY
from hosts.fleet import Fleet
from notebooks import METRICS, Notebook, Pings, wait_for
from trees import tree

SCHEDULE = "appstate.backup.schedule"
COMMAND = "/usr/local/bin/appstate-backup"
CONFIG = "/etc/appstate-backup/apps.d"
# What the role writes to, as far as a test has nothing else there.
PLACES = ("/etc/appstate-backup", "/etc/cron.d", "/etc/systemd/system", "/etc/logrotate.d", "/usr/local/bin",
          "/var/log/appstate-backup", "/var/lib/appstate-backup", "/var/lib/notes-state")
SECRET = "7f3c9a52-secret"
OWNER = "www-data"
OWN_STATE = "/var/lib/notes-state"
# A schedule that systemd writes in other ways than cron.
ODD = {"minute": "*/20", "hour": "1-5", "day": "1-31/10", "month": "jan-mar", "weekday": "SUN-thu"}
# What a program of the test's own environment would bring along, and cron's would not.
TELLTALES = ("VIRTUAL_ENV", "PYTEST", "ANSIBLE", "SSH_CONNECTION", "FLEET")


class Story:
    """The fleet, its applications, and the runs of the role."""

    def __init__(self, fleet):
        self.fleet = fleet
        self.cron, self.timer, self.other = fleet.hosts
        self.pings = Pings(self.cron)
        self.notes = {"host1": Notebook(self.cron, "notes"), "host2": Notebook(self.timer, "notes"),
                      "host3": Notebook(self.other, "notes", OWNER)}
        self.wiki = Notebook(self.cron, "wiki")

    def variables(self):
        """Host variables as an operator writes them."""
        each = {name: [self.described(notebook)] for name, notebook in self.notes.items()}
        slow = self.described(self.wiki, schedule={"minute": "", "hour": "4"}, hooks={"before": [["sleep", "3"]]})
        odd = self.described(Notebook(self.timer, "wiki"), schedule=ODD, drill={"schedule": {"weekday": "*/2"}})
        each["host3"][0]["destination"] = "/srv/backups of notes/100%"
        return {"host1": {"appstate_apps": each["host1"] + [slow]},
                "host2": {"appstate_apps": each["host2"] + [odd], "schedule_backend": "systemd",
                          "schedule_manage_packages": True},
                "host3": {"appstate_apps": each["host3"], "schedule_user": OWNER, "schedule_group": OWNER,
                          "schedule_log_directory": "/var/log/100% notes", "appstate_state_directory": OWN_STATE,
                          "appstate_lock_directory": OWN_STATE + "/locks"}}

    def described(self, notebook, **more):
        """An app whose hook writes down its environment, and whose ping has a secret in its URL."""
        hooks = {"before": [["sh", "-c", "env > /var/tmp/env-$APPSTATE_APP"]]}
        app = notebook.app(self.cron.address, **dict({"hooks": hooks}, **more))
        app["monitoring"]["ping"]["url"] += "-%s-%s" % (notebook.host.name, SECRET)
        return app

    def ping_path(self, name, ending=""):
        """Where the pings of the app notes of a host go."""
        return "/notes-%s-%s%s" % (name, SECRET, ending)

    def state(self):
        """All that the role could have changed, on every host."""
        return {(host.name, place): tree(host.path(place)) for host in self.fleet for place in PLACES
                if os.path.exists(host.path(place))}


@pytest.fixture(scope="module", name="story")
def three_hosts():
    with Fleet(3, cron=True, systemd=["host2"]) as fleet:
        story = Story(fleet)
        for notebook in list(story.notes.values()) + [story.wiki]:
            notebook.install()
        for host in fleet:
            host.run(["install", "-d", "-o", OWNER, METRICS])
        fleet.write_inventory({"schedule_minute": "*", "schedule_hour": "*"}, story.variables())
        yield story


@pytest.fixture(scope="module", name="foretold")
def check_mode_on_fresh_hosts(story):
    before = story.state()
    run = story.fleet.playbook(SCHEDULE, check=True, diff=True).ok()
    assert story.state() == before
    return run


@pytest.fixture(scope="module", name="installed")
def role_over_ssh(story, foretold):
    return story.fleet.playbook(SCHEDULE, diff=True, arguments=["-vvv"]).ok()


@pytest.fixture(scope="module", name="ran")
def runs_that_nobody_started(story, installed):
    for name in story.notes:
        wait_for(lambda path=story.ping_path(name): story.pings.received(path), 150,
                 lambda path=story.ping_path(name): "no %s in %r" % (path, story.pings.received()))
    return installed


def changes(run, host=None):
    """The tasks that changed something, or would."""
    return [(event["host"], event["task"]) for event in run.events
            if event["result"].get("changed") and host in (None, event["host"])]


def mode_of(host, path):
    """Owner, group and mode of a path."""
    return host.run(["stat", "-c", "%U %G %a", path]).stdout.strip()


def test_check_mode_on_a_fresh_host_foretells_a_change(story, foretold):
    assert {host for host, _task in changes(foretold)} == {"host1", "host2", "host3"}
    # On a real run more tasks may change something: those that need what check mode does not make.
    assert foretold.failed_hosts() == set()


def test_what_runs_unattended_can_be_written_by_nobody_else(story, installed):
    cron, other = story.cron, story.other
    assert mode_of(cron, COMMAND) == "root root 755"
    assert mode_of(cron, CONFIG) == "root root 700" and mode_of(other, CONFIG) == "www-data www-data 700"
    assert mode_of(cron, CONFIG + "/notes.json") == "root root 600"
    assert mode_of(other, CONFIG + "/notes.json") == "www-data www-data 600"
    assert mode_of(cron, "/etc/cron.d/appstate-backup-notes") == "root root 644"
    assert mode_of(story.timer, "/etc/systemd/system/appstate-backup-notes.service") == "root root 644"
    assert mode_of(cron, "/var/log/appstate-backup") == "root root 750"
    assert mode_of(other, "/var/log/100% notes") == "root www-data 750"
    assert mode_of(cron, "/var/lib/appstate-backup") == "root root 700"
    for path in (COMMAND, "/etc/cron.d/appstate-backup-notes", CONFIG + "/notes.json"):
        while path != "/":
            status = os.lstat(cron.path(path))
            assert status.st_uid == 0 and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH), path
            path = os.path.dirname(path)


def test_no_secret_is_shown_even_to_those_who_ask_for_everything(story, installed):
    assert SECRET not in installed.text
    assert SECRET not in repr(installed.events)
    assert SECRET in story.cron.read(CONFIG + "/notes.json").decode()


def test_cron_itself_makes_a_backup_that_is_good(story, ran):
    for name in ("host1", "host3"):
        notebook = story.notes[name]
        destination = "/var/backups" if name == "host1" else "/srv/backups of notes/100%"
        newest = notebook.backups(destination)[-1]
        options = [] if name == "host1" else ["--state-directory", OWN_STATE, "--lock-directory", OWN_STATE + "/locks"]
        done = notebook.host.run([COMMAND] + options + ["verify", "notes", "--id", newest],
                                 user=None if name == "host1" else OWNER)
        assert "%s is good (content)" % newest in done.stdout


def test_a_systemd_timer_makes_a_backup_that_is_good(story, ran):
    notebook = story.notes["host2"]
    assert "is good (content)" in notebook.command("verify", "notes").stdout
    triggered = story.timer.run(["systemctl", "show", "-P", "LastTriggerUSec", "appstate-backup-notes.timer"]).stdout
    assert "20" in triggered, triggered
    assert "TRIGGER_UNIT=appstate-backup-notes.timer" in story.timer.read("/var/tmp/env-notes").decode()


def test_the_environment_of_a_run_is_crons_own(story, ran):
    told = dict(line.split("=", 1) for line in story.cron.read("/var/tmp/env-notes").decode().splitlines())
    assert told["PATH"] == "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    assert (told["SHELL"], told["LC_ALL"], told["HOME"], told["LOGNAME"]) == ("/bin/sh", "C.UTF-8", "/root", "root")
    assert not [name for name in told if name.startswith(TELLTALES)], told
    told = story.other.read("/var/tmp/env-notes").decode().splitlines()
    assert "LOGNAME=www-data" in told and "HOME=/var/www" in told


def test_a_run_reports_to_everybody(story, ran):
    for name, notebook in story.notes.items():
        state = OWN_STATE if name == "host3" else "/var/lib/appstate-backup"
        status = notebook.status(state)
        assert (status["state"], status["problem"], status["ping"]) == ("ok", None, None)
        metrics = notebook.metrics()
        assert (metrics["last_run_success"], metrics["verified_level"], metrics["ping_failed"]) == (1, 3, 0)
        assert notebook.host.read(state + "/audit.jsonl").count(b'"action":"backup"') >= 1
        assert story.pings.received(story.ping_path(name, "/start"))
        (first, *_more) = story.pings.received(story.ping_path(name))
        assert first["from"] == notebook.host.address and "notes-20" in first["body"]
        assert not story.pings.received(story.ping_path(name, "/fail"))
    assert "verified to content" in story.notes["host1"].log()


def test_an_app_with_a_schedule_of_its_own(story, ran):
    line = story.cron.read("/etc/cron.d/appstate-backup-wiki").decode().splitlines()[-1].split()
    assert 0 <= int(line[0]) < 60 and line[1:6] == ["4", "*", "*", "*", "root"]
    assert story.wiki.backups() == []
    timer = story.timer.read("/etc/systemd/system/appstate-backup-wiki.timer").decode()
    assert "OnCalendar=*-1,2,3-1,11,21,31 1,2,3,4,5:0,20,40:00\n" in timer
    assert "OnCalendar=Sun,Mon,Tue,Wed,Thu *-1,2,3-* 1,2,3,4,5:0,20,40:00\n" in timer
    assert story.timer.run(["systemctl", "is-active", "appstate-backup-wiki.timer"]).stdout == "active\n"
    drills = re.findall("OnCalendar=.*", story.timer.read("/etc/systemd/system/appstate-backup-wiki.drill.timer").decode())
    assert re.fullmatch(r"OnCalendar=Sun,Tue,Thu,Sat \*-\*-\* 5:\d+:00", *drills)
    assert story.timer.run(["systemctl", "is-active", "appstate-backup-wiki.drill.timer"]).stdout == "active\n"
    for expression in re.findall("OnCalendar=(.*)", timer) + [drills[0].partition("=")[2]]:
        story.timer.run(["systemd-analyze", "calendar", expression])


def test_a_command_that_is_replaced_during_a_run_harms_it_in_nothing(story, ran):
    process = story.cron.start([COMMAND, "run", "wiki"])
    wait_for(lambda: "sleep 3" in story.cron.run(["ps", "-eo", "args"]).stdout, 20)
    kept = story.cron.read(COMMAND)
    story.cron.write(COMMAND + ".new", "#!/bin/sh\nexit 9\n", mode=0o755)
    os.rename(story.cron.path(COMMAND + ".new"), story.cron.path(COMMAND))
    assert process.wait(30) == 0
    assert len(story.wiki.backups()) == 1 and story.wiki.status()["state"] == "ok"
    story.cron.write(COMMAND + ".new", kept, mode=0o755)
    os.rename(story.cron.path(COMMAND + ".new"), story.cron.path(COMMAND))


def test_a_second_run_changes_nothing(story, ran):
    assert changes(story.fleet.playbook(SCHEDULE).ok()) == []


def test_check_mode_on_a_host_that_is_set_up_foretells_nothing(story, ran):
    assert changes(story.fleet.playbook(SCHEDULE, check=True, diff=True).ok()) == []


def test_logs_are_rotated_for_those_who_write_them(story, ran):
    for host, directory, owner in ((story.cron, "/var/log/appstate-backup", "root root 640"),
                                   (story.other, "/var/log/100% notes", "www-data www-data 640")):
        host.run(["logrotate", "--force", "/etc/logrotate.d/appstate-backup"])
        assert b"verified to content" in host.read(directory + "/notes.log.1")
        assert mode_of(host, directory + "/notes.log") == owner


def test_the_other_backend_takes_over(story, ran):
    run = story.fleet.playbook(SCHEDULE, {"schedule_backend": "cron"}, limit="host2").ok()
    assert changes(run)
    assert story.timer.run(["systemctl", "is-active", "cron"]).stdout == "active\n"
    assert story.timer.run(["ls", "/etc/systemd/system"]).stdout.count("appstate") == 0
    assert b" drill wiki " in story.timer.read("/etc/cron.d/appstate-backup-wiki")
    before = len(story.pings.received(story.ping_path("host2")))
    wait_for(lambda: len(story.pings.received(story.ping_path("host2"))) > before, 100)


def test_a_configuration_with_an_error_is_never_installed_over_a_good_one(story, ran):
    good = story.cron.read(CONFIG + "/notes.json")
    broken = story.variables()["host1"]["appstate_apps"]
    broken[0]["retension"] = {"keep_last": 1}
    run = story.fleet.playbook(SCHEDULE, {"appstate_apps": broken}, limit="host1")
    assert run.failed_hosts() == {"host1"} and SECRET not in run.text
    assert "retension" in run.text and "retention" in run.text
    assert story.cron.read(CONFIG + "/notes.json") == good


def test_a_host_without_python_is_refused_in_plain_words(story, ran):
    python = story.cron.path("/usr/bin/python3")
    os.rename(python, python + ".away")
    try:
        run = story.fleet.playbook(SCHEDULE, limit="host1")
    finally:
        os.rename(python + ".away", python)
    assert run.failed_hosts() == {"host1"}
    assert "There is no python3 (3.8 or newer) in" in run.text and "Traceback" not in run.text


@pytest.fixture(scope="module", name="removed")
def absent_role(story, ran):
    kept = {name: notebook.backups("/var/backups" if name != "host3" else "/srv/backups of notes/100%")
            for name, notebook in story.notes.items()}
    run = story.fleet.playbook(SCHEDULE, {"schedule_state": "absent"}).ok()
    return run, kept


def test_absent_takes_all_of_it_away(story, removed):
    for host in story.fleet:
        for path in (COMMAND, "/etc/appstate-backup", "/etc/logrotate.d/appstate-backup", "/var/log/appstate-backup",
                     "/var/log/100% notes", "/etc/cron.d/appstate-backup-notes", "/var/lib/appstate-backup/status",
                     "/etc/systemd/system/appstate-backup-notes.timer", "/etc/systemd/system/appstate-backup-notes.service",
                     METRICS + "/appstate_backup_notes.prom"):
            assert not os.path.lexists(host.path(path)), (host, path)
    assert "appstate" not in story.timer.run(["systemctl", "list-units", "--all"]).stdout


def test_absent_leaves_backups_and_the_audit_log(story, removed):
    _run, kept = removed
    for name, notebook in story.notes.items():
        assert kept[name] and notebook.backups("/var/backups" if name != "host3" else "/srv/backups of notes/100%")
        state = OWN_STATE if name == "host3" else "/var/lib/appstate-backup"
        assert os.path.exists(notebook.host.path(state + "/audit.jsonl"))


def test_absent_a_second_time_changes_nothing(story, removed):
    assert changes(story.fleet.playbook(SCHEDULE, {"schedule_state": "absent"}).ok()) == []


TIMES = """
- hosts: all
  gather_facts: false
  vars_files: [%(role)s/defaults/main.yml, %(role)s/vars/main.yml]
  vars: {appstate_apps: [{name: notes}, {name: wiki}]}
  tasks:
    - name: Say when
      ansible.builtin.debug:
        msg: "{{ __schedule_at.hour }}:{{ __schedule_at.minute }}"
      loop: [notes, wiki]
      loop_control: {loop_var: __schedule_name}
      vars: {__schedule_verb: "%(verb)s"}
"""


def test_the_minute_is_stable_and_spread_over_the_fleet(story):
    names = ["web%d.example.org" % number for number in range(20)]
    story.fleet.controller.write_inventory([types.SimpleNamespace(name=name, address="127.0.0.1") for name in names])
    path = os.path.join(story.fleet.folder, "times.yml")
    for verb, ending, jitter, hours in (("run", "", 60, [3]), ("run", "", 180, [3, 4, 5]), ("drill", ".drill", 60, [5])):
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(TIMES % {"role": os.path.join(REPOSITORY, "roles", "schedule"), "verb": verb})
        run = story.fleet.playbook(path, {"schedule_jitter": jitter}).ok()
        told = {(event["host"], result["__schedule_name"]): result["msg"] for event in run.events
                for result in event["result"]["results"]}
        assert told == {(host, app): expected(host, app + ending, jitter, hours[0]) for host in names for app in ("notes", "wiki")}
        assert len(set(told.values())) > 15
        assert {int(text.split(":")[0]) for text in told.values()} == set(hours)


def expected(host, name, jitter, hour):
    """What a host and an app get for all time: a change here would move the runs of every fleet."""
    offset = int(hashlib.sha1(("%s %s" % (host, name)).encode()).hexdigest()[:8], 16) % jitter
    return "%d:%d" % (hour + offset // 60, offset % 60)
