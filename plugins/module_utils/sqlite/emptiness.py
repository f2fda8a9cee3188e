# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which tables have rows at all: told at once, however many rows there are."""

from __future__ import annotations

import os
import sqlite3
import time

from ..system import files
from ..system.process import NOBODY, Limits, run_child
from .assertions import only_read
from .sandbox import clear_errors, give_to_sandbox, open_live, open_private, owner_of

# Seconds; whoever asks does not depend on the answer.
PATIENCE = 5


def empty_tables(directory, name):
    """The names of the tables of a private copy (see ``examine.start_examination``) that have no rows.

    Raises:
        AppStateError: it cannot be read.
    """
    give_to_sandbox(directory, name)
    root = os.open(directory, files.DIRECTORY)
    try:
        return run_child(_empty_tables, (files.as_bytes(name),), NOBODY, root,
                         Limits(cpu_seconds=PATIENCE, wall_seconds=PATIENCE))
    finally:
        os.close(root)


def filled_tables(path, names):
    """Those of some tables that have rows in a live database at an absolute path.

    Raises:
        AppStateError: it cannot be read, or not at once.
    """
    path = files.as_bytes(path)
    return run_child(_filled_tables, (path, list(names)), owner_of(path),
                     limits=Limits(cpu_seconds=PATIENCE, wall_seconds=PATIENCE))


def _empty_tables(name):
    with clear_errors(name):
        connection = open_private(name)
        only_read(connection)
        found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' "
                                   "ESCAPE '!' ORDER BY name").fetchall()
        names = [row[0].decode("utf-8") for row in found if _is_text(row[0])]
        empty = [each for each in names if _has_rows(connection, each) is False]
        connection.close()
        return empty


def _filled_tables(path, names):
    with clear_errors(path):
        connection = open_live(path, time.monotonic() + PATIENCE / 5)
        only_read(connection)
        return [name for name in names if _has_rows(connection, name)]


def _has_rows(connection, name):
    """None where nobody can tell: there is no such table, or a virtual one that needs its application."""
    try:
        return connection.execute('SELECT 1 FROM "%s" LIMIT 1' % name.replace('"', '""')).fetchone() is not None
    except sqlite3.Error:
        return None


def _is_text(name):
    try:
        return bool(name.decode("utf-8"))
    except UnicodeDecodeError:
        return False
