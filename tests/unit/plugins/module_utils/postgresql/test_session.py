# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Conversations with a real server."""

from __future__ import annotations

import io
import time

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.postgresql.client import Server
from ansible_collections.appstate.backup.plugins.module_utils.postgresql.session import ROWS_AT_ONCE, Session
from ansible_collections.appstate.backup.plugins.module_utils.source import PostgresqlSource
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import (
    QueryError, SourceError, StoreUnreachable)


@pytest.fixture
def session(postgres):
    """A function that gives sessions with a database that has a table; all are ended."""
    postgres.create()
    opened = []

    def start(seconds=20, **words):
        source = PostgresqlSource("x.dump", "club", host=postgres.host, user="club")
        opened.append(Session(Server(source), "club", time.monotonic() + seconds, **words))
        return opened[-1]
    yield start
    for each in opened:
        each.close()


def test_rows_come_as_what_they_are(session):
    asked = session()
    assert asked.version > 90000
    assert asked.rows("SELECT 1, 2.5, 'a\nb', true, NULL, 12345678901234567890, 'x' AS same, 'y' AS same, "
                      "'{\"a\":\n1}'::json, '\\x00ff'::bytea") == [
        [1, 2.5, "a\nb", True, None, 12345678901234567890, "x", "y", [1], "\\x00ff"]]
    assert asked.rows("SELECT 1 WHERE false") == [] and asked.value("SELECT 1 WHERE false") is None
    assert asked.rows("SELECT n FROM generate_series(1, 30000) n") == [[n] for n in range(1, 30001)]
    assert asked.value("SELECT length('%s')" % ("x" * 300000)) == 300000


def test_a_snapshot_stays_what_it_was_for_all_who_know_its_name(session, postgres):
    first = session()
    name = first.begin_snapshot()
    postgres.sql("INSERT INTO users VALUES (3, 'eve')", "club")
    assert postgres.sql("BEGIN ISOLATION LEVEL REPEATABLE READ; SET TRANSACTION SNAPSHOT '%s';"
                        "SELECT count(*) FROM users" % name, "club") == "2"
    assert first.value("SELECT count(*) FROM public.users") == 2
    assert session().value("SELECT count(*) FROM public.users") == 3


@pytest.mark.parametrize("in_snapshot", [False, True])
def test_what_an_operator_asks_fails_by_itself(session, in_snapshot):
    asked = session()
    if in_snapshot:
        asked.begin_snapshot()
    for sql, message in (("SELECT * FROM nowhere", "nowhere"), ("SELECT", "it"), ("", "syntax"),
                         ("DELETE FROM users", "syntax"),
                         ("SELECT 1; SELECT 2", "syntax"), ("SELECT pg_sleep(0) / 0", "operator"),
                         ("SELECT 1) AS q; COMMIT; SELECT * FROM (SELECT 1", "multi-query"), ("\\q", "syntax"),
                         ("SELECT set_config('transaction_read_only', 'off', false)", "transaction read-write mode"),
                         ("WITH gone AS (DELETE FROM users RETURNING 1) SELECT * FROM gone", "top level|read-only")):
        if sql == "SELECT":
            assert asked.asked(sql) == [[]]
            continue
        with pytest.raises(QueryError) as caught:
            asked.asked(sql)
        assert any(word in str(caught.value) for word in message.split("|")), caught.value
    # The names are the application's own, and all the more what comes after is as before.
    assert asked.asked("SELECT count(*) FROM users -- all of them") == [[2]]
    assert asked.value("SELECT current_setting('search_path')") == '""'


def test_values_are_written_however_many_there_are(session):
    asked, stream = session(), io.BytesIO()
    many = 2 * ROWS_AT_ONCE + 1
    assert asked.write_values("SELECT 'a/' || n FROM generate_series(1, %d) n" % many, stream, 10 ** 6, 10 ** 7) == many
    assert stream.getvalue().split(b"\0") == [b"a/%d" % number for number in range(1, many + 1)] + [b""]
    for limits in ((100, 10 ** 7), (10 ** 6, 100)):
        with pytest.raises(QueryError, match="too much"):
            asked.write_values("SELECT generate_series(1, 1000)", io.BytesIO(), *limits)
    odd = io.BytesIO()
    assert asked.write_values("SELECT * FROM (VALUES ('it''s %s'), (NULL), ('ü')) v", odd, 10, 100) == 2
    assert odd.getvalue() == "it's %s\0ü\0".encode()


def test_an_answer_that_takes_too_long_ends_the_session(session):
    with pytest.raises(SourceError, match="did not answer in time"):
        session(seconds=0.5).value("SELECT 1 FROM pg_sleep(20)")


def test_a_server_that_ends_meanwhile_is_told(session, postgres):
    asked = session()
    postgres.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'appstate-backup'")
    with pytest.raises(StoreUnreachable, match="does not answer"):
        asked.value("SELECT 1")


def test_limits_of_the_server_do_not_end_a_long_dump(session, postgres):
    postgres.sql("ALTER ROLE club SET statement_timeout = '3s';"
                 "ALTER ROLE club SET idle_in_transaction_session_timeout = '3s';"
                 "ALTER ROLE club SET default_transaction_read_only = on")
    try:
        asked = session()
        assert asked.value("SELECT current_setting('statement_timeout')") == "0"
        assert asked.value("SELECT current_setting('idle_in_transaction_session_timeout')") == "0"
    finally:
        postgres.sql("ALTER ROLE club RESET ALL")
