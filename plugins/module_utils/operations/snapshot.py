# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One snapshot of one database, kept under a name of the operator's choice.

The name appears only when the copy is whole, examined and on disk; what had the name before is replaced in the same
instant, and only where the operator says so.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import stat

from ..sqlite.examine import start_examination
from ..sqlite.header import SIDECARS
from ..sqlite.sandbox import give_to_sandbox, owner_of, read_header
from ..sqlite.snapshot import take_snapshot
from ..system.copying import CANNOT_LINK, copy_descriptor
from ..system.errors import AppStateError, ChildError, ConfigurationError, DatabaseError, SourceError, refused
from ..system.files import CREATE, DIRECTORY, READ, exists_at, give, need_space, open_directory, remove_if_there
from ..system.process import Limits, run_child
from ..system.scratch import Scratch, reap

COPY = "snapshot.db"
# Where the copy is made when the database's owner cannot reach the destination.
FALLBACK = "/var/tmp"
# In the names of the rooms that copies are made in.
_ROOM = "sqlite-snapshot"


class Target:
    """Where a snapshot goes.

    Attributes:
        path: of the file to be.
        replaces: whether a file is there now.
    """

    def __init__(self, path, replaces):
        self.path = path
        self.directory = os.path.dirname(path)
        self.name = os.path.basename(path)
        self.replaces = replaces


def plan_snapshot(source, destination, now, force=False):
    """Finds out where a snapshot would go, and that nothing speaks against it; changes nothing.

    Args:
        source: absolute path of a live database.
        destination: absolute path of a file, or of a directory that gets ``<stem>-<UTC stamp>.db``.
        now: an aware UTC datetime.
        force: whether a file may be replaced.
    Returns:
        A ``Target``.
    """
    _look_at(source)
    if os.path.isdir(destination):
        stem = os.path.splitext(os.path.basename(source))[0]
        destination = os.path.join(destination, "%s-%s.db" % (stem, now.strftime("%Y%m%dT%H%M%SZ")))
    if not os.path.isdir(os.path.dirname(destination)):
        raise ConfigurationError("the directory of the snapshot does not exist", path=destination,
                                 remedy="Make the directory first")
    for suffix in SIDECARS:
        if os.path.lexists(destination + suffix):
            raise ConfigurationError("cannot hold a snapshot: %s lies beside it, so it is a database in use, or the "
                                     "snapshot would be changed by it" % os.path.basename(destination + suffix),
                                     path=destination, remedy="Choose another name, or remove that file")
    return Target(destination, _replaces(destination, source, force))


def keep_snapshot(source, target, method="auto", deadline_seconds=300.0, integrity="full", force=False):
    """Takes a snapshot, examines it, and gives it its name.

    Returns:
        What ``take_snapshot`` tells, and with it ``path``, ``integrity`` and ``passport`` as ``start_examination`` has
        them, and ``foreign_keys``.
    Raises:
        DatabaseError: the copy does not pass; there is no snapshot then.
    """
    try:
        return _keep(source, target, method, deadline_seconds, integrity, force)
    except OSError as error:
        raise refused(error, "the snapshot of %s failed" % source, path=target.path)


def _keep(source, target, method, deadline_seconds, integrity, force):
    identity = owner_of(source)
    parents = [target.directory, FALLBACK]
    reap(parents, _ROOM)
    with Scratch(parents, _ROOM, identity) as room:
        need_space(room.descriptor, _size(source) + _size(source + "-wal"), room.path, "the snapshot of %s" % source)
        directory = room.directory(identity)
        told = take_snapshot(source, directory, COPY, method, deadline_seconds)
        room.seal()
        give_to_sandbox(directory, COPY)
        told.update(_examined(source, directory, integrity))
        inner = os.open(os.path.basename(directory), DIRECTORY, dir_fd=room.descriptor)
        try:
            _publish(inner, target, force)
        finally:
            os.close(inner)
    return dict(told, path=target.path)


def _look_at(source):
    """Raises where there is no database that its owner can read."""
    run_child(_read_header, (source,), owner_of(source), limits=Limits(wall_seconds=30))


def _read_header(source):
    read_header(source)


def _replaces(destination, source, force):
    try:
        found = os.lstat(destination)
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(found.st_mode):
        raise ConfigurationError("exists and is not a regular file", path=destination, remedy="Choose another name")
    if os.path.samefile(destination, source):
        raise ConfigurationError("is the database itself", path=destination, remedy="Choose another name")
    if not force:
        raise ConfigurationError("exists already", path=destination,
                                 remedy="Choose another name, or allow it to be replaced (force)")
    return True


def _examined(source, directory, integrity):
    with start_examination(directory, COPY, integrity) as examination:
        try:
            found = examination.result()
        except (DatabaseError, ChildError) as error:
            # The operator knows the database, not our copy of it.
            error.path = AppStateError("", path=source).path
            raise
    if found["integrity"]["ok"] is False:
        raise DatabaseError("is corrupt: " + "; ".join(found["integrity"]["messages"][:3]), path=source,
                            remedy="Restore it from a backup")
    return {key: found[key] for key in ("integrity", "foreign_keys", "passport")}


def _publish(inner, target, force):
    """Moves the examined copy, now ours alone, to its name."""
    final = os.fsencode(target.name)
    directory = open_directory(target.directory)
    try:
        _reap_copies(directory, final)
        copy = os.open(COPY, READ, dir_fd=inner)
        try:
            _require_only_name(os.fstat(copy))
            give(copy, os.geteuid(), os.getegid(), 0o600)
            try:
                _give_name(inner, COPY, directory, final, target.path, force)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                _publish_copied(copy, directory, final, target.path, force)
            os.fsync(directory)
        finally:
            os.close(copy)
    finally:
        os.close(directory)


def _require_only_name(found):
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        raise SourceError("the snapshot was tampered with before it could be published")


def _publish_copied(copy, directory, final, path, force):
    """The same from another file system: by a copy beside the final name, which is locked as long as somebody needs it."""
    temporary = b".%s.%s.tmp" % (final[:200], secrets.token_hex(6).encode())
    writing = os.open(temporary, CREATE, 0o600, dir_fd=directory)
    try:
        fcntl.flock(writing, fcntl.LOCK_EX)
        copy_descriptor(copy, writing)
        os.fsync(writing)
        _give_name(directory, temporary, directory, final, path, force)
    finally:
        remove_if_there(directory, temporary)
        os.close(writing)


def _reap_copies(directory, final):
    """Removes copies that killed runs left beside this name."""
    pattern = re.compile(rb"\.%s\.[0-9a-f]{12}\.tmp\Z" % re.escape(final[:200]))
    for name in map(os.fsencode, os.listdir(directory)):
        if not pattern.match(name):
            continue
        try:
            left = os.open(name, READ, dir_fd=directory)
        except OSError:
            continue  # Gone, or no file of ours.
        try:
            fcntl.flock(left, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove_if_there(directory, name)
        except BlockingIOError:
            continue  # Its run goes on.
        finally:
            os.close(left)


def _give_name(there, name, directory, final, path, force):
    """The instant in which the snapshot appears; without ``force`` never in the place of anything."""
    if not force:
        try:
            os.link(name, final, src_dir_fd=there, dst_dir_fd=directory, follow_symlinks=False)
            return
        except FileExistsError as error:
            raise ConfigurationError("exists already", path=path, remedy="Choose another name") from error
        except OSError as error:
            if error.errno not in CANNOT_LINK:
                raise
        # A file system without hard links, where there is no better way than to look first.
        if exists_at(directory, final):
            raise ConfigurationError("exists already", path=path, remedy="Choose another name")
    os.rename(name, final, src_dir_fd=there, dst_dir_fd=directory)


def _size(path):
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0
