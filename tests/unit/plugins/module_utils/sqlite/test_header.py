# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Headers of databases that SQLite made, and of files that are none."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as some

from ansible_collections.appstate.backup.plugins.module_utils.sqlite.header import (
    MAGIC, looks_like_sqlite, parse_header)
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import DatabaseError


def database(tmp_path, *pragmas):
    """The first bytes of a database made with some pragmas, and a connection to it."""
    connection = sqlite3.connect(str(tmp_path / "a.db"), isolation_level=None)
    for pragma in pragmas:
        connection.execute("PRAGMA " + pragma)
    connection.execute("CREATE TABLE t (a)")
    return (tmp_path / "a.db").read_bytes()[:100], connection


@pytest.mark.parametrize("page_size", [512, 1024, 4096, 8192, 65536])
def test_page_size_and_count_are_those_that_sqlite_tells(tmp_path, page_size):
    start, connection = database(tmp_path, "page_size=%d" % page_size)
    header = parse_header(start)
    assert header.page_size == page_size
    assert header.page_count == connection.execute("PRAGMA page_count").fetchone()[0]


@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16le", "UTF-16be"])
def test_encoding(tmp_path, encoding):
    assert parse_header(database(tmp_path, "encoding='%s'" % encoding)[0]).encoding == encoding


@pytest.mark.parametrize("mode, journal", [("wal", "wal"), ("delete", "rollback"), ("truncate", "rollback")])
def test_journal(tmp_path, mode, journal):
    assert parse_header(database(tmp_path, "journal_mode=" + mode)[0]).journal == journal


@pytest.mark.parametrize("number", [0, 7, -1, 2147483647, -2147483648])
def test_the_numbers_of_the_application_are_signed(tmp_path, number):
    header = parse_header(database(tmp_path, "user_version=%d" % number, "application_id=%d" % number)[0])
    assert (header.user_version, header.application_id) == (number, number)


def test_the_change_counter_moves_with_a_transaction(tmp_path):
    start, connection = database(tmp_path)
    connection.execute("INSERT INTO t VALUES (1)")
    assert parse_header((tmp_path / "a.db").read_bytes()[:100]).change_counter > parse_header(start).change_counter


@pytest.mark.parametrize("start, reason", [
    (b"", "is empty"), (b"hello", "is not a SQLite database"), (b"\x1f\x8b" * 50, "is not a SQLite database"),
    (MAGIC, "is cut short"), (MAGIC + bytes(84), "is corrupt"), (MAGIC + b"\x10\x01" + bytes(82), "is corrupt")])
def test_what_is_no_database_is_refused_with_the_reason(start, reason):
    with pytest.raises(DatabaseError, match=reason):
        parse_header(start)


@given(some.binary(max_size=120), some.booleans())
def test_no_bytes_raise_anything_else(tail, magic):
    start = (MAGIC if magic else b"") + tail
    try:
        header = parse_header(start[:100])
    except DatabaseError:
        return
    assert looks_like_sqlite(start)
    assert 512 <= header.page_size <= 65536
