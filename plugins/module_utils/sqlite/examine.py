# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a database is sound, and what is in it: asked by a child that cannot do harm.

A malformed database makes SQLite loop, ask for gigabytes, or crash. So the only good verdict is the one that a child
gave and then ended cleanly; whatever else happens is a ``DatabaseError``.
"""

from __future__ import annotations

import os
import sqlite3
import time

from ..system.errors import AppStateError, ChildError, DatabaseError, printable
from ..system.files import DIRECTORY, as_bytes
from ..system.process import NOBODY, Limits, start_child
from .assertions import evaluate
from .fulltext import check_full_text
from .header import SIDECARS
from .passport import read_passport
from .sandbox import clear_errors, open_live, open_private, owner_of, read_header, use_larger_cache

MOST_MESSAGES = 20
_CHECKS = {"full": "integrity_check", "quick": "quick_check"}


class Examination:
    """A child that examines a database; ``result`` as a ``system.process.Child`` has it, but for its errors."""

    def __init__(self, child, path):
        self._child = child
        self._path = path

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self._child.kill()

    def result(self, timeout=None):
        """What was found.

        Raises:
            DatabaseError: the file cannot be examined: no database, too corrupt to open, or the child overran a
                limit or crashed on it.
        """
        try:
            return self._child.result(timeout)
        except ChildError as error:
            raise DatabaseError("could not be examined: %s" % error.message, path=self._path,
                                remedy="It is most likely corrupt or malicious; restore it from a backup") from error
        except AppStateError as error:
            # Inside its root the child knows no more than the copy's name.
            error.path = printable(self._path)
            raise

    def kill(self):
        """Ends the examination."""
        self._child.kill()


def start_examination(directory, name, integrity="full", row_counts=True, assertions=(), wall_seconds=3600):
    """Starts to examine a private copy, which nobody else opens and which has no sidecars.

    Args:
        directory: holds the copy; where we are root the child sees nothing else and is nobody, so both were given
            away by ``sandbox.give_to_sandbox``.
        name: the copy's name in it.
        integrity: ``full`` (``integrity_check``, full-text indexes and foreign keys), ``quick`` or ``none``.
        row_counts: whether the passport counts rows.
        assertions: see ``assertions.evaluate``; they are asked only of a sound database.
        wall_seconds: after which the examination has failed.
    Returns:
        An ``Examination``. Its result is a dictionary: ``integrity`` (``level``, ``ok``, the first ``messages``,
        ``unchecked`` full-text tables), ``foreign_keys`` (violations, None where not checked), ``passport`` (None
        of a faulty database) and ``assertions``.
    """
    root = os.open(directory, DIRECTORY)
    try:
        child = start_child(_examine_copy, (as_bytes(name), integrity, row_counts, list(assertions)), NOBODY, root,
                            Limits(cpu_seconds=wall_seconds, wall_seconds=wall_seconds))
    finally:
        os.close(root)
    return Examination(child, os.path.join(as_bytes(directory), as_bytes(name)))


def examine_live(path, integrity="none", row_counts=True, deadline_seconds=30.0, wall_seconds=3600):
    """Examines a live database in one read transaction, as its owner.

    While it lasts, writers of a rollback-journal database wait; those of a WAL database do not. Being opened
    read-only, it is not asked for rows that break a CHECK constraint, and for its full-text indexes only by SQLite 3.44
    and newer; ``start_examination`` does both.

    Args:
        path: absolute.
        deadline_seconds: how long a locked database is tried.
    Returns:
        As ``start_examination``, without ``assertions``, and with ``size`` and ``wal_size`` in bytes. A faulty
        database has a passport too: what its header says.
    """
    path = as_bytes(path)
    child = start_child(_examine_live, (path, integrity, row_counts, deadline_seconds), owner_of(path),
                        limits=Limits(cpu_seconds=wall_seconds, wall_seconds=wall_seconds))
    with Examination(child, path) as examination:
        return examination.result()


def fold_sidecars(directory, name, wall_seconds=3600):
    """Recovers a private copy that came with a ``-wal`` or ``-journal`` (a cold copy): all ends up in the main file.

    Raises:
        DatabaseError: it cannot be recovered.
    """
    root = os.open(directory, DIRECTORY)
    try:
        child = start_child(_fold, (as_bytes(name),), NOBODY, root,
                            Limits(cpu_seconds=wall_seconds, wall_seconds=wall_seconds))
    finally:
        os.close(root)
    path = os.path.join(as_bytes(directory), as_bytes(name))
    with Examination(child, path) as recovery:
        recovery.result()
    left = [suffix for suffix in SIDECARS if os.path.lexists(path + suffix.encode())]
    if left:
        raise DatabaseError("could not be recovered: %s is still there" % ", ".join(left), path=path)


def _examine_copy(name, level, row_counts, assertions):
    with clear_errors(name):
        journal = read_header(name).journal
        before = _state(name)
        connection = open_private(name)
        found = _examine(connection, level, row_counts, journal)
        if level == "full" and found["integrity"]["ok"]:
            if journal == "rollback":
                # No journal file. A WAL database would be changed by this; its log stays empty.
                connection.execute("PRAGMA journal_mode=MEMORY").fetchall()
            faults, found["integrity"]["unchecked"] = check_full_text(connection)
            found["integrity"].update(ok=not faults, messages=faults[:MOST_MESSAGES])
        found["assertions"] = [] if found["integrity"]["ok"] is False else evaluate(connection, assertions)
        connection.close()
        if _state(name) != before:
            raise DatabaseError("was changed by being examined", path=name)
        return found


def _state(name):
    """What the kernel changes with every write(2)."""
    found = os.stat(name)
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _examine_live(path, level, row_counts, deadline_seconds):
    with clear_errors(path, deadline_seconds):
        header = read_header(path)
        connection = open_live(path, time.monotonic() + deadline_seconds)
        found = _examine(connection, level, row_counts, header.journal)
        found["passport"] = found["passport"] or _passport_of(header)
        found["size"] = os.stat(path).st_size
        found["wal_size"] = _size_or_zero(path + b"-wal")
        return found


def _examine(connection, level, row_counts, journal):
    integrity = _check(connection, level)
    sound = integrity["ok"] is not False
    passport = None
    foreign_keys = None
    if sound:
        use_larger_cache(connection)
        passport = read_passport(connection, row_counts, "wal" if journal == "wal" else "delete")
        foreign_keys = _count_violations(connection) if level == "full" else None
    return {"integrity": integrity, "foreign_keys": foreign_keys, "passport": passport}


def _check(connection, level):
    found = {"level": level, "ok": None, "messages": [], "unchecked": []}
    if level == "none":
        return found
    try:
        use_larger_cache(connection)
        rows = connection.execute("PRAGMA %s(%d)" % (_CHECKS[level], MOST_MESSAGES)).fetchall()
        messages = [row[0].decode("utf-8", "backslashreplace") for row in rows]
    except sqlite3.OperationalError:
        # A lock, a limit or the disk: nothing that was found in the database.
        raise
    except (sqlite3.Error, ValueError, OverflowError) as error:
        messages = ["%s" % error]
    found["ok"] = messages == ["ok"]
    found["messages"] = [] if found["ok"] else messages[:MOST_MESSAGES]
    return found


def _count_violations(connection):
    """Rows that refer to nothing; None where a reference is declared in a way that SQLite cannot check."""
    try:
        return sum(1 for row in connection.execute("PRAGMA foreign_key_check"))
    except sqlite3.OperationalError:
        return None


def _fold(name):
    with clear_errors(name):
        read_header(name)
        size = sum(_size_or_zero(name + suffix) for suffix in (b"", b"-wal", b"-journal"))
        connection = open_private(name)
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        connection.close()
        for suffix in SIDECARS:
            _remove_if_empty_or_shared(name + suffix.encode(), suffix)
        # A journal says how large the database was; SQLite makes it so, though it be terabytes of nothing.
        if _size_or_zero(name) > size:
            raise DatabaseError("could not be recovered: it would be larger than all that there is of it", path=name)


def _remove_if_empty_or_shared(sidecar, suffix):
    """A -shm is only an index of the -wal; an empty -wal or -journal holds nothing."""
    if os.path.lexists(sidecar) and (suffix == "-shm" or os.stat(sidecar).st_size == 0):
        os.unlink(sidecar)


def _passport_of(header):
    told = {name: getattr(header, name) for name in ("page_size", "page_count", "encoding", "user_version",
                                                     "application_id")}
    return dict(told, journal_mode="wal" if header.journal == "wal" else "delete", schema_digest=None, tables=None)


def _size_or_zero(path):
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0
