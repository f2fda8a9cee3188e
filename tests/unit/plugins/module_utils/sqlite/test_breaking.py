# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copies that are broken in one way each: one thing is wrong with them then, and nothing else."""

from __future__ import annotations

import os
import shutil
import sqlite3

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.sqlite import breaking, examine
from ansible_collections.appstate.backup.plugins.module_utils.sqlite.loading import start_loading
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import DatabaseError

NOTES = ("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)", "INSERT INTO notes (text) VALUES ('one'), ('t''wo;'), ('öß')",
         "CREATE TABLE few (n)", "INSERT INTO few VALUES (1)", "CREATE TABLE none (n)")


def examined(room, name):
    with examine.start_examination(room, name) as examination:
        return examination.result()


def differing(room, name, before):
    """The keys in which its passport is another one now; it is sound."""
    found = examined(room, name)
    assert found["integrity"]["ok"], found["integrity"]
    return sorted(key for key, value in found["passport"].items() if value != before[key])


@pytest.fixture(params=["delete", "wal"])
def notes(request, copy):
    """``(room, name, passport)`` of a copy in each journal mode."""
    room, name = copy(NOTES, journal=request.param)
    return room, name, examined(room, name)["passport"]


def test_a_flipped_page_is_found_by_the_integrity_check_and_by_no_query(notes):
    room, name, before = notes
    breaking.flip_page(os.path.join(room, name))
    found = examined(room, name)
    assert not found["integrity"]["ok"] and "ragmentation" in found["integrity"]["messages"][0]
    connection = sqlite3.connect(os.path.join(room, name))
    counts = {table: connection.execute("SELECT count(*) FROM " + table).fetchone()[0] for table in before["tables"]}
    connection.close()
    assert counts == before["tables"] == {"notes": 3, "few": 1, "none": 0}


def test_the_table_with_the_fewest_rows_is_emptied(notes):
    room, name, before = notes
    assert breaking.empty_table(room, name) == "few"
    assert differing(room, name, before) == ["tables"]
    assert examined(room, name)["passport"]["tables"] == {"notes": 3, "few": 0, "none": 0}
    assert os.listdir(room) == [name]


@pytest.mark.parametrize("statements", [
    ("CREATE TABLE t (n)",),
    ("CREATE TABLE t (n)", "INSERT INTO t VALUES (1)", "CREATE TRIGGER x AFTER DELETE ON T BEGIN SELECT unknown(old.n); END"),
    ("CREATE TABLE doc (text)", "INSERT INTO doc VALUES ('one')", "CREATE VIRTUAL TABLE ft USING fts5(text, content='doc')"),
    ("CREATE VIRTUAL TABLE ft USING fts5(text)", "INSERT INTO ft VALUES ('one')")], ids=["empty", "trigger", "content", "shadow"])
def test_what_others_keep_in_step_with_is_not_emptied(copy, statements):
    room, name = copy(statements)
    assert breaking.empty_table(room, name) is None


def test_a_table_whose_index_only_the_application_can_keep_is_emptied_too(copy, tmp_path):
    path = str(tmp_path / "made.db")
    connection = sqlite3.connect(path)
    connection.create_function("own", 1, lambda value: value, deterministic=True)
    for statement in ("CREATE TABLE lonely (n)", "INSERT INTO lonely VALUES (1)", "CREATE TABLE more (n)", "INSERT INTO more VALUES (1), (2)"):
        connection.execute(statement)
    connection.execute("CREATE INDEX by_own ON lonely (own(n))")
    connection.commit()
    connection.close()
    with open(path, "rb") as file:
        room, name = copy(file.read())
    assert breaking.empty_table(room, name) == "lonely"


def test_a_log_belongs_to_the_database_and_brings_a_row_that_this_never_had(notes):
    room, name, before = notes
    whole = os.path.join(room, "whole")
    shutil.copy(os.path.join(room, name), whole)
    breaking.leave_log(room, name)
    assert os.path.getsize(os.path.join(room, name + "-wal")) > 4096
    # What it is laid beside is the database as it was.
    os.replace(whole, os.path.join(room, name))
    breaking.give_to_sandbox(room, name)
    examine.fold_sidecars(room, name)
    assert {"schema_digest", "tables"} <= set(differing(room, name, before))
    assert examined(room, name)["passport"]["tables"] == dict(before["tables"], appstate_selftest=1)


def test_a_version_is_set_and_nothing_else(notes):
    room, name, before = notes
    breaking.set_version(room, name, 43)
    assert differing(room, name, before) == ["user_version"] and examined(room, name)["passport"]["user_version"] == 43


def test_a_dump_is_whole_until_it_is_rolled_back(notes):
    room, name, before = notes
    breaking.write_dump(room, name, "dump.sql")
    assert start_loading(room, "dump.sql", "loaded.db").result()["transaction"]
    assert examined(room, "loaded.db")["passport"]["tables"] == before["tables"]
    breaking.roll_back_dump(os.path.join(room, "dump.sql"))
    with open(os.path.join(room, "dump.sql"), encoding="utf-8") as stream:
        script = stream.read()
    assert script.endswith(";\nROLLBACK; -- due to errors\n") and "COMMIT" not in script and "t''wo;" in script and "öß" in script
    with pytest.raises(DatabaseError, match="ends in ROLLBACK"):
        start_loading(room, "dump.sql", "loaded.db").result()


@pytest.mark.parametrize("ending", ["COMMIT;\n", "commit transaction ;", "END;\n\n", "INSERT INTO notes VALUES ('COMMIT;');\nCOMMIT;\n"])
def test_the_last_statement_of_a_dump_is_replaced(tmp_path, ending):
    path = tmp_path / "dump.sql"
    path.write_text("-- %s\nBEGIN;\n%s" % ("x" * 5000, ending))
    breaking.roll_back_dump(str(path))
    assert path.read_text() == "-- %s\nBEGIN;\n%sROLLBACK; -- due to errors\n" % ("x" * 5000, ending.rpartition("COMMIT")[0] if "INS" in ending else "")


def test_a_dump_that_is_no_transaction_gets_one_that_is_rolled_back(copy):
    room, unused = copy(b"CREATE TABLE notes (text);\nINSERT INTO notes VALUES ('COMMIT; ');\n", "dump.sql")
    breaking.roll_back_dump(os.path.join(room, "dump.sql"))
    with pytest.raises(DatabaseError, match="ends in ROLLBACK"):
        start_loading(room, "dump.sql", "loaded.db").result()


@pytest.mark.parametrize("link", [os.symlink, os.link], ids=["symbolic", "hard"])
def test_what_a_child_put_in_the_place_of_a_dump_is_not_written_to(tmp_path, link):
    (tmp_path / "other").write_text("COMMIT;")
    link(str(tmp_path / "other"), str(tmp_path / "dump.sql"))
    with pytest.raises((OSError, DatabaseError)):
        breaking.roll_back_dump(str(tmp_path / "dump.sql"))
    assert (tmp_path / "other").read_text() == "COMMIT;"


def test_what_is_no_database_cannot_be_changed(copy):
    room, name = copy(b"no database at all, " * 100)
    for step in (lambda: breaking.empty_table(room, name), lambda: breaking.set_version(room, name, 1),
                 lambda: breaking.leave_log(room, name), lambda: breaking.write_dump(room, name, "dump.sql")):
        with pytest.raises(DatabaseError):
            step()
