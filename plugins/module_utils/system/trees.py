# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Walking, giving and deleting whole trees without ever following a link or a swapped name.

``descend`` is the one walk that all of them share: depth first, names in byte order, one open descriptor a level.
"""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
import stat

from .errors import AppStateError
from .files import DIRECTORY

# Each level of a walk holds one descriptor; deeper trees are refused before the limit on open files ends the walk.
MAXIMUM_DEPTH = 200
# Deleting has to come to its end with any tree, so what lies deeper is moved up instead.
DELETING_DEPTH = 50


class Entry:
    """One thing that a walk came by: where it is (descriptor of its directory, name, relative path), and its lstat."""

    __slots__ = ("directory", "name", "path", "stat")

    def __init__(self, directory, name, path, found):
        self.directory = directory
        self.name = name
        self.path = path
        self.stat = found


def descend(directory, prefix=b"", skip=None, on_error=None, depth=0):
    """Yields an Entry for all that lies below an open directory, each directory before what is in it.

    Args:
        prefix: bytes put before each path, without a slash at its end.
        skip: called with ``(path, lstat)``; true leaves that entry, and all below it, out.
        on_error: called with ``(path, OSError)`` for what cannot be read; without it the error is raised.
    """
    if depth > MAXIMUM_DEPTH:
        raise AppStateError("is nested more than %d directories deep" % MAXIMUM_DEPTH, path=prefix)
    try:
        names = sorted(os.fsencode(name) for name in os.listdir(directory))
    except OSError as error:
        if on_error is None:
            raise
        on_error(prefix, error)
        return
    for name in names:
        path = prefix + b"/" + name if prefix else name
        try:
            found = os.stat(name, dir_fd=directory, follow_symlinks=False)
            if skip is not None and skip(path, found):
                continue
            inner = os.open(name, DIRECTORY, dir_fd=directory) if stat.S_ISDIR(found.st_mode) else None
        except FileNotFoundError:
            continue  # Gone between the listing and the look: it is not part of the tree any more.
        except OSError as error:
            if on_error is None:
                raise
            on_error(path, error)
            continue
        if inner is None:
            yield Entry(directory, name, path, found)
            continue
        try:
            yield Entry(directory, name, path, os.fstat(inner))
            yield from descend(inner, path, skip, on_error, depth + 1)
        finally:
            os.close(inner)


def remove_tree(directory, name):
    """Deletes an entry and all below it; returns whether something was there."""
    try:
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    if not stat.S_ISDIR(found.st_mode):
        os.unlink(name, dir_fd=directory)
        return True
    inner = _open_to_empty(directory, name)
    try:
        while _empty(inner, inner):
            pass
    finally:
        os.close(inner)
    os.rmdir(name, dir_fd=directory)
    return True


def _empty(directory, top, depth=0):
    """Deletes what is in a directory; returns whether something was too deep, and moved up to the top for the next
    time: whoever owns a tree can nest it deeper than the limit on open files, and Python's stack, let us go."""
    moved = False
    for name in os.listdir(directory):
        name = os.fsencode(name)
        if not stat.S_ISDIR(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
            os.unlink(name, dir_fd=directory)
            continue
        inner = _open_to_empty(directory, name)
        try:
            if depth == DELETING_DEPTH:
                os.rename(name, secrets.token_hex(16), src_dir_fd=directory, dst_dir_fd=top)
                moved = True
                continue
            moved = _empty(inner, top, depth + 1) or moved
        finally:
            os.close(inner)
        os.rmdir(name, dir_fd=directory)
    return moved


def _open_to_empty(directory, name):
    """Opens a directory that is to be deleted; without root, one of ours may first have to be made writable."""
    try:
        inner = os.open(name, DIRECTORY, dir_fd=directory)
    except PermissionError:
        if os.geteuid() == 0:
            raise
        os.chmod(name, 0o700, dir_fd=directory)
        inner = os.open(name, DIRECTORY, dir_fd=directory)
    if os.geteuid() != 0 and os.fstat(inner).st_mode & 0o300 != 0o300:
        os.fchmod(inner, 0o700)
    return inner


def sync_tree(directory):
    """Has the kernel write the whole file system of an open directory (syncfs(2), or sync(2) where there is none).

    Raises:
        OSError: it could not; from Linux 5.8 on also where the disk could not write what it was given before.
    """
    try:
        call = ctypes.CDLL(None, use_errno=True).syncfs
    except (OSError, AttributeError):
        os.sync()
        return
    if call(directory):
        number = ctypes.get_errno()
        if number != errno.ENOSYS:
            raise OSError(number, os.strerror(number))
        os.sync()
