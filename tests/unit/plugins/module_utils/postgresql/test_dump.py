# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Dumps are made, read and loaded by the real programs."""

from __future__ import annotations

import os
import tempfile
import time

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.postgresql.client import Server
from ansible_collections.appstate.backup.plugins.module_utils.postgresql.dump import (
    looks_like_dump, start_dump, start_load, start_reading)
from ansible_collections.appstate.backup.plugins.module_utils.postgresql.session import Session
from ansible_collections.appstate.backup.plugins.module_utils.source import PostgresqlSource
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import DatabaseError, SourceError


@pytest.fixture
def made(postgres):
    """``(server, version, an open dump of club)``."""
    postgres.create()
    server = Server(PostgresqlSource("x.dump", "club", host=postgres.host, user="club"))
    with tempfile.TemporaryFile() as target:
        with Session(server, "club", time.monotonic() + 20) as session:
            with start_dump(server, "club", session.version, session.begin_snapshot(), target, 5) as dumping:
                assert dumping.wait(time.monotonic() + 20) == []
            yield server, session.version, target


def test_a_dump_is_told_by_its_first_bytes(made):
    assert looks_like_dump(os.pread(made[2].fileno(), 16, 0))
    assert not any(looks_like_dump(other) for other in (b"", b"PGDM", b"SQLite format 3\0", b"-- PostgreSQL dump"))


def test_a_dump_is_loaded(made, postgres):
    server, version, dump = made
    postgres.sql("CREATE DATABASE other OWNER club")
    dump.seek(0)
    with start_load(server, "other", version, dump) as loading:
        loading.wait(time.monotonic() + 20)
    assert postgres.sql("SELECT count(*) FROM packages", "other") == "3"


def test_the_first_error_ends_a_load(made, postgres):
    server, version, dump = made
    postgres.sql("CREATE DATABASE other OWNER club")
    postgres.sql("CREATE TABLE users (id integer)", "other", "club")
    dump.seek(0)
    with start_load(server, "other", version, dump) as loading:
        with pytest.raises(SourceError, match='relation "users" already exists'):
            loading.wait(time.monotonic() + 20)


@pytest.mark.parametrize("whole", [False, True])
def test_a_reading_begins_at_the_beginning_and_moves_nobody(made, whole):
    dump = made[2]
    dump.seek(7)
    with start_reading(dump, "the dump", whole) as reading:
        assert reading.wait(time.monotonic() + 20) == []
    assert dump.tell() == 7


def test_a_cut_dump_is_found_by_a_whole_reading(made):
    dump = made[2]
    os.ftruncate(dump.fileno(), os.fstat(dump.fileno()).st_size - 20)
    with start_reading(dump, "the dump") as reading:
        with pytest.raises(DatabaseError, match="the dump cannot be read: the dump is cut short or damaged"):
            reading.wait(time.monotonic() + 20)
