# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Drills that start a service of a real systemd on restored state, beside the live one, which goes on undisturbed."""

from __future__ import annotations

import os
import threading

import pytest
from hosts.fleet import Fleet
from hosts.packages import require
from notebooks import wait_for

BACKUP, DRILL = "appstate.backup.backup", "appstate.backup.backup_drill"
PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "onhost", "wiki.py")
ROOT, UNITS, DROP_INS = "/srv/wiki", "/etc/systemd/system", "/run/systemd/system"
LIVE, COPY, NOTIFYING, BROKEN = "wiki.service", "wiki-drill.service", "wiki-notifying.service", "wiki-broken.service"
TABLES = ("PRAGMA journal_mode = wal; CREATE TABLE pages (title TEXT); CREATE TABLE visits (id INTEGER PRIMARY KEY);"
          " INSERT INTO pages VALUES ('one'), ('two')")
SECRET = "canary 5ecre7 100% 'of' \"the\" $app \\ `id`\nand more"
# What it knows of itself is what the drill gave it, and the secret is in its environment and nowhere else.
SERVICE = """[Service]
User=www-data
%s
ExecStartPre=sh -c 'printf "%%%%s" "$KEY" > ${APPSTATE_ROOT}/seen; cut -s -d : -f 1 /proc/net/dev > ${APPSTATE_ROOT}/net; ls -A /run > ${APPSTATE_ROOT}/run'
ExecStart=%s
"""
APP = {"name": "wiki", "root": ROOT, "owner": "www-data", "group": "www-data", "destination": "/var/backups",
       "service": {"name": "wiki"}, "objectives": {"rto": "5m"},
       "sources": [{"type": "sqlite", "path": "wiki.db"}],
       "health": {"url": "http://127.0.0.1:8080/health", "retries": 20, "delay": 0.5}}


def described(unit, health=None, **boot):
    return dict(APP, drill={"boot": dict({"unit": unit}, **boot), "health": dict(APP["health"], **(health or {}))})


@pytest.fixture(scope="module", name="host")
def one_host_with_a_live_service():
    require({"curl": "curl", "sqlite3": "sqlite3"})
    with Fleet(1, systemd=["host1"]) as fleet:
        host = fleet["host1"]
        host.fleet = fleet
        host.write_program("/usr/local/bin/wiki", PROGRAM)
        host.run(["install", "-d", "-o", "www-data", "-g", "www-data", ROOT])
        host.run(["sqlite3", ROOT + "/wiki.db", TABLES], user="www-data")
        live = "[Service]\nUser=www-data\nExecStart=/usr/local/bin/wiki %s\n" % ROOT
        notifying = 'sh -c "systemd-notify --ready; exec /usr/local/bin/wiki $$APPSTATE_ROOT"'
        for unit, text in ((LIVE, live), (COPY, SERVICE % ("", "/usr/local/bin/wiki ${APPSTATE_ROOT}")),
                           (NOTIFYING, SERVICE % ("Type=notify\nNotifyAccess=all\nTimeoutStartSec=20", notifying)),
                           (BROKEN, "[Service]\nExecStart=sh -c 'echo no database here; exit 3'\n")):
            host.write("%s/%s" % (UNITS, unit), text)
        host.run(["systemctl", "daemon-reload"])
        host.run(["systemctl", "start", LIVE])
        fleet.write_inventory({})
        fleet.module(BACKUP, {"app": APP}).ok()
        # What came later is not in the backup.
        host.run(["sqlite3", ROOT + "/wiki.db", "INSERT INTO pages VALUES ('three')"], user="www-data")
        yield host


def show(host, unit, what):
    return host.run(["systemctl", "show", "--property=" + what, "--value", unit]).stdout.strip()


def everything(host):
    """All that the file system knows of the live state, its inodes' own times among them."""
    return host.run(["find", ROOT, "-printf", "%p %i %m %U:%G %s %T@ %C@ %n\n"]).stdout


def drill(host, app, **words):
    """The result of a drill that leaves everything as it was."""
    before = everything(host), show(host, LIVE, "MainPID"), host.run(["ls", "-A", "/srv", "/var/backups", DROP_INS]).stdout
    run = host.fleet.module(DRILL, dict({"app": app}, **words))
    assert (everything(host), show(host, LIVE, "MainPID"), host.run(["ls", "-A", "/srv", "/var/backups", DROP_INS]).stdout) == before
    for unit in (COPY, NOTIFYING, BROKEN):
        assert show(host, unit, "ActiveState") in ("inactive", "failed") and show(host, unit, "MainPID") == "0"
        assert show(host, unit, "DropInPaths") == "" and "APPSTATE" not in show(host, unit, "Environment")
    (result,) = run.results(DRILL)
    return result


def cases(result):
    return [(case["check"], case["outcome"]) for case in result["drill"]["cases"] if case["check"] in ("boot", "health")]


@pytest.mark.parametrize("unit", [COPY, NOTIFYING])
def test_it_runs_on_the_restored_state_while_the_live_one_goes_on(host, unit):
    result = drill(host, described(unit))
    assert result["drill"]["ok"], result["msg"]
    assert cases(result) == [("boot", "passed"), ("health", "passed")]
    assert result["answer"] == {"status": "ok", "pages": 2} and result["drill"]["rto_seconds"] == result["drill"]["healthy_seconds"]
    assert host.run(["curl", "--silent", "http://127.0.0.1:8080/health"]).stdout == '{"status": "ok", "pages": 3}'


@pytest.mark.parametrize("boot", [{"unit": LIVE}, {"unit": LIVE, "isolated": False}])
def test_a_unit_that_runs_already_is_left_alone(host, boot):
    """What a drill finds running was not started on restored state: it would answer for it, and be stopped after that."""
    told = {name: value for name, value in APP.items() if name not in ("service", "health")}
    result = drill(host, dict(told, drill={"boot": boot}))
    assert cases(result) == [("boot", "failed")] and "the unit %s runs already" % LIVE in result["msg"]


def in_the_middle(host, app, look):
    """What ``look`` sees while a drill of what is never well goes on, and the result of that drill."""
    outcome = []
    thread = threading.Thread(target=lambda: outcome.append(drill(host, app)))
    thread.start()
    try:
        wait_for(lambda: show(host, app["drill"]["boot"]["unit"], "ActiveState") == "active", 60)
        seen = look(int(show(host, app["drill"]["boot"]["unit"], "MainPID")))
    finally:
        thread.join()
    return seen, outcome[0]


def test_it_is_apart_and_what_it_is_given_is_nobody_elses(host):
    def look(pid):
        found = {}
        for name in ("seen", "net", "run"):
            found[name] = host.run(["cat", "/proc/%d/root%s/%s" % (pid, ROOT, name)]).stdout
        # What systemd tells of a unit, it tells to every user.
        found["shown"] = host.run(["systemctl", "show", COPY]).stdout
        found["read"] = host.run(["sh", "-c", "cat %s/%s.d/*" % (DROP_INS, COPY)], user="www-data", check=False)
        return found

    seen, result = in_the_middle(host, described(COPY, {"status": 404, "retries": 8}, environment={"KEY": SECRET, "OTHER": "{root}"}), look)
    assert seen["seen"] == SECRET and seen["net"].split() == ["lo"] and seen["run"] in ("systemd\n", "")
    assert "canary" not in seen["shown"] + seen["read"].stdout and "Permission denied" in seen["read"].stderr
    assert cases(result) == [("boot", "passed"), ("health", "failed")] and "HTTP status 200" in result["msg"]


def test_beside_the_live_one_nobody_answers_for_it(host):
    """The port is the live one's, so the copy ends; and the live one is not taken for it."""
    result = drill(host, described(COPY, {"url": "http://127.0.0.1:{port}/health"}, isolated=False))
    assert cases(result) == [("boot", "passed"), ("health", "failed")] and "has ended; it said: " in result["msg"]
    assert "Address already in use" in result["msg"]
    refused = host.fleet.module(DRILL, {"app": described(COPY, isolated=False)}).results(DRILL)[0]
    assert "whose 'health' would answer for it" in refused["msg"]


def test_one_that_ends_says_why(host):
    result = drill(host, described(BROKEN))
    assert cases(result) == [("boot", "passed"), ("health", "failed")] and "has ended; it said: " in result["msg"]
    assert "no database here" in result["msg"]


def test_a_unit_that_nobody_knows(host):
    result = drill(host, described("wiki-unknown.service"))
    assert cases(result) == [("boot", "failed"), ("health", "skipped")]
    assert "systemctl" in result["msg"] and "Unit wiki-unknown.service not found" in result["msg"]


def test_somebody_elses_drop_in_stays(host):
    folder = "%s/%s.d" % (DROP_INS, COPY)
    host.write(folder + "/10-other.conf", "[Service]\nNice=1\n")
    try:
        run = host.fleet.module(DRILL, {"app": described(COPY)}).ok()
        assert run.results(DRILL)[0]["drill"]["ok"]
        assert host.run(["ls", folder]).stdout == "10-other.conf\n"
    finally:
        host.run(["rm", "-r", folder])
        host.run(["systemctl", "daemon-reload"])


def test_a_host_that_never_had_the_state(host):
    """Where it would be is made for the drill, and goes with it."""
    result = drill(host, dict(described(COPY), root="/srv/deep/elsewhere/wiki", service=None))
    assert result["drill"]["ok"], result["msg"]
    assert result["answer"]["pages"] == 2


def test_a_drill_that_is_killed_ends_the_service_and_takes_all_back(host):
    app = described(COPY, {"status": 404, "retries": 100})
    outcome = []
    thread = threading.Thread(target=lambda: outcome.append(host.fleet.module(DRILL, {"app": app})))
    thread.start()
    wait_for(lambda: show(host, COPY, "ActiveState") == "active", 60)
    host.run(["kill", "-KILL", host.read("/run/appstate-backup/wiki.drill.lock").split()[-1].decode()])
    thread.join()
    assert outcome[0].returncode != 0
    wait_for(lambda: show(host, COPY, "ActiveState") == "inactive" and COPY + ".d" not in host.run(["ls", DROP_INS]).stdout, 30)
    assert "wiki.drill.scratch" in host.run(["ls", "-A", "/var/backups"]).stdout
    assert host.fleet.module(DRILL, {"app": described(COPY)}).ok().results(DRILL)[0]["drill"]["ok"]
    assert host.run(["ls", "-A", "/var/backups"]).stdout == "wiki\n"
