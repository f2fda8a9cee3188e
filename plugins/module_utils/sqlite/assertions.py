# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an app says must be true of its database's content, asked in SQL."""

from __future__ import annotations

import sqlite3

_LONGEST_VALUE = 200
# https://www.sqlite.org/c3ref/c_alter_table.html; the sqlite3 module has no name for the last one.
_READS = frozenset((sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, 33))
# FTS5 itself asks for data_version.
_READABLE_PRAGMAS = frozenset((
    "application_id", "data_version", "freelist_count", "page_count", "schema_version", "user_version"))


def evaluate(connection, assertions):
    """What became of each assertion; from here on the connection can do nothing but read.

    Args:
        connection: of a private copy.
        assertions: dictionaries with ``sql`` and any of ``min``, ``max`` and ``equals``. The statement gives exactly
            one row of one column; without a bound its value must be true, as SQL sees it: neither NULL nor 0 nor ''.
    Returns:
        For each a dictionary with ``sql``, ``value``, ``min``, ``max``, ``equals``, ``ok`` and ``message``.
    """
    only_read(connection)
    connection.text_factory = lambda text: text.decode("utf-8", "backslashreplace")
    return [_evaluate(connection, assertion) for assertion in assertions]


def only_read(connection):
    """From here on, whatever SQL somebody else wrote, the connection can do nothing but read."""
    connection.set_authorizer(_authorize)


def _evaluate(connection, assertion):
    outcome = {"sql": assertion["sql"], "value": None, "ok": False, "message": ""}
    for bound in ("min", "max", "equals"):
        outcome[bound] = assertion.get(bound)
    try:
        value = _single_value(connection, assertion["sql"])
    except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
        outcome["message"] = "the statement failed: %s" % error
        return outcome
    outcome["message"] = objection(value, assertion)
    outcome["ok"] = not outcome["message"]
    outcome["value"] = _brief(value)
    return outcome


def _single_value(connection, sql):
    cursor = connection.execute(sql)
    rows = cursor.fetchmany(2)
    if len(rows) != 1 or len(rows[0]) != 1:
        raise ValueError("it must give one row of one column")
    return rows[0][0]


def objection(value, assertion):
    """Why a value, of whatever database, is not what was asserted; empty where it is."""
    bounds = [bound for bound in ("min", "max", "equals") if assertion.get(bound) is not None]
    if not bounds:
        return "" if value else "the value %s is not true" % _brief(value)
    for bound in bounds:
        wanted = assertion[bound]
        try:
            held = {"min": lambda: value >= wanted, "max": lambda: value <= wanted,
                    "equals": lambda: value == wanted}[bound]()
        except TypeError:
            return "the value %r cannot be compared with %s %r" % (_brief(value), bound, wanted)
        if not held:
            return "the value %r is not %s %r" % (_brief(value), _WORDS[bound], wanted)
    return ""


_WORDS = {"min": "at least", "max": "at most", "equals": "equal to"}


def _brief(value):
    """A value fit for JSON and for a message."""
    if isinstance(value, bytes):
        return "x'%s'" % value[:_LONGEST_VALUE].hex()
    return value[:_LONGEST_VALUE] if isinstance(value, str) else value


def _authorize(action, first, second, database, source):
    """Lets only reading statements be prepared; see https://www.sqlite.org/c3ref/set_authorizer.html."""
    if action == sqlite3.SQLITE_FUNCTION and str(second).lower() == "load_extension":
        return sqlite3.SQLITE_DENY
    if action in _READS:
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_PRAGMA and str(first).lower() in _READABLE_PRAGMAS and second is None:
        return sqlite3.SQLITE_OK
    # What a virtual table asks for when it is first opened and declares its columns. A statement that really updates
    # the schema table is refused by SQLite itself, unless a pragma that is refused here allows it.
    if action == sqlite3.SQLITE_UPDATE and first == "sqlite_master":
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY
