# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Databases as a whole, on a real server."""

from __future__ import annotations

import time

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.postgresql.client import Server
from ansible_collections.appstate.backup.plugins.module_utils.postgresql.database import Databases, try_each
from ansible_collections.appstate.backup.plugins.module_utils.source import PostgresqlSource
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import AppStateError


def server(postgres):
    return Server(PostgresqlSource("x.dump", "club", host=postgres.host, user="club"))


@pytest.fixture
def databases(postgres):
    """The databases of a server that has one."""
    postgres.create()
    with Databases(server(postgres), "postgres", time.monotonic() + 20) as made:
        yield made


def test_what_is_there(databases):
    assert databases.exists("club") and not databases.exists("Club") and not databases.exists("it's")
    assert databases.size("club") > 1000000 and databases.size("nowhere") is None
    assert databases.holders("club") == []


def test_all_are_renamed_or_none(databases, postgres):
    postgres.sql("CREATE DATABASE other OWNER club")
    databases.rename(("club", "old"), ("other", "club"))
    assert postgres.databases() == {"club", "old"}
    with pytest.raises(AppStateError, match="already exists"):
        databases.rename(("club", "other"), ("old", "postgres"))
    assert postgres.databases() == {"club", "old"}


def test_a_database_is_dropped_under_whoever_uses_it(databases, postgres):
    client = postgres.client("club")
    assert len(databases.holders("club")) == 1
    databases.drop("club")
    databases.drop("club")
    assert postgres.databases() == set()
    client.stdin.close()
    client.wait()
    client.stdout.close()


def test_what_a_killed_session_had_begun_is_waited_for(databases, postgres):
    databases.alone("club")
    with Databases(server(postgres), "postgres", time.monotonic() + 0.6) as second:
        second.alone("other")
        with pytest.raises(AppStateError, match="did not answer in time"):
            second.alone("club")


def test_what_fails_does_not_keep_the_rest_from_being_done(databases, postgres):
    failed = try_each(server(postgres), "postgres", [
        "COMMENT ON DATABASE club IS 'one'", "ALTER DATABASE club SET log_statement TO 'all'",
        "ALTER DATABASE club SET work_mem TO '5MB'", "ALTER DATABASE club SET nothing TO 1"], time.monotonic() + 20)
    assert len(failed) == 2 and "log_statement" in failed[0] and "nothing" in failed[1]
    assert postgres.sql("SELECT setconfig FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase "
                        "WHERE datname = 'club'") == "{work_mem=5MB}"
