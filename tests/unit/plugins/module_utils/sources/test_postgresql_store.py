# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""PostgreSQL databases that are restored, on a real server: the whole way, and each step of the store by itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.sources import postgresql_store
from ansible_collections.appstate.backup.plugins.module_utils.sources.postgresql_store import PostgresqlStore
from ansible_collections.appstate.backup.plugins.module_utils.sources.store import Staged
from ansible_collections.appstate.backup.plugins.module_utils.system import files
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import (
    AppStateError, BusyError, ConfigurationError, DatabaseError, QueryError, RestoreError, SourceError,
    StoreUnreachable)
from ansible_collections.appstate.backup.tests.unit.plugins.postgres_server import PASSWORD, PROGRAMS

STAMP = "20261119T030000Z"
ASIDE = "club_before_restore_" + STAMP
TOKEN = "0123456789abcdef"
STAGED = "club_appstate_" + TOKEN


def packages(postgres, database="club"):
    return int(postgres.sql("SELECT count(*) FROM packages", database))


def add(postgres, database="club"):
    postgres.sql("INSERT INTO packages (name) VALUES ('later')", database)


@pytest.fixture
def club(host, postgres):
    """An app with the database ``club`` and a file; the app's words."""
    postgres.create()
    host.write("data/settings.json", b"{}")
    return {"sources": [postgres.source(), {"type": "files", "path": "data"}]}


def test_a_database_comes_back_and_the_old_one_is_kept_until_committed(host, postgres, club):
    host.backup(**club)
    add(postgres)
    outcome = host.restore(**club).restore()
    assert packages(postgres) == 3
    old = postgres.databases() - {"club"}
    assert len(old) == 1 and packages(postgres, list(old)[0]) == 4
    assert any(list(old)[0] in str(aside) for aside in outcome.to_dict()["moved_aside"])
    assert postgres.sql("SELECT nextval('packages_id_seq')", "club", "club") == "4"
    host.restore(**club).commit()
    assert postgres.databases() == {"club"} and packages(postgres) == 3
    assert host.left() == []


def test_a_restore_is_rolled_back(host, postgres, club):
    host.backup(**club)
    add(postgres)
    host.restore(**club).restore()
    postgres.sql("DELETE FROM packages", "club")
    host.restore(**club).roll_back()
    assert postgres.databases() == {"club"} and packages(postgres) == 4


def test_a_database_that_is_gone_comes_back_with_all_that_belongs_to_it(host, postgres, club):
    name = "odd \"Name\"-1's \\ ="
    postgres.create(name)
    quoted = '"odd ""Name""-1\'s \\ ="'
    postgres.sql("ALTER DATABASE %s SET search_path = odd, \"A b\", public;"
                 "ALTER DATABASE %s SET my.setting = 'it''s, \\ x';"
                 "ALTER ROLE plain IN DATABASE %s SET work_mem = '5MB'; ALTER DATABASE %s CONNECTION LIMIT 7;"
                 "REVOKE ALL ON DATABASE %s FROM PUBLIC; GRANT CONNECT ON DATABASE %s TO plain WITH GRANT OPTION;"
                 "COMMENT ON DATABASE %s IS 'it''s \\ odd'" % ((quoted,) * 7))
    source = postgres.source(database=name, path="odd.dump", run_as="postgres", user="postgres")
    before = host.backup(sources=[source]).backup.manifest.sources[0]["properties"]
    postgres.sql("DROP DATABASE " + quoted)
    outcome = host.restore(sources=[source]).restore()
    assert [text for text in outcome.to_dict()["warnings"] if "odd" in text] == []
    assert outcome.to_dict()["moved_aside"] == []
    host.restore(sources=[source]).commit()
    assert host.backup(sources=[source]).backup.manifest.sources[0]["properties"] == before
    assert before["connections"] == 7 and before["comment"] == "it's \\ odd" and len(before["settings"]) == 3
    assert {"role": "plain", "privilege": "CONNECT", "grantable": True} in before["grants"]


def test_what_only_an_administrator_may_give_back_is_told(host, postgres, club):
    postgres.sql("ALTER DATABASE club SET log_statement = 'all'")
    host.backup(**club)
    told = host.restore(**club).restore().to_dict()["warnings"]
    assert any('ALTER DATABASE' in text and "log_statement" in text for text in told)
    assert packages(postgres) == 3


def test_a_role_that_may_not_create_databases_learns_how_it_may(host, postgres, club):
    postgres.sql("ALTER DATABASE club OWNER TO tenant")
    club["sources"][0]["user"] = "tenant"
    host.backup(**club)
    with pytest.raises(StoreUnreachable) as caught:
        host.restore(**club).restore()
    assert 'ALTER ROLE "tenant" CREATEDB' in str(caught.value) and "app notes" in str(caught.value)
    assert postgres.databases() == {"club"}
    found = host.verify(app=host.app(**club))
    assert found.problems == [] and any("may not make databases" in note for note in found.notes)


def test_a_role_that_does_not_own_the_live_database_learns_so_before_anything_is_stopped(host, postgres, club):
    host.backup(**club)
    postgres.sql("ALTER DATABASE club OWNER TO postgres")
    with pytest.raises(StoreUnreachable, match='OWNER TO "club"'):
        host.restore(**club).stage()
    assert postgres.databases() == {"club"}


def test_a_role_that_the_dump_needs_and_the_server_lacks_is_told(host, postgres, club):
    postgres.sql("CREATE ROLE helper; GRANT SELECT ON users TO helper", "club")
    host.backup(**club)
    postgres.sql("REVOKE ALL ON users FROM helper; DROP ROLE helper", "club")
    with pytest.raises(SourceError, match='no role helper.*CREATE ROLE "helper"'):
        host.restore(**club).restore()
    assert postgres.databases() == {"club"} and packages(postgres) == 3


def test_a_server_that_is_down_leaves_verification_with_a_note(host, postgres, club):
    host.backup(**club)
    postgres.stop()
    try:
        found = host.verify(app=host.app(**club))
        assert found.problems == [] and any("does not answer" in note for note in found.notes)
        with pytest.raises(StoreUnreachable, match="does not answer"):
            host.restore(**club).restore()
    finally:
        postgres.start()
    add(postgres)
    host.restore(**club).restore()
    assert packages(postgres) == 3


@pytest.fixture
def impatient(monkeypatch):
    """Nobody who is just leaving is waited for."""
    monkeypatch.setattr(postgresql_store, "GRACE", 0.3)


def test_who_holds_the_database_is_named(host, postgres, club, impatient):
    host.backup(**club)
    add(postgres)
    client = postgres.client("club")
    try:
        with pytest.raises(BusyError) as caught:
            host.restore(**club).restore()
        pid = postgres.sql("SELECT pid FROM pg_stat_activity WHERE application_name = 'clubhouse' AND datname = 'club'")
        assert "process %s (club, clubhouse, from this host)" % pid in str(caught.value)
        assert packages(postgres) == 4
    finally:
        client.stdin.close()
        client.wait()
        client.stdout.close()
    host.restore(**club).restore()
    assert packages(postgres) == 3


def test_only_the_files_of_another_root(host, postgres, club):
    host.backup(**club)
    add(postgres)
    other = host.place("other")
    host.restore({"target_root": other}, **club).restore()
    with open(os.path.join(other, "postgresql", "club.dump"), "rb") as stream:
        assert stream.read(5) == b"PGDMP"
    assert packages(postgres) == 4 and postgres.databases() == {"club"}


def test_a_dump_of_the_old_recipe_is_restored(host, postgres, club, tmp_path):
    dump = host.place("club-20260409.dump")
    with open(dump, "wb") as stream:
        subprocess.run([os.path.join(PROGRAMS, "pg_dump"), "-Fc", "-h", postgres.host, "-U", "club", "club"],
                       stdout=stream, check=True)
    add(postgres)
    told = {"sources": [postgres.source()]}
    assert host.verify(archive=dump).problems == []
    found = host.verify(archive=dump, app=host.app(**told))
    assert (found.problems, found.notes, postgres.databases()) == ([], [], {"club"})
    host.restore({"archive": dump}, **told).restore()
    assert packages(postgres) == 3


def test_a_dump_in_an_archive_of_an_old_recipe_is_restored_for_a_trial(host, postgres, club):
    os.mkdir(host.place("postgresql"))
    with open(host.place("postgresql", "club.dump"), "wb") as stream:
        subprocess.run([os.path.join(PROGRAMS, "pg_dump"), "-Fc", "-h", postgres.host, "-U", "club", "club"],
                       stdout=stream, check=True)
    archive = host.place("club-20260409.tar.gz")
    subprocess.run(["tar", "-czf", archive, "-C", host.path, "postgresql"], check=True)
    club["sources"][0]["assertions"] = [{"sql": "SELECT count(*) FROM packages", "min": 4}]
    told = {"sources": club["sources"][:1]}
    problems = host.verify(archive=archive, app=host.app(**told)).problems
    assert len(problems) == 1 and "the value 3 is not at least 4" in problems[0]["problem"]
    assert postgres.databases() == {"club"}


def test_a_backup_of_when_there_was_no_database_leaves_the_one_there_is_now(host, postgres, club):
    club["sources"][0]["required"] = False
    postgres.clear()
    host.backup(**club)
    postgres.create()
    host.write("data/settings.json", b"later")
    outcome = host.restore(**club).restore()
    with open(host.at("data/settings.json"), "rb") as stream:
        assert stream.read() == b"{}"
    assert packages(postgres) == 3 and postgres.databases() == {"club"}
    assert any("club" in str(text) for text in outcome.to_dict()["warnings"] + outcome.to_dict()["absent"])


def test_what_a_killed_trial_left_behind_goes_with_a_later_one(host, postgres, club):
    host.backup(**club)
    left = "club_appstate_trial_1700000000_0123abcd"
    others = {"club_appstate_trial_%010d_0123abcd" % time.time(), "notclub_appstate_trial_1700000000_0123abcd",
              "club_appstate_trial_1700000000_0123abcd_x", STAGED}
    for name in others | {left}:
        postgres.sql('CREATE DATABASE "%s" OWNER club' % name)
    found = host.verify(app=host.app(**club))
    assert (found.problems, found.notes) == ([], [])
    assert postgres.databases() == others | {"club"}


# The store by itself.

class Stage:
    """A store, and a dump of ``club`` that lies staged for it."""

    def __init__(self, host, postgres, **words):
        self.postgres = postgres
        self._app = host.app(sources=[postgres.source(**words)])
        self._root = files.open_directory(host.root)
        self.directory = files.open_directory(host.path)
        self.dump = host.place("database.db")
        with open(self.dump, "wb") as stream:
            subprocess.run([os.path.join(PROGRAMS, "pg_dump"), "-Fc", "-Z0", "-h", postgres.host, "-U", "club", "club"],
                           stdout=stream, check=True)
        self.begun = {"token": TOKEN, "force": False}

    @property
    def store(self):
        """A new one each time: nothing is kept between two calls but the state."""
        return PostgresqlStore(self._app, self._app.sources[0], self._root)

    def stage(self, record=None):
        staged = Staged(self.directory, None, "database.db", None)
        return json.loads(json.dumps(self.store.stage(staged, record, self.begun)))

    def close(self):
        os.close(self._root)
        os.close(self.directory)

    def named(self):
        state = self.stage()
        add(self.postgres)
        return json.loads(json.dumps(self.store.name_aside(state, STAMP)))


@pytest.fixture
def stage(host, postgres):
    """A function that makes a Stage."""
    made = []

    def make(**words):
        made.append(Stage(host, postgres, **words))
        return made[-1]
    postgres.create()
    yield make
    for each in made:
        each.close()


def test_a_staged_database_is_loaded_proven_and_asked(stage, postgres):
    each = stage(assertions=[{"sql": "SELECT count(*) FROM packages", "min": 1}])
    state = each.stage({"passport": {"tables": {"public.packages": 3, "public.users": 2, "odd.Up loads": 1}}})
    assert postgres.databases() == {"club", STAGED}
    names = each.store.query(state, "SELECT name FROM packages ORDER BY id;")
    assert list(names) == list(names) == [b"package 1", b"package 2", b"package 3"]
    assert list(each.store.query(state, "SELECT NULL UNION ALL SELECT 12")) == [b"12"]
    with pytest.raises(QueryError, match="does not exist"):
        each.store.query(state, "SELECT x FROM packages")
    with pytest.raises(QueryError):
        each.store.query(state, "DELETE FROM packages RETURNING 1")
    assert each.store.asides(state) == []
    each.store.discard(state)
    each.store.discard(state)
    assert postgres.databases() == {"club"}


@pytest.mark.parametrize("record, words, message", [
    ({"passport": {"tables": {"public.packages": 4}}}, {}, "public.packages has 3 rows instead of 4"),
    ({"passport": {"tables": {"public.gone": 4}}}, {}, "the table public.gone is missing"),
    ({"properties": {"owner": "x"}}, {}, "properties"),
    (None, {"assertions": [{"sql": "SELECT count(*) FROM packages", "min": 4}]}, "not at least 4")])
def test_what_is_not_what_was_backed_up_is_refused_and_leaves_nothing(stage, postgres, record, words, message):
    with pytest.raises(AppStateError, match=message):
        stage(**words).stage(record)
    assert postgres.databases() == {"club"} and packages(postgres) == 3


def test_a_damaged_dump_leaves_the_live_database_untouched(stage, postgres):
    each = stage()
    os.truncate(each.dump, os.path.getsize(each.dump) - 300)
    with pytest.raises(DatabaseError, match="cut short or damaged"):
        each.stage()
    assert postgres.databases() == {"club"} and packages(postgres) == 3


def test_the_database_that_one_is_connected_to_cannot_be_swapped(stage, postgres):
    with pytest.raises(ConfigurationError, match="Set 'maintenance_database'"):
        stage(maintenance_database="club").stage()
    assert postgres.databases() == {"club"}


def test_a_load_that_takes_too_long_leaves_nothing(stage, postgres):
    with pytest.raises(SourceError, match="'timeout'"):
        stage(timeout=0.02).stage()
    assert postgres.databases() == {"club"}


def test_a_live_database_that_is_missing_has_nothing_aside(stage, postgres):
    each = stage()
    state = each.stage()
    postgres.sql("DROP DATABASE club")
    state = each.store.name_aside(state, STAMP)
    assert state["aside"] is None and each.store.asides(state) == []
    each.store.forward(state)
    assert postgres.databases() == {"club"}
    for unused in range(2):
        each.store.back(state)
        assert postgres.databases() == {STAGED}
    each.store.discard(state)
    assert postgres.databases() == set()


def test_back_is_wholly_old_from_wherever_it_is_called(stage, postgres):
    each = stage()
    state = each.stage()
    each.store.back(state)
    assert postgres.databases() == {"club", STAGED}
    add(postgres)
    state = each.store.name_aside(state, STAMP)
    assert each.store.asides(state) == ["PostgreSQL database " + ASIDE]
    for unused in range(2):
        each.store.back(state)
        assert (postgres.databases(), packages(postgres)) == ({"club", STAGED}, 4)
    each.store.forward(state)
    assert (postgres.databases(), packages(postgres), packages(postgres, ASIDE)) == ({"club", ASIDE}, 3, 4)
    for unused in range(2):
        each.store.back(state)
        assert (postgres.databases(), packages(postgres)) == ({"club", STAGED}, 4)
    each.store.forward(state)
    for unused in range(2):
        each.store.forget(state)
        assert (postgres.databases(), packages(postgres)) == ({"club"}, 3)
    with pytest.raises(RestoreError, match="is gone"):
        each.store.back(state)


def test_an_aside_of_the_same_second_gets_another_name(stage, postgres):
    each = stage()
    postgres.sql('CREATE DATABASE "%s"' % ASIDE)
    assert each.named()["aside"] == ASIDE + "_2"


def test_long_names_are_cut_so_that_each_is_another(stage, postgres):
    name = "ü" * 31
    postgres.sql('CREATE DATABASE "%s" OWNER club' % name)
    each = stage(database=name, path="long.dump")
    state = each.store.name_aside(each.stage(), STAMP)
    assert len(state["aside"].encode()) <= 63 and state["aside"].endswith(STAMP)
    each.store.forward(state)
    assert postgres.databases() == {"club", name, state["aside"]}
    each.store.forget(state)


def test_whoever_comes_between_keeps_the_swap_from_happening(stage, postgres, impatient):
    each = stage()
    state = each.named()
    client = postgres.client("club")
    try:
        with pytest.raises(BusyError, match="still in use"):
            each.store.forward(state)
    finally:
        client.stdin.close()
        client.wait()
        client.stdout.close()
    assert (postgres.databases(), packages(postgres)) == ({"club", STAGED}, 4)


def killed_after(seconds, step):
    """Takes a step in a child that is killed after so many seconds; returns whether it was killed before its end."""
    child = os.fork()
    if not child:
        try:
            step()
            os._exit(0)
        except BaseException:
            os._exit(1)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    unused, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def settled(postgres):
    """The databases, once the programs of a killed run have left the server."""
    while int(postgres.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'appstate-backup'")):
        time.sleep(0.01)
    return postgres.databases()


@pytest.mark.parametrize("step", ["forward", "back", "forget"])
def test_a_kill_at_any_moment_leaves_what_the_next_call_ends(stage, postgres, step):
    each = stage()
    seconds, went_on = 0.0, True
    while went_on:
        state = each.named() if "club" in postgres.databases() else None
        if step != "forward":
            each.store.forward(state)
        went_on = killed_after(seconds, lambda: getattr(each.store, step)(state))
        left = settled(postgres)
        if step == "forget":
            each.store.forget(state)
            assert (postgres.databases(), packages(postgres)) == ({"club"}, 3)
        else:
            assert left in ({"club", STAGED}, {"club", ASIDE})
            each.store.back(state)
            assert (postgres.databases(), packages(postgres)) == ({"club", STAGED}, 4)
            postgres.sql("DELETE FROM packages WHERE name = 'later'", "club")
            each.store.discard(state)
        seconds = seconds * 1.3 + 0.01
    assert seconds > 0.03


def test_a_kill_while_a_database_is_loaded_leaves_what_is_discarded(stage, postgres):
    each = stage()
    seconds, went_on, seen = 0.0, True, set()
    while went_on:
        went_on = killed_after(seconds, each.stage)
        seen.add(STAGED in postgres.databases())
        each.store.discard(each.begun)
        assert postgres.databases() == {"club"} and packages(postgres) == 3
        seconds = seconds * 1.3 + 0.05
    assert seen == {False, True}


def test_a_password_reaches_every_program(host, postgres):
    postgres.create(owner="keyholder")
    words = {"sources": [postgres.source(user="keyholder", password=PASSWORD)]}
    host.backup(**words)
    add(postgres)
    outcome = host.restore(**words).restore()
    assert "5ecre7" not in json.dumps(outcome.to_dict())
    for folder, unused, names in os.walk(host.path):
        for name in names:
            with open(os.path.join(folder, name), "rb") as stream:
                assert b"5ecre7" not in stream.read()
    host.restore(**words).commit()
    assert packages(postgres) == 3
