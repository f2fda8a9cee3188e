# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Puts members into a staging directory, and nowhere else.

Python's ``extractall`` is not a boundary, not with its filters either. Here each name is created by its directory's
descriptor with ``O_EXCL | O_NOFOLLOW``, in a directory that only we can enter. Symbolic links come last, when every
file is in place, so nothing is ever written through one.
"""

from __future__ import annotations

import os
import stat

from ..system import files
from ..system.errors import NO_SPACE, AppStateError, ArchiveError, SpaceError
from ..system.process import NOBODY
from .members import DIRECTORY, FILE, LINK, shown, stays_inside
from .reader import entries
from .tar import CHUNK

# Room that stays free on the file system whatever an archive holds.
RESERVE = 16 * 1024 * 1024
CHECK_EVERY = 64 * 1024 * 1024


class Extractor:
    """Files and directories while an archive is read (private, ours); links, owners, modes and times afterwards.

    Args:
        directory: descriptor of the empty staging directory.
        path: where that is, for messages.
        rename: function from a member's path to the path it is staged at, or None where it is not wanted.
        above: how many directories at the front of what ``rename`` gives are ours, and no part of the tree.
    """

    def __init__(self, directory, path, rename=None, above=0):
        self._directory = directory
        self._path = path
        self._rename = rename or (lambda member_path: member_path)
        self._above = above
        self._near = _NearDirectory(directory)
        self._until_check = 0

    def add(self, member):
        """A directory at once; a link later; an old archive's hard link as a copy of the file it names."""
        path = self._rename(member.path)
        if path is None or member.type == LINK:
            return
        if member.type == DIRECTORY:
            self._near.make(path)
        else:
            self._copy(member, path)

    def create(self, member):
        """A writable file object for a file's content, or None where it is not wanted."""
        path = self._rename(member.path)
        if path is None:
            return None
        self._need_space(member.size)
        return self._new_file(member, path)

    def close(self):
        """Lets go of what is open; ``finish`` may still follow."""
        self._near.close()

    def _copy(self, member, path):
        source = self._rename(member.target)
        if not source:
            raise ArchiveError("a hard link names a file that is not restored", path=member.path)
        try:
            original = files.open_beneath(self._directory, source)
        except OSError:
            raise ArchiveError("a hard link names a file that the archive does not have", path=member.path)
        try:
            if not stat.S_ISREG(os.fstat(original).st_mode):
                raise ArchiveError("a hard link names something that is no file", path=member.path)
            sink = self._new_file(member, path)
            try:
                for piece in iter(lambda: os.read(original, CHUNK), b""):
                    self._need_space(len(piece))
                    sink.write(piece)
            finally:
                sink.close()
        finally:
            os.close(original)

    def _new_file(self, member, path):
        try:
            return _Sink(self._near.create(path), self._path)
        except FileExistsError:
            raise ArchiveError("two members have the same path", path=member.path)

    def _need_space(self, size):
        self._until_check -= size
        if self._until_check < 0:
            files.need_space(self._directory, size + RESERVE, self._path, "extracting")
            self._until_check = CHECK_EVERY

    def finish(self, lines, ownership):
        """Makes the links and gives everything its owner, mode and time, as the list of members tells.

        The list is in walking order: a directory comes before what is in it, and gets its own mode and time when the
        list has left it, since a new entry would change them.
        """
        self._near.close()
        waiting = []
        for member in entries(lines):
            path = self._rename(member.path)
            if path is None:
                continue
            while waiting and not path.startswith(waiting[-1][0] + b"/"):
                self._settle_directory(*waiting.pop(), ownership=ownership)
            if member.type == DIRECTORY:
                waiting.append((path, member))
            elif member.type == LINK:
                self._link(path, member, ownership)
            elif member.type == FILE:
                self._settle_file(path, member, ownership)
        while waiting:
            self._settle_directory(*waiting.pop(), ownership=ownership)
        self._near.close()

    def _settle_file(self, path, member, ownership):
        directory, name = self._near.find(path)
        descriptor = os.open(name, files.READ, dir_fd=directory)
        try:
            if not _is_extracted(os.fstat(descriptor)):
                raise AppStateError("is not the file that was extracted there: somebody has exchanged it",
                                    path="%s/%s" % (self._path, shown(path)), remedy="Find out who could, and try again")
            _settle(descriptor, member, ownership, False)
        finally:
            os.close(descriptor)

    def _settle_directory(self, path, member, ownership):
        descriptor = files.open_beneath(self._directory, path, files.DIRECTORY)
        try:
            _settle(descriptor, member, ownership, True)
        finally:
            os.close(descriptor)

    def _link(self, path, member, ownership):
        # In an old archive it can come to lie higher up than it was.
        if not stays_inside(member.target, path.count(b"/") - self._above):
            raise ArchiveError("a symbolic link leads out of the tree (to %s)" % shown(member.target), path=member.path)
        directory, name = self._near.find_or_make(path)
        try:
            os.symlink(member.target, name, dir_fd=directory)
        except FileExistsError:
            raise ArchiveError("two members have the same path", path=member.path)
        uid, gid = ownership.ids(member.owner, member.group, member.uid, member.gid)
        if (uid, gid) != (-1, -1):
            os.chown(name, uid, gid, dir_fd=directory, follow_symlinks=False)
        os.utime(name, ns=(member.mtime, member.mtime), dir_fd=directory, follow_symlinks=False)


def _is_extracted(found):
    """Whether a file can be one of ours: nobody has a database since it was examined. Each has one name, a hard link's too (see
    ``add``); to give away what has another would give away a file that lies elsewhere."""
    return stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and found.st_uid in (os.geteuid(), NOBODY.uid)


def _settle(descriptor, member, ownership, directory):
    uid, gid = ownership.ids(member.owner, member.group, member.uid, member.gid)
    files.give(descriptor, uid, gid, ownership.mode(member.mode, directory))
    os.utime(descriptor, ns=(member.mtime, member.mtime))


class _NearDirectory:
    """The directory that was used last stays open: neighbours in an archive are mostly neighbours in a directory."""

    def __init__(self, top):
        self._top = top
        self._path = b""
        self._descriptor = None

    def find(self, path):
        """``(descriptor, name)`` of a path whose directory is there."""
        parent, unused, name = path.rpartition(b"/")
        if parent != self._path or self._descriptor is None:
            found = files.open_beneath(self._top, parent, files.DIRECTORY) if parent else os.dup(self._top)
            self.close()
            self._path, self._descriptor = parent, found
        return self._descriptor, name

    def find_or_make(self, path):
        """The same of one whose directories may be missing."""
        try:
            return self.find(path)
        except FileNotFoundError:
            files.make_parents(self._top, path, 0o700, durable=False)
            return self.find(path)
        except NotADirectoryError:
            raise ArchiveError("a member lies below one that is no directory", path=path)

    def create(self, path):
        """A descriptor of a new file, its directories made where they are missing."""
        directory, name = self.find_or_make(path)
        return os.open(name, files.CREATE, 0o600, dir_fd=directory)

    def make(self, path):
        """A new directory, or one that had to be made for a member below it."""
        try:
            files.make_parents(self._top, path + b"/.", 0o700, durable=False)
        except NotADirectoryError:
            raise ArchiveError("a directory has the path of a member that is none", path=path)

    def close(self):
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = None


class _Sink:
    """An open new file."""

    def __init__(self, descriptor, path):
        self._descriptor = descriptor
        self._path = path
        self._write_out = files.WriteOut(descriptor)

    def write(self, data):
        try:
            files.write_all(self._descriptor, data)
            self._write_out.wrote(len(data))
        except OSError as error:
            if error.errno in NO_SPACE:
                raise SpaceError("no space left while extracting", path=self._path, remedy="Free some space there")
            raise

    def close(self):
        os.close(self._descriptor)
