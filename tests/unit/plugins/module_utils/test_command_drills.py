# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``appstate-backup drill``: what it says and ends with, for one app and for several."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from datetime import timedelta

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.archive.age import make_pair
from ansible_collections.appstate.backup.plugins.module_utils.operations import drill as drill_file
from ansible_collections.appstate.backup.plugins.module_utils.system.locks import AppLock
from ansible_collections.appstate.backup.tests.unit.plugins.pings import receiver  # noqa: F401  # pylint: disable=unused-import

QUIET = {"monitoring": {"syslog": False}}
BAD = [{"type": "sqlite", "path": "data/notes.db", "assertions": [{"sql": "SELECT 0"}]}]


def configure(command, name="notes", drill=None, **words):
    return command.configure(name, drill=dict(QUIET, **(drill or {})), **words)


@pytest.fixture
def drilled(inside):
    """The command inside of this process, with a backup of ``notes``."""
    configure(inside)
    inside("run")
    return inside


def records(command, name="notes"):
    with open(command.host.place("state", "drills", name + ".json"), encoding="ascii") as file:
        return json.load(file)["drills"]


def test_a_good_drill_by_the_command_as_hosts_have_it(command, tree):
    configure(command, objectives={"rpo": "1h", "rto": "5m"})
    id = command("run").split()[0]
    before = tree(command.host.root)
    said = command("drill")
    assert re.match(r"notes  drill of %s: \d+ checks, all well, newest backup 0 h old, back after \d+\.\d s\n\Z" % id, said)
    assert command.errors == "" and tree(command.host.root) == before
    assert records(command)[0]["backup"]["id"] == id and command.audit()[-1]["action"] == "drill"
    told, = command.json("drill", "notes")
    assert told == records(command)[-1] and told["ok"] and told["which"] == "latest"
    assert {(case["check"], case["outcome"]) for case in told["cases"]} >= {("checksum", "passed"), ("rpo", "passed"), ("rto", "passed")}


def test_the_help_says_how(inside):
    with pytest.raises(SystemExit):
        inside("drill", "--help")
    said = inside.capsys.readouterr().out
    for word in ("--id", "random", "--within", "--archive", "--remote", "--remote-host", "--identity", "--json", "APP"):
        assert word in said


def test_a_bad_one(drilled):
    configure(drilled, sources=BAD)
    assert drilled("drill", "notes", status=1) == ""
    assert "app notes: drill of notes-" in drilled.errors and "FAILED\nassertion (data/notes.db: SELECT 0): " in drilled.errors
    told, = drilled.json("drill", status=1)
    assert told["ok"] is False and told["problem"].startswith("app notes: drill: assertion: ") and "FAILED" in drilled.errors


def test_one_that_cannot_be_done_at_all(inside):
    configure(inside)
    told, = inside.json("drill", status=1)
    assert told["problem"].startswith("app notes: drill: choose: ") and "no good backup" in told["problem"] and told["backup"] is None


def test_of_several_apps_each_gets_its_turn(drilled):
    """Whatever is wrong with those before it: a bad backup, a lock, a configuration."""
    for name in ("early", "wiki", "zebra"):
        configure(drilled, name)
        drilled("run", name)
    configure(drilled, "early", sources=BAD)
    with AppLock(drilled.host.locks, "notes", "drill"):
        told = drilled.json("drill", status=1)
    assert [(each["app"], each["ok"]) for each in told] == [("early", False), ("notes", False), ("wiki", True), ("zebra", True)]
    assert told[1]["problem"].startswith("app notes: ") and "another drill holds the lock" in told[1]["problem"]
    assert "another drill holds the lock" in drilled.errors and "app early: drill of early-" in drilled.errors
    with open(drilled.host.place("apps.d", "early.json"), "w", encoding="ascii") as file:
        file.write("{")
    said = drilled("drill", status=78)
    assert [line.split()[0] for line in said.splitlines()] == ["notes", "wiki", "zebra"] and "early.json: is no JSON" in drilled.errors
    told = drilled.json("drill", "wiki", "early", "zebra", status=78)
    assert [(each["app"], each["ok"]) for each in told] == [("wiki", True), ("early", False), ("zebra", True)]
    assert "is no JSON" in told[1]["problem"]


def test_a_drill_that_is_under_way(drilled):
    with AppLock(drilled.host.locks, "notes", "drill"):
        assert drilled("drill", "notes", status=75) == ""
    assert "app notes: %s: another drill holds the lock" % drilled.host.place("locks", "notes.drill.lock") in drilled.errors
    assert not os.path.exists(drilled.host.place("state", "drills"))
    with AppLock(drilled.host.locks, "notes"):
        drilled("drill", "notes")


@pytest.mark.parametrize("words, problem", [
    (["--within", "30d"], "'within' is given, and not which=random"), (["--id", "random", "--within", "soon"], "'within' of the drill is a duration"),
    (["--archive", "/x", "--id", "random"], "'archive' excludes both 'which' and 'remote'"), (["--remote", "x"], "has no remote 'x'"),
    (["--remote-host", "web1"], "--remote-host needs --remote"), (["--identity", "/none"], "the file with the identity cannot be read")])
def test_what_cannot_be_asked_for_is_told_as_a_failure(drilled, receiver, words, problem):  # noqa: F811
    server = receiver()
    configure(drilled, drill={"monitoring": {"syslog": False, "ping": {"url": server.url}}})
    told, = drilled.json("drill", "notes", *words, status=1 if "/none" in words else 78)
    assert problem in told["problem"] and records(drilled)[-1] == told
    assert [path for unused, path, unused in server.received] == ["/start", "/fail"] and problem in server.received[-1][2]


def test_what_names_one_backup_needs_one_app(drilled):
    configure(drilled, "wiki")
    for words in (["--archive", "/x"], ["--id", "notes-20261119T030001Z"]):
        assert "is of one app. Name it" in drilled.json("drill", *words, status=78)["error"]["remedy"] + drilled.errors
        assert drilled.json("drill", "notes", "wiki", *words, status=78)["exit_code"] == 78
    assert not os.path.exists(drilled.host.place("state", "drills"))
    assert [each["ok"] for each in drilled.json("drill", "--id", "random", "notes")] == [True]


def test_apps_that_nobody_knows(drilled):
    assert "there is no app 'x'" in drilled.json("drill", "x", "notes", status=78)["error"]["message"]
    assert not os.path.exists(drilled.host.place("state", "drills"))


def test_any_backup_of_the_last_days(drilled, monkeypatch):
    offered = []
    monkeypatch.setattr(drill_file.secrets, "choice", lambda ids: offered.extend(ids) or ids[0])
    id = drilled.json("list")[0]["id"]
    told, = drilled.json("drill", "--id", "random", "--within", "30d")
    assert told["which"] == "random" and told["backup"]["id"] == id and offered == [id]
    real = drill_file._random
    monkeypatch.setattr(drill_file, "_random", lambda app, machine, request: real(app, type("Later", (), {
        "now": staticmethod(lambda: machine.now() + timedelta(days=31))}), request))
    told, = drilled.json("drill", "--id", "random", "--within", "30d", status=1)
    assert "there is no good backup of the last 30d" in told["problem"]


def test_one_by_its_id_and_an_archive(drilled):
    first = drilled.json("list")[0]
    drilled("run")
    assert drilled.json("drill", "notes", "--id", first["id"])[0]["backup"]["id"] == first["id"]
    shutil.copy(first["path"], drilled.host.place("alone.tar.zst"))
    told, = drilled.json("drill", "notes", "--archive", drilled.host.place("alone.tar.zst"))
    assert told["ok"] and told["backup"]["id"] == "alone.tar.zst" and told["rpo_seconds"] is None
    assert "app notes: warning: the archive has no manifest beside it" in drilled.errors
    assert "has no backup 'x'" in drilled.json("drill", "notes", "--id", "x", status=1)[0]["problem"]


@pytest.fixture
def sealed(inside):
    """Two apps whose encrypted backups are at a remote of another host: ``(command, identity, words)``."""
    identity, recipient = make_pair()
    os.mkdir(inside.host.place("remote"))
    for name in ("notes", "wiki"):
        configure(inside, name, encryption={"recipients": [recipient]}, remotes=[{"name": "offsite", "remote": inside.host.place("remote")}])
    inside("run")
    host, = os.listdir(inside.host.place("remote"))
    os.rename(inside.host.place("remote", host), inside.host.place("remote", "web1"))
    return inside, identity, ["--remote", "offsite", "--remote-host", "web1"]


def test_encrypted_backups_at_a_remote(sealed, monkeypatch):
    command, identity, chosen = sealed
    with open(command.host.place("key"), "w", encoding="ascii") as file:
        file.write(identity)
    told = command.json("drill", "--identity", command.host.place("key"), *chosen)
    assert [(each["app"], each["remote"], each["ok"]) for each in told] == [("notes", "offsite", True), ("wiki", "offsite", True)]
    # Standard input can be read only once, and is for all.
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(identity.encode()), "utf-8"))
    told = command.json("drill", "--identity", "-", *chosen)
    assert [each["ok"] for each in told] == [True, True]
    assert identity.split()[-1] not in json.dumps(told) + command.errors
    told = command.json("drill", *chosen, status=1)
    assert all("no identity was given" in each["problem"] for each in told)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_that_is_interrupted_says_so_and_the_others_are_not_begun(command, receiver, number):  # noqa: F811
    server = receiver()
    os.mkdir(command.host.place("signs"))
    os.chmod(command.host.place("signs"), 0o777)
    ready = command.host.place("signs", "ready")
    boot = {"argv": ["sh", "-c", "echo > %s; sleep 300" % ready], "isolated": False}
    monitoring = {"syslog": False, "ping": {"url": server.url}}
    configure(command, drill={"boot": boot, "health": {"url": "http://127.0.0.1:{port}/", "retries": 600}, "monitoring": monitoring})
    configure(command, "wiki")
    command("run")
    process = subprocess.Popen(command.arguments("drill", "--json"), env=command.environment, cwd="/", stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
    until = time.monotonic() + 20
    while not os.path.exists(ready) and time.monotonic() < until:
        time.sleep(0.02)
    assert os.path.exists(ready)
    process.send_signal(number)
    said, errors = process.communicate(timeout=30)
    assert process.returncode == 1 and "Traceback" not in errors, errors
    told, = json.loads(said)
    # What is booted is ready before the drill has looked at it for the first time, or after.
    assert told["problem"] in ["app notes: drill: %s: the drill was interrupted." % check for check in ("boot", "health")]
    assert records(command) == [told]
    assert [path for unused, path, unused in server.received] == ["/start", "/fail"]
    assert not os.path.exists(command.host.place("state", "drills", "wiki.json")) and command.host.left() == []
