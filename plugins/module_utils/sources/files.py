# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Source ``files``: a file, or a directory and all below it, as it lies there.

The tree is live. Whatever happens to it while it is read is reported, never followed, and never breaks the archive:
what vanishes is left out, what cannot be read is counted, links that lead out of the tree and special files are named.
"""

from __future__ import annotations

import fnmatch
import os
import re
import stat

from ..archive.members import DIRECTORY, FILE, LINK, Member, shown, stays_inside
from ..sqlite.header import looks_like_sqlite
from ..system import files
from ..system.errors import SourceError, printable
from ..system.trees import descend
from .sqlite import paths_of
from .taker import TreeTaker

# What a restore moves aside, until it is committed: no state of the application.
ASIDE = ".before-restore-"
ASIDE_NAME = re.compile(rb".*\.before-restore-\d{8}T\d{6}Z\Z", re.DOTALL)


class FilesTaker(TreeTaker):
    """Takes one FilesSource into an archive."""

    def __init__(self, room, source):
        super().__init__(room, source)
        self._path = files.as_bytes(source.path)
        self._excludes = [compiled(pattern) for pattern in source.exclude]
        self._others = paths_of_others(room.app, source)
        self._counts.update(excluded=0, unreadable=0)
        self.present = False

    def look(self):
        found = self._room.look_up(self._source)
        return 0 if found is None else found.st_size

    def prepare(self):
        self.present = self._room.look_up(self._source) is not None

    def write(self, writer):
        if not self.present:
            return
        self._writer = writer
        try:
            top = files.open_beneath(self._room.root, self._path)
        except OSError as error:
            raise SourceError("cannot be read: %s" % error.strerror, app=self._room.app.name,
                              path=self._room.app.full_path(self._source))
        try:
            found = os.fstat(top)
            if stat.S_ISREG(found.st_mode):
                self._file(self._path, top, found)
            else:
                self._add(self._member(self._path, DIRECTORY, found))
                self._below(top)
        finally:
            os.close(top)

    def record(self):
        return dict({"type": "files", "path": self._source.path, "present": self.present}, **self._counts)

    def unreadable(self):
        """The paths of what we may not read, as the rights have it; nothing but directories is opened."""
        try:
            top = files.open_beneath(self._room.root, self._path)
        except PermissionError:
            return [self._path]
        except OSError:
            return []  # It is not there, or nothing that could be taken.
        try:
            return list(self._unreadable_below(top)) if stat.S_ISDIR(os.fstat(top).st_mode) else []
        finally:
            os.close(top)

    def _unreadable_below(self, top):
        closed = []
        for entry in descend(top, self._path, self._skip, lambda path, unused: closed.append(path)):
            if stat.S_ISREG(entry.stat.st_mode) and not os.access(entry.name, os.R_OK, dir_fd=entry.directory):
                yield entry.path
        yield from closed

    def _below(self, top):
        for entry in descend(top, self._path, self._skip, self._unreadable):
            kind = entry.stat.st_mode
            if stat.S_ISDIR(kind):
                self._add(self._member(entry.path, DIRECTORY, entry.stat))
            elif stat.S_ISREG(kind):
                self._open_and_add(entry)
            elif stat.S_ISLNK(kind):
                self._link(entry)
            else:
                self._room.warn("%s is a socket, a FIFO or a device, and was left out" % shown(entry.path))

    def _skip(self, path, found):
        if path in self._others or ASIDE_NAME.match(path):
            return True
        inner = os.fsdecode(path[len(self._path) + 1:])
        if any(matches(inner) for matches in self._excludes):
            self._counts["excluded"] += 1
            return True
        return False

    def _open_and_add(self, entry):
        try:
            descriptor = os.open(entry.name, files.READ, dir_fd=entry.directory)
        except FileNotFoundError:
            return
        except OSError as error:
            self._unreadable(entry.path, error)
            return
        try:
            found = os.fstat(descriptor)
            if stat.S_ISREG(found.st_mode):
                self._file(entry.path, descriptor, found)
        except OSError as error:
            raise SourceError("cannot be read: %s" % error.strerror, app=self._room.app.name,
                              path=os.path.join(self._room.app.root, printable(entry.path)))
        finally:
            os.close(descriptor)

    def _file(self, path, descriptor, found):
        if looks_like_sqlite(os.pread(descriptor, 16, 0)):
            self._room.warn("%s is a SQLite database taken as a plain file, which is not safe while it is in use; "
                            "name it as a source of type sqlite" % shown(path))
        member = self._member(path, FILE, found, found.st_size)
        trouble = self._writer.add_file(member, descriptor)
        self._count(member)
        if trouble:
            self._room.warn("%s %s" % (shown(path), trouble))

    def _link(self, entry):
        try:
            target = os.fsencode(os.readlink(entry.name, dir_fd=entry.directory))
        except OSError:
            return  # Gone, or replaced, since the walk saw it.
        if not stays_inside(target, entry.path.count(b"/") - self._path.count(b"/") - 1):
            self._room.warn("%s is a symbolic link that leads out of the source (to %s), and was left out"
                            % (shown(entry.path), shown(target)))
            return
        member = self._member(entry.path, LINK, entry.stat)
        member.target = target
        self._add(member)

    def _unreadable(self, path, error):
        self._counts["unreadable"] += 1
        self._room.unreadable.append("%s: %s" % (shown(path), error.strerror))

    def _member(self, path, kind, found, size=0):
        names = self._room.names
        return Member(path, kind, size, stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid,
                      names.user(found.st_uid), names.group(found.st_gid), found.st_mtime_ns)


def compiled(pattern):
    """A function that says whether a path inside the source matches.

    As in rsync(1): a pattern with a slash is held against the whole path inside the source, one without against each
    name. A matching directory is left out with all that is in it.
    """
    match = re.compile(fnmatch.translate(pattern.strip("/")), re.DOTALL).match
    if "/" in pattern.rstrip("/"):
        return match
    return lambda path: match(path.rpartition("/")[2])


def paths_of_others(app, source):
    """Paths that other sources take, with the sidecars of databases: this one leaves them out."""
    return {files.as_bytes(path) for other in app.sources if other is not source for path in paths_of(other)}
