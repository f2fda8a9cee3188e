# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Club by its profile, with its metadata in SQLite: what its own page says about backups, line by line.

One story, told in order. Its metadata in PostgreSQL and its volume in Docker have files of their own.
"""

from __future__ import annotations

import hashlib
import json
import os
import time

import pytest
from hosts.fleet import Fleet
from systems import BACKUP, DESTINATION, MODULE, RESTORE, Backups, System, said, source

ROOT = "/data"
DATABASE = "db/club.db"
APP = {"name": "club", "profile": "club", "destination": DESTINATION}
REFERENCES = [{"sql": "SELECT tarball FROM versions", "under": "blobs"}]
# The server answers a moment after it was started; nobody has to wait for the second question.
QUICK = dict(APP, health={"delay": 0.3, "retries": 30})
BY_RSYNC = dict(QUICK, sources=[{"path": "blobs", "method": "rsync"}])
TOKEN = ("-H", "Authorization: Bearer club_pat_1234567890")
HEALTH = "/api/v1/health"
# What the server does not need back.
SKIPPED = {"cache/dartdoc/package0/index.html": b"newer\n", "logs/scoring.log": b"newer\n", "tmp/upload-2": b"newer\n"}


class Story:
    """The fleet and the server of packages."""

    def __init__(self, fleet):
        self.fleet = fleet
        self.host = fleet["host1"]
        self.server = System(self.host, "club", ROOT, "club", "club", 8080)
        self.backups = Backups(self.host, "club")

    def backup(self, app=None):
        """Run the backup playbook; backups are named by the second."""
        time.sleep(1.1)
        return self.fleet.playbook(BACKUP, {"appstate_apps": [app or APP]})

    def restore(self, app=None, **variables):
        """Run the restore playbook, for good where it goes well."""
        told = {"appstate_apps": [app or QUICK], "restore_app": "club", "restore_commit": True}
        return self.fleet.playbook(RESTORE, dict(told, **variables))

    def browse(self):
        """What somebody with a token sees: every package, and every tarball that the database names is whole."""
        packages = json.loads(self.server.answer("/api/packages", *TOKEN))["packages"]
        assert json.loads(self.server.answer("/admin/missing")) == []
        rows = self.server.sql(DATABASE, "SELECT tarball, sha256 FROM versions").split()
        for tarball, digest in (row.split("|") for row in rows):
            assert hashlib.sha256(self.host.read("%s/blobs/%s" % (ROOT, tarball))).hexdigest() == digest, tarball
        return packages

    def wreck(self):
        """Lose packages, tarballs and a screenshot, with the server stopped."""
        self.server.stop()
        self.server.sql(DATABASE, "DELETE FROM tokens; DELETE FROM versions; DELETE FROM scores; DELETE FROM packages")
        self.host.run(["rm", "-r", ROOT + "/blobs/packages/package1", ROOT + "/blobs/screenshots"])


@pytest.fixture(scope="module", name="story")
def server_that_is_published_to():
    with Fleet(1, systemd=["host1"]) as fleet:
        story = Story(fleet)
        fleet.write_inventory({"appstate_apps": [APP]})
        story.server.make()
        story.server.unit()
        story.server.start()
        yield story


@pytest.fixture(scope="module", name="taken")
def backup_of_three_lines(story):
    return story.fleet.playbook(BACKUP).ok()


@pytest.fixture(scope="module", name="restored")
def wrecked_and_restored(story, taken):
    story.wreck()
    for path, content in SKIPPED.items():
        story.host.write("%s/%s" % (ROOT, path), content, owner="www-data")
    run = story.restore(APP).ok()
    story.server.hold()
    return run


def test_a_backup_has_database_and_blobs_and_none_of_what_is_made_again(story, taken):
    listed = story.backups.listed()
    assert listed[0] == DATABASE and "blobs/screenshots/package3/1.0.0/1.png" in listed
    tops = {name.split("/")[0] for name in listed}
    assert tops == {"db", "blobs", ".appstate"}, tops
    assert [name for name in listed if name.startswith("db/")] == [DATABASE]


def test_every_tarball_that_the_snapshot_names_is_in_the_backup(story, taken):
    """The server published all the while; by hand the two are copied one after the other."""
    listed = set(story.backups.listed())
    story.host.run(["mkdir", "/root/look"])
    story.host.run(["tar", "-xf", story.backups.archive(), "-C", "/root/look", DATABASE])
    named = story.host.run(["sqlite3", "/root/look/" + DATABASE, "SELECT tarball FROM versions"]).stdout.split()
    assert len(named) > 5 and not [each for each in named if "blobs/" + each not in listed]


def test_the_health_endpoint_answers_after_a_restore(story, restored):
    assert json.loads(story.server.answer(HEALTH)) == {"status": "ok", "schema": 12}


def test_packages_can_be_browsed_with_the_restored_token(story, restored):
    assert story.browse() == ["package%d" % number for number in range(5)]
    assert story.server.ask("/api/packages", "-H", "Authorization: Bearer another")[0] == 401
    assert story.server.answer("/screenshots/package2/1.0.0/1.png", *TOKEN, "-o", "/dev/null") == ""


def test_a_restore_leaves_cache_logs_and_uploads_in_flight_alone(story, restored):
    for path, content in SKIPPED.items():
        assert story.host.read("%s/%s" % (ROOT, path)) == content
    assert story.host.read(ROOT + "/tmp/upload-1")


def test_an_older_backup_is_migrated_when_the_newer_server_starts(story, restored):
    story.server.unit(["CLUB_SCHEMA_VERSION=13"])
    story.restore().ok()
    assert json.loads(story.server.answer(HEALTH))["schema"] == 13
    story.server.unit()


def test_a_server_that_does_not_get_healthy_has_its_old_state_back(story, restored):
    """The installed server is older than the backup: it does not start on it."""
    story.server.stop()
    story.server.sql(DATABASE, "UPDATE schema_version SET version = 11; DELETE FROM audit_log")
    story.server.unit(["CLUB_SCHEMA_VERSION=11"])
    run = story.restore(dict(APP, health={"retries": 3, "delay": 0.3}))
    assert run.returncode != 0 and "newer than this program" in story.server.journal()
    assert json.loads(story.server.answer(HEALTH))["schema"] == 11
    story.server.unit()
    story.restore().ok()


def test_a_restore_to_another_place_feeds_a_temporary_instance(story, restored):
    story.restore(restore_target_root="/srv/drill").ok()
    command = ["env", "PORT=9090", story.server.program, "serve", "/srv/drill"]
    instance = story.host.start(command)
    try:
        temporary = System(story.host, "club", "/srv/drill", "club", "temporary", 9090)
        temporary.wait()
        assert json.loads(temporary.answer(HEALTH))["status"] == "ok"
        assert len(json.loads(temporary.answer("/api/packages", *TOKEN))["packages"]) == 5
        assert story.server.active() and json.loads(story.server.answer(HEALTH))["status"] == "ok"
    finally:
        instance.kill()
        instance.wait()


def test_the_files_that_the_page_s_script_made_are_restored(story, restored):
    story.server.hold()
    story.host.run(["sh", "-euc", SCRIPT])
    story.wreck()
    story.restore(restore_archive="/backups/club/club-20260409-020000.db", restore_only=[DATABASE]).ok()
    story.restore(restore_archive="/backups/club/blobs-20260409-020000.tar.gz", restore_only=["blobs"]).ok()
    assert len(story.browse()) == 5


SCRIPT = """
mkdir -p /backups/club
sqlite3 /data/db/club.db ".backup /backups/club/club-20260409-020000.db"
tar -czf /backups/club/blobs-20260409-020000.tar.gz -C /data blobs/
"""


def test_a_tarball_that_is_missing_is_named_before_a_restore_and_not_after(story, restored):
    app = dict(QUICK, sources=[{"path": DATABASE, "references": REFERENCES}])
    os.remove(story.server.outer("blobs/packages/package4/1.0.0.tar.gz"))
    run = story.backup(app).ok()
    assert "package4/1.0.0.tar.gz" in said(run, BACKUP, "ok")
    assert json.loads(story.server.answer("/admin/missing")) == ["packages/package4/1.0.0.tar.gz"]
    run = story.restore(app, restore_validate_only=True, restore_commit=False).ok()
    assert "package4/1.0.0.tar.gz" in said(run, MODULE, "ok")
    story.restore(restore_which=story.backups.manifests()[0]["id"]).ok()
    assert len(story.browse()) == 5


@pytest.fixture(scope="module", name="generations")
def two_generations_by_rsync(story, restored):
    story.server.hold()
    for _number in range(2):
        story.backup(BY_RSYNC).ok()
        story.server.hold(False)
        time.sleep(0.5)
        story.server.hold()
    return story.backups.manifests()[-2:]


def test_rsync_generations_share_what_did_not_change(story, generations):
    found = [story.host.run(["find", story.backups.folder, "-path", "*%s*/package3/1.0.0.tar.gz" % each["id"],
                             "-printf", "%i"]).stdout for each in generations]
    assert found[0] and found[0] == found[1]
    assert source(generations[1], "blobs")["members"] > source(generations[0], "blobs")["members"]


def test_a_generation_is_listed_and_verified_as_any_backup(story, generations):
    run = story.fleet.module("appstate.backup.backup_info", {"app": BY_RSYNC}).ok()
    listed = {each["id"]: each for each in run.results("appstate.backup.backup_info")[0]["backups"]}
    assert all(listed[each["id"]]["good"] for each in generations)
    story.fleet.module("appstate.backup.backup_verify", {"app": BY_RSYNC, "level": "content"}).ok()


def test_a_generation_brings_database_and_blobs_back(story, generations):
    story.wreck()
    story.restore(BY_RSYNC).ok()
    assert len(story.browse()) == 5


def test_what_is_not_kept_of_generations_goes(story, generations):
    story.backup(dict(BY_RSYNC, retention={"keep_last": 1})).ok()
    assert len(story.backups.manifests()) == 1
    left = story.host.run(["find", story.backups.folder, "-name", "1.0.0.tar.gz", "-path", "*package3*"]).stdout.split()
    assert len(left) == 1, left
    story.wreck()
    story.restore(BY_RSYNC).ok()
    assert len(story.browse()) == 5
