# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Resets: a database goes with all that belongs to it, and nothing else goes, whatever the path and the moment."""

from __future__ import annotations

import os
import shutil
import sqlite3

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.operations import reset
from ansible_collections.appstate.backup.plugins.module_utils.operations.reset import plan_reset, reset_database
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import (
    BusyError, ConfigurationError, DatabaseError, SourceError)

NEIGHBOURS = ("server.crt", "server.key", "server.toml", "state.db-old", "state.db.bak", "state.database")


@pytest.fixture
def state(place):
    """The path of a database as a crash leaves it: its last row stands in the log alone; with a lock and neighbours."""
    path = place.database("state.db")
    writer = place.process(path, """
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("UPDATE accounts SET balance = 0")
        ready()
        time.sleep(60)
    """)
    writer.kill()
    writer.wait()
    directory = os.path.dirname(path)
    for name in NEIGHBOURS + ("state.db.lock",):
        with open(os.path.join(directory, name), "w") as stream:
            stream.write(name)
    assert os.path.getsize(path + "-wal") > 32
    return path


def names(path):
    """What lies in the database's directory."""
    return sorted(os.listdir(os.path.dirname(path)))


def test_a_plan_changes_nothing_and_names_all_that_would_go(state):
    before = names(state)
    assert plan_reset(state).paths == [state + ending for ending in (".lock", "-shm", "", "-wal")]
    assert names(state) == before


def test_a_reset_takes_the_database_and_leaves_its_neighbours(state):
    removed = reset_database(state)
    assert removed.paths == [state + ending for ending in (".lock", "-shm", "", "-wal")]
    assert names(state) == sorted(NEIGHBOURS)
    assert reset_database(state).paths == []


def test_a_hot_journal_goes_too(place):
    path = place.database(journal="delete")
    place.crash(path)
    reset_database(path)
    assert names(path) == []


@pytest.mark.parametrize("where", ["nothing.db", "no/such/directory/state.db"])
def test_nothing_is_no_error(place, where):
    assert reset_database(os.path.join(place.path, where)).paths == []


@pytest.mark.parametrize("content, says", [
    (b"", "is empty"), (b"SQLite format 2\0", "is not a SQLite database"), (b"root:x:0:0", "is not a SQLite database")])
def test_a_file_without_the_header_is_refused_with_all_beside_it(place, content, says):
    path = os.path.join(place.application, "state.db")
    for ending in ("", "-wal", ".lock"):
        with open(path + ending, "wb") as stream:
            stream.write(content)
    with pytest.raises(DatabaseError, match=says) as caught:
        reset_database(path)
    assert "Check the path" in str(caught.value) and path in str(caught.value)
    assert names(path) == ["state.db", "state.db-wal", "state.db.lock"]


def test_sixteen_bytes_are_enough(place):
    path = os.path.join(place.application, "state.db")
    with open(path, "wb") as stream:
        stream.write(b"SQLite format 3\0")
    assert reset_database(path).paths == [path]


@pytest.mark.parametrize("path, says", [("state.db", "is not an absolute path"), ("/", "names no file"),
                                        ("/srv/..", "names no file"), ("/srv/.", "names no file")])
def test_paths_that_name_no_file_are_refused(path, says):
    with pytest.raises(ConfigurationError, match=says):
        reset_database(path)


def test_a_link_is_not_followed(state, place):
    link = os.path.join(place.application, "link.db")
    os.symlink(state, link)
    with pytest.raises(SourceError, match="is a symbolic link"):
        reset_database(link)
    assert os.path.exists(state) and os.path.islink(link)


def test_a_link_on_the_way_that_somebody_else_could_swap_is_refused(state, place):
    elsewhere = os.path.join(place.application, "elsewhere")
    os.symlink(place.application, elsewhere)
    os.chown(elsewhere, place.owner, place.group, follow_symlinks=False)
    if os.geteuid() == 0:
        with pytest.raises(Exception, match="could be swapped"):
            reset_database(os.path.join(elsewhere, "state.db"))
    assert os.path.exists(state)


@pytest.mark.parametrize("ending", ["-wal", ".lock"])
def test_what_is_no_file_beside_it_is_refused_before_anything_goes(state, ending, tmp_path):
    os.unlink(state + ending)
    os.symlink(str(tmp_path), state + ending)
    before = names(state)
    with pytest.raises(SourceError, match="is not a regular file"):
        reset_database(state)
    assert names(state) == before


def test_a_second_name_keeps_its_content_and_is_told_of(state, place):
    other = os.path.join(place.path, "other.db")
    os.link(state, other)
    content = open(other, "rb").read()
    assert "has another name" in reset_database(state).warnings[0]
    assert open(other, "rb").read() == content


@pytest.mark.parametrize("ending", ["", "-wal", ".lock"])
def test_while_a_process_holds_any_of_it_nothing_goes_and_the_process_is_named(state, place, ending):
    holder = place.process(os.path.join(place.application, "other.db"), "file = open({held!r})\nready()\ntime.sleep(60)",
                           held=state + ending)
    before = names(state)
    with pytest.raises(BusyError, match="process %d" % holder.pid) as caught:
        reset_database(state)
    assert caught.value.exit_code == 75 and names(state) == before
    assert "process %d" % holder.pid in plan_reset(state).warnings[0]


class Killed(BaseException):
    """What a SIGKILL is to the code that it ends."""


@pytest.mark.parametrize("after", range(4))
def test_after_a_kill_at_any_moment_what_is_left_is_whole_or_harmless_and_a_repeat_completes_it(
        state, place, after, monkeypatch):
    backup = os.path.join(place.path, "backup.db")
    connection = sqlite3.connect(backup)
    connection.execute("CREATE TABLE accounts (balance)")
    connection.commit()
    connection.close()
    done = []

    def unlink(*arguments, **words):
        if len(done) == after:
            raise Killed
        done.append(arguments)
        return os_unlink(*arguments, **words)

    os_unlink = os.unlink
    monkeypatch.setattr(reset.os, "unlink", unlink)
    with pytest.raises(Killed):
        reset_database(state)
    monkeypatch.undo()
    look = os.path.join(place.path, "look")
    shutil.copytree(place.application, look)
    if os.path.exists(state):
        # The whole database, with its last transaction.
        connection = sqlite3.connect(os.path.join(look, "state.db"))
        assert connection.execute("SELECT sum(balance) FROM accounts").fetchone() == (0,)
    else:
        # What an application makes anew has nothing of the old.
        connection = sqlite3.connect(os.path.join(look, "state.db"))
        connection.execute("CREATE TABLE fresh (a)")
        connection.commit()
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("fresh",)]
    connection.close()
    reset_database(state)
    assert names(state) == sorted(NEIGHBOURS)


@pytest.mark.parametrize("content", [b"", b"\x37\x7f\x06\x82rest", b"\x37\x7f\x06\x83rest"])
def test_a_log_whose_database_is_gone_goes_too(state, content):
    os.unlink(state)
    with open(state + "-wal", "wb") as stream:
        stream.write(content)
    assert reset_database(state).paths == [state + ending for ending in (".lock", "-shm", "-wal")]


def test_what_only_has_the_name_of_a_log_stays_and_is_refused(place):
    path = os.path.join(place.application, "captains")
    for ending in ("-journal", ".lock"):
        with open(path + ending, "w") as stream:
            stream.write("Star date")
    with pytest.raises(DatabaseError, match="captains-journal: is not SQLite's"):
        reset_database(path)
    os.unlink(path + "-journal")
    assert reset_database(path).paths == []
    assert names(path) == ["captains.lock"]
