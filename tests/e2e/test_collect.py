# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two hosts with an app whose backups are plain and one whose are encrypted, and a third host that collects them.

One story, told in order; in the end the controller collects them itself.
"""

from __future__ import annotations

import glob
import json
import os
import stat
import subprocess
import tempfile
import time

import pytest
from hosts.fleet import Fleet
from hosts.packages import INTERPRETER, require
from trees import tree

BACKUP, COLLECT = "appstate.backup.backup", "appstate.backup.collect"
INFO, VERIFY = "appstate.backup.backup_info", "appstate.backup.backup_verify"
SOURCES = ["host1", "host2"]
TO = "/srv/collected"
TABLE = "CREATE TABLE pages (title); INSERT INTO pages VALUES ('one'), ('two')"
SECRET = "canary-of-a-ping"
RULES = {"keep_last": 2}
# A Python of a host that was taken over: what backup_info answers there has more facts, and more backups, which are in a file.
HOSTILE = """#!%s
import json, subprocess, sys
module = sys.stdin.buffer.read()
done = subprocess.run([sys.executable] + sys.argv[1:], input=module, stdout=subprocess.PIPE)
answer = done.stdout
if b"backup_info" in module:
    with open("/root/lies.json", encoding="ascii") as stream:
        lies = json.load(stream)
    told = json.loads(answer)
    name = told["backups"][0]["id"][:-17]
    told["ansible_facts"] = lies["facts"]
    told["backups"] += [dict(told["backups"][0], id=id.format(name), path=path.format(name)) for id, path in lies["backups"]]
    answer = json.dumps(told).encode("ascii")
sys.stdout.buffer.write(answer)
sys.exit(done.returncode)
""" % INTERPRETER


class Story:
    """The fleet, and how its backups are collected."""

    def __init__(self, fleet):
        require({"/usr/bin/age": "age"})
        self.fleet = fleet
        self.key = os.path.join(fleet.folder, "key")
        subprocess.run(["age-keygen", "-o", self.key], check=True, stderr=subprocess.DEVNULL)
        recipient = subprocess.run(["age-keygen", "-y", self.key], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        base = {"root": "/srv/wiki", "destination": "/var/backups", "retention": {"keep_last": 9},
                "sources": [{"type": "sqlite", "path": "wiki.db"}, {"type": "files", "path": "uploads"}]}
        self.apps = [dict(base, name="plain", monitoring={"ping": {"url": "http://127.0.0.1:9/" + SECRET, "attempts": 1}}),
                     dict(base, name="sealed", filename="{app}-%H", encryption={"recipients": [recipient]})]
        self.collector = fleet["host3"]
        self.ids = {}

    def back_up(self):
        """Another backup of all apps; the pings that nobody answers turn no run red."""
        time.sleep(1.1)  # identifiers count seconds
        self.fleet.playbook(BACKUP, limit=SOURCES).ok()

    def collect(self, check=False, arguments=(), **variables):
        words = {"collect_hosts": ":".join(SOURCES), "collect_to": "host3", "collect_directory": TO, "collect_retention": RULES}
        return self.fleet.playbook(COLLECT, dict(words, **variables), check=check, arguments=arguments)

    def listed(self, host, name, place=TO):
        """Ids of what was collected, the newest first, by the manifests; and all other names that are there."""
        folder = self.collector.path("%s/%s/%s" % (place, host, name))
        names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        ids = sorted((each[:-5] for each in names if each.endswith(".json")), reverse=True)
        assert len(names) == 2 * len(ids) and all(any(each.startswith(id + ".tar") for each in names) for id in ids), names
        return ids

    def on(self, host, name):
        """The same on a host, by its module."""
        app = next(app for app in self.apps if app["name"] == name)
        (told,) = self.fleet.module(INFO, {"app": app}, limit=host).ok().results(INFO)
        return [backup["id"] for backup in told["backups"]]


def said(run, host):
    """What the closing message tells of a host."""
    return "\n".join(line for result in run.results("ansible.builtin.debug", host) for line in result["msg"])


def collected(story):
    """All that the collector has but its locks, which every run takes."""
    return {path: entry for path, entry in tree(story.collector.path(TO)).items() if b".locks" not in path}


def collected_files(story):
    """The files of it alone: what is on the way comes and goes in the directories."""
    return {path: entry for path, entry in collected(story).items() if not stat.S_ISDIR(entry[0])}


def on_the_way():
    """Private directories on the controller that were not removed."""
    return set(glob.glob(os.path.join(tempfile.gettempdir(), ".incoming.*")))


@pytest.fixture(scope="module", name="story")
def two_hosts_and_a_collector():
    with Fleet(3) as fleet:
        story = Story(fleet)
        fleet.write_inventory({"appstate_apps": story.apps})
        for name in SOURCES:
            host = fleet[name]
            host.run(["install", "-d", "-o", "www-data", "-g", "www-data", "/srv/wiki", "/srv/wiki/uploads"])
            host.run(["sqlite3", "/srv/wiki/wiki.db", TABLE], user="www-data")
            host.write("/srv/wiki/uploads/picture.jpg", os.urandom(300_000), owner="www-data")
        story.back_up()
        yield story


def test_it_collects_to_no_directory_that_is_not_there(story):
    run = story.collect()
    assert run.failed_hosts() == set(SOURCES) and "which is no directory of host3" in run.text
    assert not os.path.exists(story.collector.path(TO))
    story.collector.run(["mkdir", TO])


def test_check_mode_predicts_and_changes_nothing(story):
    run = story.collect(check=True).ok()
    assert os.listdir(story.collector.path(TO)) == []
    for host in SOURCES:
        assert run.recap()[host]["changed"] and "plain: 1 would be collected (plain-" in said(run, host)


def test_all_is_collected_verified_and_private(story):
    before = on_the_way()
    run = story.collect().ok()
    for host in SOURCES:
        assert run.recap()[host]["changed"]
        for name in ("plain", "sealed"):
            assert story.listed(host, name) == story.on(host, name)
            assert "%s: 1 collected (%s)" % (name, story.listed(host, name)[0]) in said(run, host)
        top = story.collector.path("%s/%s" % (TO, host))
        assert sorted(os.listdir(top)) == [".locks", ".state", "plain", "sealed"]
        for folder, folders, names in os.walk(top):
            assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700, folder
            assert all(stat.S_IMODE(os.stat(os.path.join(folder, each)).st_mode) == 0o600 for each in names), folder
    assert on_the_way() == before and SECRET not in run.text


def test_what_was_collected_can_be_opened_there(story):
    with open(story.key, encoding="ascii") as stream:
        identity = stream.read()
    for host in SOURCES:
        for app in story.apps:
            words = {"app": dict(app, destination="%s/%s" % (TO, host)), "level": "content", "identity": identity}
            (told,) = story.fleet.module(VERIFY, words, limit="host3").ok().results(VERIFY)
            assert told["verified"] and told["backup"]["host"] == host


def test_a_second_run_changes_nothing(story):
    before = collected(story)
    for check in (True, False):
        run = story.collect(check=check).ok()
        assert not any(counts["changed"] for counts in run.recap().values()), run.text
        assert all("plain: nothing new" in said(run, host) for host in SOURCES)
    assert collected(story) == before


def test_a_damaged_backup_is_refused_and_all_others_are_collected(story):
    story.back_up()
    story.back_up()
    kept = {host: story.listed(host, "plain") for host in SOURCES}
    spoilt = story.on("host1", "plain")[0]
    with open(glob.glob(story.fleet["host1"].path("/var/backups/plain/%s.tar*" % spoilt))[0], "r+b") as stream:
        stream.seek(1000)
        stream.write(b"spoilt")
    before = on_the_way()
    run = story.collect()
    assert run.returncode != 0 and run.failed_hosts() == {"host1"}
    assert "plain: FAILED: %s was not collected" % spoilt in said(run, "host1") and "is damaged" in said(run, "host1")
    # Nothing is pruned of what could not be collected; the other one of that app has come all the same.
    assert story.listed("host1", "plain") == story.on("host1", "plain")[1:2] + kept["host1"]
    assert story.listed("host2", "plain") == story.on("host2", "plain")[:2]
    assert "plain: 2 collected" in said(run, "host2") and "1 pruned" in said(run, "host2")
    for host in SOURCES:
        assert story.listed(host, "sealed")[0] == story.on(host, "sealed")[0]
        assert not glob.glob(story.collector.path("%s/%s/.incoming.*" % (TO, host)))
    assert on_the_way() == before


def test_once_the_damaged_one_is_gone_all_goes_on(story):
    for path in glob.glob(story.fleet["host1"].path("/var/backups/plain/%s.*" % story.on("host1", "plain")[0])):
        os.remove(path)
    story.back_up()
    story.collect().ok()
    for host in SOURCES:
        assert story.listed(host, "plain") == story.on(host, "plain")[:2]
    # The hosts have rules of their own.
    assert len(story.on("host1", "plain")) == 3 and len(story.on("host2", "plain")) == 4
    with open(story.collector.path(TO + "/host1/.state/audit.jsonl"), encoding="ascii") as stream:
        lines = [json.loads(line) for line in stream]
    assert {line["action"] for line in lines} == {"import", "prune"}


def test_one_that_could_not_be_collected_comes_later_though_a_newer_one_has_come(story):
    story.back_up()
    story.back_up()
    newer, older = story.on("host1", "plain")[:2]
    archive = glob.glob(story.fleet["host1"].path("/var/backups/plain/%s.tar*" % older))[0]
    with open(archive, "rb") as stream:
        sound = stream.read()
    with open(archive, "wb") as stream:
        stream.write(sound[:1000] + b"spoilt" + sound[1006:])
    assert story.collect().failed_hosts() == {"host1"}
    listed, before = story.listed("host1", "plain"), collected_files(story)
    assert listed[0] == newer and older not in listed
    memory = story.collector.path(TO + "/host1/.state/plain.missed.json")
    with open(memory, encoding="ascii") as stream:
        assert json.load(stream) == [older] and stat.S_IMODE(os.fstat(stream.fileno()).st_mode) == 0o600
    run = story.collect()
    assert run.failed_hosts() == {"host1"} and "%s was not collected" % older in said(run, "host1")
    assert not any(counts["changed"] for counts in run.recap().values()) and collected_files(story) == before
    with open(archive, "wb") as stream:
        stream.write(sound)
    assert "plain: 1 would be collected (%s)" % older in said(story.collect(check=True).ok(), "host1")
    assert collected_files(story) == before
    assert "plain: 1 collected (%s)" % older in said(story.collect().ok(), "host1")
    assert story.listed("host1", "plain") == [newer, older]
    with open(memory, encoding="ascii") as stream:
        assert json.load(stream) == []
    # What the rules removed is not brought back.
    before, run = collected(story), story.collect().ok()
    assert not any(counts["changed"] for counts in run.recap().values()) and collected(story) == before
    assert not os.path.exists(story.collector.path(TO + "/host2/.state/plain.missed.json"))


def test_a_host_that_was_taken_over_removes_nothing(story, monkeypatch):
    # What a host could get removed would be this directory at most.
    on_controller = os.path.join(story.fleet.folder, "on-controller")
    os.mkdir(on_controller)
    monkeypatch.setenv("TMPDIR", on_controller)
    host = story.fleet["host1"]
    host.write("/root/python", HOSTILE, mode=0o755)
    story.fleet.write_inventory({"appstate_apps": story.apps, "collect_to": "host3", "collect_directory": TO, "collect_retention": RULES},
                                {"host1": {"ansible_python_interpreter": "/root/python"}})
    facts = {"collect_retention": {"keep_last": 1}, "__collect_rules": {"keep_last": 1}, "collect_directory": "/srv", "__collect_place": "/srv",
             "collect_to": "host1", "__collect_on": "host1", "collect_become": True, "__collect_as_root": True,
             "inventory_hostname": "host2", "__collect_room": {"path": on_controller}}

    def collect(*backups):
        host.write("/root/lies.json", json.dumps({"facts": facts, "backups": backups}))
        return story.fleet.playbook(COLLECT, {"collect_hosts": "host1"})

    before = collected(story)
    stamped = "{}-20990101T000000Z"
    run = collect((stamped, "/var/backups/{}/.."), (stamped, "/var/backups/{}/."), ("../../host2", "/var/backups/{0}/{0}.tar.zst"),
                  (stamped, "/var/backups/{}/.state"))
    assert run.failed_hosts() == {"host1"} and collected(story) == before and os.listdir(on_controller) == [], run.text
    for name in ("plain", "sealed"):
        assert '%s: FAILED: app %s: "%s-20990101T000000Z" at "/var/backups/%s/.." is not called' % ((name,) * 4) in said(run, "host1"), run.text
        assert '"../../host2" at' in said(run, "host1")
    # Such facts alone change nothing either: the rules of the inventory are those that are applied.
    story.back_up()
    others = {path: entry for path, entry in before.items() if b"host1" not in path}
    run = collect().ok()
    for name in ("plain", "sealed"):
        assert "%s: 1 collected" % name in said(run, "host1") and story.listed("host1", name)[0] == story.on("host1", name)[0]
        assert len(story.listed("host1", name)) == 2
    assert {path: entry for path, entry in collected(story).items() if b"host1" not in path} == others
    assert os.listdir(on_controller) == []
    story.fleet.write_inventory({"appstate_apps": story.apps})


def test_a_full_disk_of_the_collector_fails_and_leaves_nothing(story):
    story.back_up()
    story.collector.run(["mkdir", "/mnt/small"])
    story.collector.run(["mount", "-t", "tmpfs", "-o", "size=400k,mode=0755", "tmpfs", "/mnt/small"])
    run = story.collect(collect_directory="/mnt/small", collect_apps="plain")
    assert run.failed_hosts() == set(SOURCES)
    left = [name for unused, unused_too, names in os.walk(story.collector.path("/mnt/small")) for name in names]
    assert not [name for name in left if "partial" in name or "incoming" in name], left
    for host in SOURCES:
        assert story.listed(host, "plain", "/mnt/small") == [] or len(story.listed(host, "plain", "/mnt/small")) == 1
    story.collector.run(["umount", "/mnt/small"])


def test_the_controller_collects_also_with_become(story):
    for name, arguments in (("plain", ()), ("sealed", ("-b", "--become-method", "su"))):
        place = os.path.join(story.fleet.folder, "collected-" + name)
        os.mkdir(place)
        run = story.collect(collect_to="localhost", collect_directory=place, collect_apps=name, arguments=arguments).ok()
        for host in SOURCES:
            top = os.path.join(place, host)
            assert sorted(os.listdir(top)) == [".locks", ".state", name], run.text
            # Names that come round every hour are one or two.
            assert len(os.listdir(os.path.join(top, name))) in ((4,) if name == "plain" else (2, 4))
