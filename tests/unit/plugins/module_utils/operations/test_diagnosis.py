# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a person would look for after a restore is said by the restore, and by nothing where there is nothing."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys

import pytest

OVERRIDE = "data/settings/custom.php"
PATTERN = r"'plugin' *=> *'([^']*)'"


@pytest.fixture
def filled(host):
    """A host with its state."""
    host.fill()
    return host


def warnings(host, request=None, **words):
    """What a restore warns of; it is committed, so that another one can follow."""
    told = host.restore(request, **words).restore().to_dict()["warnings"]
    host.restore(request).commit()
    return told


def execute(host, *statements):
    connection = sqlite3.connect(host.at("data/notes.db"))
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def archive(host, *names, leave=()):
    """An archive of an old recipe with some of the application's files."""
    path = host.place("old.tar")
    subprocess.run(["tar", "cf", path, "-C", host.root] + ["--exclude=" + each for each in leave] + list(names), check=True)
    return path


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_a_table_that_has_rows_now_and_none_in_the_backup_is_told(host, journal):
    host.fill(journal=journal)
    execute(host, "CREATE TABLE pages (a)", "CREATE TABLE empty (a)")
    host.backup()
    execute(host, "INSERT INTO pages VALUES (1)")
    if journal == "wal":
        host.crash()  # An application that runs has its log.
    assert warnings(host) == ["data/notes.db has no rows in the table pages, and some now: see whether this is the right "
                              "backup"]
    assert warnings(host) == []


def test_a_live_database_in_wal_mode_that_nothing_uses_is_left_alone(filled, tree):
    execute(filled, "CREATE TABLE pages (a)")
    filled.backup()
    execute(filled, "INSERT INTO pages VALUES (1)")
    before = tree(filled.root)
    assert filled.restore().validate().to_dict()["warnings"] == []
    assert tree(filled.root) == before


def test_where_nothing_is_live_the_newest_backup_tells(filled):
    execute(filled, "DELETE FROM notes")
    first = filled.backup().backup.id
    filled.add_notes(3)
    newest = filled.backup().backup.id
    os.unlink(filled.at("data/notes.db"))
    told = ("data/notes.db has no rows in the table notes, and some in the backup %s: see whether this is the right backup"
            % newest)
    assert warnings(filled, {"which": first}) == [told]
    assert filled.verify(app=filled.app(), which=first).notes == [told]
    assert filled.verify(app=filled.app()).notes == []


def test_verifying_a_backup_that_lost_all_rows_names_the_one_before_it(filled):
    before = filled.backup().backup.id
    execute(filled, "DELETE FROM notes")
    filled.backup()
    note, = filled.verify(app=filled.app()).notes
    assert "no rows in the table notes, and some in the backup %s:" % before in note


def test_a_live_database_that_cannot_be_read_does_not_matter(filled):
    execute(filled, "CREATE TABLE empty (a)")
    filled.backup()
    filled.write("data/notes.db", b"SQLite format 3\0" + b"x" * 5000)
    assert warnings(filled) == []


def test_a_live_database_with_a_journal_is_left_alone(host, tree):
    host.fill(journal="delete")
    execute(host, "CREATE TABLE pages (a)")
    host.backup()
    script = ("import os, sqlite3, sys\n"
              "c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
              "c.execute('PRAGMA cache_size = 5')\n"
              "c.execute('BEGIN')\n"
              "c.executemany('INSERT INTO notes (text) VALUES (?)', [('x' * 1000,)] * 2000)\n"
              "os.kill(os.getpid(), 9)\n")
    subprocess.run([sys.executable, "-c", script, host.at("data/notes.db")], check=False)
    before = tree(host.root)
    assert b"data/notes.db-journal" in before
    assert host.restore().validate().to_dict()["warnings"] == []
    assert tree(host.root) == before


def test_a_destination_that_is_not_there_does_not_matter(filled):
    execute(filled, "CREATE TABLE empty (a)")
    old = archive(filled, "data", "uploads")
    os.unlink(filled.at("data/notes.db"))
    for destination in (filled.place("no", "such", "place"), old):
        told = warnings(filled, {"archive": old}, destination=destination)
        assert not [text for text in told if "rows" in text]


def test_many_tables_are_told_of_by_the_first(filled):
    execute(filled, *("CREATE TABLE t%02d (a)" % number for number in range(15)))
    filled.backup()
    execute(filled, *("INSERT INTO t%02d VALUES (1)" % number for number in range(15)))
    filled.crash()
    assert "in the tables t00, t01, t02, t03, t04, t05, t06, t07, t08, t09 and 5 more, and some now" in warnings(filled)[0]


LOST = ("data/notes.db is in WAL mode, and the archive has no data/notes.db-wal: if it was copied as a file while the "
        "application ran, the last writes are missing")


def test_an_old_archive_without_the_log_is_told_of(filled):
    filled.crash()
    without = archive(filled, "data", "uploads", leave=["*-wal"])
    assert LOST in warnings(filled, {"archive": without})
    assert LOST in filled.verify(app=filled.app(), archive=without).notes


def test_one_with_the_log_or_without_need_of_it_is_not(filled):
    filled.crash()
    whole = archive(filled, "data", "uploads")
    assert LOST not in warnings(filled, {"archive": whole}) and filled.notes() == 25
    assert LOST not in filled.verify(app=filled.app(), archive=whole).notes
    filled.backup()
    assert warnings(filled) == []


def test_a_rollback_journal_database_has_no_log(host):
    host.fill(journal="delete")
    assert LOST not in warnings(host, {"archive": archive(host, "data", "uploads")})


def mentioning(host, *names, path=OVERRIDE):
    """The app with settings that name these plugins, one of which is there."""
    host.directory("vendor/acme/gallery")
    host.write(OVERRIDE, b"<?php return [%s];" % b", ".join(b"['plugin' => '%s']" % name for name in names))
    return {"sources": [{"type": "sqlite", "path": "data/notes.db"},
                        {"type": "files", "path": path, "mentions": [{"pattern": PATTERN, "under": "vendor"}]}]}


MISSING = ["%s names vendor/acme/slider, which is not there" % OVERRIDE,
           "%s names vendor/acme/gone, which is not there" % OVERRIDE]
NAMES = (b"acme/gallery", b"acme/slider", b"/acme/gone/", b"acme/slider", b"")


@pytest.mark.parametrize("path", [OVERRIDE, "data/settings"])
def test_settings_that_name_what_is_not_there_are_told_of(filled, path):
    words = mentioning(filled, *NAMES, path=path)
    assert filled.backup(**words).warnings == MISSING
    assert warnings(filled, **words) == MISSING
    assert filled.verify(app=filled.app(**words)).notes == (MISSING if path == OVERRIDE else [])


def test_what_cannot_be_read_is_not_looked_at(filled):
    words = mentioning(filled, *NAMES, path="data/settings")
    os.mkfifo(filled.at("data/settings/fifo"))
    os.symlink("custom.php", filled.at("data/settings/link"))
    for number in range(3):
        filled.write("data/settings/%d" % number, b"'plugin' => 'acme/number-%d'" % number)
    told = filled.backup(**words).warnings
    assert [text for text in told if "is not there" in text] == [
        "data/settings/%d names vendor/acme/number-%d, which is not there" % (number, number) for number in range(3)] + MISSING
    words = mentioning(filled, path="data/none")
    words["sources"][1]["required"] = False
    assert filled.backup(**words).warnings == []


def test_what_the_backup_brings_along_is_there(filled):
    words = mentioning(filled, b"acme/slider")
    words["sources"].append({"type": "files", "path": "vendor"})
    filled.write("vendor/acme/slider/composer.json")
    filled.backup(**words)
    subprocess.run(["rm", "-r", filled.at("vendor/acme/slider")], check=True)
    assert warnings(filled, **words) == []


def test_what_lies_behind_a_link_is_there(filled):
    words = mentioning(filled, b"linked/slider")
    os.symlink("../packages", filled.at("vendor/linked"))
    filled.backup(**words)
    assert warnings(filled, **words) == []


def test_what_leads_out_is_not_there(filled):
    words = mentioning(filled, b"../../../etc/passwd")
    filled.backup(**words)
    assert warnings(filled, **words) == ["%s names vendor/../../../etc/passwd, which is not there" % OVERRIDE]


def test_elsewhere_nobody_looks_for_plugins(filled):
    words = mentioning(filled, *NAMES)
    filled.backup(**words)
    request = {"target_root": filled.place("look")}
    assert warnings(filled, request, **words) == ["%s did not exist and was made" % filled.place("look")]


def test_a_verification_where_the_app_is_not_says_nothing(filled):
    words = mentioning(filled, *NAMES)
    filled.backup(**words)
    os.rename(filled.root, filled.place("elsewhere"))
    assert filled.verify(app=filled.app(**words)).notes == []
