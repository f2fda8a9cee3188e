# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Club by its profile, with its metadata on a real PostgreSQL server and its blobs on disk.

One story, told in order: a backup while packages are published, a loss, a restore, and whatever a server may refuse.
"""

from __future__ import annotations

import json
import os
import re
import time

import pytest
from hosts.fleet import Fleet
from hosts.postgresql import PostgresqlServer
from systems import BACKUP, DESTINATION, MODULE, RESTORE, Backups, System, said, source

ROOT = "/data"
DUMP = "postgresql/club.dump"
PASSWORD = "correct horse battery 71c2"
METADATA = {"type": "postgresql", "replaces": "db/club.db", "database": "club", "host": "host1", "user": "club",
            "password": PASSWORD, "assertions": [{"sql": "SELECT count(*) FROM users", "min": 1}]}
APP = {"name": "club", "profile": "club", "destination": DESTINATION, "sources": [METADATA],
       "health": {"delay": 0.3, "retries": 30}}
TOKEN = ("-H", "Authorization: Bearer club_pat_1234567890")


class Story:
    """The fleet, the database server, and the server of packages."""

    def __init__(self, fleet):
        self.fleet = fleet
        self.host = fleet["host1"]
        self.postgresql = PostgresqlServer(self.host)
        self.postgresql.sql("CREATE ROLE club LOGIN CREATEDB PASSWORD '%s'" % PASSWORD)
        self.postgresql.sql("CREATE DATABASE club OWNER club TEMPLATE template0 ENCODING 'UTF8'")
        self.server = System(self.host, "club", ROOT, "club", "club", 8080)
        self.backups = Backups(self.host, "club")
        self.environment = ["CLUB_DATABASE=postgresql", "PGHOST=host1", "PGUSER=club", "PGDATABASE=club"]

    def restore(self, app=None, **variables):
        """Run the restore playbook."""
        return self.fleet.playbook(RESTORE, dict({"appstate_apps": [app or APP], "restore_app": "club"}, **variables))

    def sql(self, text):
        """What a query of the metadata gives."""
        return self.postgresql.sql(text, "club")

    def wreck(self):
        """Lose packages and tarballs, with the server stopped."""
        self.server.stop()
        self.sql("DELETE FROM versions; DROP TABLE scores; UPDATE packages SET description = 'lost'")
        self.host.run(["rm", "-r", ROOT + "/blobs/packages/package1"])

    def database(self):
        """What tells whether the live database is still the very same one."""
        return self.postgresql.sql("SELECT oid FROM pg_database WHERE datname = 'club'"), self.sql(
            "SELECT count(*), max(description) FROM packages")

    def healthy(self):
        """Whether it serves all packages."""
        assert json.loads(self.server.answer("/admin/missing")) == []
        return len(json.loads(self.server.answer("/api/packages", *TOKEN))["packages"]) == 5


@pytest.fixture(scope="module", name="story")
def server_that_is_published_to():
    with Fleet(1, systemd=["host1"]) as fleet:
        story = Story(fleet)
        # As pg_hba.conf asks for a password, and systemd gives no home.
        story.host.write("/etc/club.pgpass", "*:*:*:club:%s\n" % PASSWORD, mode=0o600)
        story.host.run(["chown", "club:", "/etc/club.pgpass"])
        story.environment.append("PGPASSFILE=/etc/club.pgpass")
        fleet.write_inventory({"appstate_apps": [APP]})
        story.server.make(environment=story.environment)
        story.server.unit(story.environment)
        story.server.start()
        yield story


@pytest.fixture(scope="module", name="taken")
def backup_while_packages_are_published(story):
    before = int(story.sql("SELECT count(*) FROM versions"))
    time.sleep(0.5)
    run = story.fleet.playbook(BACKUP, diff=True, arguments=["-vvv"]).ok()
    rows = source(story.backups.manifests()[0], DUMP)["passport"]["tables"]["public.versions"]
    assert before < rows <= int(story.sql("SELECT count(*) FROM versions"))
    return run


@pytest.fixture(scope="module", name="restored")
def wrecked_and_restored(story, taken):
    story.wreck()
    run = story.restore().ok()
    story.server.hold()
    return run


def test_a_backup_has_the_dump_and_the_blobs_of_one_moment(story, taken):
    listed = story.backups.listed()
    assert listed[0] == DUMP and not [name for name in listed if name.startswith(("db/", "cache/", "tmp/", "logs/"))]
    story.host.run(["mkdir", "/root/look"])
    story.host.run(["tar", "-xf", story.backups.archive(), "-C", "/root/look", DUMP])
    data = story.host.run(["pg_restore", "--data-only", "--table=versions", "--file=-", "/root/look/" + DUMP]).stdout
    named = re.findall(r"\t(packages/\S+\.tar\.gz)\t", data)
    assert len(named) > 5 and not [each for each in named if "blobs/" + each not in listed]


def test_the_password_is_nowhere_to_be_seen(story, taken):
    assert PASSWORD not in taken.text
    assert PASSWORD not in json.dumps(story.backups.manifests())
    story.host.run(["sh", "-c", "! grep -rqF '%s' /var/lib/appstate-backup /var/log" % PASSWORD])


def test_packages_are_back_after_a_restore(story, restored):
    assert story.healthy() and story.sql("SELECT count(*) FROM scores") == "5"
    assert story.sql("SELECT description FROM packages WHERE name = 'package3'") == "Größe 3"
    assert json.loads(story.server.answer("/api/v1/health")) == {"status": "ok", "schema": 12}


def test_the_old_database_is_kept_aside_until_it_is_committed(story, restored):
    (aside,) = story.postgresql.databases() - {"club"}
    assert aside.startswith("club_before_restore_")
    assert story.postgresql.sql("SELECT max(description) FROM packages", aside) == "lost"
    assert aside in json.dumps(restored.results("ansible.builtin.debug", status="ok"))
    story.restore(restore_state="committed").ok()
    assert story.postgresql.databases() == {"club"}


def test_a_restore_that_is_rolled_back_leaves_the_very_database(story, restored):
    story.wreck()
    before = story.database()
    story.restore(health={"url": "http://localhost:8080/api/v1/health"}).ok()
    assert story.database() != before
    story.restore(restore_state="rolled_back").ok()
    assert story.database() == before and story.postgresql.databases() == {"club"}


def test_a_server_that_does_not_get_healthy_has_its_old_database_back(story, restored):
    before = story.database()
    run = story.restore(dict(APP, health={"expression": "schema == `99`", "retries": 2, "delay": 0.3}))
    assert run.returncode != 0
    assert story.database() == before and story.postgresql.databases() == {"club"}
    story.restore(restore_commit=True).ok()
    assert story.healthy()


def test_what_the_page_s_pg_dump_wrote_is_restored(story, restored):
    story.host.run(["sh", "-euc", SCRIPT])
    story.server.stop()
    story.sql("DROP TABLE scores")
    story.restore(restore_archive="/backups/club/club-20260409-020000.dump", restore_commit=True).ok()
    assert story.healthy() and story.sql("SELECT count(*) FROM scores") == "5"


SCRIPT = """
mkdir -p /backups/club
PGPASSFILE=/etc/club.pgpass pg_dump -Fc -h host1 -U club club > /backups/club/club-20260409-020000.dump
"""


def test_a_dump_that_was_cut_short_never_reaches_the_live_database(story, restored):
    before = story.database()
    whole = story.host.read("/backups/club/club-20260409-020000.dump")
    story.host.write("/backups/club/cut.dump", whole[:len(whole) * 3 // 4])
    run = story.restore(restore_archive="/backups/club/cut.dump")
    told = said(run, MODULE)
    assert run.returncode != 0 and "club" in told and "untouched" in told, told
    assert story.database() == before and story.postgresql.databases() == {"club"} and story.server.active()


@pytest.mark.parametrize("change, words", [
    ({"password": "wrong"}, ["password authentication failed", "host1"]),
    ({"port": 1}, ["host1", "refused"]),
    ({"database": "clubs"}, ["clubs", "does not exist"])], ids=["password", "down", "database"])
def test_what_the_server_refuses_is_said_and_nothing_is_published(story, restored, change, words):
    published = story.backups.published()
    app = dict(APP, sources=[dict(METADATA, path=DUMP, **change)])
    run = story.fleet.playbook(BACKUP, {"appstate_apps": [app]})
    told = said(run, BACKUP)
    assert run.returncode != 0 and not [word for word in words + ["club"] if word not in told], told
    assert story.backups.published() == published


def test_a_role_that_may_not_create_databases_is_refused_before_anything_is_stopped(story, restored):
    before = story.database()
    story.postgresql.sql("ALTER ROLE club NOCREATEDB")
    run = story.restore()
    story.postgresql.sql("ALTER ROLE club CREATEDB")
    told = said(run, MODULE)
    assert run.returncode != 0 and "CREATEDB" in told, told
    assert story.database() == before and story.server.active()


def test_a_restore_to_another_place_puts_the_dump_there(story, restored):
    before = story.database()
    story.restore(restore_target_root="/srv/drill").ok()
    assert story.host.run(["pg_restore", "--list", "/srv/drill/" + DUMP]).stdout.count("TABLE DATA") == 10
    assert os.path.isdir(story.host.path("/srv/drill/blobs/packages")) and story.database() == before
