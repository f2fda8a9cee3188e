# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Cold backups of an application with a process of its own, and runs that are killed while it is stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.operations import cold
from ansible_collections.appstate.backup.plugins.module_utils.operations.run import run_backup
from ansible_collections.appstate.backup.plugins.module_utils.system import holders
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import (
    AppStateError, ConfigurationError, LockedError, SourceError)
from ansible_collections.appstate.backup.plugins.module_utils.system.locks import AppLock
from ansible_collections.appstate.backup.tests.unit.plugins.host import DATABASE

TREE = os.path.abspath(__file__).split(os.sep + "ansible_collections" + os.sep)[0]
SERVICE = """\
case $1 in
start) echo start >> {log}; [ ! -e {pid} ] || exit 9; sleep {slow}; setsid sleep 300 > /dev/null 2>&1 & echo $! > {pid};;
stop) echo stop >> {log}; sleep {slow}; kill $(cat {pid}); rm {pid};;
esac
"""


class Served:
    """The application ``notes`` as a process; ``log`` says how it was stopped and started."""

    def __init__(self, host):
        self.host = host
        self.log = host.place("log")
        self.pid_file = host.place("pid")
        self.program = host.place("service")
        host.fill()
        self.set_pace(0)
        subprocess.run(["sh", self.program, "start"], check=True)
        os.unlink(self.log)

    def set_pace(self, slow):
        """How many seconds a stop and a start take."""
        with open(self.program, "w", encoding="ascii") as file:
            file.write(SERVICE.format(log=self.log, pid=self.pid_file, slow=slow))

    def described(self, **words):
        service = {step: ["sh", self.program, step] for step in ("stop", "start")}
        return self.host.described(**dict({"mode": "cold", "service": service}, **words))

    def backup(self, **words):
        return self.host.backup(**self.described(**words))

    def told(self):
        """The steps that its service took, in order."""
        if not os.path.exists(self.log):
            return []
        with open(self.log, encoding="ascii") as file:
            return file.read().split()

    def runs(self):
        """Whether its process is there."""
        try:
            with open(self.pid_file, encoding="ascii") as file:
                os.kill(int(file.read()), 0)
            return True
        except (OSError, ValueError):
            return False

    def is_free(self):
        """Whether nobody holds the lock of the app."""
        try:
            with AppLock(self.host.locks, "notes"):
                return True
        except LockedError:
            return False

    def audit(self):
        with open(self.host.place("state", "audit.jsonl"), encoding="ascii") as file:
            return [json.loads(line) for line in file]

    def close(self):
        if self.runs():
            with open(self.pid_file, encoding="ascii") as file:
                os.kill(int(file.read()), signal.SIGKILL)


@pytest.fixture(name="served")
def served_application(host):
    made = Served(host)
    yield made
    made.close()


def wait_for(what, seconds=15):
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until
        time.sleep(0.02)


def children():
    with open("/proc/self/task/%d/children" % os.getpid(), encoding="ascii") as file:
        return file.read().split()


def test_the_app_is_stopped_once_and_started_once(served):
    before = children()
    served.set_pace(0.2)
    taken = served.backup()
    assert served.told() == ["stop", "start"] and served.runs()
    assert taken.problem is None and 0.4 <= taken.backup.manifest.content["downtime"] < 10
    assert served.host.verify().ok
    assert children() == before


def test_a_live_backup_stops_nothing_and_has_no_downtime(served):
    taken = served.backup(mode="live")
    assert served.told() == [] and "downtime" not in taken.backup.manifest.content


def test_what_a_stopped_app_has_left_in_its_wal_is_in_the_backup(served):
    served.host.crash()
    taken = served.backup()
    passport, = [source["passport"] for source in taken.backup.manifest.sources if source["type"] == "sqlite"]
    assert passport["tables"]["notes"] == 25


def test_without_a_service_there_is_no_cold_backup(served):
    with pytest.raises(ConfigurationError) as caught:
        served.host.app(mode="cold")
    assert str(caught.value).startswith("app notes: 'mode' is cold, and without a 'service'")


def test_a_service_that_does_not_run_is_left_alone(served, monkeypatch):
    directory = served.host.place("bin")
    os.mkdir(directory)
    for name in ("service", "systemctl"):
        with open(os.path.join(directory, name), "w", encoding="ascii") as file:
            file.write('#!/bin/sh\necho "$*" >> %s\ncase "$*" in *status*|is-active*) exit 3;; esac\n' % served.log)
        os.chmod(file.name, 0o755)
    monkeypatch.setenv("PATH", directory + ":" + os.environ["PATH"])
    taken = served.backup(service={"name": "notes-web"})
    assert len(served.told()) == 2 and "downtime" not in taken.backup.manifest.content


def test_a_process_that_goes_on_is_named(served, monkeypatch):
    monkeypatch.setattr(holders, "GRACE", 0.2)
    with open(served.host.at(DATABASE), "rb") as database, subprocess.Popen(["sleep", "60"], stdin=database) as other:
        try:
            taken = served.backup()
        finally:
            other.kill()
    assert any("still held open by sleep (process %d) although the app was stopped" % other.pid in text
               for text in taken.warnings)
    assert served.runs() and served.backup().warnings == []


def test_a_missing_source_is_found_while_the_app_runs(served):
    with pytest.raises(SourceError):
        served.backup(sources=[{"type": "files", "path": "nowhere"}])
    assert served.told() == []


def test_an_error_in_the_middle_starts_the_app(served, monkeypatch):
    def fail(*unused):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ansible_collections.appstate.backup.plugins.module_utils.sources.files.FilesTaker.write", fail)
    with pytest.raises(AppStateError) as caught:
        served.backup()
    assert "no space left" in str(caught.value)
    assert served.told() == ["stop", "start"] and served.runs()


def test_a_stop_that_fails_makes_no_backup_and_the_app_is_started(served):
    log = served.log
    service = {"stop": ["sh", "-c", "echo stop >> %s; exit 3" % log], "start": ["sh", "-c", "echo start >> %s" % log]}
    with pytest.raises(AppStateError) as caught:
        served.backup(service=service)
    assert str(caught.value) == "app notes: the command sh ended with status 3."
    assert served.told() == ["stop", "start"] and served.host.left() == []


def test_an_app_that_does_not_start_again_makes_the_run_red_and_the_backup_stays(served):
    service = {"stop": ["sh", served.program, "stop"], "start": ["sh", "-c", "echo port in use; exit 4"]}
    ran = run_backup(served.host.app(**served.described(service=service)), served.host.machine)
    assert ran.backup is not None and served.host.verify().ok and ran.pruned is None and ran.exit_code == 1
    assert str(ran.error).startswith("app notes: THE APP DOES NOT RUN: it was stopped for the backup and could not be "
                                     "started again: the command sh ended with status 4: port in use.")
    assert str(ran.error).endswith("Start it by hand: sh -c echo port in use; exit 4.")


def test_both_failures_are_told(served):
    service = {"stop": ["sh", "-c", "exit 3"], "start": ["sh", "-c", "exit 4"]}
    with pytest.raises(AppStateError) as caught:
        served.backup(service=service)
    assert "ended with status 3; and THE APP DOES NOT RUN" in str(caught.value) and "status 4" in str(caught.value)


def test_an_app_that_starts_and_is_not_well_is_told(served):
    health = {"url": "http://127.0.0.1:9/", "retries": 0}
    taken = served.backup(health=health)
    assert "started again, but the app is not well" in str(taken.problem)
    assert served.host.verify().ok


RUN = """
import json, os, sys
sys.path.insert(0, {tree!r})
from ansible_collections.appstate.backup.plugins.module_utils.app import parse_app
from ansible_collections.appstate.backup.plugins.module_utils.operations.run import run_backup
from ansible_collections.appstate.backup.plugins.module_utils.sources.files import FilesTaker
from ansible_collections.appstate.backup.plugins.module_utils.system.machine import this_machine

def hang(*unused):
    open({here!r}, "w").close()
    import time
    time.sleep(60)

if {hangs}:
    FilesTaker.write = hang
print("begun", flush=True)
sys.exit(run_backup(parse_app(json.loads({app!r})), this_machine({state!r}, {locks!r})).exit_code)
"""


def run(served, hangs=True, **words):
    """A run in a process of its own; where it hangs, it does so while the app is stopped and after a file came up."""
    here = served.host.place("here")
    text = RUN.format(tree=TREE, app=json.dumps(served.described(**words)), state=served.host.state,
                      locks=served.host.locks, here=here, hangs=hangs)
    # Its output is a pipe, as under cron and Ansible: whoever reads it waits for all that hold it open.
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(text)], stdout=subprocess.PIPE, start_new_session=True), here


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_killed_while_the_app_is_stopped_has_it_started(served, number):
    process, here = run(served)
    wait_for(lambda: os.path.exists(here))
    assert not served.runs()
    os.killpg(process.pid, number)
    process.stdout.read()
    process.wait()
    wait_for(served.is_free)
    assert served.told() == ["stop", "start"] and served.runs()
    if number != signal.SIGINT:
        line = [each for each in served.audit() if each["action"] == "start"][-1]
        assert (line["app"], line["result"]) == ("notes", "ok") and line["downtime"] > 0
    served.backup()  # The lock is free, and nothing is left over.
    assert served.told() == ["stop", "start"] * 2 and served.host.left() == []


def test_nobody_else_begins_before_the_app_of_a_killed_run_is_up(served):
    process, here = run(served)
    wait_for(lambda: os.path.exists(here))
    served.set_pace(1)
    process.kill()
    process.stdout.read()
    process.wait()
    assert not served.is_free()
    assert not served.runs()
    wait_for(served.is_free)
    assert served.runs()


@pytest.mark.parametrize("step", ["stop", "start"])
def test_a_run_killed_within_a_step_neither_repeats_nor_overtakes_it(served, step):
    served.set_pace(0.5)
    process, unused = run(served, hangs=False)
    wait_for(lambda: served.told()[-1:] == [step])
    process.kill()
    process.stdout.read()
    process.wait()
    wait_for(served.is_free)
    assert served.told() == ["stop", "start"] and served.runs()


def test_the_app_does_not_inherit_what_backups_run_with(served):
    seen = served.host.place("seen")
    start = ["sh", "-c", "umask > %s; nice >> %s; grep SigIgn /proc/self/status >> %s" % (seen, seen, seen)]
    service = {"stop": ["true"], "start": start}
    before = os.umask(0o077)
    try:
        served.backup(service=service)
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(before)
    with open(seen, encoding="ascii") as file:
        umask, nice, ignored = file.read().splitlines()
    assert umask == "0022" and int(ignored.split()[1], 16) & 0x4007 == 0
    assert nice == "0" or os.geteuid() != 0


def test_a_guardian_that_is_killed_is_done_without(served, monkeypatch):
    end = cold.Stopped._end

    def kill_and_end(self, error):
        os.kill(self._guardian.pid, signal.SIGKILL)
        end(self, error)

    monkeypatch.setattr(cold.Stopped, "_end", kill_and_end)
    taken = served.backup()
    assert taken.problem is None and served.told() == ["stop", "start"] and served.runs()
