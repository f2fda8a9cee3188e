# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Removes a SQLite database with the files that belong to it, and nothing else.

The order keeps a kill harmless. First goes what holds no rows (the lock, the index of the log), then the database, and
the log and the journal last: until the database is gone it is whole, with its last transactions. A log without its
database adds nothing to one that is made anew, since SQLite discards it then; and by its first bytes it is known for
what it is, so that a repeat completes what was begun.
"""

from __future__ import annotations

import os
import stat

from ..sqlite.header import MAGIC, looks_like_sqlite
from ..system import files
from ..system.errors import BusyError, ConfigurationError, DatabaseError, SourceError
from ..system.holders import find_holders

# Endings in the order in which they go; the database itself is the empty one.
HOLD_NOTHING = (".lock", "-shm")
HOLD_ROWS = ("-wal", "-journal")
# https://www.sqlite.org/fileformat2.html: how a log and a journal begin; one that was finished with begins with zeros.
_BEGINNINGS = {"-wal": (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83"),
               "-journal": (b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7", bytes(8))}


class Reset:
    """What a reset removed, or would remove.

    Attributes:
        paths: absolute, in the order in which they go.
        warnings: texts for the operator.
    """

    def __init__(self):
        self.paths = []
        self.warnings = []


def plan_reset(path):
    """What ``reset_database`` would remove; nothing is changed.

    Raises:
        AppStateError: as ``reset_database``, but a process that holds the database open is a warning.
    """
    return _with_directory(path, _plan)


def reset_database(path, dry_run=False):
    """Removes the database at an absolute path with its ``-wal``, ``-shm``, ``-journal`` and ``.lock``.

    Args:
        dry_run: refuses all that would be refused, and removes nothing.

    Returns:
        A Reset, without paths where there was nothing.

    Raises:
        ConfigurationError: the path is not absolute, or cannot be that of a file.
        DatabaseError: what is there is no SQLite database.
        SourceError: a part of it is no regular file, or cannot be removed.
        BusyError: a process holds a part of it open.
    """
    return _with_directory(path, lambda *place: _remove(*place, dry_run=dry_run))


def _with_directory(path, step):
    """Calls ``step(directory, name, path)`` with a descriptor of the directory that the database lies in."""
    if not path.startswith("/"):
        raise ConfigurationError("is not an absolute path", path=path, remedy="Name the database from the root on")
    parent, name = os.path.split(path)
    if name in ("", ".", ".."):
        raise ConfigurationError("names no file", path=path, remedy="Name the database itself")
    try:
        directory = files.open_directory(parent)
    except FileNotFoundError:
        return Reset()
    except OSError as error:
        raise SourceError("its directory cannot be opened: %s" % error.strerror, path=path, remedy="Check the path")
    try:
        return step(directory, name, path)
    except OSError as error:
        raise SourceError("cannot be removed: %s" % error.strerror, path=path,
                          remedy="Run this as root, on a file system that can be written")
    finally:
        os.close(directory)


def _plan(directory, name, path):
    found, planned = _find(directory, name, path)
    holders = find_holders(_places(found, path))
    if holders:
        planned.warnings.append("%s holds %s open; stop it before the reset" % (holders[0], holders[0].path))
    return planned


def _remove(directory, name, path, dry_run):
    found, removed = _find(directory, name, path)
    holders = find_holders(_places(found, path))
    if holders:
        raise BusyError("%s still holds it open" % ", ".join(str(holder) for holder in holders[:3]),
                        path=holders[0].path, remedy="Stop that process, then try again; nothing was removed")
    if dry_run:
        return removed
    for ending in found:
        try:
            os.unlink(files.as_bytes(name + ending), dir_fd=directory)
        except FileNotFoundError:
            continue
        # The database is gone from the disk before its log is.
        os.fsync(directory)
    return removed


def _find(directory, name, path):
    """``(ending to lstat, in the order in which they go; the Reset)`` of what is there and may be removed."""
    there = {}
    for ending in HOLD_NOTHING + ("",) + HOLD_ROWS:
        entry = _entry(directory, name + ending)
        if entry is not None:
            there[ending] = entry
    for ending, entry in there.items():
        _require_regular(entry, path + ending, ending)
    found = there if _belongs(directory, name, path, there) else {}
    planned = Reset()
    planned.paths = [path + ending for ending in found]
    planned.warnings = ["%s has another name as well, whose content stays" % (path + ending)
                        for ending, entry in found.items() if entry.st_nlink > 1]
    return found, planned


def _belongs(directory, name, path, there):
    """Whether what is there is a SQLite database, or what a reset that was cut off left of one."""
    if "" in there:
        _require_database(_beginning(directory, name), path)
        return True
    for ending in HOLD_ROWS:
        if ending in there:
            beginning = _beginning(directory, name + ending)
            if beginning and not beginning.startswith(_BEGINNINGS[ending]):
                raise DatabaseError("is not SQLite's, and there is no database that it belongs to", path=path + ending,
                                    remedy="Check the path; nothing was removed")
    return any(ending in there for ending in HOLD_ROWS)


def _require_database(beginning, path):
    if not looks_like_sqlite(beginning):
        raise DatabaseError("is not a SQLite database" if beginning else "is empty: no SQLite database", path=path,
                            remedy="Check the path; nothing was removed. What is no database, remove by hand")


def _entry(directory, name):
    try:
        return os.stat(files.as_bytes(name), dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _require_regular(entry, path, ending):
    if stat.S_ISLNK(entry.st_mode) and not ending:
        raise SourceError("is a symbolic link", path=path, remedy="Name the database that it points to")
    if not stat.S_ISREG(entry.st_mode):
        raise SourceError("is not a regular file", path=path,
                          remedy="Nothing was removed. Look at it, and remove it by hand where it is not needed")


def _beginning(directory, name):
    """The first bytes of a file; fewer than 16 where it has no more."""
    descriptor = os.open(files.as_bytes(name), files.READ, dir_fd=directory)
    try:
        return os.pread(descriptor, len(MAGIC), 0)
    finally:
        os.close(descriptor)


def _places(found, path):
    """What ``find_holders`` takes."""
    return {(entry.st_dev, entry.st_ino): path + ending for ending, entry in found.items()}
