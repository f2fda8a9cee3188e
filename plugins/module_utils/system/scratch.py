# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private room for the copies that a run makes, with a place in it that a database's owner can write.

A snapshot is written by a child that runs as the database's owner, and SQLite opens files by path. So the room is two
directories: an outer one that anyone may pass but none may list (0711), and in it one with a name that cannot be
guessed, owned by whoever has to write there (0700). ``seal`` closes the outer one once that child has ended.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import stat

from .errors import SourceError
from .files import DIRECTORY, as_bytes, give, make_directory, open_directory, open_made
from .trees import remove_tree


class Scratch:
    """A room below one of several parents: the first that ``identity`` can reach. Removed when left."""

    def __init__(self, parents, app_name, identity=None):
        self._parents = parents
        self._prefix = _prefix(app_name)
        self._identity = identity
        self.path = None
        self.descriptor = None

    def __enter__(self):
        parent = self._reachable()
        self._parent = open_directory(parent)
        while not self._made():
            pass
        os.fchmod(self.descriptor, 0o711)
        self.path = os.path.join(parent, os.fsdecode(self._name))
        return self

    def __exit__(self, *unused):
        # Held locked until it is gone, or another run would begin to remove it too.
        try:
            remove_tree(self._parent, self._name)
        finally:
            os.close(self.descriptor)
            os.close(self._parent)

    def _made(self):
        """Makes the room and locks it; False where another run, which took it for abandoned, was faster."""
        self._name = self._prefix + secrets.token_hex(8).encode()
        os.mkdir(self._name, 0o700, dir_fd=self._parent)
        try:
            self.descriptor = open_made(self._parent, self._name)
        except FileNotFoundError:
            return False
        fcntl.flock(self.descriptor, fcntl.LOCK_EX)
        if os.fstat(self.descriptor).st_nlink > 0:
            return True
        os.close(self.descriptor)
        return False

    def directory(self, identity=None):
        """The path of a new directory in the room, owned by ``identity`` where we are root."""
        name = secrets.token_hex(12).encode()
        inner = make_directory(self.descriptor, name)
        try:
            if identity is not None and os.geteuid() == 0:
                give(inner, identity.uid, identity.gid, 0o700)
        finally:
            os.close(inner)
        return os.path.join(self.path, os.fsdecode(name))

    def seal(self):
        """Shuts the room to everyone but us."""
        os.fchmod(self.descriptor, 0o700)

    def _reachable(self):
        for parent in self._parents:
            if os.path.isdir(parent) and os.access(parent, os.W_OK) and may_pass(parent, self._identity):
                return parent
        if self._identity is None:
            raise SourceError("there is no place for temporary files", path=self._parents[0],
                              remedy="Make %s writable for this user" % " or ".join(self._parents))
        raise SourceError("user id %d, who owns the database, cannot reach any place for a snapshot (tried %s)"
                          % (self._identity.uid, ", ".join(self._parents)), path=self._parents[0],
                          remedy="Let that user pass (chmod o+x) the directories above one of them")


def may_pass(path, identity):
    """Whether a user may search all directories down to ``path``; anyone may where we cannot change users."""
    if identity is None or identity.uid == 0 or os.geteuid() != 0:
        return True
    path = os.path.realpath(path)
    while True:
        if not _may_search(os.stat(path), identity):
            return False
        if path == "/":
            return True
        path = os.path.dirname(path)


def _may_search(found, identity):
    if found.st_uid == identity.uid:
        return bool(found.st_mode & stat.S_IXUSR)
    if found.st_gid == identity.gid or found.st_gid in identity.groups:
        return bool(found.st_mode & stat.S_IXGRP)
    return bool(found.st_mode & stat.S_IXOTH)


def reap(parents, app_name):
    """Removes the rooms that killed runs left behind: those that nobody holds locked any more."""
    prefix = _prefix(app_name)
    for parent in parents:
        try:
            directory = open_directory(parent)
        except OSError:
            continue
        try:
            for name in os.listdir(directory):
                name = os.fsencode(name)
                if name.startswith(prefix) and len(name) == len(prefix) + 16:
                    _remove_if_abandoned(directory, name)
        finally:
            os.close(directory)


def _remove_if_abandoned(directory, name):
    try:
        room = os.open(name, DIRECTORY, dir_fd=directory)
    except OSError:
        return  # Gone, not ours, or no directory at all.
    try:
        if os.fstat(room).st_uid == os.geteuid():
            fcntl.flock(room, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove_tree(directory, name)
    except BlockingIOError:
        return  # Its run goes on.
    finally:
        os.close(room)


def _prefix(app_name):
    return b".appstate-" + as_bytes(app_name) + b".scratch-"
