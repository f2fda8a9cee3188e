# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""PostgreSQL databases as sources of real backups, from a real server."""

from __future__ import annotations

import os
import subprocess
import threading

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.operations.check import check_backup
from ansible_collections.appstate.backup.plugins.module_utils.sources.finding import problems_of
from ansible_collections.appstate.backup.plugins.module_utils.sources.postgresql import COPY, check_dump
from ansible_collections.appstate.backup.plugins.module_utils.system import files
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import (
    AssertionFailed, ConfigurationError, SourceError, StoreUnreachable)
from ansible_collections.appstate.backup.tests.unit.plugins.postgres_server import PASSWORD, PRIVILEGED, PROGRAMS

TABLES = {"public.packages": 3, "public.users": 2, "odd.Up loads": 1}


def record(taken):
    return taken.backup.manifest.sources[0]


def nothing_made(host):
    """Whether a failed backup left nothing at the destination."""
    return all(not names for unused, unused, names in os.walk(host.destination)) and host.left() == []


def take(machine, postgres, **words):
    return machine.backup(sources=[postgres.source(**words)])


def test_a_database_comes_with_its_passport(host, postgres):
    postgres.create()
    told = record(take(host, postgres))
    assert (told["type"], told["path"], told["database"]) == ("postgresql", "postgresql/club.dump", "club")
    assert (told["present"], told["members"], told["assertions"]) == (True, 1, [])
    assert told["passport"] == {"tables": TABLES}
    assert told["bytes"] > 1000 and told["seconds"] >= 0 and told["server_version"] >= 130000
    assert {key: told["properties"][key] for key in ("encoding", "owner", "connections", "settings", "grants")} == {
        "encoding": "UTF8", "owner": "club", "connections": -1, "settings": [], "grants": None}
    assert host.verify().problems == []
    assert host.left() == []


def test_the_dump_and_the_counts_are_of_one_moment_beside_a_writer(host, postgres):
    postgres.create(rows=20000)
    stop = threading.Event()

    def write():
        client = postgres.client("club")
        while not stop.is_set():
            client.stdin.write("INSERT INTO packages (name) VALUES ('more');\n"
                               "INSERT INTO packages (name) VALUES ('more');\nSELECT 'done';\n")
            client.stdin.flush()
            client.stdout.readline()
        client.stdin.close()
        client.wait()
        client.stdout.close()
    writer = threading.Thread(target=write)
    writer.start()
    try:
        taken = take(host, postgres)
    finally:
        stop.set()
        writer.join()
    assert 20000 < int(postgres.sql("SELECT count(*) FROM packages", "club"))
    counted = record(taken)["passport"]["tables"]["public.packages"]
    assert counted >= 20000
    found = host.verify(app=host.app(sources=[postgres.source()]))
    assert (found.problems, found.notes) == ([], []), "rows were counted in the restored database"


def test_what_an_app_asserts_is_asked_in_the_snapshot(host, postgres):
    postgres.create()
    told = record(take(host, postgres, assertions=[
        {"sql": "SELECT count(*) FROM packages;", "min": 3, "max": 3},
        {"sql": "SELECT name FROM users WHERE id = 1", "equals": "ann"},
        {"sql": "SELECT true"}]))
    assert [(item["value"], item["ok"]) for item in told["assertions"]] == [(3, True), ("ann", True), (True, True)]


@pytest.mark.parametrize("assertion, message", [
    ({"sql": "SELECT count(*) FROM packages", "min": 4}, "the value 3 is not at least 4"),
    ({"sql": "SELECT name FROM users"}, "one row of one column"),
    ({"sql": "SELECT 1, 1"}, "one row of one column"),
    ({"sql": "SELECT NULL::text"}, "the value None is not true"),
    ({"sql": "SELECT * FROM nowhere"}, 'relation "nowhere" does not exist'),
    ({"sql": "SELECT nextval('packages_id_seq')"}, "read-only transaction"),
    ({"sql": "\\! touch /tmp/appstate-was-here"}, "syntax error"),
    ({"sql": "SELECT 'it''s' WHERE false\n\\! touch /tmp/appstate-was-here"}, "syntax error"),
    ({"sql": "SELECT set_config('search_path', 'pg_catalog', false) = 'x' AND 1 / 0 = 1"}, "division by zero")])
def test_what_does_not_hold_is_no_backup(host, postgres, assertion, message):
    postgres.create()
    with pytest.raises(AssertionFailed) as caught:
        take(host, postgres, assertions=[{"sql": "SELECT 1"}, assertion])
    assert message in str(caught.value) and "app notes: postgresql/club.dump" in str(caught.value)
    assert nothing_made(host) and not os.path.exists("/tmp/appstate-was-here")


def test_the_password_is_in_no_place_that_others_see(host, postgres, tmp_path):
    postgres.create(owner="keyholder")
    words = {"user": "keyholder", "password": PASSWORD}
    seen = set()
    stop = threading.Event()

    def look():
        while not stop.is_set():
            for folder in os.listdir("/proc"):
                try:
                    for name in ("cmdline", "environ"):
                        with open("/proc/%s/%s" % (folder, name), "rb") as stream:
                            content = stream.read()
                        # Not that of the tests' own clients.
                        if b"appstate-backup" in content:
                            seen.add(content)
                except OSError:
                    continue
    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        taken = take(host, postgres, **words)
    finally:
        stop.set()
        watcher.join()
    assert any(b"PGPASSFILE" in content for content in seen)
    assert not any(b"5ecre7" in content for content in seen)
    assert "5ecre7" not in repr(taken.backup.manifest.content)
    file = tmp_path / "password"
    file.write_text(PASSWORD + "\nmore\n")
    assert record(take(host, postgres, user="keyholder", password_file=str(file)))["present"]


@pytest.mark.parametrize("words, error, texts", [
    ({"user": "keyholder", "password": "wrong 5ecre7"}, SourceError,
     ["the PostgreSQL database club", "refuses the password of keyholder", "Correct 'password'"]),
    ({"user": "keyholder"}, SourceError, ["asks for a password", "Give 'password'"]),
    ({"user": "stranger"}, SourceError, ["pg_hba.conf"]),
    ({"user": "postgres"}, SourceError, ["Set 'run_as'"]),
    ({"user": "nobody-known"}, SourceError, ["no role nobody-known", "Set 'user'"]),
    ({"database": "nowhere"}, SourceError, ["no database nowhere", "'required: false'"]),
    ({"database": "odd = name"}, SourceError, ["no database odd = name"]),
    ({"host": "/nowhere"}, StoreUnreachable, ["does not answer", "Start it, or correct 'host'"]),
    ({"host": "127.0.0.1", "port": 1}, StoreUnreachable, ["127.0.0.1, port 1", "does not answer"]),
    ({"host": "nowhere.invalid"}, StoreUnreachable, ["no such host", "Correct 'host'"]),
    ({"password_file": "/nowhere"}, SourceError, ["/nowhere", "Correct 'password_file'"]),
    ({"run_as": "nobody-known"}, ConfigurationError, ["nobody-known"])])
def test_a_server_that_cannot_be_asked_is_told_with_what_to_do(host, postgres, words, error, texts):
    if words.get("user") == "postgres" and not PRIVILEGED:
        words = {"user": "nobody-known"}
        texts = []
    postgres.create()
    for attempt in (lambda: take(host, postgres, **words),
                    lambda: check_backup(host.app(sources=[postgres.source(**words)]), host.machine)):
        with pytest.raises(error) as caught:
            attempt()
        for text in ["app notes"] + texts:
            assert text in str(caught.value)
        assert "5ecre7" not in str(caught.value)
    assert nothing_made(host)


def test_a_server_that_is_down_is_told(host, postgres):
    postgres.create()
    postgres.stop()
    try:
        with pytest.raises(StoreUnreachable, match="does not answer"):
            take(host, postgres)
    finally:
        postgres.start()
    assert nothing_made(host)


def test_a_database_that_need_not_exist_may_be_missing(host, postgres):
    told = record(take(host, postgres, required=False))
    assert told["present"] is False
    assert host.verify().problems == []


def test_a_role_that_may_not_read_all_is_told(host, postgres):
    postgres.create()
    with pytest.raises(SourceError, match="may not read .*pg_read_all_data"):
        take(host, postgres, user="plain")
    postgres.sql("ALTER TABLE users ENABLE ROW LEVEL SECURITY;"
                 "GRANT SELECT ON ALL TABLES IN SCHEMA public, odd TO plain;"
                 "GRANT USAGE ON SCHEMA odd TO plain; GRANT SELECT ON SEQUENCE packages_id_seq TO plain", "club")
    with pytest.raises(SourceError, match="does not see all rows.*BYPASSRLS"):
        take(host, postgres, user="plain")
    assert nothing_made(host)


def test_a_table_that_stays_locked_is_told(host, postgres):
    postgres.create()
    client = postgres.client("club")
    client.stdin.write("BEGIN; LOCK TABLE users; SELECT 'locked';\n")
    client.stdin.flush()
    try:
        assert client.stdout.readline() == "locked\n"
        with pytest.raises(Exception, match="a table stayed locked.*snapshot_deadline"):
            host.backup(sources=[postgres.source()], snapshot_deadline=0.5)
    finally:
        client.stdin.close()
        client.wait()
        client.stdout.close()


def test_what_pg_dump_warns_of_is_a_warning(host, postgres):
    postgres.create()
    postgres.sql("CREATE OPERATOR public.@#@ (LEFTARG = integer, RIGHTARG = integer, FUNCTION = int4pl);"
                 "UPDATE pg_operator SET oprcom = 99999 WHERE oprname = '@#@'", "club")
    taken = take(host, postgres)
    assert any("could not find operator with OID 99999" in text and "club" in text for text in taken.warnings)


def test_names_that_need_quoting(host, postgres):
    name = "odd \"Name\"-1's \\ =" + "ü"
    postgres.create(name)
    taken = take(host, postgres, database=name, path="odd.dump")
    assert record(taken)["passport"]["tables"] == TABLES


@pytest.fixture
def dump(postgres, tmp_path):
    """``(a dump by pg_dump itself, an open private directory)``; what the directory has to hold is up to the test."""
    postgres.create(rows=5000)
    made = subprocess.run([os.path.join(PROGRAMS, "pg_dump"), "-Fc", "-h", postgres.host, "-U", "club", "club"],
                          stdout=subprocess.PIPE, check=True).stdout
    directory = files.open_directory(str(tmp_path))
    yield made, directory
    os.close(directory)


def put(directory, content):
    descriptor = os.open(COPY, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600, dir_fd=directory)
    files.write_all(descriptor, content)
    os.close(descriptor)


def test_a_dump_of_an_old_recipe_is_read_to_its_end(dump):
    content, directory = dump
    put(directory, content)
    assert problems_of(check_dump(directory, None, None)) == []


@pytest.mark.parametrize("damage, text", [
    (lambda content: content[:-200], "cut short"), (lambda content: content[:len(content) // 2], "cut short"),
    (lambda content: content[:100], "cut short"), (lambda content: b"", "no dump"),
    (lambda content: b"-- PostgreSQL database dump\n", "no dump"),
    (lambda content: content[:5] + b"\x01\x63" + content[7:], "pg_restore is older than the pg_dump"),
    (lambda content: content[:-3000] + bytes(2000) + content[-1000:], "")])
def test_a_dump_that_is_cut_short_or_damaged_is_told(dump, damage, text):
    content, directory = dump
    put(directory, damage(content))
    found = problems_of(check_dump(directory, None, None))
    assert len(found) == 1 and text in found[0], found
