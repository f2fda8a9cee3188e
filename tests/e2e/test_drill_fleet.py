# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nine hosts over ssh, each with an application that runs: all are drilled, and of each that is not well the reports say why.

One story, told in order. host2's newest backup is damaged, that of host3 is too old, host4 has a database that no app covers,
host5 needs longer than its objective allows, host6 answers otherwise than it should, and host9 cannot be reached.
"""

from __future__ import annotations

import json
import os
import stat
import time
from xml.etree import ElementTree

import pytest
from browser import Browser
from hosts.fleet import Fleet

BACKUP, DRILL, REPORT = "appstate.backup.backup", "appstate.backup.drill", "appstate.backup.report"
HOSTS = ["host%d" % number for number in range(1, 10)]
PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "onhost", "wiki.py")
ROOT = "/srv/wiki"
TABLES = ("PRAGMA journal_mode = wal; CREATE TABLE pages (title TEXT, picture TEXT); CREATE TABLE visits (id INTEGER PRIMARY KEY);"
          " INSERT INTO pages VALUES ('one', 'a.png'), ('two', 'b.png')")
APP = {"name": "wiki", "root": ROOT, "owner": "www-data", "group": "www-data", "destination": "/var/backups",
       "retention": {"keep_last": 9}, "objectives": {"rpo": "26h", "rto": "5m"},
       "sources": [{"type": "sqlite", "path": "wiki.db", "assertions": [{"sql": "SELECT count(*) FROM pages", "min": 2}],
                    "references": [{"sql": "SELECT picture FROM pages", "under": "pictures"}]},
                   {"type": "files", "path": "pictures"}],
       "drill": {"boot": {"argv": ["/usr/local/bin/wiki", "{root}"]}},
       "health": {"url": "http://127.0.0.1:8080/health", "expression": "status == 'ok' && pages == `2`", "retries": 20, "delay": 1}}
# What those that are not well have otherwise.
OTHERWISE = {"host3": {"objectives": {"rpo": "1s"}}, "host5": {"objectives": {"rto": 0.001}},
             "host6": {"health": dict(APP["health"], expression="pages == `3`")}}


class Story:
    """The fleet, and what its live state was before anything was drilled."""

    def __init__(self, fleet):
        self.fleet = fleet
        self.reports = os.path.join(fleet.folder, "reports")
        self.live = {}

    def drills(self):
        with open(os.path.join(self.reports, "drill.json"), encoding="utf-8") as stream:
            return {drill["host"]: drill for drill in json.load(stream)["drills"]}

    def suites(self):
        return {suite.get("hostname"): suite for suite in ElementTree.parse(os.path.join(self.reports, "junit.xml")).getroot()}


def everything(top):
    """All that a file system knows of a tree, its inodes' own times among them."""
    found = {}
    for folder, folders, names in os.walk(top):
        for name in [""] + folders + names:
            path = os.path.join(folder, name)
            seen = os.lstat(path)
            found[os.path.relpath(path, top)] = (seen.st_ino, seen.st_mode, seen.st_uid, seen.st_gid, seen.st_size,
                                                 seen.st_mtime_ns, seen.st_ctime_ns)
    return found


def failures(suite):
    return {case.get("name") for case in suite.iter("testcase") if case.find("failure") is not None}


@pytest.fixture(scope="module", name="story")
def fleet_of_wikis():
    with Fleet(len(HOSTS)) as fleet:
        fleet.write_inventory({"appstate_apps": [APP]},
                              {host: {"appstate_apps": [dict(APP, **words)]} for host, words in OTHERWISE.items()})
        for host in fleet:
            host.write_program("/usr/local/bin/wiki", PROGRAM)
            host.write(ROOT + "/pictures/a.png", b"a" * 5000, "www-data")
            host.write(ROOT + "/pictures/b.png", b"b" * 5000, "www-data")
            host.run(["chown", "www-data:www-data", ROOT, ROOT + "/pictures"])
            host.run(["sqlite3", ROOT + "/wiki.db", TABLES], user="www-data")
            host.start(["/usr/local/bin/wiki", ROOT], user="www-data")
        yield Story(fleet)


@pytest.fixture(scope="module", name="drilled")
def drill_of_a_fleet_that_is_not_all_well(story):
    story.fleet.playbook(BACKUP).ok()
    (archive,) = story.fleet["host2"].run(["find", "/var/backups/wiki", "-name", "*.tar.*"]).stdout.split()
    content = bytearray(story.fleet["host2"].read(archive))
    content[len(content) // 2] ^= 1
    story.fleet["host2"].write(archive, bytes(content), mode=0o600)
    story.fleet["host4"].run(["mkdir", "/srv/other"])
    story.fleet["host4"].run(["sqlite3", "/srv/other/other.db", TABLES])
    story.fleet["host9"].stop()
    story.live = {host.name: everything(host.path(ROOT)) for host in story.fleet if host.name != "host9"}
    return story.fleet.playbook(DRILL, {"drill_report_dest": story.reports})


def test_the_run_fails_by_those_that_are_not_well(story, drilled):
    assert drilled.returncode != 0
    assert drilled.failed_hosts() == {"host2", "host3", "host5", "host6", "host9"}, drilled.text
    assert not {host for host, counts in drilled.recap().items() if counts["changed"] and host != "host1"}


def test_a_host_remembers_what_only_the_controller_could_ask(story, drilled):
    for host, ok in (("host6", False), ("host7", True)):
        (record,) = json.loads(story.fleet[host].read("/var/lib/appstate-backup/drills/wiki.json"))["drills"]
        assert record["ok"] is ok and record["problem"] == story.drills()[host]["problem"]


# What cannot be restored is not back in time, either.
@pytest.mark.parametrize("host, checks, said", [
    ("host2", {"checksum", "rto"}, "the archive cannot be decompressed"), ("host3", {"rpo"}, "and the objective is 1.0 s"),
    ("host5", {"rto"}, "and the objective is 0.0 s"), ("host6", {"health"}, "the expression pages == `3` is not true of the answer"),
    ("host9", {"drill"}, "could not be reached")])
def test_what_is_wrong_is_said_by_its_name(story, drilled, host, checks, said):
    drill = story.drills()[host]
    assert not drill["ok"] and said in drill["problem"], drill
    assert {case["check"] for case in drill["cases"] if case["outcome"] == "failed"} == checks - {"drill"}
    suite = story.suites()[host]
    assert {name.partition(":")[0] for name in failures(suite)} == checks
    assert int(suite.get("failures")) == len(checks)
    assert said in drilled.text


@pytest.mark.parametrize("host", ["host1", "host4", "host7", "host8"])
def test_what_is_well_was_proven_in_every_way(story, drilled, host):
    drill = story.drills()[host]
    assert drill["ok"], drill
    assert [case["check"] for case in drill["cases"] if case["outcome"] == "passed"] == [
        "rpo", "choose", "checksum", "integrity", "assertion", "passport", "references", "restore", "ownership", "boot", "health", "rto",
        "health"]
    assert 0 < drill["restored_seconds"] < drill["healthy_seconds"] == drill["rto_seconds"] < 60 and drill["bytes"] > 10000
    suite = story.suites()[host]
    assert not failures(suite) and int(suite.get("tests")) == 13 and suite.get("name") == "wiki@" + host
    properties = {each.get("name"): each.get("value") for each in suite.iter("property")}
    assert properties["backup"] == drill["backup"]["id"] and float(properties["rto_seconds"]) == drill["rto_seconds"]


def test_live_state_is_as_it_was_to_the_inode_and_nothing_is_left(story, drilled):
    for name, before in story.live.items():
        host = story.fleet[name]
        assert everything(host.path(ROOT)) == before
        assert len([line for line in host.run(["ps", "-eo", "args"]).stdout.splitlines() if "/usr/local/bin/wiki" in line]) == 1
        assert not [entry for entry in os.listdir(host.path("/var/backups")) if entry != "wiki"]
        mode = os.stat(host.path("/var/lib/appstate-backup/drills/wiki.json")).st_mode
        assert stat.S_IMODE(mode) == 0o600


@pytest.fixture(scope="module", name="reported")
def report_of_the_fleet(story, drilled):
    run = story.fleet.playbook(REPORT, {"report_dest": story.reports, "coverage_paths": ["/srv"]}, timeout=600).ok()
    with open(os.path.join(story.reports, "report.json"), encoding="utf-8") as stream:
        return run, {host["host"]: host for host in json.load(stream)["hosts"]}


@pytest.mark.parametrize("host, state, said", [
    ("host1", "good", None), ("host2", "bad", "the archive cannot be decompressed"), ("host3", "bad", "and the objective is 1 s"),
    ("host4", "good", None), ("host5", "bad", "rto: the app was back after"),
    ("host6", "bad", "health: the expression pages == `3` is not true of the answer"), ("host7", "good", None)])
def test_the_report_of_the_fleet_says_exactly_that(story, reported, host, state, said):
    (app,) = reported[1][host]["apps"]
    assert app["state"] == state, app["reasons"]
    assert said is None or [each for each in app["reasons"] if said in each["reason"]], app["reasons"]
    uncovered = [each["path"] for each in reported[1][host]["coverage"]["uncovered"]]
    assert uncovered == (["/srv/other/other.db"] if host == "host4" else [])


def test_a_host_that_is_gone_is_in_the_report_too(reported):
    assert reported[1]["host9"]["apps"] == [] and "reach" in reported[1]["host9"]["problem"]
    assert "databases that no app covers: 1" in reported[0].text


def test_the_page_of_the_fleet_shows_it_in_a_browser(story, reported):
    with Browser() as browser:
        browser.window(1280)
        browser.open(os.path.join(story.reports, "report.html"))
        browser.wait("document.readyState == 'complete'")
        text = browser.run("return document.body.innerText")
        assert browser.said() == []
    for host in HOSTS:
        assert host in text
    assert "/srv/other/other.db" in text and "the archive cannot be decompressed" in text and "1 s" in text


def test_check_mode_only_says_what_it_would_do(story, drilled):
    before = {name: everything(story.fleet[name].path("/var/lib/appstate-backup")) for name in story.live}
    run = story.fleet.playbook(DRILL, {"drill_report_dest": story.reports + "-never"}, limit="host1,host7", check=True).ok()
    assert run.text.count("would be restored into scratch space") == 2 and not os.path.exists(story.reports + "-never")
    assert {name: everything(story.fleet[name].path("/var/lib/appstate-backup")) for name in story.live} == before


def test_a_drill_host_proves_what_others_have_sent_away(story, drilled):
    """host7 has never seen the app: what it has is the inventory and the place where the backups are."""
    old, spare = story.fleet["host1"], story.fleet["host7"]
    remote = {"name": "offsite", "remote": "/mnt/offsite", "host": "host1"}
    spare.run(["mkdir", "-p", "/mnt/offsite/host1"])
    for name in old.run(["ls", "/var/backups/wiki"]).stdout.split():
        spare.write("/mnt/offsite/host1/wiki/" + name, old.read("/var/backups/wiki/" + name), mode=0o600)
    app = dict(APP, name="wiki", root="/srv/never-here/wiki", remotes=[remote], destination=None)
    run = story.fleet.playbook(DRILL, {"appstate_apps": [app], "drill_remote": "offsite", "drill_remote_host": "host1"}, limit="host7").ok()
    assert "back after" in run.text and not os.path.exists(spare.path("/srv/never-here"))


def test_a_stopped_drill_leaves_nothing_that_the_next_does_not_clear(story, drilled):
    host = story.fleet["host8"]
    app = dict(APP, health=dict(APP["health"], url="http://127.0.0.1:8081/nobody", retries=60))
    host.write("/etc/appstate-backup/apps.d/wiki.json", json.dumps(app), mode=0o600)
    run = story.fleet.playbook("appstate.backup.schedule", {"schedule_manage_packages": False}, limit="host8", check=False)
    if run.returncode:
        pytest.fail(run.text)
    host.write("/etc/appstate-backup/apps.d/wiki.json", json.dumps(app), mode=0o600)
    process = host.start(["/usr/local/bin/appstate-backup", "drill", "wiki"])
    until = time.monotonic() + 20
    while time.monotonic() < until and host.run(["ps", "-eo", "args"]).stdout.count("/usr/local/bin/wiki") < 2:
        time.sleep(0.1)
    process.kill()
    process.wait()
    time.sleep(0.5)
    assert host.run(["ps", "-eo", "args"]).stdout.count("/usr/local/bin/wiki") == 1
    story.fleet.playbook(DRILL, limit="host8").ok()
    assert not [entry for entry in os.listdir(host.path("/var/backups")) if entry != "wiki"]
