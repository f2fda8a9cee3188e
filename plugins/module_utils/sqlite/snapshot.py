# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A consistent copy of a live database, at one transaction.

Three ways, none of which checkpoints the live database or lets a writer wait longer than it must:

``backup``
    The online backup API in one step. Stepwise it starts again whenever somebody writes, and beside a busy writer it
    never ends. Writers of a WAL database go on; those of a rollback-journal database wait for as long as it takes.
``clone``
    The file itself, while ``BEGIN IMMEDIATE`` keeps writers out: by reflink where the file system has it, which takes
    milliseconds. Not for WAL, where the file is only half of the database.
``vacuum``
    ``VACUUM INTO``: smaller, but it resets the journal mode, and it copies a malformed database into one that looks
    sound. So the live database must pass ``integrity_check`` first.
"""

from __future__ import annotations

import os
import sqlite3
import time

from ..system.copying import copy_file
from ..system.errors import AppStateError, BusyError, ChildError, ConfigurationError, SourceError
from ..system.files import as_bytes
from ..system.process import Limits, run_child, start_child
from .header import SIDECARS
from .sandbox import (clear_errors, create_database, is_busy, open_live, open_live_reserved, open_live_whole, owner_of,
                      pause, read_header, uri_of)

METHODS = ("auto", "backup", "clone", "vacuum")
# What a snapshot may take longer than its deadline before it is ended from outside.
_GRACE_SECONDS = 1.0


def take_snapshot(path, directory, name, method="auto", deadline_seconds=300.0, durable=True,
                  view=None):
    """Takes a snapshot of the live database at ``path`` into ``directory``/``name``.

    Args:
        path: absolute.
        directory: absolute, empty, private to the user that ``sandbox.owner_of`` names; that user's child writes here.
        name: of the file to make.
        method: ``backup``, ``clone``, ``vacuum``, or ``auto``: backup for WAL, else clone.
        deadline_seconds: for all of it, waiting for locks included.
        durable: whether it is on disk when this returns; not needed for a copy that only lives as long as the run, and
            an fsync of that size makes the application's own commits wait.
        view: see ``system.process.start_child``; it has the directory of the database and ``directory``.
    Returns:
        A dictionary: ``method`` that was used, ``seconds``, ``bytes`` of the copy, ``journal_mode`` of the live
        database (``wal`` or ``delete``).
    Raises:
        BusyError: the deadline has come.
        SourceError, DatabaseError, SpaceError: it cannot be taken; as in every failure nothing is left behind.
    """
    path, target = as_bytes(path), os.path.join(as_bytes(directory), as_bytes(name))
    if method not in METHODS:
        raise ConfigurationError("unknown snapshot method %r" % method, path=path,
                                 remedy="Use one of " + ", ".join(METHODS))
    if os.path.lexists(target):
        raise ConfigurationError("exists already", path=target, remedy="Take the snapshot to another name")
    wall_seconds = deadline_seconds + _GRACE_SECONDS
    child = start_child(_take, (path, target, method, deadline_seconds, durable), owner_of(path),
                        limits=Limits(cpu_seconds=wall_seconds + 1, wall_seconds=wall_seconds), view=view)
    try:
        with child:
            return child.result()
    except BaseException as error:
        _remove(target)
        if isinstance(error, ChildError) and child.overran in ("wall", "cpu"):
            raise BusyError("no snapshot within %g s" % deadline_seconds, path=path,
                            remedy="Give the snapshot a longer deadline") from error
        if isinstance(error, ChildError):
            error.path = AppStateError("", path=path).path
        raise


def _take(path, target, method, deadline_seconds, durable):
    started = time.monotonic()
    with clear_errors(path, deadline_seconds):
        journal = read_header(path).journal
        method = _copy(path, target, method, journal, started + deadline_seconds)
        if durable:
            _synchronize(target)
    return {"method": method, "seconds": round(time.monotonic() - started, 4), "bytes": os.stat(target).st_size,
            "journal_mode": "wal" if journal == "wal" else "delete"}


def _copy(path, target, method, journal, deadline):
    """Takes the snapshot; returns the method that did it."""
    if method == "clone" and journal == "wal":
        raise SourceError("cannot be cloned: it is in WAL mode, where the file is only a part of the database",
                          path=path, remedy="Use the method backup")
    if method == "clone" or (method == "auto" and journal != "wal"):
        _clone(path, target, deadline)
        return "clone"
    if method == "vacuum":
        _vacuum(path, target, deadline)
        return "vacuum"
    _backup(path, target, deadline)
    return "backup"


def _backup(path, target, deadline):
    def progress(status, remaining, total):
        if status != sqlite3_done and time.monotonic() >= deadline:
            raise sqlite3.OperationalError("database is locked")

    sqlite3_done = 101
    live = open_live(path, deadline)
    copy = create_database(target)
    # Without a callback, or with one that never raises, this tries a locked database for ever.
    live.backup(copy, pages=-1, progress=progress, sleep=0.002)
    copy.close()


def _clone(path, target, deadline):
    live = open_live_reserved(path, deadline)
    if live.execute("PRAGMA journal_mode").fetchone()[0] == b"wal":
        raise sqlite3.OperationalError("database is locked: it was just switched to WAL")
    # By another process: when this one closed the file, its locks would go. It dies with this one.
    run_child(_copy_file, (path, target), limits=Limits(wall_seconds=max(0.0, deadline - time.monotonic()) + 60))
    live.execute("ROLLBACK")


def _copy_file(path, target):
    with clear_errors(path):
        return copy_file(path, target)


def _vacuum(path, target, deadline):
    live = open_live_whole(path, deadline)
    live.set_progress_handler(lambda: time.monotonic() >= deadline, 10000)
    for row in live.execute("PRAGMA integrity_check(1)"):
        if row[0] != b"ok":
            raise sqlite3.DatabaseError(row[0].decode("utf-8", "backslashreplace"))
    # VACUUM does not run inside a transaction, so what is copied may be some transactions younger.
    live.execute("COMMIT")
    while True:
        try:
            live.execute("VACUUM INTO ?", (uri_of(target),))
            return
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() >= deadline:
                raise
            _remove(target)
            pause()


def _synchronize(target):
    for each, flags in ((target, os.O_RDWR), (os.path.dirname(target), os.O_RDONLY | os.O_DIRECTORY)):
        descriptor = os.open(each, flags | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _remove(target):
    for each in [target] + [target + suffix.encode() for suffix in SIDECARS]:
        try:
            os.unlink(each)
        except FileNotFoundError:
            continue
