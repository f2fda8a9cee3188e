# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether an SQL dump is whole: it is loaded into a scratch database by a child that can reach nothing else.

An SQL script is a program. So it runs as nobody, shut into the directory that holds it, within limits of memory, time
and size, and without what leads out of its database. What is loaded is then examined like any other private copy.

A dump that was cut between two statements looks whole, unless it is one transaction, as that of the sqlite3 program is:
then the transaction is still open at its end. The same program writes ROLLBACK as its last statement where it met
errors.
"""

from __future__ import annotations

import os
import re
import sqlite3

from ..system.errors import AppStateError, ChildError, DatabaseError
from ..system.files import DIRECTORY, as_bytes, free_bytes, need_space
from ..system.process import NOBODY, Limits, start_child
from .sandbox import clear_errors, create_database, give_to_sandbox
from .statements import LONGEST_STATEMENT, statements

# How much larger than its dump a database may be: indexes and full-text tables take room that no dump shows.
LARGEST_FACTOR = 16
LARGEST_BASE = 256 << 20
# A statement stands in memory as bytes, as Python's text, as SQLite's text, and as what it does.
MEMORY = 10 * LONGEST_STATEMENT
PAGE = 4096
# What a script may set, because its database then is as it says. All other settings are those of the one who loads, and
# have no effect. See https://www.sqlite.org/pragma.html.
_PRAGMAS = frozenset(("application_id", "defer_foreign_keys", "encoding", "foreign_keys", "legacy_alter_table",
                      "user_version", "writable_schema"))
_DENIED = {sqlite3.SQLITE_ATTACH: "ATTACH", sqlite3.SQLITE_DETACH: "DETACH"}
_SAVEPOINT = 32  # The sqlite3 module has no name for it.
_LONGEST_MESSAGE = 200


class Loading:
    """A child that loads a dump."""

    def __init__(self, child):
        self._child = child

    def result(self):
        """Waits for the child.

        Returns:
            A dictionary: ``statements`` (how many there were), and ``transaction``, whether the dump is one, so that it
            cannot have been cut.
        Raises:
            DatabaseError: the dump cannot be loaded, is not whole, or makes no table.
        """
        try:
            return self._child.result()
        except ChildError as error:
            raise DatabaseError("the SQL dump could not be loaded: %s" % error.message) from error
        except AppStateError as error:
            error.path = None  # Inside its root the child knows no more than a name.
            raise

    def kill(self):
        """Ends the child, if it has not ended."""
        self._child.kill()


def start_loading(directory, name, database, wall_seconds=21600):
    """Starts to load a script.

    Args:
        directory: path of a private directory, which is given to nobody where we are root.
        name: of the script in it.
        database: name of the database that is made in it; what has that name is removed before.
    Returns:
        A Loading.
    """
    give_to_sandbox(directory, name)
    root = os.open(directory, DIRECTORY)
    try:
        for ending in ("", "-journal", "-wal", "-shm"):
            if os.path.lexists(os.path.join(as_bytes(directory), as_bytes(database + ending))):
                os.unlink(as_bytes(database + ending), dir_fd=root)
        size = os.stat(as_bytes(name), dir_fd=root, follow_symlinks=False).st_size
        need_space(root, size, directory, "loading an SQL dump to check it")
        most = min(LARGEST_BASE + LARGEST_FACTOR * size, free_bytes(root))
        return Loading(start_child(_load, (as_bytes(name), as_bytes(database), most), NOBODY, root,
                                   Limits(MEMORY, cpu_seconds=wall_seconds, wall_seconds=wall_seconds)))
    finally:
        os.close(root)


def _load(name, database, most_bytes):
    with clear_errors(database):
        connection = create_database(database)
        connection.execute("PRAGMA page_size=%d" % PAGE)
        connection.execute("PRAGMA max_page_count=%d" % max(1, most_bytes // PAGE)).fetchall()
        connection.execute("PRAGMA temp_store=MEMORY")
        if not _has(connection, "unistr"):
            connection.create_function("unistr", 1, _unistr)
        script = _Script(connection)
        with open(name, "rb") as stream:
            told = script.run(stream)
        connection.close()
        return told


class _Script:
    """One run of one script."""

    def __init__(self, connection):
        self._connection = connection
        self._refused = None
        self._transactions = 0
        self._outside = False
        connection.set_authorizer(self._authorize)

    def run(self, stream):
        count = 0
        for statement in statements(stream):
            self._execute(statement)
            count += 1
        if self._connection.in_transaction:
            raise DatabaseError("the SQL dump is cut short: its transaction is still open at its end")
        self._connection.set_authorizer(lambda *unused: sqlite3.SQLITE_OK)
        tables = self._connection.execute("SELECT count(*) FROM sqlite_master WHERE type = 'table'").fetchone()[0]
        if not tables:
            raise DatabaseError("the SQL dump makes no table" if count else "the SQL dump has no statement")
        return {"statements": count, "transaction": self._transactions == 1 and not self._outside}

    def _execute(self, statement):
        if statement.text.startswith("."):
            raise DatabaseError("the SQL dump has a command of the sqlite3 program (%s, line %d), which is no SQL"
                                % (statement.text.split()[0][:20], statement.line))
        inside = self._connection.in_transaction
        try:
            self._connection.execute(statement.text)
        except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError) as error:
            if "out of memory" in str(error):
                raise MemoryError()
            raise DatabaseError("the SQL dump %s" % (self._refused or "fails at line %d: %s" % (
                statement.line, _told(error))))
        if self._connection.in_transaction:
            self._transactions += not inside
        elif not inside and statement.text[:6].upper() != "PRAGMA":
            self._outside = True

    def _authorize(self, action, first, second, database, source):
        """Keeps the script in its database; see https://www.sqlite.org/c3ref/set_authorizer.html."""
        if action in (sqlite3.SQLITE_TRANSACTION, _SAVEPOINT) and first == "ROLLBACK":
            self._refused = "ends in ROLLBACK: whatever wrote it met errors, and it is not whole"
        elif action in _DENIED:
            self._refused = "has %s, which no dump needs" % _DENIED[action]
        elif action == sqlite3.SQLITE_FUNCTION and str(second).lower() == "load_extension":
            self._refused = "calls load_extension, which no dump needs"
        elif action == sqlite3.SQLITE_PRAGMA and str(first).lower() not in _PRAGMAS:
            return sqlite3.SQLITE_IGNORE
        return sqlite3.SQLITE_OK if self._refused is None else sqlite3.SQLITE_DENY


def _told(error):
    text = str(error)
    if text.startswith("database or disk is full"):
        text = "its database is more than %d times as large as the dump, or there is no room for it" % LARGEST_FACTOR
    return text[:_LONGEST_MESSAGE]


def _has(connection, function):
    try:
        connection.execute("SELECT %s('')" % function).fetchone()
        return True
    except sqlite3.OperationalError:
        return False


_ESCAPE = re.compile(r"\\(?:\\|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|\+([0-9a-fA-F]{6})|([0-9a-fA-F]{4}))")


def _unistr(text):
    """SQLite's function of that name (https://www.sqlite.org/lang_corefunc.html#unistr), which the dumps of 3.50 and
    newer call; older libraries do not have it."""
    if text is None:
        return None
    text = text.decode("utf-8") if isinstance(text, bytes) else str(text)
    return _ESCAPE.sub(lambda found: chr(int(next(filter(None, found.groups())), 16)) if any(found.groups()) else "\\",
                       text)
