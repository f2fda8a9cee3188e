# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Breaks private copies of databases and dumps, each in one way that one check alone can find: for self-tests.

What opens a copy is the same kind of child that examines one, since it came out of an archive.
"""

from __future__ import annotations

import os
import re
# What iterdump() needs; a child that is shut in can import nothing any more.
import sqlite3.dump  # noqa: F401  # pylint: disable=unused-import
import stat

from ..system.errors import DatabaseError
from ..system.files import DIRECTORY, as_bytes
from ..system.process import NOBODY, Limits, start_child
from .examine import Examination
from .passport import quoted, shown, tables_of
from .sandbox import clear_errors, give_to_sandbox, open_private

SECONDS = 3600
# The count of fragmented bytes of the b-tree in the first page. Reading needs it only to find room for a new cell, so no
# query stumbles over it; an integrity check adds it up. See https://www.sqlite.org/fileformat2.html#b_tree_pages.
FRAGMENTED = 100 + 7
# The table that a log brings along.
STRANGER = "appstate_selftest"
# How far from its end the last statement of a dump begins, at the most.
TAIL = 4096
_VIRTUAL = re.compile(rb"\s*CREATE\s+VIRTUAL\s+TABLE\b", re.IGNORECASE)
_LAST_COMMIT = re.compile(rb"\b(?:COMMIT|END)(?:\s+TRANSACTION)?\s*;\s*\Z", re.IGNORECASE)
_KEPT_OPEN = []


def flip_page(path):
    """Flips a bit in a page of a database that nobody has open."""
    with _open_own(path) as stream:
        stream.seek(FRAGMENTED)
        flipped = stream.read(1)[0] ^ 1
        stream.seek(FRAGMENTED)
        stream.write(bytes([flipped]))


def empty_table(directory, name):
    """Deletes all rows of one table; returns its name, or None where there is none that could be emptied.

    Args:
        directory: path of a private directory, which is given to nobody where we are root.
        name: of the copy in it.
    """
    return _run(directory, name, _empty_table)


def leave_log(directory, name):
    """Leaves a ``-wal`` beside a copy: it fits the database, and brings a table with a row that this never had."""
    _run(directory, name, _leave_log)


def set_version(directory, name, version):
    """Sets the ``user_version`` of a copy."""
    _run(directory, name, _set_version, version)


def write_dump(directory, name, dump):
    """Writes a copy down as an SQL script of that name beside it."""
    _run(directory, name, _write_dump, as_bytes(dump))


def roll_back_dump(path):
    """Has an SQL script end as the sqlite3 program ends one when it met errors: its transaction is rolled back."""
    with _open_own(path) as stream:
        start = max(0, stream.seek(0, os.SEEK_END) - TAIL)
        stream.seek(start)
        end = _LAST_COMMIT.search(stream.read())
        if end is not None:
            stream.seek(start + end.start())
            stream.truncate()
        else:
            stream.write(b"\nBEGIN TRANSACTION;\n")
        stream.write(b"ROLLBACK; -- due to errors\n")


def _open_own(path):
    """A file, to be read and written, that a child has made: who took that over could have put anything in its place."""
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        os.close(descriptor)
        raise DatabaseError("is malicious: it took over the process that wrote it down", path=path)
    return os.fdopen(descriptor, "r+b")


def _run(directory, name, function, *more):
    give_to_sandbox(directory, name)
    root = os.open(directory, DIRECTORY)
    try:
        child = start_child(function, (as_bytes(name),) + more, NOBODY, root, Limits(cpu_seconds=SECONDS, wall_seconds=SECONDS))
    finally:
        os.close(root)
    with Examination(child, os.path.join(as_bytes(directory), as_bytes(name))) as running:
        return running.result()


def _empty_table(name):
    with clear_errors(name):
        connection = open_private(name)
        lonely = _lonely_tables(connection)[:1]
        for table in lonely:
            connection.execute("DELETE FROM %s" % quoted(table))
        connection.close()
        return shown(lonely[0]) if lonely else None


def _lonely_tables(connection):
    """Names of tables with rows, those with the fewest first, whose rows nothing else in the database keeps in step with."""
    tables = tables_of(connection)
    virtual = [sql for unused, sql in tables if _VIRTUAL.match(sql)]
    shadowed = tuple(table + b"_" for table, sql in tables if sql in virtual)
    triggered = {table.lower() for (table,) in connection.execute("SELECT tbl_name FROM sqlite_master WHERE type = 'trigger'")}
    counted = []
    for table, sql in tables:
        if sql in virtual or table.startswith(shadowed) or table.lower() in triggered or any(table in each for each in virtual):
            continue
        count = connection.execute("SELECT count(*) FROM %s" % quoted(table)).fetchone()[0]
        if count:
            counted.append((count, table))
    return [table for unused, table in sorted(counted)]


def _leave_log(name):
    with clear_errors(name):
        connection = open_private(name)
        # Closing it would take the log in; it is let go of when this process ends.
        _KEPT_OPEN.append(connection)
        connection.execute("PRAGMA journal_mode=WAL").fetchall()
        connection.execute("PRAGMA wal_autocheckpoint=0").fetchall()
        connection.execute("CREATE TABLE %s AS SELECT 1 AS number" % STRANGER)


def _set_version(name, version):
    with clear_errors(name):
        connection = open_private(name)
        connection.execute("PRAGMA user_version=%d" % version)
        connection.close()


def _write_dump(name, dump):
    with clear_errors(name):
        connection = open_private(name)
        connection.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
        with open(dump, "x", encoding="utf-8", errors="surrogateescape") as stream:
            for statement in connection.iterdump():
                stream.write(statement + "\n")
        connection.close()
