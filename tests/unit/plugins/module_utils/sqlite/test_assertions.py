# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What may be asserted of a database, and what an assertion can never do."""

from __future__ import annotations

import json
import sqlite3

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.sqlite.assertions import evaluate


@pytest.fixture
def ask(tmp_path):
    """A function that evaluates one assertion on a small database."""
    connection = sqlite3.connect(str(tmp_path / "a.db"), isolation_level=None)
    connection.text_factory = bytes
    connection.executescript("""
        CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT, price REAL, picture BLOB);
        INSERT INTO items VALUES (1, 'one', 1.5, x'00ff'), (2, 'zw\u00f6lf', 2.5, NULL);
        CREATE VIRTUAL TABLE words USING fts5(body);
        INSERT INTO words VALUES ('hello world');
        CREATE VIEW many AS SELECT count(*) AS n FROM items;
    """)

    def evaluate_one(sql, **bounds):
        outcome = evaluate(connection, [dict(bounds, sql=sql)])[0]
        json.dumps(outcome)
        return outcome
    evaluate_one.rows = lambda: len(sqlite3.connect(str(tmp_path / "a.db")).execute("SELECT * FROM items").fetchall())
    return evaluate_one


@pytest.mark.parametrize("sql, bounds", [
    ("SELECT count(*) FROM items", {"min": 1}), ("SELECT count(*) FROM items", {"min": 2, "max": 2, "equals": 2}),
    ("SELECT max(price) FROM items", {"min": 2.5}), ("SELECT name FROM items WHERE id = 2", {"equals": "zw\u00f6lf"}),
    ("SELECT count(*) FROM items", {}), ("SELECT name FROM items LIMIT 1", {}), ("SELECT n FROM many", {"equals": 2}),
    ("SELECT count(*) FROM words WHERE words MATCH 'hello'", {"equals": 1}), ("PRAGMA user_version", {"equals": 0}),
    ("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9) SELECT max(i) FROM n", {"min": 9}),
    ("SELECT 0", {"min": 0}),
    ("SELECT count(*) FROM items; -- and no more", {"min": 1})])
def test_what_is_true_holds(ask, sql, bounds):
    outcome = ask(sql, **bounds)
    assert (outcome["ok"], outcome["message"]) == (True, "")


@pytest.mark.parametrize("sql, bounds, message", [
    ("SELECT count(*) FROM items", {"min": 3}, "the value 2 is not at least 3"),
    ("SELECT count(*) FROM items", {"max": 1}, "the value 2 is not at most 1"),
    ("SELECT name FROM items", {"equals": "two"}, "one row of one column"),
    ("SELECT name FROM items WHERE id = 1", {"equals": "two"}, "the value 'one' is not equal to 'two'"),
    ("SELECT 1, 2", {}, "one row of one column"), ("SELECT 1 WHERE 0", {}, "one row of one column"),
    ("SELECT NULL", {}, "the value None is not true"), ("SELECT 0", {}, "the value 0 is not true"),
    ("SELECT ''", {}, "is not true"), ("SELECT NULL", {"min": 0}, "cannot be compared"),
    ("SELECT name FROM items WHERE id = 1", {"min": 1}, "cannot be compared"),
    ("SELECT absent FROM items", {}, "no such column"), ("", {}, "one row of one column"),
    ("SELECT picture FROM items WHERE id = 1", {"equals": 1}, "the value \"x'00ff'\" is not equal to 1")])
def test_what_is_not_true_is_said_with_the_reason(ask, sql, bounds, message):
    outcome = ask(sql, **bounds)
    assert not outcome["ok"]
    assert message in outcome["message"]


@pytest.mark.parametrize("sql", [
    "DELETE FROM items", "UPDATE items SET name = ''", "INSERT INTO items (name) VALUES ('x') RETURNING 1",
    "DROP TABLE items", "CREATE TABLE t (a)", "CREATE TEMP TABLE t (a)", "ATTACH '/tmp/stolen.db' AS s", "DETACH main",
    "PRAGMA user_version = 9", "PRAGMA writable_schema = ON", "PRAGMA journal_mode = DELETE", "PRAGMA wal_checkpoint",
    "VACUUM", "VACUUM INTO '/tmp/stolen.db'", "REINDEX", "ANALYZE", "BEGIN", "SELECT load_extension('/tmp/x.so')",
    "SELECT 1; DELETE FROM items", "INSERT INTO words(words) VALUES ('delete-all')",
    "PRAGMA temp_store_directory = '/tmp'", "UPDATE sqlite_master SET name = 'x'"])
def test_a_statement_that_does_more_than_read_is_refused(ask, sql):
    outcome = ask(sql)
    assert not outcome["ok"]
    assert "the statement failed" in outcome["message"]
    assert ask.rows() == 2


def test_a_long_value_is_cut(ask):
    assert len(ask("SELECT printf('%.*c', 5000, 'x')")["value"]) == 200
