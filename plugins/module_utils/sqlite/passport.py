# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What identifies a database's content, read in one transaction."""

from __future__ import annotations

import hashlib
import re
import sqlite3

_VIRTUAL = re.compile(rb"\s*CREATE\s+VIRTUAL\s+TABLE\b", re.IGNORECASE)


def read_passport(connection, row_counts=True, journal_mode=None):
    """The passport of an open database.

    Args:
        connection: with ``bytes`` as text factory, inside a read transaction where others may write.
        row_counts: also count the rows of every table, which reads all of the database.
        journal_mode: ``wal`` or another; asked of the connection where None. A connection that was opened as
            immutable says ``delete`` of a WAL database, so its header is asked first.
    Returns:
        A dictionary fit for JSON. ``tables`` gives the number of rows of each table, None for a virtual table that
        cannot be read here, and is itself None without row counts. SQLite's own tables (``sqlite_…``) are left out.
    """
    return {
        "page_size": _pragma(connection, "page_size"),
        "page_count": _pragma(connection, "page_count"),
        "encoding": _text(_pragma(connection, "encoding")),
        "journal_mode": journal_mode or _text(_pragma(connection, "journal_mode")),
        "user_version": _pragma(connection, "user_version"),
        "application_id": _pragma(connection, "application_id"),
        "schema_digest": schema_digest(connection),
        "tables": _row_counts(connection) if row_counts else None,
    }


def schema_digest(connection):
    """BLAKE2b-256 of the schema in order, each field with its length before it; where pages lie does not matter."""
    digest = hashlib.blake2b(digest_size=32)
    rows = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master")
    for row in sorted(tuple(_bytes(field) for field in row) for row in rows):
        if row[1].startswith(b"sqlite_"):
            continue
        for field in row:
            digest.update(b"%d:" % len(field))
            digest.update(field)
    return digest.hexdigest()


def tables_of(connection):
    """``[(name, sql)]`` of all tables but SQLite's own, both as bytes, in order of their names."""
    rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'")
    return sorted((_bytes(name), _bytes(sql)) for name, sql in rows if not _bytes(name).startswith(b"sqlite_"))


def quoted(name):
    """A table's name (bytes) as an SQL identifier; a ValueError where it is none that Python can send."""
    text = name.decode("utf-8")
    if "\0" in text:
        raise ValueError("a name with a NUL character")
    return '"' + text.replace('"', '""') + '"'


def shown(name):
    """A table's name (bytes) as text for people and JSON."""
    return name.decode("utf-8", "backslashreplace")


def _row_counts(connection):
    counts = {}
    for name, sql in tables_of(connection):
        try:
            counts[shown(name)] = connection.execute("SELECT count(*) FROM %s" % quoted(name)).fetchone()[0]
        except ValueError:
            counts[shown(name)] = None
        except sqlite3.OperationalError:
            # A virtual table's module may not be there (an extension), or refuse to be read (contentless FTS4).
            if not _VIRTUAL.match(sql):
                raise
            counts[shown(name)] = None
    return counts


def _pragma(connection, name):
    return connection.execute("PRAGMA " + name).fetchone()[0]


def _text(value):
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value


def _bytes(value):
    """A field of the schema, which in a malformed one may be of any type, as bytes."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8")
