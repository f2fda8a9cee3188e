# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What goes wrong at a remote is refused or tried again, and told; and no good backup is lost by it.

One app with something large in it, an S3 bucket on a small disk of another host, and another disk of its own. Each test
ends with both remotes as they were: well, and with whole backups alone.
"""

from __future__ import annotations

import json
import os
import threading
import time

import pytest
from hosts.fleet import Fleet
from hosts.object_store import ObjectStore
from hosts.store import Disk
from notebooks import METRICS, Notebook, Pings, wait_for
from offsite import Offsite, copies

BACKUP = "appstate.backup.backup"
RESTORE = "appstate.backup.restore"
SCHEDULE = "appstate.backup.schedule"
MODULE = "appstate.backup.backup_restore"
LARGE = 7_000_000
# It takes some three seconds to send or to fetch it.
SLOWLY = "2M"
GOOD = "colour = blue\n"
CONFIG = "/etc/appstate-backup/apps.d/notes.json"
THERE = ("--remote", "offsite")
# Backups that stay at each place.
KEPT = 4


class Outcome:
    """What came of a run: its exit code, what it said, and its copies by the remote's name."""

    def __init__(self, code, said, copied):
        self.code = code
        self.said = said
        self.copies = copied


class Story:
    """The fleet, the application, and its two remotes."""

    def __init__(self, fleet):
        self.fleet = fleet
        self.host = fleet["host1"]
        self.notes = Notebook(self.host, "notes").install()
        self.host.run(["sh", "-c", "head -c %d /dev/urandom >/srv/notes/large" % LARGE])
        self.host.run(["mkdir", "-p", METRICS])
        self.pings = Pings(self.host)
        self.store = ObjectStore(fleet["host2"], size="120m")
        self.offsite = Offsite(self.store, "notes")
        self.second = Offsite(Disk(self.host), "notes")

    def described(self, options=None, **more):
        """The app, whose first remote is told otherwise."""
        first = self.store.described("offsite", options=self.store.options(**(options or {})), **more)
        described = self.notes.app(self.host.address, remotes=[first, self.second.store.described("second")],
                                   retention={"keep_last": KEPT})
        described["remotes"][1]["attempts"] = more.get("attempts", 4)
        described["sources"].append({"type": "files", "path": "large"})
        return described

    def play(self, app):
        """Run the backup playbook; what came of it."""
        time.sleep(1.1)  # identifiers count seconds
        run = self.fleet.playbook(BACKUP, {"appstate_apps": [app]}, limit="host1")
        (result,) = run.results(BACKUP)
        (result,) = result["results"]
        assert run.failed_hosts() == ({"host1"} if run.returncode else set())
        return Outcome(result.get("exit_code", 0), result.get("msg", ""), copies(run))

    def run(self, app=None):
        """Run the command, as the schedule does; what came of it."""
        time.sleep(1.1)
        done = self.command(app, "run", "notes", "--json")
        (told,) = json.loads(done.stdout)
        return Outcome(done.returncode, done.stderr, {copied["remote"]: copied for copied in told["copies"]})

    def command(self, app, *words):
        """Run the command for an app that is told otherwise."""
        self.host.write(CONFIG, json.dumps(app or self.described()), mode=0o600)
        return self.host.ssh("appstate-backup", *words, timeout=240)

    def listed(self):
        """The backups at the bucket, by their ids."""
        return {backup["id"]: backup for backup in json.loads(self.command(None, "list", "notes", *THERE, "--json").stdout)}

    def verified(self):
        """The status of a verification at the bucket, and what it said."""
        done = self.command(None, "verify", "notes", *THERE)
        return done.returncode, done.stdout + done.stderr

    def colour(self):
        """What the app has that tests look at."""
        return self.host.read("/srv/notes/settings.conf").decode()

    def refused_restore(self, said, app=None):
        """A restore that is refused, after which the app has just what it had."""
        self.host.write("/srv/notes/settings.conf", "colour = red\n")
        done = self.command(app, "restore", "notes", *THERE)
        assert done.returncode == 1 and said in done.stderr, done.stderr
        assert self.colour() == "colour = red\n"
        assert not [each for each in os.listdir(self.host.path("/srv/notes")) if "restore" in each]
        self.host.write("/srv/notes/settings.conf", GOOD)

    def good_restore(self):
        """A restore by the playbook, after which the app has all that it had; the id of the backup."""
        self.host.write("/srv/notes/settings.conf", "colour = red\n")
        run = self.fleet.playbook(RESTORE, {"restore_app": "notes", "restore_remote": "offsite", "restore_commit": True},
                                  limit="host1").ok()
        assert self.colour() == GOOD and os.path.getsize(self.host.path("/srv/notes/large")) == LARGE
        return run.results(MODULE, status="ok")[0]["backup"]["id"]

    def is_red(self, outcome, said, broken="offsite", well="second"):
        """That a run failed in every way that somebody looks at, kept its backup here, and copied it to the other remote."""
        newest = self.notes.backups()[-1]
        assert outcome.code == 1 and said in outcome.said, outcome.said
        assert said in outcome.copies[broken]["problem"] and outcome.copies[broken]["path"] is None
        assert outcome.copies[well]["problem"] is None and self.at(well).ids()[-1] == newest
        assert newest + ".tar.zst" in outcome.copies[well]["path"]
        status = self.notes.status()
        assert status["state"] == "failed" and broken in status["problem"] and said in status["problem"], status
        assert said in self.pings.received("/notes/fail")[-1]["body"]
        metrics = self.host.read(METRICS + "/appstate_backup_notes.prom").decode()
        assert 'remote_last_copy_success{app="notes",remote="%s"} 0' % broken in metrics
        assert 'remote_last_copy_success{app="notes",remote="%s"} 1' % well in metrics

    def is_green(self, outcome):
        """That a run went well, its backup is whole at both remotes, and nothing half done lies there."""
        assert outcome.code == 0, outcome.said
        assert [copied["problem"] for copied in outcome.copies.values()] == [None, None]
        assert self.offsite.ids()[-1] == self.second.ids()[-1] == self.notes.backups()[-1]
        assert self.notes.status()["state"] == "ok"

    def at(self, remote):
        """The backups at a remote."""
        return {"offsite": self.offsite, "second": self.second}[remote]

    def sending(self):
        """Whether the host sends an archive to the bucket."""
        return self._rclone(" copyto ", " s3:")

    def fetching(self):
        """Whether the host reads an archive of the bucket."""
        return self._rclone(" cat ", " s3:", ".tar.")

    def _rclone(self, *words):
        told = self.host.run(["ps", "-ww", "-eo", "args"]).stdout.splitlines()
        return any(line.startswith("rclone") and all(word in line for word in words) for line in told)


class Meanwhile:
    """Does something while a run is under way, as soon as a condition holds."""

    def __init__(self, condition, *steps):
        self._condition = condition
        self._steps = steps
        self._problem = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, kind, *_problem):
        self._thread.join()
        assert kind or self._problem is None, self._problem

    def _run(self):
        try:
            wait_for(self._condition, 60)
            for step in self._steps:
                step()
        except BaseException as problem:  # pylint: disable=broad-exception-caught
            self._problem = repr(problem)


@pytest.fixture(scope="module", name="story")
def one_app_with_good_backups():
    with Fleet(2, cron=True) as fleet:
        story = Story(fleet)
        fleet.write_inventory({"appstate_apps": [story.described()]})
        fleet.playbook(SCHEDULE, limit="host1").ok()
        for _number in range(3):
            story.is_green(story.run())
        yield story


def moments():
    """Let some bytes pass."""
    time.sleep(1.2)


def test_an_upload_that_is_cut_off_is_tried_again(story):
    with Meanwhile(story.sending, moments, story.store.kill, moments, story.store.start):
        outcome = story.play(story.described(bandwidth=SLOWLY))
    story.is_green(outcome)
    # The first try, the pause after it, and all of the second one.
    assert outcome.copies["offsite"]["seconds"] > 5


def test_an_upload_that_cannot_be_ended_turns_the_run_red_and_is_cleared_away_by_the_next(story):
    before = story.offsite.ids()
    with Meanwhile(story.sending, moments, story.store.kill):
        outcome = story.play(story.described(bandwidth=SLOWLY, attempts=2))
    story.is_red(outcome, "it cannot be reached, or the connection broke")
    story.store.start()
    assert [name for name, backup in story.listed().items() if backup["good"]] == before[::-1]
    story.is_green(story.run())
    assert story.offsite.ids()[:-1] == before[1 - KEPT:]


def test_a_network_that_swallows_everything_ends_within_the_time_that_is_given(story):
    before = story.offsite.ids()
    cable = ["ip", "link", "set", "eth0"]
    with Meanwhile(story.sending, moments, lambda: story.store.host.run(cable + ["down"])):
        outcome = story.run(story.described(bandwidth=SLOWLY, attempts=1, timeout=8))
    story.store.host.run(cable + ["up"])
    story.is_red(outcome, "did not end within 8 s")
    story.is_green(story.run())
    assert story.offsite.ids()[:-1] == before[1 - KEPT:]


def test_a_download_that_is_cut_off_restores_nothing(story):
    with Meanwhile(story.fetching, moments, story.store.kill):
        story.refused_restore("offsite", story.described(bandwidth=SLOWLY, attempts=2))
    story.store.start()
    story.good_restore()


def test_wrong_credentials_are_told_at_once(story):
    before = story.store.keys()
    wrong = story.described({"secret_access_key": "not0The0Secret0At0All0000000000000000001"})
    outcome = story.run(wrong)
    story.is_red(outcome, "the credentials are not accepted")
    assert "tried" not in outcome.said and "not0The0Secret" not in outcome.said and story.store.keys() == before
    story.refused_restore("the credentials are not accepted", wrong)
    story.is_green(story.run())


def test_a_bucket_that_has_vanished_is_never_made_anew(story):
    os.rename(story.store.path(), story.store.path() + "-away")
    outcome = story.run()
    assert not os.path.exists(story.store.path())
    os.rename(story.store.path() + "-away", story.store.path())
    story.is_red(outcome, "does not exist")
    story.is_green(story.run())


def test_a_disk_that_is_not_mounted_is_never_written_to(story):
    story.host.run(["umount", "/mnt/disk"])
    outcome = story.run()
    assert os.listdir(story.host.path("/mnt/disk")) == []
    story.is_red(outcome, "/mnt/disk/backups does not exist", "second", "offsite")
    story.second.store = Disk(story.host)
    story.is_green(story.run())


# The endpoint does not say why it could not write.
@pytest.mark.parametrize("broken, well, said", [("offsite", "second", "InternalError"),
                                                ("second", "offsite", "has no space left")])
def test_a_full_remote_loses_nothing_that_it_has(story, broken, well, said):
    before = story.at(broken).ids()
    story.at(broken).store.fill(leave=LARGE // 2)
    outcome = story.run(story.described(attempts=1))
    story.at(broken).store.empty()
    story.is_red(outcome, said, broken, well)
    assert story.at(broken).ids() == before
    story.is_green(story.run())


def test_an_altered_archive_is_seen_and_never_restored(story):
    key = story.offsite.archive()
    kept = story.store.read(key)
    story.store.flip(key)
    code, said = story.verified()
    assert code == 1 and "cannot be decompressed" in said and "is good" not in said, (code, said)
    story.refused_restore("cannot be decompressed")
    story.store.write(key, kept)
    story.good_restore()


def test_an_archive_that_was_cut_short_is_no_good_backup_and_an_older_one_is_taken(story):
    *_older, former, newest = story.offsite.ids()
    key = story.offsite.archive()
    kept = story.store.read(key)
    story.store.write(key, kept[:-1])
    listed = story.listed()
    assert not listed[newest]["good"] and listed[former]["good"]
    assert "%s is good" % former in story.verified()[1]
    story.store.write(key, kept)
    assert "%s is good" % newest in story.verified()[1]


@pytest.mark.parametrize("ending", [".json", ".tar.zst"])
def test_half_a_backup_is_told_of_and_neither_restored_nor_removed(story, ending):
    former, newest = story.offsite.ids()[-2:]
    key = story.offsite.key(newest + ending)
    kept = story.store.read(key)
    story.store.remove(key)
    left = story.offsite.names()
    listed = story.listed()
    assert not listed[newest]["good"] and "missing" in listed[newest]["problem"], listed[newest]
    assert story.good_restore() == former
    pruned = story.command(dict(story.described(), retention={"keep_last": 1}), "prune", "notes", "--remote", "offsite")
    assert pruned.returncode == 0 and set(left) - set(story.offsite.names()), pruned.stderr
    assert [name for name in story.offsite.names() if newest in name] == [name for name in left if newest in name]
    with open(story.store.path(key), "wb") as stream:
        stream.write(kept)
    story.is_green(story.run())
    assert newest in story.offsite.ids()
