# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How client programs are found and run, and what they are told."""

from __future__ import annotations

import os
import pathlib
import shutil
import tempfile
import time

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.postgresql import client
from ansible_collections.appstate.backup.plugins.module_utils.postgresql.client import Server, find_program
from ansible_collections.appstate.backup.plugins.module_utils.source import PostgresqlSource
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import ConfigurationError, SourceError
from ansible_collections.appstate.backup.tests.unit.plugins.postgres_server import PRIVILEGED


def server(**words):
    return Server(PostgresqlSource("x.dump", "club", **words))


@pytest.fixture
def programs(monkeypatch):
    """A function that puts a program of that name first, a script; and nothing else is found."""
    top = pathlib.Path(tempfile.mkdtemp(prefix="appstate-test-"))

    def put(name, script, folder="bin"):
        place = top / folder
        place.mkdir(parents=True, exist_ok=True)
        (place / name).write_text("#!/bin/sh\n" + script)
        (place / name).chmod(0o755)
        return str(place / name)
    top.chmod(0o755)
    monkeypatch.setenv("PATH", str(top / "bin") + ":/usr/bin:/bin")
    monkeypatch.setattr(client, "SEARCHED", str(top / "bin"))
    monkeypatch.setattr(client, "VERSIONS", str(top / "versions" / "*" / "bin"))
    yield put
    shutil.rmtree(str(top))


def test_a_program_that_is_not_installed_names_its_package(programs, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigurationError, match="psql is not installed.*postgresql-client"):
        find_program("psql")


def test_the_version_is_the_servers_or_the_next_or_the_newest(programs):
    made = {version: programs("pg_dump", "", "versions/%s/bin" % version) for version in ("9.6", "13", "15", "17")}
    programs("pg_wrapper", "")
    os.symlink("pg_wrapper", os.path.join(os.path.dirname(programs("other", "")), "pg_dump"))
    assert [find_program("pg_dump", major) for major in (None, 9, 13, 14, 17, 18)] == [
        made["17"], made["9.6"], made["13"], made["15"], made["17"], made["17"]]
    own = os.path.join(os.path.dirname(programs("other", "")), "pg_dump")
    os.unlink(own)
    programs("pg_dump", "")
    assert find_program("pg_dump", 13) == own


def test_a_program_is_told_where_to_go_by_its_environment_alone(programs, monkeypatch, tmp_path):
    monkeypatch.setenv("PGOPTIONS", "-c x=y")
    monkeypatch.setenv("SECRET", "5ecre7")
    programs("psql", 'echo "$@"; env | sort; cat "$PGPASSFILE"; stat -L -c "%a %u" "$PGPASSFILE"; pwd; umask\n')
    with open(tmp_path / "said", "w+b") as said:
        asked = server(host="db.example.com", port=5433, user="app", password="a:b\\c", sslmode="verify-full",
                       run_as="nobody" if PRIVILEGED else None)
        with asked.start("psql", ["--x"], "club", stdout=said) as program:
            assert program.wait(time.monotonic() + 10) == []
        said.seek(0)
        lines = said.read().decode().splitlines()
    told = dict(line.split("=", 1) for line in lines if "=" in line)
    assert {key: value for key, value in told.items() if key.startswith(("PG", "LC_", "SECRET"))} == {
        "PGHOST": "db.example.com", "PGPORT": "5433", "PGUSER": "app", "PGSSLMODE": "verify-full", "PGDATABASE": "club",
        "PGAPPNAME": "appstate-backup", "PGCLIENTENCODING": "UTF8", "PGCONNECT_TIMEOUT": "20", "LC_ALL": "C",
        "PGPASSFILE": told["PGPASSFILE"]}
    assert "*:*:*:*:a\\:b\\\\c" in lines and lines[0] == "--x" and lines[-2:] == ["/", "0077"]
    assert lines[-3] == "600 %d" % (65534 if PRIVILEGED else os.geteuid())


@pytest.mark.parametrize("script, text", [
    ("exit 3", "psql ended with status 3"), ("kill -9 $$", "psql was killed by signal 9"),
    ("echo 'psql: error: x' >&2", "psql: error: x"), ("echo 'ERROR:  y' >&2; exit 0", "ERROR:  y")])
def test_an_end_that_is_not_good_is_an_error(programs, script, text):
    programs("psql", script + "\n")
    with server().start("psql", [], "club") as program:
        with pytest.raises(SourceError, match=text):
            program.wait(time.monotonic() + 10)


def test_a_program_that_takes_too_long_is_ended_with_all_that_it_started(programs, tmp_path):
    mark = str(tmp_path / "mark")
    programs("psql", "sh -c 'sleep 1; touch %s' & wait\n" % mark)
    with server().start("psql", [], "club") as program:
        with pytest.raises(SourceError, match="did not end in time.*'timeout'"):
            program.wait(time.monotonic() + 0.2)
    time.sleep(1.2)
    assert not os.path.exists(mark)


def test_what_it_says_beside_is_a_warning(programs):
    programs("pg_dump", "echo 'pg_dump: warning: x' >&2; echo >&2\n")
    with server().start("pg_dump", [], "club") as program:
        assert program.wait(time.monotonic() + 10) == ["pg_dump: warning: x"]


@pytest.mark.parametrize("content, text", [("", "no password"), ("\nx", "no password"), (b"\xff\n", "cannot be read")])
def test_a_password_file_without_a_password_is_told(tmp_path, content, text):
    place = tmp_path / "password"
    place.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SourceError, match=text):
        server(password_file=str(place))


def test_a_password_of_two_lines_is_refused_and_not_told():
    with pytest.raises(ConfigurationError) as caught:
        server(password="5ecre7\nx").start("psql", [], "club")
    assert "5ecre7" not in str(caught.value)


def test_no_descriptor_and_no_file_is_left(programs):
    programs("psql", "exit 1\n")
    asked = server(password="x")
    before = set(os.listdir("/proc/self/fd"))
    for unused in range(3):
        with asked.start("psql", [], "club") as program:
            with pytest.raises(SourceError):
                program.wait(time.monotonic() + 10)
        del program
    assert len(os.listdir("/proc/self/fd")) <= len(before)
