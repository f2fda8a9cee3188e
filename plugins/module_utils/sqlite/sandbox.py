# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a SQLite file is opened, as whom, and what its errors mean.

Opening a database runs code on bytes that somebody else wrote: a hot journal makes SQLite write, and a super-journal
named in it makes SQLite delete that file; a malformed page makes it loop or ask for gigabytes. So everything here that
takes a connection runs in a child (see ``system.process``) that is the database's owner, or nobody for a private copy.

A process must never open and close a database file by itself while it holds a connection to it: POSIX drops all
fcntl(2) locks of a process when it closes any descriptor of the file. ``read_header`` comes before any connection.
"""

from __future__ import annotations

import contextlib
import errno
import os
import random
import sqlite3
import stat
import time
from urllib.parse import quote_from_bytes

from ..system.errors import NO_SPACE, AppStateError, BusyError, DatabaseError, SourceError, SpaceError
from ..system.files import DIRECTORY, READ, as_bytes, give, open_directory
from ..system.process import NOBODY, Identity, identity_of
from .header import HEADER_SIZE, SIDECARS, parse_header

CACHE_KIB = 16384
# Collations and functions that an application registers and its schema uses exist only inside that application.
_LACKING = ("no such collation sequence", "unknown function", "no such function")
# Connections to live databases are never closed: the last read-write one would checkpoint, and SQLITE_DBCONFIG_
# NO_CKPT_ON_CLOSE is out of Python's reach before 3.12. The child ends by os._exit and the kernel drops the locks.
_KEPT_OPEN = []


def owner_of(path):
    """Whom a child that opens the live database at ``path`` runs as.

    The database's owner. Where that is root, whoever else could swap the file or plant a journal beside it: the owner
    of the first directory on the way that is not root's, or nobody (with the directory's group) where others may write.

    Raises:
        SourceError: it is missing, or no regular file.
        AppStateError: a link that an unprivileged user could swap stands on the way: it would be another's the next time.
    """
    path = as_bytes(path)
    try:
        directory = _open_place(os.path.dirname(path))
        try:
            found = os.stat(os.path.basename(path), dir_fd=directory, follow_symlinks=False)
            _require_regular(found.st_mode, path)
            if found.st_uid != 0:
                return identity_of(found.st_uid, found.st_gid)
            return _owner_of_place(directory) or identity_of(0, found.st_gid)
        finally:
            os.close(directory)
    except OSError as error:
        raise _cannot_open(error, path) from error


def _open_place(path):
    """A descriptor of a directory; without root, everybody is who we are, and a directory need not be readable."""
    if os.geteuid() == 0:
        return open_directory(path)
    return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def _owner_of_place(directory):
    """The first user other than root who can change what lies below an open directory, or None."""
    steps = list(_steps_up(directory))
    for found in reversed(steps):
        if found.st_uid != 0:
            return identity_of(found.st_uid, found.st_gid)
        group_writes = found.st_mode & stat.S_IWGRP and found.st_gid != 0
        # In a sticky directory nobody can swap what is root's, but anybody can add a journal to it.
        protected = found.st_mode & stat.S_ISVTX and found is not steps[0]
        if (group_writes or found.st_mode & stat.S_IWOTH) and not protected:
            return Identity(NOBODY.uid, found.st_gid if group_writes else NOBODY.gid)
    return None


def _steps_up(directory):
    """Yields the stat of an open directory, and of each above it."""
    current = os.dup(directory)
    try:
        while True:
            found = os.fstat(current)
            yield found
            above = os.open("..", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=current)
            os.close(current)
            current = above
            if os.path.samestat(os.fstat(current), found):
                return
    finally:
        os.close(current)


def give_to_sandbox(directory, name):
    """Gives a private directory and the database in it (with its sidecars) to nobody, where we are root."""
    if os.geteuid() != 0:
        return
    descriptor = os.open(directory, DIRECTORY)
    try:
        # The directory first: from then on its former owner can put nothing in the place of a file.
        give(descriptor, NOBODY.uid, NOBODY.gid, 0o700)
        for each in [as_bytes(name)] + [as_bytes(name + suffix) for suffix in SIDECARS]:
            _give_file(descriptor, each)
    finally:
        os.close(descriptor)


def _give_file(directory, name):
    try:
        descriptor = os.open(name, READ, dir_fd=directory)
    except FileNotFoundError:
        return
    try:
        found = os.fstat(descriptor)
        _require_regular(found.st_mode, name)
        if found.st_nlink != 1:
            raise SourceError("has another name as well (%d hard links)" % found.st_nlink, path=name)
        give(descriptor, NOBODY.uid, NOBODY.gid, 0o600)
    finally:
        os.close(descriptor)


def read_header(path):
    """The ``Header`` of a database file; only in a process that has no connection to it."""
    try:
        descriptor = os.open(path, READ)
    except OSError as error:
        raise _cannot_open(error, path) from error
    try:
        _require_regular(os.fstat(descriptor).st_mode, path)
        return parse_header(os.read(descriptor, HEADER_SIZE))
    except AppStateError as error:
        error.path = error.path or AppStateError("", path=path).path
        raise
    finally:
        os.close(descriptor)


def open_live(path, deadline):
    """A connection to a live database, inside a read transaction.

    Read-only; read-write only where a hot journal has to be rolled back first. Never creates a file in the place of a
    missing one, and never checkpoints.

    Args:
        path: absolute.
        deadline: on the clock of ``time.monotonic``; until then a locked database is tried again.
    Raises:
        sqlite3.Error: what ``clear_errors`` makes sense of.
    """
    try:
        return _begin(path, "ro", "BEGIN", deadline)
    except sqlite3.OperationalError as error:
        if not (_is_refused(error) and os.path.exists(as_bytes(path) + b"-journal")):
            raise
    return _begin(path, "rw", "BEGIN", deadline)


def open_live_whole(path, deadline):
    """The same read-write wherever its owner may write, so that SQLite knows the CHECK constraints (see ``open_private``):
    without them VACUUM fails on tables that have generated columns too. Nothing is written by that."""
    return _begin(path, "rw", "BEGIN", deadline)


def open_live_reserved(path, deadline):
    """A connection that holds the RESERVED lock of a rollback-journal database: readers go on, writers wait.

    Where its owner may not write the file, SQLite gives a SHARED lock instead, which keeps the file as it is too.
    """
    return _begin(path, "rw", "BEGIN IMMEDIATE", deadline)


def _begin(path, mode, statement, deadline):
    connection = _connect(path, "mode=" + mode)
    _KEPT_OPEN.append(connection)
    while True:
        try:
            connection.execute(statement)
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            return connection
        except sqlite3.OperationalError as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if not is_busy(error) or time.monotonic() >= deadline:
                raise
        pause()


def pause():
    """Waits before the next try: short and uneven, to get in between the transactions of a writer that never rests.

    Measured beside such a writer: the median until the lock was had is 0.03 s, with pauses ten times as long 0.2 s.
    """
    time.sleep(random.uniform(0.00005, 0.0004))


def open_private(name):
    """A connection to a private copy that nothing else opens.

    Read-write, since SQLite forgets the CHECK constraints of a database that it opens read-only, and then
    ``integrity_check`` does not find the rows that break them. Exclusive, so that a WAL database needs no -shm.
    """
    connection = _connect(name, "mode=rw")
    connection.execute("PRAGMA locking_mode=EXCLUSIVE")
    return connection


def create_database(name):
    """A connection to a new private file that is to be filled in one go."""
    os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    connection = _connect(name, "mode=rw")
    connection.execute("PRAGMA locking_mode=EXCLUSIVE")
    connection.execute("PRAGMA journal_mode=OFF")
    connection.execute("PRAGMA synchronous=OFF")
    return connection


def _connect(path, query):
    connection = sqlite3.connect(uri_of(path) + "?" + query, uri=True, timeout=0, isolation_level=None)
    connection.text_factory = bytes
    for pragma in ("trusted_schema=OFF", "cell_size_check=ON", "mmap_size=0"):
        connection.execute("PRAGMA " + pragma)
    return connection


def use_larger_cache(connection):
    """16 MiB of page cache; apart from ``_connect`` because this pragma reads the schema."""
    connection.execute("PRAGMA cache_size=-%d" % CACHE_KIB)


def uri_of(path):
    """A path, of any bytes, as the URI that SQLite opens (https://www.sqlite.org/uri.html)."""
    path = as_bytes(path)
    if path.startswith(b"/"):
        return "file:///" + quote_from_bytes(path.lstrip(b"/"))
    return "file:" + quote_from_bytes(b"./" + path)


def is_busy(error):
    """Whether an error says that somebody else holds a lock; Python tells the code only from 3.11 on."""
    text = str(error)
    return isinstance(error, sqlite3.OperationalError) and ("is locked" in text or "locking protocol" in text)


def _is_refused(error):
    text = str(error)
    return "readonly database" in text or "unable to open database file" in text


@contextlib.contextmanager
def clear_errors(path, deadline_seconds=None):
    """Turns whatever SQLite raises on a database into one of our errors; memory is the child's own affair."""
    try:
        yield
    except (AppStateError, MemoryError):
        raise
    except sqlite3.Error as error:
        raise _meaning(error, path, deadline_seconds) from error
    except OSError as error:
        raise _cannot_open(error, path) from error
    except Exception as error:
        # Malformed databases make the sqlite3 module itself fail: UnicodeDecodeError, OverflowError, SystemError.
        raise DatabaseError("is corrupt: %s: %s" % (type(error).__name__, error), path=path) from error


def _meaning(error, path, deadline_seconds):
    text = str(error)
    if is_busy(error):
        waited = "" if deadline_seconds is None else " for %g s" % deadline_seconds
        return BusyError("stayed locked by another process%s" % waited, path=path,
                         remedy="Find what holds the lock, or give the snapshot a longer deadline")
    if "disk is full" in text:
        return SpaceError("not enough space for a copy of the database", path=path, remedy="Free some space")
    if text == "interrupted":
        return BusyError("was not done within %g s" % (deadline_seconds or 0), path=path,
                         remedy="Give it a longer deadline")
    if _is_refused(error):
        return SourceError("cannot be opened by user id %d (%s)" % (os.geteuid(), text), path=path,
                           remedy="The database's owner must be able to write the directory it lies in")
    if "disk I/O error" in text:
        return SourceError("cannot be read (%s)" % text, path=path, remedy="Check the disk, and whether space is left on it")
    if any(lacking in text for lacking in _LACKING):
        return DatabaseError("cannot be checked without its application: %s" % text, path=path,
                             remedy="The application adds to SQLite what this check needs")
    damage = "cannot be read" if isinstance(error, sqlite3.OperationalError) else "is corrupt"
    return DatabaseError("%s: %s" % (damage, text), path=path, remedy="Restore it from a backup")


def _cannot_open(error, path):
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return SourceError("is missing", path=path, remedy="Check the path, and that the application has made it")
    if error.errno == errno.ELOOP:
        return SourceError("is a symbolic link", path=path, remedy="Name the database that it points to")
    if error.errno in (errno.EACCES, errno.EPERM):
        return SourceError("cannot be read by user id %d" % os.geteuid(), path=path,
                           remedy="Let that user read it, and pass the directories above it")
    if error.errno in NO_SPACE:
        return SpaceError("not enough space for a copy of the database", path=path, remedy="Free some space")
    return SourceError("cannot be read (%s)" % os.strerror(error.errno or 0), path=path)


def _require_regular(mode, path):
    if stat.S_ISLNK(mode):
        raise SourceError("is a symbolic link", path=path, remedy="Name the database that it points to")
    if not stat.S_ISREG(mode):
        raise SourceError("is not a regular file", path=path, remedy="Name the database file itself")
