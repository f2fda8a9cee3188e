# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Litestream's page about backups by cron, line by line: one database, beside an application that never stops writing.

One story, told in order. That cron itself starts what its crontab says is shown by test_schedule.
"""

from __future__ import annotations

import json
import time

import pytest
from hosts.fleet import Fleet
from notebooks import PORT, Pings
from systems import BACKUP, DESTINATION, RESTORE, Backups, System, source

SCHEDULE = "appstate.backup.schedule"
ROOT = "/path/to"
SNITCH = "/xxxxxxxxxx"
APP = {"name": "db", "profile": "generic", "destination": DESTINATION, "root": ROOT,
       "service": {"name": "myapp"},
       "health": {"url": "http://localhost:8090/", "expression": "sum == `0`", "retries": 5, "delay": 0.5},
       "compression": "gzip", "schedule": {"hour": 0, "minute": 0}, "sources": [{"type": "sqlite", "path": "db"}]}
VACUUM = [{"type": "sqlite", "path": "db", "method": "vacuum"}]


class Story:
    """The fleet, the application, and the dead man's switch."""

    def __init__(self, fleet):
        self.fleet = fleet
        self.host = fleet["host1"]
        self.app = System(self.host, "myapp", ROOT, "www-data", "myapp", 8090)
        self.backups = Backups(self.host, "db")
        self.snitch = Pings(fleet["host2"])

    def described(self, **more):
        """The app, with a ping to the dead man's switch."""
        url = "http://%s:%d%s" % (self.fleet["host2"].address, PORT, SNITCH)
        return dict(APP, monitoring={"ping": {"url": url, "style": "snitch", "attempts": 1}}, **more)

    def restore(self, app=None, **variables):
        """Run the restore playbook, for good."""
        told = {"appstate_apps": [app or self.described()], "restore_app": "db", "restore_commit": True}
        return self.fleet.playbook(RESTORE, dict(told, **variables), limit="host1")

    def events(self):
        """What the application says."""
        told = json.loads(self.app.answer("/"))
        assert told["sum"] == 0
        return told["events"]

    def line(self):
        """The command in the crontab, as cron would run it."""
        text = self.host.read("/etc/cron.d/appstate-backup-db").decode()
        (line,) = [each for each in text.splitlines() if each[:1].isdigit()]
        return line

    def run_as_cron(self):
        """Run the line of the crontab by hand."""
        time.sleep(1.1)
        command = self.line().split(None, 6)[6]
        return self.host.run(["env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                              "/bin/sh", "-c", command], check=False)


@pytest.fixture(scope="module", name="story")
def writer_that_never_pauses():
    with Fleet(2, cron=True, systemd=["host1"]) as fleet:
        story = Story(fleet)
        story.app.make()
        story.app.unit()
        story.app.start()
        fleet.write_inventory({"appstate_apps": [story.described()]})
        fleet.playbook(SCHEDULE, limit="host1").ok()
        yield story


@pytest.fixture(scope="module", name="taken")
def run_by_the_crontab(story):
    before = story.events()
    done = story.run_as_cron()
    assert done.returncode == 0, done.stdout
    rows = source(story.backups.manifests()[0], "db")["passport"]["tables"]["events"]
    assert before <= rows <= story.events()
    return rows


def test_the_crontab_says_daily_at_midnight(story):
    assert story.line().split()[:6] == ["0", "0", "*", "*", "*", "root"]


def test_a_backup_beside_a_high_volume_of_writes_is_one_transaction_and_compressed(story, taken):
    assert story.backups.archive().endswith(".tar.gz")
    story.host.run(["sh", "-c", "mkdir /root/look && gzip -dc %s | tar -x -C /root/look" % story.backups.archive()])
    queries = "PRAGMA integrity_check; SELECT sum(amount), count(*) FROM events"
    check = story.host.run(["sqlite3", "/root/look/db", queries])
    assert check.stdout.split() == ["ok", "0|%d" % taken]


def test_the_dead_mans_switch_is_called_after_success(story, taken):
    assert [ping["path"] for ping in story.snitch.received()] == [SNITCH]


def test_vacuum_into_is_there_for_who_wants_it(story, taken):
    story.fleet.playbook(BACKUP, {"appstate_apps": [story.described(sources=VACUUM)]}, limit="host1").ok()
    manifest = story.backups.manifests()[-1]
    assert source(manifest, "db")["method"] == "vacuum" and manifest["verified"]["level"] == "content"


def test_an_integrity_check_of_every_backup_by_the_command(story, taken):
    done = story.host.run(["appstate-backup", "verify", "db"], check=False)
    assert done.returncode == 0 and story.backups.manifests()[-1]["id"] in done.stdout, (done.stdout, done.stderr)


def test_the_database_is_restored_with_the_application_stopped_meanwhile(story, taken):
    newest = source(story.backups.manifests()[-1], "db")["passport"]["tables"]["events"]
    story.app.stop()
    overwrite = "head -c 20000 /dev/urandom | dd of=%s/db bs=1 seek=4096 conv=notrunc status=none" % ROOT
    story.host.run(["sh", "-c", overwrite])
    story.restore().ok()
    story.app.wait()
    assert story.events() >= newest and story.app.active()
    assert story.app.sql("db", "PRAGMA integrity_check") == "ok"


@pytest.mark.parametrize("recipe", ["'.backup /root/backup'", "\"VACUUM INTO '/root/backup'\""],
                         ids=["backup", "vacuum"])
def test_what_the_page_s_recipe_made_is_restored(story, taken, recipe):
    story.app.hold()
    # SQLite's shell does not end its copy beside a writer that never pauses.
    rows = int(story.app.sql("db", "SELECT count(*) FROM events"))
    story.host.run(["sh", "-euc", "sqlite3 %s/db %s; gzip -f /root/backup" % (ROOT, recipe)])
    story.app.sql("db", "DELETE FROM events")
    story.restore(restore_archive="/root/backup.gz").ok()
    assert story.events() == rows
    story.app.hold(False)


def test_rolling_backups_keep_so_many(story, taken):
    app = story.described(retention={"keep_last": 2})
    story.fleet.playbook(SCHEDULE, {"appstate_apps": [app]}, limit="host1").ok()
    before = [manifest["id"] for manifest in story.backups.manifests()]
    for _number in range(2):
        assert story.run_as_cron().returncode == 0
    now = [manifest["id"] for manifest in story.backups.manifests()]
    assert len(now) == 2 and not set(now) & set(before)
    assert len(story.backups.published()) == 4


def test_a_failure_overwrites_nothing_and_the_switch_is_told(story, taken):
    before, pings = story.backups.published(), len(story.snitch.received())
    story.app.stop()
    story.host.run(["truncate", "--size=9000", ROOT + "/db"])
    done = story.run_as_cron()
    assert done.returncode != 0 and ROOT + "/db" in done.stdout, done.stdout
    assert story.backups.published() == before
    new = story.snitch.received()[pings:]
    assert new and all(ping["path"] != SNITCH or "s=0" not in ping["body"] for ping in new), new
    story.restore().ok()
    story.app.wait()
    assert story.app.sql("db", "PRAGMA integrity_check") == "ok"
