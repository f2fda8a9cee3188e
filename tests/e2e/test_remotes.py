# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Three remotes at once: an S3 bucket, the sshd of another host, and another disk of the host itself.

One story, told in order: backups go to all three, are listed, verified, restored and pruned at each, by the playbooks
and by the command that the role schedule installed.
"""

from __future__ import annotations

import datetime
import os
import time

import pytest
from hosts.fleet import Fleet
from hosts.object_store import ObjectStore
from hosts.sftp_store import SftpStore
from hosts.store import Disk
from notebooks import METRICS, ROWS, Notebook, Pings
from offsite import INFO, PRUNE, VERIFY, Offsite, copies

BACKUP = "appstate.backup.backup"
RESTORE = "appstate.backup.restore"
SCHEDULE = "appstate.backup.schedule"
REMOTES = ("s3", "vault", "disk")


class Story:
    """The fleet, the application, and the stores by the names of the remotes."""

    def __init__(self, fleet):
        self.fleet = fleet
        self.host = fleet["host1"]
        self.notes = Notebook(self.host, "notes").install()
        self.pings = Pings(self.host)
        self.host.run(["mkdir", "-p", METRICS])
        self.stores = {"s3": ObjectStore(fleet["host2"]), "vault": SftpStore(fleet["host2"]), "disk": Disk(self.host)}
        self.offsite = self.of("notes")

    def of(self, name):
        """The backups of an app at each remote; one of them calls the host otherwise."""
        return {each: Offsite(store, name, "web-1" if each == "vault" else "host1") for each, store in self.stores.items()}

    def described(self, **more):
        """The app: three remotes, of which each keeps otherwise."""
        remotes = [self.stores["s3"].described("s3", retention={"keep_last": 2}),
                   self.stores["vault"].described("vault", self.host, host="web-1"),
                   self.stores["disk"].described("disk", delete=False)]
        return self.notes.app(self.host.address, **dict({"remotes": remotes}, **more))

    def module(self, name, check=False, **arguments):
        """Run a module for the app; its result."""
        run = self.fleet.module(name, dict({"app": self.described()}, **arguments), limit="host1", check=check).ok()
        (result,) = run.results(name)
        return result

    def command(self, *words):
        """Run the command as an operator does who is logged in."""
        time.sleep(1.1)  # identifiers count seconds
        done = self.notes.command(*words)
        assert done.returncode == 0, (done.stdout, done.stderr)
        return done.stdout

    def damage(self):
        """Lose what the app had."""
        self.host.run(["sqlite3", self.notes.database, "DELETE FROM notes"])
        os.remove(self.host.path(self.notes.root + "/settings.conf"))

    def is_whole(self):
        """Whether the app has all that it had."""
        rows = self.host.run(["sqlite3", self.notes.database, "SELECT count(*) FROM notes; PRAGMA integrity_check"]).stdout
        return rows.split() == [str(ROWS), "ok"] and os.path.exists(self.host.path(self.notes.root + "/settings.conf"))


@pytest.fixture(scope="module", name="story")
def one_app_and_three_remotes():
    with Fleet(2, cron=True) as fleet:
        story = Story(fleet)
        fleet.write_inventory({"appstate_apps": [story.described()]})
        yield story


@pytest.fixture(scope="module", name="taken")
def backup_by_the_playbook(story):
    return story.fleet.playbook(BACKUP, limit="host1").ok()


@pytest.fixture(scope="module", name="installed")
def command_by_the_role(story, taken):
    return story.fleet.playbook(SCHEDULE, {"schedule_manage_packages": True}, limit="host1").ok()


def test_a_backup_is_at_every_remote_to_the_byte(story, taken):
    (backup,) = story.notes.backups()
    archive = backup + ".tar.zst"
    kept = story.host.read("/var/backups/notes/" + archive)
    for name, offsite in story.offsite.items():
        assert offsite.ids() == [backup], name
        assert story.stores[name].read(offsite.key(archive)) == kept, name
        (manifest,) = offsite.manifests()
        assert manifest["verified"]["level"] == "content" and manifest["host"] == "host1"


def test_the_result_tells_each_copy(story, taken):
    told = copies(taken)
    (backup,) = story.notes.backups()
    paths = {"s3": "s3:backups/host1", "vault": "vault:backups/web-1", "disk": "/mnt/disk/backups/host1"}
    assert set(told) == set(REMOTES)
    for name, copied in told.items():
        assert copied["problem"] is None and copied["seconds"] > 0
        assert copied["path"] == "%s/notes/%s.tar.zst" % (paths[name], backup)
        assert copied["size"] == os.path.getsize(story.host.path("/var/backups/notes/%s.tar.zst" % backup))


def test_a_backup_on_another_disk_is_for_root_alone(story, taken):
    (backup,) = story.notes.backups()
    for name in (backup + ".json", backup + ".tar.zst"):
        assert os.stat(story.stores["disk"].path(story.offsite["disk"].key(name))).st_mode & 0o77 == 0, name


@pytest.mark.parametrize("remote", REMOTES)
def test_backups_at_a_remote_are_listed_and_verified(story, taken, remote):
    (listed,) = story.module(INFO, remote=remote)["backups"]
    assert listed["good"] and [listed["id"]] == story.notes.backups()
    verified = story.module(VERIFY, remote=remote)
    assert (verified["verified"], verified["level"], verified["problems"]) == (True, "content", [])


def test_the_playbook_restores_from_a_remote(story, taken):
    story.damage()
    story.fleet.playbook(RESTORE, {"restore_app": "notes", "restore_remote": "s3", "restore_commit": True},
                         limit="host1").ok()
    assert story.is_whole()


@pytest.mark.parametrize("remote", ["vault", "disk"])
def test_the_command_restores_from_a_remote(story, installed, remote):
    story.damage()
    assert "is good (content)" in story.command("verify", "notes", "--remote", remote)
    story.command("restore", "notes", "--remote", remote)
    assert story.is_whole()
    story.command("commit", "notes")


def test_each_remote_keeps_by_its_own_rules(story, installed):
    for _number in range(3):
        story.command("run", "notes")
    kept = {name: offsite.ids() for name, offsite in story.offsite.items()}
    assert {name: len(ids) for name, ids in kept.items()} == {"s3": 2, "vault": 3, "disk": 4}
    assert story.notes.backups() == kept["vault"] == kept["disk"][1:] and kept["s3"] == kept["disk"][2:]
    lines = story.command("list", "notes", "--remote", "s3").splitlines()
    assert [line.split()[0] for line in lines] == kept["s3"][::-1]


def test_status_metrics_and_audit_log_know_each_remote(story, installed):
    told = story.notes.status()["remotes"]
    assert {name: entry["backup"] for name, entry in told.items()} == dict.fromkeys(REMOTES, story.notes.backups()[-1])
    metrics = story.host.read(METRICS + "/appstate_backup_notes.prom").decode()
    for name in REMOTES:
        assert 'appstate_backup_remote_last_copy_success{app="notes",remote="%s"} 1' % name in metrics, metrics
    assert "copied to s3:backups/host1/notes/" in story.pings.received("/notes")[-1]["body"]
    assert story.host.read("/var/lib/appstate-backup/audit.jsonl").decode().count('"action":"copy"') >= 12


@pytest.mark.parametrize("remote, removed", [("s3", 1), ("vault", 2), ("disk", 0)])
def test_backups_at_a_remote_are_pruned_and_check_mode_foretells_it(story, installed, remote, removed):
    app = story.described(retention={"keep_last": 1})
    app["remotes"][0]["retention"] = {"keep_last": 1}
    before = story.offsite[remote].ids()
    foretold = story.module(PRUNE, check=True, app=app, remote=remote)
    assert story.offsite[remote].ids() == before
    pruned = story.module(PRUNE, app=app, remote=remote)
    assert sorted(pruned["removed"]) == sorted(foretold["removed"]) == before[:removed]
    assert story.offsite[remote].ids() == before[removed:]
    assert not story.module(PRUNE, app=app, remote=remote)["changed"]


def test_an_older_backup_at_a_remote_is_chosen_by_its_id(story, installed):
    oldest = story.offsite["disk"].ids()[0]
    assert oldest not in story.notes.backups()
    assert "%s is good" % oldest in story.command("verify", "notes", "--remote", "disk", "--id", oldest)


def test_an_unknown_remote_is_refused_by_name(story, installed):
    done = story.notes.command("list", "notes", "--remote", "tape")
    assert done.returncode == 78 and "tape" in done.stderr and "vault" in done.stderr, done.stderr


def hour_of(backup):
    """The rolling name that a backup has, by its id."""
    created = datetime.datetime.strptime(backup.rpartition("-")[2], "%Y%m%dT%H%M%SZ")
    return created.strftime("hours-%H")


def test_rolling_names_are_used_again_where_something_may_be_removed(story, taken):
    notebook = Notebook(story.host, "hours").install()
    app = dict(story.described(filename="{app}-%H"), name="hours", root=notebook.root)
    ids = []
    for _number in range(2):
        time.sleep(1.1)
        run = story.fleet.playbook(BACKUP, {"appstate_apps": [app]}, limit="host1").ok()
        (result,) = run.results(BACKUP)
        ids.append(result["results"][0]["backup"]["id"])
    offsite = story.of("hours")
    # Two, when an hour has just begun.
    wanted = {hour_of(each): each for each in ids}
    for name in ("s3", "vault"):
        assert offsite[name].ids() == list(wanted.values()), name
        assert [each for each in offsite[name].names() if each.endswith(".json")] == ["%s.json" % stem for stem in sorted(wanted)]
    assert offsite["disk"].ids() == ids
    assert all(name.startswith(tuple(ids)) for name in offsite["disk"].names())
    assert notebook.backups() == sorted(wanted)
    verified = story.module(VERIFY, app=app, remote="s3")
    assert verified["verified"] and verified["backup"]["id"] == ids[-1]
