# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An application that one user owns, backed up, drilled and restored by that user: real cron, and nothing of root's.

The role is refused first, for each thing that this user could not do.
"""

from __future__ import annotations

import os
import re

import pytest
from hosts.fleet import Fleet
from notebooks import METRICS, Notebook, Pings, wait_for
from trees import tree

SCHEDULE = "appstate.backup.schedule"
COMMAND = "/usr/local/bin/appstate-backup"
CRON = "/etc/cron.d/appstate-backup-notes"
OWNER = "www-data"
STATE = "/var/lib/notes-state"
PLACES = ["--state-directory", STATE, "--lock-directory", STATE + "/locks"]
BACKUPS = "/srv/backups"
# A hook tells what rights the run had.
RIGHTS = "/var/tmp/rights"
HOOK = [["sh", "-c", "grep -E '^(Uid|CapEff|CapPrm):' /proc/self/status > %s" % RIGHTS]]


class Story:
    """The host, the application and what the role said."""

    def __init__(self, fleet):
        self.fleet = fleet
        (self.host,) = fleet
        self.pings = Pings(self.host)
        self.notes = Notebook(self.host, "notes", OWNER).install()
        self.host.run(["install", "-d", "-o", OWNER, METRICS])

    def write_inventory(self):
        """The application, with a run each minute."""
        app = self.notes.app(self.host.address, destination=BACKUPS, hooks={"before": HOOK})
        self.fleet.write_inventory({
            "schedule_minute": "*", "schedule_hour": "*", "appstate_apps": [app], "schedule_user": OWNER, "schedule_group": OWNER,
            "appstate_state_directory": STATE, "appstate_lock_directory": STATE + "/locks"})

    def refused(self):
        """What the role says where it fails; nothing was scheduled."""
        run = self.fleet.playbook(SCHEDULE)
        assert run.failed_hosts() == {"host1"} and not os.path.exists(self.host.path(CRON))
        (said,) = [event["result"]["msg"] for event in run.events if "schedule_user is" in str(event["result"].get("msg"))]
        return said

    def command(self, *words):
        """The command as the application's user."""
        return self.host.run([COMMAND] + PLACES + list(words), user=OWNER).stdout

    def others(self):
        """All that belongs to this host, but not to the application's user."""
        return {place: tree(self.host.path(place)) for place in ("/etc", "/usr/local", "/root")}


@pytest.fixture(scope="module", name="story")
def one_host():
    with Fleet(1, cron=True) as fleet:
        story = Story(fleet)
        story.write_inventory()
        yield story


@pytest.fixture(scope="module", name="ran")
def run_that_nobody_started(story):
    story.fleet.playbook(SCHEDULE).ok()
    before = story.others()
    wait_for(lambda: story.pings.received("/notes"), 150, lambda: "pings: %r" % story.pings.received())
    return before


OBSTACLES = [
    (["chown", "root", "/srv/notes/settings.conf"], ["chmod", "600", "/srv/notes/settings.conf"], "/srv/notes/settings.conf",
     "cannot be read by www-data. Have it run by root"),
    (["chown", "root", "/srv/notes/notes.db"], ["chmod", "666", "/srv/notes/notes.db"], "/srv/notes/notes.db", "belongs to user id 0"),
    (["chown", "root", METRICS], ["chmod", "755", METRICS], METRICS, "cannot be written by www-data. Give it to that user"),
]


@pytest.mark.parametrize("give, close, path, said", OBSTACLES, ids=["file", "database", "metrics"])
def test_what_the_user_cannot_do_is_refused_before_anything_is_scheduled(story, give, close, path, said):
    found = os.stat(story.host.path(path))
    story.host.run(give)
    story.host.run(close)
    try:
        told = story.refused()
    finally:
        os.chown(story.host.path(path), found.st_uid, found.st_gid)
        os.chmod(story.host.path(path), found.st_mode & 0o7777)
    assert "schedule_user is www-data, who cannot back up all of this on host1. app notes: %s: %s" % (path, said) in told


def test_cron_makes_a_good_backup_without_any_right_of_roots(story, ran):
    assert "is good (content)" in story.command("verify", "notes")
    rights = dict(re.findall(r"^(\w+):\s*(\w+)", story.host.read(RIGHTS).decode(), re.MULTILINE))
    assert int(rights["Uid"]) != 0 and int(rights["CapEff"], 16) == int(rights["CapPrm"], 16) == 0
    assert story.notes.status(STATE)["state"] == "ok"
    for folder, folders, names in os.walk(story.host.path(BACKUPS + "/notes")):
        for name in folders + names:
            assert os.stat(os.path.join(folder, name)).st_uid == int(rights["Uid"])


def test_nothing_of_others_was_changed(story, ran):
    assert story.others() == ran


def test_it_is_drilled_restored_and_rolled_back_by_that_user(story, ran):
    assert "all well" in story.command("drill", "notes")
    story.host.run(["sqlite3", story.notes.database, "DELETE FROM notes WHERE id > 10"], user=OWNER)
    story.command("restore", "notes")
    assert count(story) == 2000
    story.command("rollback", "notes")
    assert count(story) == 10
    story.command("restore", "notes")
    story.command("commit", "notes")
    assert count(story) == 2000
    assert story.host.run(["find", "/srv/notes", "!", "-user", OWNER]).stdout == ""


def count(story):
    """How many notes there are."""
    return int(story.host.run(["sqlite3", story.notes.database, "SELECT count(*) FROM notes"], user=OWNER).stdout)


def test_a_second_run_of_the_role_changes_nothing(story, ran):
    run = story.fleet.playbook(SCHEDULE).ok()
    assert [event["task"] for event in run.events if event["result"].get("changed")] == []
