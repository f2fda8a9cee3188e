# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the full-text indexes of a private copy agree with their content.

Before SQLite 3.44 ``integrity_check`` does not look into virtual tables. FTS3, FTS4 and FTS5 check themselves when the
name of the table and 'integrity-check' are inserted into it (https://www.sqlite.org/fts5.html, section 6.5). That asks
for a write transaction, though nothing is written; it is rolled back.
"""

from __future__ import annotations

import os
import re
import sqlite3

from ..system.errors import DatabaseError
from .passport import quoted, shown, tables_of
from .sandbox import open_private_for_writing

_FULL_TEXT = re.compile(rb"\s*CREATE\s+VIRTUAL\s+TABLE\b.*\bUSING\s+fts[345]\b", re.IGNORECASE | re.DOTALL)
_CONTENTLESS_FTS4 = re.compile(rb"\bUSING\s+fts4\b.*\bcontent\s*=\s*(''|\"\")", re.IGNORECASE | re.DOTALL)
# The module, the tokenizer or the option is of an extension or a newer SQLite, so nobody here can tell.
_ABSENT = ("no such module", "no such tokenizer", "unknown tokenizer", "unrecognized option")


def check_full_text(connection, name, header):
    """Checks every full-text table of a private copy that passed ``integrity_check``.

    Args:
        connection: to the copy, for its schema.
        name: the copy's file.
        header: its ``Header``.
    Returns:
        ``(faults, unchecked)``: messages about tables that are damaged, and names of tables that cannot be checked
        here (their module or tokenizer is missing, or they are contentless FTS4).
    Raises:
        DatabaseError: the check changed the file.
    """
    tables = [(table, sql) for table, sql in tables_of(connection) if _FULL_TEXT.match(sql)]
    if not tables:
        return [], []
    before = _state(name)
    writer = open_private_for_writing(name)
    try:
        if header.journal == "rollback":
            # No journal file. On a WAL database this would rewrite the header; there the log stays empty.
            writer.execute("PRAGMA journal_mode=MEMORY").fetchall()
        faults, unchecked = _check_each(writer, tables)
    finally:
        writer.close()
    if _state(name) != before:
        raise DatabaseError("was changed by the check of its full-text indexes", path=name)
    return faults, unchecked


def _check_each(writer, tables):
    faults, unchecked = [], []
    for table, sql in tables:
        try:
            identifier = quoted(table)
            writer.execute("BEGIN")
            writer.execute("INSERT INTO %s(%s) VALUES('integrity-check')" % (identifier, identifier))
        except ValueError:
            unchecked.append(shown(table))
        except sqlite3.Error as error:
            if _is_uncheckable(error, sql):
                unchecked.append(shown(table))
            else:
                faults.append("full-text table %s: %s" % (shown(table), error))
        finally:
            if writer.in_transaction:
                writer.execute("ROLLBACK")
    return faults, unchecked


def _is_uncheckable(error, sql):
    if not isinstance(error, sqlite3.OperationalError):
        return False
    return any(text in str(error) for text in _ABSENT) or bool(_CONTENTLESS_FTS4.search(sql))


def _state(name):
    """What the kernel changes with every write(2)."""
    found = os.stat(name)
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns
