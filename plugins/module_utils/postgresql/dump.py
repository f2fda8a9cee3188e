# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Dumps in pg_dump's own format (``-Fc``): made, read through, and loaded.

Nothing is compressed by pg_dump, since the archive that a dump goes into is: better, and much faster.
"""

from __future__ import annotations

import os
import subprocess

from ..system.process import NOBODY
from .client import Program, find_program
from .complaints import Answerer
from .quoting import database_argument

MAGIC = b"PGDMP"


def looks_like_dump(beginning):
    """Whether these first bytes are those of a dump of this format."""
    return beginning[:len(MAGIC)] == MAGIC


def start_dump(server, database, version, snapshot, target, lock_seconds):
    """Starts pg_dump.

    Args:
        version: of the server, for example 150013.
        snapshot: the name that ``Session.begin_snapshot`` gave; that session stays open until the dump has ended.
        target: open file that it writes to.
        lock_seconds: how long it may wait for a table.

    Returns:
        A ``client.Program``.
    """
    arguments = ["--format=custom", "--compress=0", "--no-password", "--snapshot=" + snapshot,
                 "--lock-wait-timeout=%d" % (lock_seconds * 1000)]
    return server.start("pg_dump", arguments, database, stdout=target, major=version // 10000, doing="be dumped")


def start_load(server, database, version, dump):
    """Starts pg_restore of an open dump into an empty database, ending at the first error.

    Returns:
        A ``client.Program``.
    """
    arguments = ["--exit-on-error", "--no-password", "--dbname=" + database_argument(database)]
    return server.start("pg_restore", arguments, database, stdin=dump, major=version // 10000, doing="be restored")


def start_reading(dump, title, whole=True):
    """Starts pg_restore of an open dump into nothing, which needs no server.

    It reads what may come from anywhere, so where we are root it is nobody.

    Args:
        title: what errors call the dump.
        whole: all of its data too, which finds one that was cut short; else only its table of contents.

    Returns:
        A ``client.Program``.
    """
    argv = [find_program("pg_restore")] + (["--file=/dev/null"] if whole else ["--list"])
    environment = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "HOME": "/"}
    # By a way of its own, so that whoever reads the dump beside keeps the place that it has come to.
    own = os.open("/proc/self/fd/%d" % dump.fileno(), os.O_RDONLY)
    try:
        return Program(argv, environment, NOBODY, own, subprocess.DEVNULL, (), Answerer(title, "", None, title),
                       "be read")
    finally:
        os.close(own)
