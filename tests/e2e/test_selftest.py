# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two hosts whose alarm is tested over ssh: by this collection, and by copies of it in each of which one check is blind."""

from __future__ import annotations

import os
import subprocess

import pytest
from hosts.collection import PLACE, copy_collection
from hosts.fleet import Fleet
from hosts.packages import require
from hosts.secrets_watch import SecretsWatch
from trees import tree

BACKUP, SELFTEST, MODULE = "appstate.backup.backup", "appstate.backup.selftest", "appstate.backup.backup_selftest"
HOSTS = ["host1", "host2"]
EXPECTED = {"cut_archive": "choose", "flipped_byte": "checksum", "flipped_page": "integrity", "stale_wal": "passport",
            "emptied_table": "passport", "rolled_back_dump": "integrity", "missing_upload": "references", "wrong_owner": "ownership",
            "newer_schema": "version", "full_disk": "restore", "dead_ping": "ping"}
FOR_DATABASES = {"flipped_page", "stale_wal", "emptied_table", "newer_schema"}
TABLES = ("PRAGMA journal_mode = wal; PRAGMA user_version = 7; CREATE TABLE pages (title TEXT, picture TEXT);"
          " INSERT INTO pages VALUES ('one', 'a.png'), ('two', 'b.png'); CREATE TABLE visits (n); INSERT INTO visits VALUES (1)")
# A database that names its pictures; another one whose dump is what is backed up.
WIKI = {"name": "wiki", "root": "/srv/wiki", "destination": "/var/backups", "version": {"sql": "SELECT user_version FROM pragma_user_version"},
        "version_max": 7, "drill": {"scratch": "/srv/scratch", "monitoring": {"ping": {"url": "http://127.0.0.1:1/real", "attempts": 1}}},
        "sources": [{"type": "sqlite", "path": "wiki.db", "assertions": [{"sql": "SELECT count(*) FROM pages", "min": 2}],
                     "references": [{"sql": "SELECT picture FROM pages", "under": "pictures"}]},
                    {"type": "files", "path": "pictures"}]}
SHOP = {"name": "shop", "root": "/srv/shop", "destination": "/var/backups",
        "sources": [{"type": "command", "path": "shop.sql", "argv": ["sqlite3", "/srv/shop/shop.db", ".dump"], "format": "sql"},
                    {"type": "files", "path": "invoices"}]}
# By fault: a file below plugins/module_utils, a line of it, and what stands there where that check is blind. The unit tests have all.
BLIND = {
    "cut_archive": ("catalog/catalog.py", 'if size != manifest.archive["size"]:', "if False:"),
    "flipped_page": ("sqlite/examine.py", 'found["ok"] = messages == ["ok"]', 'found["ok"] = True'),
    "emptied_table": ("sources/sqlite.py", "before.get(name) != after.get(name)]", "False]"),
    "dead_ping": ("monitor/ping.py", 'return "the ping of %s could not be sent: %s" % (event, problem)', "return None"),
}


class Story:
    """The fleet, and the key that opens the backups of one app."""

    def __init__(self, fleet):
        self.fleet = fleet
        self.key = os.path.join(fleet.folder, "key")
        subprocess.run(["age-keygen", "-o", self.key], check=True, stderr=subprocess.DEVNULL)
        recipient = subprocess.run(["age-keygen", "-y", self.key], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        self.apps = [WIKI, dict(SHOP, encryption={"recipients": [recipient]})]

    def selftest(self, **variables):
        return self.fleet.playbook(SELFTEST, variables)


def touched(fleet):
    """All that a self-test could touch, but the two directories that its own comes and goes in."""
    found = {}
    for host in fleet:
        for place in ("/srv", "/var/backups", "/var/lib/appstate-backup"):
            found[host.name, place] = tree(host.path(place))
        del found[host.name, "/srv"][b"scratch"], found[host.name, "/var/backups"][b"."]
    return found


def told(run, host):
    """From app to fault to what is told of it."""
    return {app["selftest"]["app"]: {fault["fault"]: fault for fault in app["selftest"]["faults"]}
            for result in run.results(MODULE, host) for app in result.get("results", [result]) if "selftest" in app}


def said(run, host):
    """The table of a host."""
    return "\n".join(line for result in run.results("ansible.builtin.debug", host) for line in result["msg"])


@pytest.fixture(scope="module", name="story")
def two_hosts_with_backups():
    with Fleet(len(HOSTS)) as fleet:
        require({"/usr/bin/age": "age"})
        story = Story(fleet)
        fleet.write_inventory({"appstate_apps": story.apps})
        for host in fleet:
            host.run(["mkdir", "/srv/scratch"])
            for name in ("wiki/pictures/a.png", "wiki/pictures/b.png", "shop/invoices/1.pdf"):
                host.write("/srv/" + name, name * 100, "www-data")
            for name in ("wiki", "shop"):
                host.run(["chown", "-R", "www-data:www-data", "/srv/" + name])
                host.run(["sqlite3", "/srv/%s/%s.db" % (name, name), TABLES], user="www-data")
        fleet.playbook(BACKUP).ok()
        yield story


def test_each_fault_is_seen_red_on_every_host_and_nothing_else_is_touched(story):
    before = touched(story.fleet)
    run = story.selftest(selftest_identity_file=story.key).ok()
    assert touched(story.fleet) == before
    assert not any(counts["changed"] for counts in run.recap().values()) and "AGE-SECRET-KEY-" not in run.text
    for host in HOSTS:
        faults = told(run, host)
        assert {fault: (each["outcome"], each["red"]) for fault, each in faults["wiki"].items()} == {
            fault: ("seen", [check]) for fault, check in EXPECTED.items()}, faults["wiki"]
        assert {fault for fault, each in faults["shop"].items() if each["outcome"] == "skipped"} == FOR_DATABASES
        assert {fault: each["red"] for fault, each in faults["shop"].items() if each["outcome"] == "seen"} == {
            fault: [check] for fault, check in EXPECTED.items() if fault not in FOR_DATABASES}
        assert "no newer one than 7" in faults["wiki"]["newer_schema"]["message"]
        table = said(run, host)
        assert "untouched green, 11 of 11 faults seen" in table and "untouched green, 7 of 11 faults seen" in table
        assert "  emptied table     passport    seen\n" in table
        assert "  emptied table     passport    not tried: the backup has no SQLite database\n" in table


def test_the_key_gets_to_no_disk_whatever_the_inventory_says_of_pipelining(story):
    with open(story.key, encoding="ascii") as stream:
        identity = stream.read().splitlines()[-1]
    story.fleet.write_inventory({"appstate_apps": story.apps, "ansible_pipelining": False})
    with SecretsWatch(story.fleet["host1"], {"the key": identity}) as watch:
        story.fleet.playbook(SELFTEST, {"selftest_identity": identity, "selftest_apps": "shop"}, limit="host1").ok()
    story.fleet.write_inventory({"appstate_apps": story.apps})
    assert watch.programs.get("age") and not watch.seen and not watch.found, (watch.seen, watch.found)


def test_without_the_key_an_encrypted_backup_cannot_be_tested_and_that_is_told(story):
    run = story.selftest()
    assert run.failed_hosts() == set(HOSTS)
    for host in HOSTS:
        assert "shop: FAILED: " in said(run, host) and "no identity was given" in said(run, host)
        assert "wiki: wiki-" in said(run, host)


def test_what_it_does_not_begin_with(story):
    run = story.selftest(selftest_identity="AGE-SECRET-KEY-1", selftest_identity_file=story.key)
    assert run.failed_hosts() == set(HOSTS) and not run.results(MODULE)
    run = story.selftest(selftest_apps="wiki,nobody")
    assert run.failed_hosts() == set(HOSTS) and "selftest_apps names nobody" in run.text and not run.results(MODULE)
    run = story.fleet.playbook(SELFTEST, {"selftest_apps": "wiki"}, check=True).ok()
    assert all("would be copied" in said(run, host) and not told(run, host) for host in HOSTS)


def test_an_untouched_copy_that_is_red_fails_by_itself(story):
    strict = dict(WIKI, sources=[dict(WIKI["sources"][0], assertions=[{"sql": "SELECT count(*) FROM pages", "min": 3}]), WIKI["sources"][1]])
    story.fleet.write_inventory({"appstate_apps": story.apps}, {"host2": {"appstate_apps": [strict]}})
    run = story.selftest(selftest_apps="wiki")
    story.fleet.write_inventory({"appstate_apps": story.apps})
    assert run.failed_hosts() == {"host2"}
    assert "wiki: FAILED: app wiki: self-test: the untouched copy is not green: assertion: " in said(run, "host2")


@pytest.fixture(scope="module", name="blinded")
def copy_of_the_collection(story):
    """A function that makes one check of a copy of this collection blind, and runs the self-test by it."""
    folder = os.path.join(story.fleet.folder, "blinded")
    copy_collection(folder + PLACE)

    def selftest(fault):
        name, line, otherwise = BLIND[fault]
        path = "%s%s/plugins/module_utils/%s" % (folder, PLACE, name)
        with open(path, encoding="utf-8") as stream:
            whole = stream.read()
        assert whole.count(line) == 1, "%s has no such line any more: %s" % (name, line)
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(whole.replace(line, otherwise))
        try:
            story.fleet.controller.use_collections(folder)
            return story.fleet.playbook(SELFTEST, {"selftest_apps": "wiki"}, limit="host1")
        finally:
            story.fleet.controller.use_collections(None)
            with open(path, "w", encoding="utf-8") as stream:
                stream.write(whole)
    return selftest


@pytest.mark.parametrize("fault", list(BLIND))
def test_where_a_check_is_blind_the_play_fails_and_says_which(blinded, fault):
    run = blinded(fault)
    assert run.failed_hosts() == {"host1"}
    faults = told(run, "host1")["wiki"]
    assert {name for name, each in faults.items() if each["outcome"] == "missed"} == {fault}, faults
    assert "  %-17s %-11s MISSED: " % (fault.replace("_", " "), EXPECTED[fault]) in said(run, "host1")
    assert "wiki: FAILED: wiki-" in said(run, "host1") and "10 of 11 faults seen" in said(run, "host1")
