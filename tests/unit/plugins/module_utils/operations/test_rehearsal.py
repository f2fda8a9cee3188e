# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Dumps that a real server restores for a trial, by themselves and in drills; the server is as it was afterwards."""

from __future__ import annotations

import os
from contextlib import contextmanager

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.operations.drill import DrillRequest, drill
from ansible_collections.appstate.backup.plugins.module_utils.operations.inquiry import Inquiry
from ansible_collections.appstate.backup.plugins.module_utils.operations.rehearsal import rehearse
from ansible_collections.appstate.backup.plugins.module_utils.sources.checking import COPY, Check
from ansible_collections.appstate.backup.plugins.module_utils.system import files
from ansible_collections.appstate.backup.tests.unit.plugins.leftovers import nothing_left

DUMP = "postgresql/club.dump"
ENOUGH, TOO_MANY = {"sql": "SELECT count(*) FROM packages", "min": 3}, {"sql": "SELECT count(*) FROM packages", "min": 1000}


@pytest.fixture
def club(host, postgres):
    """The server, with a database that has been backed up."""
    postgres.create()
    postgres.sql("CREATE TABLE schema_migrations (version integer); INSERT INTO schema_migrations VALUES (12);"
                 "CREATE TABLE blobs (path text); INSERT INTO blobs VALUES ('a.tar.gz')", "club", "club")
    host.write("blobs/a.tar.gz")
    host.backup(sources=sources(postgres))
    return postgres


def sources(postgres, **words):
    return [postgres.source(**words), {"type": "files", "path": "blobs"}]


def run(host, postgres, request=None, source=None, **words):
    before = postgres.databases() if postgres._process.poll() is None else None
    with nothing_left():
        done = drill(host.app(sources=sources(postgres, **(source or {})), **words), host.machine, DrillRequest(**(request or {})))
    assert host.left() == []
    assert before is None or postgres.databases() == before
    return done


def outcomes(done, *checks):
    return [(case.check, case.outcome) for case in done.cases if not checks or case.check in checks]


def failures(done):
    return [(case.check, case.about, case.message) for case in done.failed]


def test_a_dump_is_restored_for_a_trial_in_a_drill(host, club):
    rows = club.sql("SELECT count(*) FROM packages", "club")
    done = run(host, club, source={"assertions": [ENOUGH], "references": [{"sql": "SELECT path FROM blobs", "under": "blobs"}]},
               version={"sql": "SELECT max(version) FROM schema_migrations"}, version_max=12)
    assert done.ok, done.problem
    assert [each for each in outcomes(done) if each[0] != "ownership"] == [
        ("choose", "passed"), ("checksum", "passed"), ("integrity", "passed"), ("rehearsal", "passed"), ("version", "passed"),
        ("references", "passed"), ("restore", "passed")]
    assert [case.about for case in done.cases if case.check == "rehearsal"] == [DUMP]
    assert club.sql("SELECT count(*) FROM packages", "club") == rows


def test_an_assertion_that_does_not_hold_turns_the_rehearsal_red(host, club):
    done = run(host, club, source={"assertions": [ENOUGH, TOO_MANY]})
    ((check, about, message),) = failures(done)
    assert (check, about) == ("rehearsal", DUMP) and "is not at least 1000" in message
    assert ("restore", "passed") in outcomes(done)


def test_so_does_a_dump_that_the_server_does_not_take(host, club):
    """What PostgreSQL dumps without a word and does not restore: a condition that looks at another table."""
    club.sql("CREATE FUNCTION named() RETURNS boolean LANGUAGE sql AS 'SELECT count(*) > 0 FROM blobs';"
             "CREATE TABLE checked (x integer CHECK (named())); INSERT INTO checked VALUES (1)", "club", "club")
    host.backup(sources=sources(club))
    done = run(host, club)
    ((check, about, message),) = failures(done)
    assert (check, about) == ("rehearsal", DUMP) and "blobs" in message
    assert ("integrity", "passed") in outcomes(done)


def test_whoever_may_make_no_database_there_cannot_try(host, club):
    done = run(host, club, source={"user": "plain"})
    (said,) = [case.message for case in done.cases if (case.check, case.outcome) == ("rehearsal", "skipped")]
    assert done.ok and "the role plain does not own the database club" in said


def test_a_server_that_is_down_is_no_fault_of_the_backup(host, club):
    club.stop()
    try:
        done = run(host, club, source={"assertions": [TOO_MANY], "references": [{"sql": "SELECT path FROM blobs", "under": "blobs"}]},
                   version={"sql": "SELECT max(version) FROM schema_migrations"}, version_max=11)
    finally:
        club.start()
    skipped = [(case.about, case.message) for case in done.cases if (case.check, case.outcome) == ("rehearsal", "skipped")]
    assert len(skipped) == 1 and skipped[0][0] == DUMP and skipped[0][1].startswith("PostgreSQL database club was not restored for a trial: ")
    assert outcomes(done, "version", "references") == [("version", "skipped"), ("references", "skipped")]
    assert done.ok, done.problem


def test_a_newer_schema_and_a_file_that_is_not_there_fail(host, club):
    done = run(host, club, source={"references": [{"sql": "SELECT 'gone.tar.gz'", "under": "blobs"}]},
               version={"sql": "SELECT max(version) FROM schema_migrations"}, version_max=11)
    assert [check for check, unused, unused in failures(done)] == ["version", "references"]
    assert "schema version 12" in failures(done)[0][2] and "gone.tar.gz" in failures(done)[1][2]


def test_a_question_that_the_server_does_not_understand_fails(host, club):
    done = run(host, club, source={"references": [{"sql": "SELECT nonsense FROM blobs", "under": "blobs"}]})
    assert [check for check, unused, unused in failures(done)] == ["references"] and "nonsense" in done.problem
    done = run(host, club, version={"sql": "SELECT nonsense"}, version_max=11)
    assert [check for check, unused, unused in failures(done)] == ["rehearsal"] and ("version", "skipped") in outcomes(done)
    assert "the version of the data cannot be read" in done.problem


def test_a_dump_that_ends_early_is_no_good_before_any_server_sees_it(host, club, monkeypatch):
    taken = host.backup(sources=sources(club)).backup
    with open(taken.path, "r+b") as file:
        file.truncate(os.path.getsize(taken.path) - 2000)
    done = run(host, club, {"archive": taken.path})
    assert not done.ok and outcomes(done, "rehearsal") == []


@contextmanager
def staged(host, content):
    """An open directory with a dump in it."""
    os.mkdir(host.place("dump"), 0o700)
    with open(host.place("dump", COPY), "wb") as file:
        file.write(content)
    directory = files.open_directory(host.place("dump"))
    try:
        yield directory
    finally:
        os.close(directory)


def test_what_no_store_rehearses_is_not_tried(host):
    host.fill()
    app = host.app()
    with staged(host, b"") as directory:
        for told, path in ((app, "data/notes.db"), (app, "uploads"), (None, "data/notes.db")):
            check = Check(path, "sqlite", None, None if told is None else told.source_at(path))
            assert rehearse(told, check, directory, None, Inquiry(app)) is None


def test_what_is_no_dump_is_told(host, club):
    app = host.app(sources=sources(club))
    with staged(host, b"PGDMP nonsense") as directory, nothing_left():
        tried = rehearse(app, Check(DUMP, "postgresql", None, app.source_at(DUMP)), directory, None, Inquiry(app))
    assert tried.note is None and "pg_restore" in tried.problem and club.databases() == {"club"}


def test_a_server_that_is_down_is_a_note(host, club):
    app = host.app(sources=sources(club))
    club.stop()
    try:
        with staged(host, b"PGDMP") as directory:
            tried = rehearse(app, Check(DUMP, "postgresql", None, app.source_at(DUMP)), directory, None, Inquiry(app))
    finally:
        club.start()
    assert tried.problem is None and tried.note.startswith("PostgreSQL database club was not restored for a trial: ")
