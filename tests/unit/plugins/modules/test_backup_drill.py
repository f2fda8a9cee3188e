# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import shutil

import pytest
import yaml

from ansible_collections.appstate.backup.plugins.module_utils.archive.age import make_pair
from ansible_collections.appstate.backup.plugins.module_utils.system.locks import AppLock
from ansible_collections.appstate.backup.plugins.modules import backup_drill
from ansible_collections.appstate.backup.tests.unit.plugins.pings import SECRET, receiver  # noqa: F401  # pylint: disable=unused-import

QUIET = {"monitoring": {"syslog": False}}
BAD = [{"type": "sqlite", "path": "data/notes.db", "assertions": [{"sql": "SELECT 0"}]}]
TYPES = {"str": str, "bool": bool, "int": int, "float": float, "dict": dict, "list": list}


@pytest.fixture
def filled(host):
    host.fill()
    return host


def described(host, **words):
    return host.described(**dict({"drill": QUIET}, **words))


def records(host):
    with open(host.place("state", "drills", "notes.json"), encoding="ascii") as file:
        return json.load(file)["drills"]


def test_a_good_backup(filled, run, tree, returned):
    backup = filled.backup().backup
    before = tree(filled.root), tree(filled.destination)
    app = described(filled, objectives={"rpo": "9999d", "rto": "10m"})
    found = run.ok(app=app)
    assert found["changed"] is False and found["answer"] is None and set(returned) - {"backup"} <= set(found)
    drill = found["drill"]
    assert drill["ok"] and drill["backup"]["id"] == backup.id and records(filled) == [drill]
    assert (tree(filled.root), tree(filled.destination)) == before
    again = run.ok(app=app)
    assert not again["changed"] and records(filled)[-1] == again["drill"]


def test_what_it_returns_is_what_it_documents(filled, run):
    filled.backup()
    documented = yaml.safe_load(backup_drill.RETURN)["drill"]["contains"]
    for found in (run.ok(app=described(filled)), run.failed(app=described(filled, sources=BAD, objectives={"rpo": "1s"}))):
        drill = found["drill"]
        assert set(drill) == set(documented)
        for name, value in drill.items():
            assert value is None or isinstance(value, TYPES[documented[name]["type"]]), (name, value)
        for case in drill["cases"]:
            assert set(case) == set(documented["cases"]["contains"]) and case["outcome"] in ("passed", "failed", "skipped")


def test_a_drill_is_disproved_by_who_knows_more(filled, run):
    filled.backup()
    drill = run.ok(app=described(filled))["drill"]
    told = {"drilled": drill["drilled"], "about": "a == b", "problem": "it is not"}
    assert run.ok(app=described(filled), check=True, disproved=told) == {"changed": False} and records(filled)[-1]["ok"]
    # Nothing of it is drilled again, nor is a destination needed.
    shutil.rmtree(filled.app().directory)
    app = {name: value for name, value in described(filled).items() if name != "destination"}
    found = run.ok(app=app, disproved=told)
    assert found["drill"]["problem"] == "app notes: drill: health: it is not" and records(filled) == [found["drill"]]
    assert "there was no drill at 2020-01-01T00:00:00Z" in run.failed(app=app, disproved=dict(told, drilled="2020-01-01T00:00:00Z"))["msg"]


def test_check_mode_says_which_and_does_nothing(filled, run, tree):
    first, second = filled.backup().backup, filled.backup().backup
    before = tree(filled.path)
    for words, id in (({}, second.id), ({"which": first.id}, first.id), ({"archive": first.path}, first.id)):
        found = run.ok(app=described(filled), check=True, **words)
        assert (found["changed"], found["backup"]["id"]) == (False, id) and "drill" not in found
    assert run.ok(app=described(filled), check=True, which="random")["backup"]["id"] in (first.id, second.id)
    assert tree(filled.path) == before
    shutil.rmtree(filled.app().directory)
    assert "no good backup" in run.failed(app=described(filled), check=True)["msg"]


def test_a_bad_one_fails_the_task_with_all_that_was_found(filled, run):
    filled.backup()
    found = run.failed(app=described(filled, sources=BAD))
    assert found["msg"] == found["drill"]["problem"] and found["msg"].startswith("app notes: drill: assertion: ")
    assert [(case["check"], case["outcome"]) for case in found["drill"]["cases"] if case["outcome"] == "failed"] == [("assertion", "failed")]
    assert records(filled) == [found["drill"]]


def test_no_backup_and_a_missed_objective(filled, run):
    found = run.failed(app=described(filled, objectives={"rpo": "1h"}))
    assert found["drill"]["backup"] is None and [case["check"] for case in found["drill"]["cases"][:2]] == ["rpo", "choose"]
    filled.backup()
    assert "the objective is 1.0 s" in run.failed(app=described(filled, objectives={"rpo": "1s"}))["msg"]


def test_choosing(filled, run):
    first, second = filled.backup().backup, filled.backup().backup
    app = described(filled)
    assert run.ok(app=app)["drill"]["backup"]["id"] == second.id
    assert run.ok(app=app, which=first.id)["drill"]["backup"]["id"] == first.id
    assert run.ok(app=app, which="random", within="9999y")["drill"]["backup"]["id"] in (first.id, second.id)
    assert run.ok(app=app, archive=first.path)["drill"]["backup"]["id"] == first.id
    assert "'within' is given" in run.failed(app=app, within="30d")["msg"]
    assert "is a duration" in run.failed(app=app, which="random", within="soon")["msg"]
    assert "'archive' excludes" in run.failed(app=app, which=first.id, archive=first.path)["msg"]
    assert "has no backup 'x'" in run.failed(app=app, which="x")["msg"]
    assert "no good backup of the last 1h" in run.failed(app=app, which="random", within="1h")["msg"]


def test_an_archive_needs_no_destination(filled, run):
    backup = filled.backup().backup
    assert run.ok(app=described(filled, destination=None), archive=backup.path)["drill"]["ok"]
    assert "'destination'" in run.failed(app=described(filled, destination=None))["msg"]


def test_an_encrypted_backup_at_a_remote(filled, run):
    identity, recipient = make_pair()
    words = {"encryption": {"recipients": [recipient]}, "remotes": [{"name": "offsite", "remote": filled.place("remote"), "host": "web1"}]}
    backup = filled.backup(**words).backup
    os.makedirs(filled.place("remote", "web1"))
    os.rename(filled.app().directory, filled.place("remote", "web1", "notes"))
    with open(filled.place("key"), "w", encoding="ascii") as file:
        file.write(identity)
    app = described(filled, **words)
    for given in ({"identity": identity}, {"identity_file": filled.place("key")}):
        found = run.ok(app=app, remote="offsite", **given)
        assert found["drill"]["backup"]["id"] == backup.id and found["drill"]["remote"] == "offsite"
        assert identity.split()[-1] not in json.dumps(found)
    assert "no identity was given" in run.failed(app=app, remote="offsite")["msg"]
    assert "belongs to none of the recipients" in run.failed(app=app, remote="offsite", identity=make_pair()[0])["msg"]
    assert "has no remote 'x'" in run.failed(app=app, remote="x")["msg"]
    assert "'identity' and 'identity_file' exclude one another" in run.failed(app=app, remote="offsite", identity=identity, identity_file="/x")["msg"]


def test_a_drill_that_is_under_way(filled, run):
    filled.backup()
    with AppLock(filled.locks, "notes", "drill"):
        assert "another drill holds the lock" in run.failed(app=described(filled))["msg"]
    with AppLock(filled.locks, "notes"):
        assert run.ok(app=described(filled))["drill"]["ok"]


def test_the_ping_is_sent_and_its_url_is_nowhere(filled, run, receiver):  # noqa: F811
    server = receiver()
    filled.backup()
    monitoring = {"ping": {"url": server.url}, "syslog": False}
    found = run.ok(app=described(filled, drill={"monitoring": monitoring}))
    assert [path for unused, path, unused in server.received] == ["/start", ""] and SECRET not in json.dumps(found)
    server.statuses[:] = [500]
    found = run.failed(app=described(filled, drill={"monitoring": dict(monitoring, ping={"url": server.url, "attempts": 1})}))
    assert found["msg"].startswith("app notes: drill: ping: ") and SECRET not in json.dumps(found)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start an app apart from the live one")
def test_an_application_that_answers(filled, run, tree):
    filled.write("uploads/health", b"Content-Type: application/json")
    program = filled.place("app.py")
    with open(program, "w", encoding="ascii") as file:
        file.write("import http.server, json, os, sys\n"
                   "class Handler(http.server.BaseHTTPRequestHandler):\n"
                   "    def do_GET(self):\n"
                   "        self.send_response(200)\n"
                   "        self.send_header('Content-Type', 'application/json')\n"
                   "        self.end_headers()\n"
                   "        self.wfile.write(json.dumps({'files': sorted(os.listdir('uploads')), 'key': os.environ['KEY']}).encode())\n"
                   "http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), Handler).serve_forever()\n")
    os.chmod(program, 0o644)
    filled.backup()
    filled.write("uploads/since")
    before = tree(filled.root)
    boot = {"argv": ["/usr/bin/python3", program, "{port}"], "environment": {"KEY": "of {port}"}}
    health = {"url": "http://127.0.0.1:{port}/", "retries": 20, "delay": 0.5}
    found = run.ok(app=described(filled, drill=dict(QUIET, boot=boot, health=health), objectives={"rto": "1m"}))
    assert found["answer"]["files"] == ["a.bin", "deep", "health", "link"] and found["answer"]["key"].startswith("of ")
    assert found["drill"]["healthy_seconds"] == found["drill"]["rto_seconds"] and tree(filled.root) == before


def test_what_an_app_says_wrong_is_named(run, filled):
    assert "'boot' of 'drill' needs exactly one of" in run.failed(app=described(filled, drill={"boot": {}}))["msg"]
    assert "canary" not in json.dumps(run.failed(app=described(filled, drill={"monitoring": {"ping": {"url": ["canary"]}}})))
