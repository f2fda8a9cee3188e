# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Versions and references from end to end: what backups record, what restores refuse or say, what verifying finds."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.system.errors import ConfigurationError, DataTooNewError

SQL = "SELECT max(version) FROM schema_migrations"
VERSION = {"sql": SQL, "source": "data/notes.db"}
TOO_NEW = ("app notes: data/notes.db: the backup has schema version 12, and the installed application understands no newer "
           "one than 11. Install a version of the application that understands it, or choose an older backup.")


@pytest.fixture
def migrated(host):
    """A host whose application is at schema version 12."""
    host.fill()
    execute(host, "CREATE TABLE schema_migrations (version INTEGER)", "INSERT INTO schema_migrations VALUES (11), (12)")
    return host


def execute(host, *statements):
    connection = sqlite3.connect(host.at("data/notes.db"))
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def old_archive(host):
    """An archive as an old shell recipe makes it; the application's path stands in front of its members."""
    path = host.place("old.tar.gz")
    subprocess.run(["tar", "czf", path, "-C", "/", host.root.lstrip("/")], check=True)
    return path


def test_a_backup_records_the_versions_of_data_and_application(migrated):
    taken = migrated.backup(version=dict(VERSION, application=["echo", "notes 1.4.2"]))
    assert taken.backup.manifest.content["schema_version"] == 12
    assert taken.backup.manifest.content["app_version"] == "notes 1.4.2"
    assert taken.warnings == []
    content = migrated.backup().backup.manifest.content
    assert "schema_version" not in content and content["app_version"] is None


def test_an_application_that_does_not_tell_its_version_is_a_warning(migrated):
    taken = migrated.backup(version=dict(VERSION, application=["/nonexistent/notes", "--version"]))
    assert taken.backup.manifest.content["app_version"] is None
    assert "does not tell the application's version" in taken.warnings[0] and "/nonexistent/notes" in taken.warnings[0]
    assert taken.backup.manifest.content["warnings"] == taken.warnings


@pytest.mark.parametrize("sql", ["SELECT 'twelve'", "SELECT version FROM nowhere", "SELECT version FROM schema_migrations"])
def test_a_version_that_is_no_number_fails_the_backup(migrated, sql):
    with pytest.raises(ConfigurationError, match="'sql' of 'version'"):
        migrated.backup(version={"sql": sql, "source": "data/notes.db"})
    assert os.listdir(migrated.place("backups", "notes")) == [] and migrated.left() == []


@pytest.mark.parametrize("old", [False, True])
def test_a_newer_backup_is_refused_and_nothing_changes(migrated, old, tree):
    request = {"archive": old_archive(migrated)} if old else {}
    migrated.backup()  # Its manifest does not tell the version: the database does.
    migrated.damage()
    before = tree(migrated.root)
    for words in ({"version_max": 11}, {"version_max": {"argv": ["echo", "schema 11"]}}):
        for step in ("validate", "stage", "restore"):
            with pytest.raises(DataTooNewError) as caught:
                getattr(migrated.restore(request, version=VERSION, **words), step)()
            assert str(caught.value) == TOO_NEW
            assert (caught.value.exit_code, caught.value.event) == (78, "schema_version_too_new")
    assert tree(migrated.root) == before and migrated.left() == []


def test_a_newer_backup_can_be_looked_at_elsewhere(migrated):
    migrated.backup()
    outcome = migrated.restore({"target_root": migrated.place("look")}, version=VERSION, version_max=11).restore()
    assert any("schema version 12" in text for text in outcome.to_dict()["warnings"])


@pytest.mark.parametrize("most, notes", [
    (13, ["the backup has schema version 12; the application understands 13 and will migrate it on start"]), (12, []),
    (None, [])])
def test_an_older_backup_is_restored_with_a_note(migrated, most, notes):
    migrated.backup()
    assert migrated.restore(version=VERSION, version_max=most).restore().to_dict()["warnings"] == notes


def test_an_application_that_is_not_installed_yet_is_told_of_before_anything_is_touched(migrated):
    migrated.backup()
    with pytest.raises(ConfigurationError, match="install the application first"):
        migrated.restore(version=VERSION, version_max={"argv": ["/nonexistent/notes"]}).restore()


def test_only_some_files_ask_for_no_version(migrated):
    migrated.backup()
    migrated.restore({"only": ["uploads"]}, version=VERSION, version_max=11).restore()


def test_verifying_tells_a_newer_backup_where_the_app_is_given(migrated):
    migrated.backup()
    assert migrated.verify().ok
    found = migrated.verify(app=migrated.app(version=VERSION, version_max=11))
    assert found.problems == [{"member": "data/notes.db", "event": "schema_version_too_new", "problem":
                               "the backup has schema version 12, and the installed application understands no newer one "
                               "than 11"}]
    found = migrated.verify(app=migrated.app(version=VERSION, version_max=13))
    assert found.ok and found.notes == ["the backup has schema version 12; the application understands 13 and will migrate "
                                        "it on start"]
    found = migrated.verify(app=migrated.app(version=VERSION, version_max={"argv": ["/nonexistent/notes"]}))
    assert found.ok and "could not be started" in found.notes[0]
    found = migrated.verify(app=migrated.app(version=dict(VERSION, sql="SELECT 'twelve'")))
    assert "gives 'twelve'" in found.problems[0]["problem"]


def naming(host, *paths, under="uploads", sql="SELECT path FROM files"):
    """The app with a database that names these files."""
    execute(host, "DROP TABLE IF EXISTS files", "CREATE TABLE files (path TEXT)",
            *("INSERT INTO files VALUES ('%s')" % path for path in paths))
    sources = host.sources()
    sources[0]["references"] = [{"sql": sql, "under": under}]
    return {"sources": sources}


LACKING = "data/notes.db names 2 files below uploads that the backup lacks: gone.png, 2026/gone.png"


def test_files_that_are_named_and_lack_are_told_at_every_step(migrated):
    words = naming(migrated, "/a.bin", "gone.png", "deep/er/b.bin", "2026/gone.png", "link", "")
    taken = migrated.backup(**words)
    assert taken.warnings == [LACKING] and taken.complete
    found = migrated.verify(app=migrated.app(**words))
    assert found.problems == [{"member": "data/notes.db", "problem": LACKING[len("data/notes.db "):]}]
    assert found.notes == []
    assert migrated.restore(**words).restore().to_dict()["warnings"] == [LACKING]


def test_files_in_a_generation_beside_the_archive_are_there(migrated):
    words = naming(migrated, "a.bin", "gone.png", "deep/er/b.bin", "2026/gone.png")
    words["sources"][1]["method"] = "rsync"
    for unused in range(2):  # The second takes the generation of the first.
        assert migrated.backup(**words).warnings == [LACKING]
    found = migrated.verify(app=migrated.app(**words))
    assert [problem["problem"] for problem in found.problems] == [LACKING[len("data/notes.db "):]]
    assert migrated.restore(**words).restore().to_dict()["warnings"] == [LACKING]


def test_files_that_nothing_names_are_a_note(migrated):
    words = naming(migrated, "a.bin")
    assert migrated.backup(**words).warnings == []
    found = migrated.verify(app=migrated.app(**words))
    assert found.ok and found.notes == ["2 files below uploads are named by nothing in data/notes.db: deep/er/b.bin, link"]
    assert migrated.restore(**words).restore().to_dict()["warnings"] == []


def test_an_old_archive_with_pages_but_no_images_says_so(migrated):
    words = naming(migrated, "a.bin")
    os.unlink(migrated.at("uploads/a.bin"))
    warnings = migrated.restore({"archive": old_archive(migrated)}, **words).restore().to_dict()["warnings"]
    assert "data/notes.db names 1 file below uploads that the backup lacks: a.bin" in warnings


def test_a_query_that_fails_does_not_fail_the_backup(migrated):
    words = naming(migrated, sql="SELECT path FROM nowhere")
    assert "no such table: nowhere" in migrated.backup(**words).warnings[0]
    found = migrated.verify(app=migrated.app(**words))
    assert "no such table: nowhere" in found.problems[0]["problem"]
    assert "no such table: nowhere" in migrated.restore(**words).restore().to_dict()["warnings"][0]


DUMP = "import sqlite3, sys; print(*sqlite3.connect(sys.argv[1]).iterdump(), sep='\\n')"


@pytest.mark.parametrize("format, argv", [("sql", [sys.executable, "-c", DUMP, "%s"]), ("sqlite", ["cat", "%s"])])
@pytest.mark.parametrize("restore_argv", [None, ["sh", "-c", "cat > /dev/null"]])
def test_a_dump_of_the_applications_own_is_asked_at_every_step(host, format, argv, restore_argv):
    host.fill(journal="delete")
    execute(host, "CREATE TABLE schema_migrations (version)", "INSERT INTO schema_migrations VALUES (12)")
    naming(host, "a.bin", "gone.png", "2026/gone.png")
    source = {"type": "command", "path": "dump", "format": format, "restore_argv": restore_argv,
              "argv": [word.replace("%s", host.at("data/notes.db")) for word in argv],
              "references": [{"sql": "SELECT path FROM files", "under": "uploads"}]}
    words = {"sources": [source, {"type": "files", "path": "uploads"}], "version": {"sql": SQL}}
    lacking = LACKING.replace("data/notes.db", "dump")
    taken = host.backup(**words)
    assert taken.backup.manifest.content["schema_version"] == 12 and lacking in taken.warnings
    found = host.verify(app=host.app(version_max=11, **words))
    assert [problem.get("event") for problem in found.problems] == ["schema_version_too_new", None]
    with pytest.raises(DataTooNewError):
        host.restore(version_max=11, **words).stage()
    assert host.left() == []
    assert lacking in host.restore(version_max=13, **words).restore().to_dict()["warnings"]
