# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The passport of a database: how many rows each of its tables has, in the transaction that asks."""

from __future__ import annotations

from .quoting import identifier, literal

# Each statement costs a round trip, and locks its tables.
TABLES_AT_ONCE = 50

# What a dump has the rows of: tables and materialised views, partitions by themselves. What belongs to an extension
# comes with the extension, whose version may be another where the dump is restored.
_TABLES = """
SELECT n.nspname, c.relname, c.relkind
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.deptype = 'e'
                  AND (d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
                       OR d.classid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND d.objid = n.oid))
  AND (c.relkind = 'r' OR c.relispopulated)
ORDER BY 1, 2"""


def count_rows(session):
    """``schema.table`` to its number of rows, for all tables.

    Raises:
        AppStateError: a table cannot be read.
    """
    tables = [(schema, name) for schema, name, unused in session.rows(_TABLES)]
    counts = {}
    for start in range(0, len(tables), TABLES_AT_ONCE):
        questions = ["SELECT %s AS name, pg_catalog.count(*) AS rows FROM ONLY %s.%s" % (
            literal("%s.%s" % (schema, name)), identifier(schema), identifier(name))
            for schema, name in tables[start:start + TABLES_AT_ONCE]]
        counts.update((name, rows) for name, rows in session.rows("\nUNION ALL ".join(questions)))
    return counts


def differences(recorded, found):
    """What two such dictionaries differ in, as texts."""
    texts = []
    for name in sorted(set(recorded) | set(found)):
        if name not in found:
            texts.append("the table %s is missing" % name)
        elif name not in recorded:
            texts.append("there is a table %s that the backup does not tell of" % name)
        elif recorded[name] != found[name]:
            texts.append("%s has %s rows instead of %s" % (name, found[name], recorded[name]))
    return texts
