# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Drills of apps that keep state outside of their root: dumps of commands, volumes, buckets. None of these is written."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import tempfile

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.operations.drill import DrillRequest, drill
from ansible_collections.appstate.backup.tests.unit.plugins.leftovers import nothing_left
from ansible_collections.appstate.backup.tests.unit.plugins.object_store import ObjectStore
from ansible_collections.appstate.backup.tests.unit.plugins.podman_machine import BUSYBOX, Containers

HELD, NOT = {"sql": "SELECT count(*) FROM notes", "min": 1}, {"sql": "SELECT count(*) FROM notes", "min": 1000}


def run(host, request=None, **words):
    with nothing_left():
        done = drill(host.app(**words), host.machine, DrillRequest(**(request or {})))
    assert host.left() == []
    return done


def outcomes(done, *checks):
    return [(case.check, case.outcome) for case in done.cases if case.check in checks]


def failures(done):
    return [(case.check, case.about) for case in done.failed]


def asked(source, *assertions, **words):
    return {"sources": [dict(source, assertions=list(assertions), **words)]}


@pytest.fixture(params=["sql", "sqlite"])
def dumped(request, host):
    """A source that is what a command prints, as its words; a restore would write a file that no drill may write."""
    path = host.database()
    argv = ["sqlite3", path, ".dump"] if request.param == "sql" else ["cat", path]
    source = {"type": "command", "path": "dumps/notes", "format": request.param, "argv": argv, "restore_argv": ["touch", host.place("written")]}
    host.backup(sources=[source])
    yield source
    assert not os.path.exists(host.place("written"))


def test_a_dump_of_a_command(host, dumped):
    done = run(host, **asked(dumped, HELD))
    assert done.ok, done.problem
    assert outcomes(done, "integrity", "assertion", "restore") == [("integrity", "passed"), ("assertion", "passed"), ("restore", "passed")]
    done = run(host, **asked(dumped, HELD, NOT))
    assert failures(done) == [("assertion", "dumps/notes: " + NOT["sql"])]
    done = run(host, **asked(dumped, references=[{"sql": "SELECT 'gone'", "under": "uploads"}]))
    assert failures(done) == [("references", "")] and "gone" in done.problem


def test_a_dump_that_ends_in_the_middle(host):
    """It is the archive of an old recipe, since no backup is taken of such a dump."""
    os.mkdir(host.place("old"))
    with open(host.place("old", "notes.sql"), "w", encoding="ascii") as file:
        file.write("BEGIN TRANSACTION;\nCREATE TABLE notes (id INTEGER);\nINSERT INTO notes VALUES (1);\nROLLBACK; -- due to errors\n")
    subprocess.run(["tar", "-C", host.place("old"), "-czf", host.place("old.tgz"), "notes.sql"], check=True)
    source = {"type": "command", "path": "notes.sql", "format": "sql", "argv": ["cat", "/x"], "restore_argv": ["cat"]}
    done = run(host, {"archive": host.place("old.tgz")}, **asked(source, HELD))
    assert [check for check, unused in failures(done)] == ["integrity"] and ("restore", "skipped") in outcomes(done, "restore")


@pytest.fixture
def machine(monkeypatch):
    """Podman, with a volume ``club`` that has a database and a file that it names in it."""
    content = tempfile.NamedTemporaryFile(suffix=".db")
    connection = sqlite3.connect(content.name)
    connection.executescript("CREATE TABLE notes (path); INSERT INTO notes VALUES ('a')")
    connection.close()
    # podman wants short paths.
    place = tempfile.mkdtemp(prefix="ast-")
    made = Containers(os.path.join(place, "c"))
    try:
        monkeypatch.setenv("PATH", made.programs + ":" + os.environ["PATH"])
        made.podman("volume", "create", "club")
        with content:
            made.podman("run", "--rm", "--interactive", "--volume", "club:/v", BUSYBOX, "sh", "-c",
                        "mkdir /v/db /v/blobs && cat > /v/db/club.db && echo a > /v/blobs/a", data=content.read())
        yield made
    finally:
        made.close()
        os.rmdir(place)


@pytest.mark.skipif(os.geteuid() != 0, reason="podman has storage of its own where root mounts it")
def test_a_database_in_a_volume(host, machine):
    def volume(*assertions, under="blobs", sql="SELECT path FROM notes"):
        inside = {"path": "db/club.db", "assertions": list(assertions), "references": [{"sql": sql, "under": under}]}
        return {"sources": [{"type": "volume", "volume": "club", "engine": "podman", "databases": [inside]}]}

    def looked():
        return machine.podman("run", "--rm", "--volume", "club:/v:ro", BUSYBOX, "sh", "-c", "cd /v && find . -exec stat -c '%n %i %Z %Y %s' {} + | sort")

    host.backup(**volume())
    before = looked()
    done = run(host, **volume(HELD))
    assert done.ok, done.problem
    assert outcomes(done, "integrity", "assertion", "references", "restore") == [
        ("integrity", "passed"), ("assertion", "passed"), ("references", "passed"), ("restore", "passed")]
    assert failures(run(host, **volume(NOT))) == [("assertion", "volumes/club/db/club.db: " + NOT["sql"])]
    done = run(host, **volume(sql="SELECT 'gone'"))
    assert failures(done) == [("references", "")] and "volumes/club/blobs" in done.problem
    assert looked() == before
    # A host that never had the volume, nor an engine, can prove its backup all the same.
    machine.podman("volume", "rm", "club")
    os.environ["PATH"] = os.environ["PATH"].partition(":")[2]
    assert run(host, **volume(HELD)).ok


def test_objects_of_a_bucket(host):
    with ObjectStore("club-blobs") as store:
        os.makedirs(store.path("club-blobs", "prefix"))
        for name in ("a", "b"):
            with open(store.path("club-blobs", "prefix", name), "w", encoding="ascii") as file:
                file.write(name)
        host.database()
        database = {"type": "sqlite", "path": "data/notes.db", "references": [{"sql": "VALUES ('a'), ('b')", "under": "blobs"}]}
        bucket = {"type": "bucket", "path": "blobs", "remote": "s3:club-blobs/prefix", "options": store.options()}
        host.backup(sources=[database, bucket])
        os.unlink(store.path("club-blobs", "prefix", "a"))
        done = run(host, sources=[database, bucket])
        assert done.ok, done.problem
        assert outcomes(done, "references", "restore") == [("references", "passed"), ("restore", "passed")]
        assert store.keys("club-blobs") == ["prefix/b"]
        host.backup(sources=[database, bucket])
        done = run(host, sources=[database, bucket])
        assert failures(done) == [("references", "")] and "below blobs that the backup lacks: a" in done.problem
    # The endpoint is not even asked.
    assert run(host, sources=[dict(database, references=[]), bucket]).ok
