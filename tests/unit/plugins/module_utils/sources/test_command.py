# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Commands of an application as sources of real backups, with the real sqlite3 and tar programs."""

from __future__ import annotations

import os
import subprocess

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.operations.backup import check_backup
from ansible_collections.appstate.backup.plugins.module_utils.system.commands import CommandError
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import (
    AppStateError, ArchiveError, AssertionFailed, ConfigurationError, DatabaseError, SourceError, SpaceError)
LIVE = "data/notes.db"
DUMP = "dumps/notes.sql"


def command(*argv, **words):
    """The one source of these tests: the application's own dump."""
    told = {"type": "command", "path": DUMP, "argv": list(argv) or ["sqlite3", LIVE, ".dump"], "format": "sql"}
    return [dict(told, **words)]


def shell(script, **words):
    return command("/bin/sh", "-c", script, **words)


def record(taken):
    return taken.backup.manifest.sources[0]


def refused(host, sources, kind):
    """The error that a backup ends with; it left nothing."""
    with pytest.raises(kind) as caught:
        host.backup(sources=sources)
    assert all(not names for unused, unused, names in os.walk(host.destination)) and host.left() == []
    text = str(caught.value)
    assert text.startswith("app notes: " + DUMP), text
    return text


def test_a_dump_is_backed_up_with_its_passport_and_verified(host):
    host.database()
    taken = host.backup(sources=command())
    told = record(taken)
    assert (told["type"], told["path"], told["format"], told["present"]) == ("command", DUMP, "sql", True)
    assert told["members"] == 1
    assert told["passport"]["tables"] == {"notes": 20} and "page_count" not in told["passport"]
    assert told["integrity"] == "full" and told["bytes"] > 500 and told["seconds"] >= 0
    assert taken.warnings == []
    assert host.verify(which=taken.backup.id, app=host.app(sources=command())).ok
    assert host.left() == []


@pytest.mark.parametrize("format, script, passport", [
    ("sqlite", "sqlite3 data/notes.db '.backup copy.db' && cat copy.db", True),
    ("tar", "tar -cf - data", False), ("tar", "tar -czf - data", False), ("raw", "printf anything", False)])
def test_other_formats_are_taken_and_verified(host, format, script, passport):
    host.database(journal="delete")
    told = record(host.backup(sources=shell(script, format=format)))
    assert (told["passport"] is not None) == passport
    assert host.verify(app=host.app(sources=shell(script, format=format))).ok


def test_it_runs_in_the_root_as_the_account_that_is_named(host):
    taken = host.backup(sources=shell("pwd; id -un", format="raw", run_as="daemon"))
    host.restore(sources=shell("pwd; id -un", format="raw", run_as="daemon")).restore()
    with open(host.at(DUMP), "rb") as file:
        assert file.read().decode() == "%s\ndaemon\n" % host.root
    assert record(taken)["bytes"] == len(host.root) + 8


def test_what_it_says_although_it_succeeds_is_a_warning(host):
    warnings = host.backup(sources=shell("echo content; echo deprecated >&2", format="raw")).warnings
    assert warnings == ["%s: the command /bin/sh said: deprecated" % DUMP]


@pytest.mark.parametrize("script, kind, words", [
    ("echo no such database >&2; exit 3", CommandError, "ended with status 3: no such database"),
    ("true", SourceError, "gave nothing"), ("sleep 60", CommandError, "did not end within 0.5 s"),
    ("echo content; exit 1", CommandError, "ended with status 1")])
def test_a_command_that_fails_is_told(host, script, kind, words):
    assert words in refused(host, shell(script, format="raw", timeout=0.5), kind)


@pytest.mark.parametrize("argv", [["no-such-program"], ["./bin/dump"], ["/does/not/exist"]])
def test_a_command_that_is_not_there_is_told_before_anything_is_done(host, argv):
    assert "the command %s is not there" % argv[0] in refused(host, command(*argv), SourceError)
    with pytest.raises(SourceError):
        check_backup(host.app(sources=command(*argv)), host.machine)
    host.write("data/settings.json")
    sources = command(*argv, required=False) + [{"type": "files", "path": "data/settings.json"}]
    assert record(host.backup(sources=sources))["present"] is False


def test_an_account_that_is_not_there_is_told(host):
    sources = command("true", run_as="no-such-account")
    assert "no-such-account" in refused(host, sources, ConfigurationError)
    with pytest.raises(ConfigurationError):
        check_backup(host.app(sources=sources), host.machine)


@pytest.mark.parametrize("format, script, kind, words", [
    ("sql", "sqlite3 data/notes.db .dump | head -n 9", DatabaseError, "transaction is still open"),
    ("sql", "sqlite3 data/notes.db .dump | head -c 400", DatabaseError, "in the middle of a statement"),
    ("sql", "sqlite3 data/notes.db .dump | sed 's/^COMMIT/ROLLBACK/'", DatabaseError, "ends in ROLLBACK"),
    ("sql", "echo '<html>'", DatabaseError, "cut short"),
    ("sqlite", "sqlite3 data/notes.db .dump", DatabaseError, "is not a SQLite database: it is an SQL script"),
    ("sqlite", "head -c 5000 data/notes.db", DatabaseError, "corrupt"),
    ("tar", "tar -cf - data | head -c 3000", ArchiveError, "cut short"),
    ("tar", "tar -czf - data | head -c 300", ArchiveError, "tar archive"),
    ("tar", "tar -cPf - /etc/hostname", ArchiveError, "tar archive"),
    ("tar", "tar -cf - /dev/null 2>/dev/null", ArchiveError, "character device"),
    ("tar", "tar -cf - -T /dev/null", ArchiveError, "is empty"),
    ("tar", "echo no archive", ArchiveError, "tar archive")])
def test_what_is_not_what_it_is_declared_to_be_is_refused(host, format, script, kind, words):
    host.database(journal="delete")
    text = refused(host, shell(script, format=format), kind)
    assert words in text and "the command /bin/sh gave is no good" in text


def test_a_full_destination_is_told_as_what_it_is(host):
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=755", "tmpfs", host.destination], check=True)
    try:
        text = refused(host, shell("head -c 5000000 /dev/zero", format="raw"), SpaceError)
    finally:
        subprocess.run(["umount", host.destination], check=True)
    assert "no room at the destination for what the command /bin/sh writes" in text


def test_assertions_and_damage_later_on_are_found(host):
    host.database()
    wanted = [{"sql": "SELECT count(*) FROM notes", "min": 21}]
    assert "at least 21" in refused(host, command(assertions=wanted), AssertionFailed)
    taken = host.backup(sources=command())
    found = host.verify(which=taken.backup.id, app=host.app(sources=command(assertions=wanted)))
    assert not found.ok and "at least 21" in str(found.problems)


def test_a_dump_that_is_no_transaction_is_doubtful(host):
    script = "echo 'CREATE TABLE t(a);'; echo 'INSERT INTO t VALUES(1);'"
    assert "not one transaction" in host.backup(sources=shell(script)).warnings[0]


def test_without_a_command_to_restore_it_is_put_back_as_a_file(host):
    host.write("export.txt", b"old")
    sources = command("cat", "export.txt", path="export.txt", format="raw")
    host.backup(sources=sources)
    host.write("export.txt", b"new")
    host.restore(sources=sources).restore()
    with open(host.at("export.txt"), "rb") as file:
        assert file.read() == b"old"
    found = os.stat(host.at("export.txt"))
    assert found.st_mode & 0o777 == 0o640
    host.restore(sources=sources).roll_back()
    with open(host.at("export.txt"), "rb") as file:
        assert file.read() == b"new"


@pytest.fixture(name="application")
def fixture_application(host):
    """An application that dumps and loads its own database, which fails where there is a file ``broken``."""
    def write(name, lines):
        path = host.write(name, ("#!/bin/sh\nset -e\n" + lines).encode(), 0o755)
        return path
    write("bin/dump", "test ! -e broken-dump || { echo cannot dump >&2; exit 1; }\nexec sqlite3 data/notes.db .dump\n")
    write("bin/load", "test ! -e broken-load || { echo cannot load >&2; cat > /dev/null; exit 1; }\n"
                      "rm -f data/new.db\nsqlite3 -bail data/new.db\nmv data/new.db data/notes.db\n")
    host.database(journal="delete")
    return command("bin/dump", restore_argv=["bin/load"], run_as=None)


def test_a_command_is_fed_what_was_dumped(host, application):
    host.backup(sources=application)
    host.add_notes(5)
    outcome = host.restore(sources=application).restore()
    assert host.notes() == 20
    told = outcome.to_dict()
    (aside,) = told["moved_aside"]
    assert aside.startswith(host.at(DUMP) + ".before-restore-") and os.stat(aside).st_mode & 0o777 == 0o600
    assert "dumped again" in told["warnings"][0]
    host.restore(sources=application).commit()
    assert host.notes() == 20 and not os.path.exists(host.at("dumps")) and host.left() == []


def test_a_rollback_feeds_it_its_old_state(host, application):
    host.backup(sources=application)
    host.add_notes(5)
    host.restore(sources=application).restore()
    host.restore(sources=application).roll_back()
    assert host.notes() == 25 and not os.path.exists(host.at("dumps")) and host.left() == []


def test_old_state_is_that_of_the_moment_when_the_app_had_stopped(host, application):
    host.backup(sources=application)
    host.restore(sources=application).stage()
    host.add_notes(5)
    host.restore(sources=application).restore()
    assert host.notes() == 20
    host.restore(sources=application).roll_back()
    assert host.notes() == 25


def test_where_it_cannot_be_dumped_then_it_is_that_of_the_staging(host, application):
    host.backup(sources=application)
    host.add_notes(5)
    host.restore(sources=application).stage()
    host.write("broken-dump")
    host.restore(sources=application).restore()
    assert host.notes() == 20
    host.restore(sources=application).roll_back()
    assert host.notes() == 25


def test_state_that_cannot_be_dumped_is_not_replaced_unless_forced(host, application):
    host.backup(sources=application)
    host.add_notes(5)
    host.write("broken-dump")
    with pytest.raises(AppStateError) as caught:
        host.restore(sources=application).stage()
    assert "the present state cannot be dumped" in str(caught.value) and "cannot dump" in str(caught.value)
    assert "force" in str(caught.value) and host.notes() == 25 and host.left() == []
    outcome = host.restore({"force": True}, sources=application).restore().to_dict()
    assert host.notes() == 20 and outcome["moved_aside"] == []
    assert "cannot bring it back" in outcome["warnings"][0]
    host.restore(sources=application).commit()
    assert not os.path.exists(host.at("dumps"))


def test_doubts_of_the_present_state_are_no_obstacle(host, application):
    application[0]["assertions"] = [{"sql": "SELECT count(*) FROM notes", "max": 20}]
    host.backup(sources=application)
    host.add_notes(5)
    warnings = host.restore(sources=application).restore().to_dict()["warnings"]
    assert "not good (an assertion does not hold: the value 25 is not at most 20" in warnings[0]
    assert host.notes() == 20
    host.restore(sources=application).roll_back()
    assert host.notes() == 25 and host.left() == []


def test_a_command_that_does_not_take_it_leaves_old_state(host, application):
    host.backup(sources=application)
    host.add_notes(5)
    loader = ("read first; rm -f data/notes.db; test ! -e fails-once || { rm fails-once; echo half way >&2; exit 1; }; "
              "{ echo \"$first\"; cat; } | sqlite3 data/notes.db")
    broken = command("bin/dump", restore_argv=["/bin/sh", "-c", loader])
    host.write("fails-once")
    with pytest.raises(CommandError) as caught:
        host.restore(sources=broken).restore()
    assert "half way" in str(caught.value)
    assert host.notes() == 25 and not os.path.exists(host.at("dumps")) and host.left() == []


def test_old_state_that_cannot_be_fed_stays_until_it_can(host, application):
    host.backup(sources=application)
    host.add_notes(5)
    host.restore(sources=application).restore()
    host.write("broken-load")
    with pytest.raises(CommandError) as caught:
        host.restore(sources=application).roll_back()
    assert ".before-restore-" in str(caught.value) and "roll back again" in str(caught.value)
    os.unlink(host.at("broken-load"))
    host.restore(sources=application).roll_back()
    assert host.notes() == 25 and host.left() == []


def test_another_root_gets_the_dump_as_a_file(host, application):
    host.backup(sources=application)
    other = host.place("other")
    os.mkdir(other)
    host.restore({"target_root": other}, sources=application).restore()
    with open(os.path.join(other, DUMP), "rb") as file:
        assert file.read().startswith(b"PRAGMA foreign_keys=OFF;")
    assert host.notes() == 20


def test_a_restore_that_is_killed_at_any_moment_ends_old_or_new(host, application, kill_at):
    """The store alone is what this is about, so its sources are the only ones."""
    host.backup(sources=application)
    host.add_notes(5)
    point = 0
    while True:
        point += 7
        killed = kill_at(point, lambda: host.restore(sources=application).restore())
        host.restore(sources=application).roll_back()
        assert host.notes() == 25, point
        assert not os.path.exists(host.at("dumps")) and host.left() == [], point
        if not killed:
            break


@pytest.mark.parametrize("format, script", [("sql", "sqlite3 data/notes.db .dump"), ("sqlite", "cat data/notes.db")])
def test_files_that_its_database_names_are_looked_for(host, format, script):
    host.database(rows=2, journal="delete")
    host.write("uploads/note 0")
    sources = shell(script, format=format, references=[{"sql": "SELECT text FROM notes", "under": "uploads"}])
    sources.append({"type": "files", "path": "uploads"})
    (warning,) = host.backup(sources=sources).warnings
    assert warning == "%s names 1 file below uploads that the backup lacks: note 1" % DUMP
    found = host.verify(app=host.app(sources=sources))
    assert not found.ok and "lacks: note 1" in str(found.problems)
