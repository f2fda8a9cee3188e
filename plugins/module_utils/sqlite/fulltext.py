# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the full-text indexes of a private copy agree with their content.

Before SQLite 3.44 ``integrity_check`` does not look into virtual tables. FTS3, FTS4 and FTS5 check themselves when the
name of the table and 'integrity-check' are inserted into it (https://www.sqlite.org/fts5.html, section 6.5). That asks
for a write transaction, though nothing is written; it is rolled back.
"""

from __future__ import annotations

import re
import sqlite3

from .passport import quoted, shown, tables_of

_FULL_TEXT = re.compile(rb"\s*CREATE\s+VIRTUAL\s+TABLE\b.*\bUSING\s+fts[345]\b", re.IGNORECASE | re.DOTALL)
_CONTENTLESS_FTS4 = re.compile(rb"\bUSING\s+fts4\b.*\bcontent\s*=\s*(''|\"\")", re.IGNORECASE | re.DOTALL)
# The module, the tokenizer or the option is of an extension or a newer SQLite, so nobody here can tell.
_ABSENT = ("no such module", "no such tokenizer", "unknown tokenizer", "unrecognized option")


def check_full_text(connection):
    """Checks every full-text table of a private copy that passed ``integrity_check``.

    Args:
        connection: read-write, outside a transaction.
    Returns:
        ``(faults, unchecked)``: messages about tables that are damaged, and names of tables that cannot be checked
        here (their module or tokenizer is missing, or they are contentless FTS4).
    """
    faults, unchecked = [], []
    for table, sql in tables_of(connection):
        if not _FULL_TEXT.match(sql):
            continue
        try:
            _ask_for_check(connection, quoted(table))
        except ValueError:
            unchecked.append(shown(table))
        except sqlite3.Error as error:
            if _is_uncheckable(error, sql):
                unchecked.append(shown(table))
            else:
                faults.append("full-text table %s: %s" % (shown(table), error))
    return faults, unchecked


def _ask_for_check(connection, identifier):
    connection.execute("BEGIN")
    try:
        connection.execute("INSERT INTO %s(%s) VALUES('integrity-check')" % (identifier, identifier))
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _is_uncheckable(error, sql):
    if not isinstance(error, sqlite3.OperationalError):
        return False
    return any(text in str(error) for text in _ABSENT) or bool(_CONTENTLESS_FTS4.search(sql))
