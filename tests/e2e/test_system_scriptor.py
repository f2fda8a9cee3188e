# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Scriptor by its profile: what its own page says about backups, checked line by line on a real host.

One story, told in order: a backup while somebody edits, the site destroyed, a restore, and then what the page's
troubleshooting section is about.
"""

from __future__ import annotations

import os
import time

import pytest
from hosts.fleet import Fleet
from systems import BACKUP, DESTINATION, MODULE, RESTORE, Backups, System, said, source

ROOT = "/opt/scriptor"
DATABASE = "data/imanager.db"
OVERRIDE = "data/settings/custom.scriptor-config.php"
# Three lines, and a fourth for the service, which only the operator knows.
APP = {"name": "scriptor", "profile": "scriptor", "destination": DESTINATION}
WITH_SERVICE = dict(APP, service={"name": "scriptor-web"}, health={"url": "http://localhost:8081/"})
REFERENCES = [{"sql": "SELECT path FROM files", "under": "public/uploads"}]
MENTIONS = [{"pattern": "'([a-z0-9_.-]+/[a-z0-9_.-]+)'", "under": "vendor"}]
LEFT_OUT = ("vendor", "cache", "logs", "sessions", "editor-assets", "index.php")
LOGIN = ("-d", "name=editor", "-d", "password=correct horse")
TITLES = ("Home", "About us", "Größe und Maß", "Contact", "Imprint")


class Story:
    """The fleet, the site, and what is remembered of it."""

    def __init__(self, fleet):
        self.fleet = fleet
        self.site = System(fleet["host1"], "scriptor", ROOT, "www-data", "scriptor-web", 8081)
        self.backups = Backups(fleet["host1"], "scriptor")
        self.plugins = None

    def restore(self, app=None, **variables):
        """Run the restore playbook."""
        variables = dict({"appstate_apps": [app or WITH_SERVICE], "restore_app": "scriptor"}, **variables)
        return self.fleet.playbook(RESTORE, variables)

    def backup(self, app=None):
        """Run the backup playbook; backups are named by the second."""
        time.sleep(1.1)
        return self.fleet.playbook(BACKUP, {"appstate_apps": [app or WITH_SERVICE]})

    def commit(self):
        """End a restore that went well."""
        self.restore(restore_state="committed").ok()


@pytest.fixture(scope="module", name="story")
def site_that_is_edited():
    with Fleet(1, systemd=["host1"]) as fleet:
        story = Story(fleet)
        fleet.write_inventory({"appstate_apps": [APP]})
        story.site.make()
        story.site.unit()
        story.site.start()
        yield story


@pytest.fixture(scope="module", name="taken")
def backup_of_three_lines(story):
    before = edits(story)
    run = story.fleet.playbook(BACKUP).ok()
    story.plugins = story.site.answer("/editor/plugins")
    assert before < source(story.backups.manifests()[0], DATABASE)["passport"]["tables"]["settings"] <= edits(story)
    return run


@pytest.fixture(scope="module", name="restored")
def destroyed_and_restored(story, taken):
    story.site.stop()
    story.site.host.run(["rm", "-rf", ROOT + "/public/uploads", ROOT + "/" + OVERRIDE])
    story.site.sql(DATABASE, "DELETE FROM files; DELETE FROM items; UPDATE users SET password = 'lost'")
    return story.restore().ok()


def edits(story):
    return int(story.site.sql(DATABASE, "SELECT count(*) FROM settings"))


def images(story, page):
    """The addresses of the images on a page."""
    return [line.split("'")[1] for line in story.site.answer(page).splitlines() if "<img" in line]


def test_after_a_backup_the_archive_is_at_the_expected_path(story, taken):
    assert story.backups.archive().startswith(DESTINATION + "/scriptor/scriptor-2")


def test_after_a_backup_tar_lists_the_three_paths_and_nothing_that_can_be_made_again(story, taken):
    listed = story.backups.listed()
    assert listed[0] == DATABASE and OVERRIDE in listed and "public/uploads/1/picture.png" in listed
    assert "public/uploads/1/thumbnail/150x_picture.png" in listed
    assert not [name for name in listed for word in LEFT_OUT if word in name.split("/")]
    assert not [name for name in listed if name.endswith(("-wal", "-shm"))]


def test_after_a_backup_a_test_extract_yields_readable_files(story, taken):
    host = story.site.host
    host.run(["mkdir", "/tmp/restore-test"])
    host.run(["tar", "-xf", story.backups.archive(), "-C", "/tmp/restore-test"])
    query = ["sqlite3", "/tmp/restore-test/" + DATABASE, "SELECT count(*) FROM items; PRAGMA integrity_check"]
    assert host.run(query).stdout.split() == [str(len(TITLES)), "ok"]
    assert host.read("/tmp/restore-test/" + OVERRIDE).startswith(b"<?php")


def test_every_image_that_the_snapshot_names_is_in_the_archive(story, taken):
    listed = set(story.backups.listed())
    named = story.site.host.run(["sqlite3", "/tmp/restore-test/" + DATABASE, "SELECT path FROM files"]).stdout.split()
    assert len(named) >= len(TITLES) and not [name for name in named if "public/uploads/" + name not in listed]


def test_after_a_restore_the_frontend_renders_the_pages(story, restored):
    page = story.site.answer("/")
    assert [title for title in TITLES if ">%s<" % title not in page] == []
    assert "Text of Größe und Maß." in story.site.answer("/page-3")


def test_after_a_restore_the_editor_lets_in_who_has_the_restored_password(story, restored):
    assert story.site.answer("/editor/login", *LOGIN) == "welcome, admin"
    assert story.site.ask("/editor/login", "-d", "name=editor", "-d", "password=lost")[0] == 403


def test_after_a_restore_images_on_pages_render(story, restored):
    found = images(story, "/page-2") + images(story, "/page-3")
    assert len(found) == 2
    for address in found:
        assert story.site.answer(address, "-o", "/dev/null") == ""


def test_after_a_restore_the_plugins_table_looks_as_before(story, restored):
    assert story.site.answer("/editor/plugins") == story.plugins == "acme/gallery: disabled\nacme/forms: enabled\n"


def test_after_a_restore_all_of_it_is_the_web_servers(story, restored):
    found = story.site.host.run(["find", ROOT + "/data", ROOT + "/public", "!", "-user", "www-data", "-o", "!",
                                 "-group", "www-data"]).stdout
    assert found == ""


def test_after_a_restore_the_site_is_edited_on(story, restored):
    before = edits(story)
    time.sleep(0.5)
    assert edits(story) > before


def test_the_old_state_is_aside_until_it_is_committed(story, restored):
    aside = restored.results(MODULE, status="ok")[-1]["moved_aside"]
    assert aside and all(os.path.lexists(story.site.host.path(path)) for path in aside)
    assert story.site.host.run(["sqlite3", next(path for path in aside if "imanager.db." in path),
                                "SELECT count(*) FROM items"]).stdout == "0\n"
    story.commit()
    assert not [path for path in aside if os.path.lexists(story.site.host.path(path))]


def test_zero_pages_a_database_without_pages_is_never_a_backup(story, restored):
    """By the profile's own assertion where there is no older backup, and else by what the older one had."""
    story.site.hold()
    story.site.sql(DATABASE, KEEP)
    for name, words in (("first-backup", "SELECT count(*) FROM items"), ("scriptor", "items")):
        published = Backups(story.site.host, name).published()
        run = story.backup(dict(WITH_SERVICE, name=name))
        assert run.returncode != 0 and Backups(story.site.host, name).published() == published
        assert words in said(run, BACKUP) and DATABASE in said(run, BACKUP), said(run, BACKUP)
    story.site.sql(DATABASE, "INSERT INTO items SELECT * FROM kept; INSERT INTO files SELECT * FROM kept_files")


KEEP = """
CREATE TABLE kept AS SELECT * FROM items;
CREATE TABLE kept_files AS SELECT * FROM files;
DELETE FROM files;
DELETE FROM items;
"""


def test_zero_pages_the_wal_of_a_cold_archive_comes_back_with_it(story, restored):
    story.site.hold()
    # The page's own recipe, beside a server that was killed: its last rows are in the -wal alone.
    story.site.sql(DATABASE, "PRAGMA wal_checkpoint(TRUNCATE)")
    story.site.host.run(["systemctl", "kill", "--kill-whom=main", "--signal=KILL", "scriptor-web"])
    story.site.host.run(["python3", "-c", WRITE_AND_DIE, ROOT + "/" + DATABASE], user="www-data", check=False)
    story.site.host.run(["sh", "-c", "cd %s && tar czf /root/cold.tgz %s %s-wal %s-shm public/uploads/ %s"
                         % (ROOT, DATABASE, DATABASE, DATABASE, OVERRIDE)])
    story.site.sql(DATABASE, "DELETE FROM items WHERE slug = 'last'")
    story.restore(restore_archive="/root/cold.tgz", restore_commit=True).ok()
    assert ">Only in the wal<" in story.site.answer("/")


WRITE_AND_DIE = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("INSERT INTO items VALUES (99, 1, 'last', 'Only in the wal', '', 1, 0)")
os._exit(9)
"""


def test_no_images_a_backup_without_the_uploads_is_an_error(story, restored):
    story.site.host.run(["mv", ROOT + "/public/uploads", ROOT + "/public/mislaid"])
    run = story.backup()
    assert run.returncode != 0 and "public/uploads" in said(run, BACKUP)
    story.site.host.run(["mv", ROOT + "/public/mislaid", ROOT + "/public/uploads"])


def test_no_images_and_a_missing_plugin_are_named_by_backup_and_restore(story, restored):
    app = dict(WITH_SERVICE, sources=[{"path": DATABASE, "references": REFERENCES},
                                      {"path": OVERRIDE, "mentions": MENTIONS}])
    story.site.hold()
    story.site.host.run(["rm", "-r", ROOT + "/vendor/acme/gallery", ROOT + "/public/uploads/4/picture.png"])
    run = story.backup(app).ok()
    told = said(run, BACKUP, "ok")
    assert "4/picture.png" in told and "acme/gallery" in told and "acme/forms" not in told, told
    run = story.restore(app, restore_commit=True).ok()
    told = said(run, MODULE, "ok")
    assert "4/picture.png" in told and "acme/gallery" in told, told
    assert "acme/gallery: class not found" in story.site.answer("/editor/plugins")


def test_database_is_locked_the_wal_of_another_database_does_no_harm(story, restored):
    story.site.hold()
    story.site.host.run(["systemctl", "kill", "--kill-whom=main", "--signal=KILL", "scriptor-web"])
    story.site.host.run(["python3", "-c", WRITE_AND_DIE.replace("99", "98"), ROOT + "/" + DATABASE], user="www-data",
                        check=False)
    assert os.path.getsize(story.site.outer(DATABASE + "-wal")) > 0
    story.restore(restore_commit=True).ok()
    rows = source(story.backups.manifests()[-1], DATABASE)["passport"]["tables"]["items"]
    assert story.site.sql(DATABASE, "SELECT count(*) FROM items; PRAGMA integrity_check").split() == [str(rows), "ok"]
    story.site.hold(False)
    before = edits(story)
    time.sleep(0.5)
    assert edits(story) > before, story.site.journal()


def test_three_lines_without_a_service_refuse_while_the_server_holds_the_database(story, restored):
    story.site.hold(False)
    holder = story.site.host.start(["python3", "-c", HOLD, ROOT + "/" + DATABASE], user="www-data")
    time.sleep(0.5)
    run = story.restore(APP)
    holder.kill()
    holder.wait()
    told = said(run, MODULE)
    assert run.returncode != 0 and "imanager.db" in told and "python3" in told, told
    assert story.site.active()


HOLD = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1])
connection.execute("SELECT count(*) FROM items").fetchall()
time.sleep(60)
"""
