# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Scriptor and Club in real containers, reached by the docker client: the Docker recipes of their own pages.

The page of Scriptor has three steps: the application's dump by exec, the uploads of a named volume by a helper
container, and a copy of one file. The page of Club has one: a helper container with the volume that has all of it.
"""

from __future__ import annotations

import json
import time

import pytest
from hosts.containers import Containers
from hosts.fleet import Fleet
from systems import BACKUP, DESTINATION, MODULE, PROGRAMS, RESTORE, Backups, System, said, source

SITE = "/var/www/scriptor"
WEB = "33"
# The image has busybox alone; Python and the applications are those of the host.
OF_THE_HOST = ["-v", "/usr:/usr:ro", "-v", "/lib:/lib:ro", "-v", "/lib64:/lib64:ro", "--network", "host"]
TOKEN = ("-H", "Authorization: Bearer club_pat_1234567890")
LOGIN = ("-d", "name=editor", "-d", "password=correct horse")
IMANAGER = """#!/bin/sh
exec sqlite3 -readonly "${2#--db=}" .dump
"""
LOAD = "cd %s/data; rm -f imanager.db imanager.db-*; sqlite3 -bail imanager.db; chown %s:%s imanager.db" % (
    SITE, WEB, WEB)


def service(container):
    """How a container is stopped and started."""
    return {"stop": ["docker", "stop", container], "start": ["docker", "start", container]}


UPLOADS = {"type": "volume", "volume": "scriptor-uploads", "project": "scriptor", "path": "public/uploads",
           "replaces": "public/uploads"}
PAGES = [{"sql": "SELECT count(*) FROM items", "min": 5}]
# The recipe of the page, step by step.
BY_DUMP = {
    "name": "scriptor", "profile": "scriptor", "destination": DESTINATION, "root": "/srv/scriptor",
    "service": service("scriptor-demo"), "health": {"url": "http://localhost:8081/", "delay": 0.3, "retries": 30},
    "sources": [
        {"type": "command", "path": "db.sql", "format": "sql", "replaces": "data/imanager.db", "assertions": PAGES,
         "argv": ["docker", "exec", "scriptor-demo", "vendor/bin/imanager", "dump", "--db=%s/data/imanager.db" % SITE],
         "restore_argv": ["docker", "run", "--rm", "-i", "--volumes-from", "scriptor-demo", "busybox", "sh", "-ec",
                          LOAD]},
        UPLOADS,
        {"type": "volume", "container": "scriptor-demo", "path": "settings.php", "method": "exec",
         "container_path": SITE + "/data/settings/custom.scriptor-config.php",
         "replaces": "data/settings/custom.scriptor-config.php"}]}
# The same site by its volumes, with a snapshot of the database in one of them.
BY_VOLUMES = dict(BY_DUMP, name="scriptor-volumes", sources=[
    {"type": "volume", "container": "scriptor-demo", "container_path": SITE + "/data", "path": "data",
     "exclude": ["cache", "logs", "sessions"], "databases": [{"path": "imanager.db", "assertions": PAGES}],
     "replaces": ["data/imanager.db", "data/settings/custom.scriptor-config.php"]}, UPLOADS])
CLUB = {
    "name": "club", "profile": "club", "destination": DESTINATION, "root": "/srv/club", "service": service("club"),
    "health": {"delay": 0.3, "retries": 30},
    "sources": [{"type": "volume", "volume": "club-data", "path": "data", "exclude": ["cache", "logs", "tmp"],
                 "databases": [{"path": "db/club.db"}], "replaces": ["db/club.db", "blobs"]}]}

# Of the same volume only what is worth it; the rest of it stays as it is.
CLUB_BY_PLACES = dict(CLUB, name="club-places", sources=[
    {"type": "volume", "container": "club", "container_path": "/data/db", "path": "db",
     "databases": [{"path": "club.db"}],
     "image": "docker.io/library/busybox", "replaces": "db/club.db"},
    {"type": "volume", "container": "club", "container_path": "/data/blobs", "path": "blobs",
     "image": "docker.io/library/busybox", "replaces": "blobs"}])


class Story:
    """The host, its containers, and what is in them."""

    def __init__(self, fleet):
        self.fleet = fleet
        self.host = fleet["host1"]
        self.containers = Containers(self.host)
        self.containers.serve()
        self.docker = self.containers.docker
        self.site = System(self.host, "scriptor", "/srv/scriptor", "www-data", "unused", 8081)
        self.club = System(self.host, "club", "/srv/club", "www-data", "unused", 8080)

    def run_scriptor(self):
        """What ``docker compose up`` does in the project scriptor."""
        for name in ("scriptor-uploads", "scriptor-data"):
            self.docker("volume", "create", "--label", "com.docker.compose.project=scriptor", "--label",
                        "com.docker.compose.volume=" + name, "scriptor_" + name)
        self.run_container("scriptor-demo", "scriptor", SITE, [
            "-w", SITE, "-v", "scriptor_scriptor-uploads:%s/public/uploads" % SITE,
            "-v", "scriptor_scriptor-data:%s/data" % SITE])
        self.host.write("/root/imanager", IMANAGER, mode=0o755)
        self.site.wait()
        self.inside("scriptor-demo", "mkdir -p vendor/bin; chown -R %s:%s data public/uploads" % (WEB, WEB))
        self.docker("cp", "/root/imanager", "scriptor-demo:%s/vendor/bin/imanager" % SITE)

    def run_club(self):
        """Club with all of its state in one volume."""
        self.docker("volume", "create", "club-data")
        self.run_container("club", "club", "/data", ["-v", "club-data:/data"])
        self.club.wait()

    def run_container(self, name, program, root, words):
        """Run an application, which makes its state when there is none."""
        program = "/usr/bin/python3 %s/%s" % (PROGRAMS, program)
        script = "[ -e {0}/made ] || {{ {1} make {0}; touch {0}/made; }}; exec {1} serve {0}".format(root, program)
        self.docker("run", "-d", "--name", name, *(OF_THE_HOST + words + ["busybox", "sh", "-ec", script]))

    def inside(self, container, script):
        """Run a shell script in a container."""
        return self.docker("exec", container, "sh", "-ec", script).stdout

    def backup(self, app):
        """Run the backup playbook."""
        time.sleep(1.1)
        return self.fleet.playbook(BACKUP, {"appstate_apps": [app]})

    def restore(self, app, **variables):
        """Run the restore playbook, for good where it goes well."""
        told = {"appstate_apps": [app], "restore_app": app["name"], "restore_commit": True}
        return self.fleet.playbook(RESTORE, dict(told, **variables))

    def wreck_scriptor(self):
        """Lose pages, images and the override."""
        self.inside("scriptor-demo", "touch hold; sleep 0.2; rm -r public/uploads/2 public/uploads/3; "
                    "sqlite3 -cmd '.timeout 20000' data/imanager.db "
                    "'DELETE FROM files; DELETE FROM items; DELETE FROM users'; "
                    "echo '<?php return [];' > data/settings/custom.scriptor-config.php")

    def check_scriptor(self):
        """What the page says to check after a restore."""
        assert self.site.answer("/").count("<a href=") == 5 and "Größe und Maß" in self.site.answer("/page-3")
        assert self.site.answer("/editor/login", *LOGIN) == "welcome, admin"
        assert self.site.answer("/uploads/2/picture.png", "-o", "/dev/null") == ""
        assert self.site.answer("/editor/plugins") == "acme/gallery: disabled\nacme/forms: enabled\n"
        owners = self.inside("scriptor-demo", "stat -c '%u %n' data/imanager.db public/uploads/2/picture.png")
        assert owners.count(WEB + " ") == 2, owners


@pytest.fixture(scope="module", name="story")
def containers_that_write():
    with Fleet(1) as fleet:
        story = Story(fleet)
        fleet.write_inventory({"appstate_apps": [BY_DUMP, BY_VOLUMES, CLUB]})
        story.run_scriptor()
        story.run_club()
        yield story


def test_scriptor_by_dump_helper_and_copy(story):
    story.backup(BY_DUMP).ok()
    listed = Backups(story.host, "scriptor").listed()
    assert {"db.sql", "public/uploads/2/picture.png", "settings.php"} <= set(listed)
    story.wreck_scriptor()
    story.restore(BY_DUMP).ok()
    story.check_scriptor()


def test_nothing_is_left_in_a_container_or_beside_it(story):
    there = story.docker("ps", "-a", "--format", "{{.Names}}").stdout.split()
    assert sorted(there) == ["club", "scriptor-demo"]
    found = story.inside("scriptor-demo", "find /var /tmp /etc -name '*.sql' -o -name '*.tar*' -o -name '.appstate*'")
    assert found == "", found


def test_a_dump_that_fails_in_the_container_is_no_backup(story):
    published = Backups(story.host, "scriptor").published()
    argv = ["docker", "exec", "scriptor-demo", "vendor/bin/imanager", "dump", "--db=/none"]
    command = dict(BY_DUMP["sources"][0], argv=argv)
    run = story.backup(dict(BY_DUMP, sources=[command] + BY_DUMP["sources"][1:]))
    told = said(run, BACKUP)
    assert run.returncode != 0 and "scriptor" in told and "/none" in told, told
    assert Backups(story.host, "scriptor").published() == published


def test_scriptor_by_its_volumes_with_the_database_in_one(story):
    story.inside("scriptor-demo", "rm -f hold")
    story.backup(BY_VOLUMES).ok()
    backups = Backups(story.host, "scriptor-volumes")
    listed = backups.listed()
    assert "data/imanager.db" in listed and "data/settings/custom.scriptor-config.php" in listed
    assert not [name for name in listed if name.startswith(("data/cache", "data/logs", "data/sessions"))]
    (database,) = source(backups.manifests()[0], "data")["databases"]
    assert database["path"] == "imanager.db" and database["passport"]["tables"]["items"] == 5
    story.wreck_scriptor()
    story.restore(BY_VOLUMES).ok()
    story.check_scriptor()


def test_a_container_that_goes_on_is_named_and_nothing_is_restored(story):
    before = story.site.answer("/editor/plugins")
    run = story.restore(dict(BY_VOLUMES, service={"stop": ["true"], "start": ["true"]}))
    told = said(run, MODULE)
    assert run.returncode != 0 and "scriptor-demo" in told, told
    assert story.site.answer("/editor/plugins") == before


def test_club_by_its_volume(story):
    story.backup(CLUB).ok()
    backups = Backups(story.host, "club")
    listed = backups.listed()
    assert "data/db/club.db" in listed and "data/blobs/screenshots/package3/1.0.0/1.png" in listed
    assert not [name for name in listed if name.startswith(("data/cache", "data/logs", "data/tmp"))]
    named = story.inside("club", "sqlite3 /data/db/club.db 'SELECT count(*) FROM versions'")
    assert source(backups.manifests()[0], "data")["databases"][0]["passport"]["tables"]["versions"] <= int(named)
    story.inside("club", "touch /data/hold; sleep 0.2; sqlite3 -cmd '.timeout 20000' /data/db/club.db "
                 "'DELETE FROM versions; DELETE FROM tokens'; "
                 "rm -r /data/blobs/screenshots /data/blobs/packages/package1")
    story.restore(CLUB).ok()
    assert json.loads(story.club.answer("/api/v1/health"))["status"] == "ok"
    assert len(json.loads(story.club.answer("/api/packages", *TOKEN))["packages"]) == 5
    assert json.loads(story.club.answer("/admin/missing")) == []
    assert story.club.answer("/screenshots/package2/1.0.0/1.png", *TOKEN, "-o", "/dev/null") == ""


def test_club_by_places_in_its_volume_keeps_what_is_beside_them(story):
    story.inside("club", "rm -f /data/hold")
    story.backup(CLUB_BY_PLACES).ok()
    listed = Backups(story.host, "club-places").listed()
    assert "db/club.db" in listed and "blobs/screenshots/package3/1.0.0/1.png" in listed
    story.inside("club", "touch /data/hold; sleep 0.2; sqlite3 -cmd '.timeout 20000' /data/db/club.db "
                 "'DELETE FROM versions; DELETE FROM tokens'; "
                 "rm -r /data/blobs/screenshots; mkdir -p /data/cache /data/tmp; "
                 "touch /data/cache/later /data/tmp/in-flight")
    story.restore(CLUB_BY_PLACES).ok()
    assert len(json.loads(story.club.answer("/api/packages", *TOKEN))["packages"]) == 5
    assert json.loads(story.club.answer("/admin/missing")) == []
    assert story.inside("club", "ls /data/cache/later /data/tmp/in-flight").split() == [
        "/data/cache/later", "/data/tmp/in-flight"]


def test_club_on_a_host_where_the_volume_is_gone(story):
    story.docker("rm", "-f", "club")
    story.docker("volume", "rm", "club-data")
    story.restore(dict(CLUB, service={"stop": ["true"], "start": ["true"]}, health=None)).ok()
    story.run_container("club", "club", "/data", ["-v", "club-data:/data"])
    story.club.wait()
    assert len(json.loads(story.club.answer("/api/packages", *TOKEN))["packages"]) == 5


@pytest.mark.parametrize("change, words", [
    ({"volume": "clubs-data"}, ["clubs-data"]),
    ({"volume": None, "container": "gone", "container_path": "/data"}, ["gone"]),
    ({"engine": "podman", "volume": "nothing"}, ["nothing"])], ids=["volume", "container", "engine"])
def test_what_the_engine_does_not_have_is_named(story, change, words):
    app = dict(CLUB, sources=[{key: value for key, value in dict(CLUB["sources"][0], **change).items() if value}])
    run = story.backup(app)
    told = said(run, BACKUP)
    assert run.returncode != 0 and "club" in told and all(word in told for word in words), told
