# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rows of tables are counted on a real server."""

from __future__ import annotations

import time

from ansible_collections.appstate.backup.plugins.module_utils.postgresql.client import Server
from ansible_collections.appstate.backup.plugins.module_utils.postgresql.session import Session
from ansible_collections.appstate.backup.plugins.module_utils.postgresql.tables import (
    TABLES_AT_ONCE, count_rows, differences)
from ansible_collections.appstate.backup.plugins.module_utils.source import PostgresqlSource


def counted(postgres):
    with Session(Server(PostgresqlSource("x.dump", "club", host=postgres.host, user="club")), "club",
                 time.monotonic() + 20) as session:
        return count_rows(session)


def test_all_tables_of_every_kind_and_name(postgres):
    postgres.create()
    names = ["it's", 'say "x"', "back\\slash", "a.b", "ü"]
    postgres.sql("".join('CREATE TABLE "%s" (id integer);' % name.replace('"', '""') for name in names)
                 + "CREATE TABLE parts (id integer) PARTITION BY RANGE (id);"
                 "CREATE TABLE part_1 PARTITION OF parts FOR VALUES FROM (0) TO (10);"
                 "INSERT INTO parts VALUES (1), (2);"
                 "CREATE TABLE parent (id integer);"
                 "CREATE TABLE child () INHERITS (parent);"
                 "INSERT INTO parent VALUES (1);"
                 "INSERT INTO child VALUES (2), (3);"
                 "CREATE MATERIALIZED VIEW seen AS SELECT * FROM users;"
                 "CREATE MATERIALIZED VIEW unseen AS SELECT * FROM users WITH NO DATA;"
                 "CREATE VIEW looked AS SELECT * FROM users", "club", "club")
    assert counted(postgres) == dict(
        {"public." + name: 0 for name in names},
        **{"public.packages": 3, "public.users": 2, "odd.Up loads": 1, "public.part_1": 2, "public.parent": 1,
           "public.child": 2, "public.seen": 2})


def test_more_tables_than_one_statement_asks_for(postgres):
    postgres.create()
    count = TABLES_AT_ONCE * 2 + 1
    postgres.sql("SELECT 'CREATE TABLE t' || n || ' AS SELECT generate_series(1, ' || n || ')' "
                 "FROM generate_series(1, %d) n "
                 "\\gexec" % count, "club", "club")
    found = counted(postgres)
    assert len(found) == count + 3 and found["public.t%d" % count] == count


def test_a_database_without_tables(postgres):
    postgres.sql("CREATE DATABASE club")
    assert counted(postgres) == {}


def test_differences_are_told_by_table():
    assert differences({"a": 1, "b": 2}, {"a": 1, "b": 2}) == []
    assert differences({"a": 1, "b": 2}, {"a": 2, "c": 3}) == [
        "a has 2 rows instead of 1", "the table b is missing", "there is a table c that the backup does not tell of"]
