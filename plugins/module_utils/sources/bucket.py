# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Source ``bucket``: the objects of a bucket, or of whatever rclone reaches, as files in the archive.

They are copied beside the backup first, and compared there with what the bucket says of them. What does not agree has
changed meanwhile, and is copied once more.
"""

from __future__ import annotations

import os
import stat

from ..archive.members import DIRECTORY, FILE, Member, check_path, shown
from ..system import files
from ..system.errors import AppStateError, ArchiveError, SourceError, SpaceError
from ..system.scratch import Scratch
from ..system.trees import descend
from .objects import Objects, above, found_here
from .taker import TreeTaker

PASSES = 2


class BucketTaker(TreeTaker):
    """Takes one BucketSource into an archive."""

    def __init__(self, room, source):
        super().__init__(room, source)
        self._base = files.as_bytes(source.path)
        self._objects = None
        self._record = {"type": "bucket", "path": source.path, "present": False, "remote": source.place.remote}

    def look(self):
        try:
            self.prepare()
            listed = self._listed(hashes=False)
        except AppStateError as error:
            raise self._about(error)
        return sum(found.size for found in listed.values()) if listed else 0

    def prepare(self):
        """Whether rclone is there; objects are copied when files are, after all databases."""
        try:
            self._objects = Objects(self._source)
        except AppStateError as error:
            raise self._about(error)

    def write(self, writer):
        try:
            listed = self._listed(hashes=False)
            if listed is not None:
                with Scratch([self._room.app.destination], self._room.app.name) as scratch:
                    self._take(writer, scratch, listed)
        except AppStateError as error:
            raise self._about(error)

    def _take(self, writer, scratch, listed):
        scratch.seal()
        files.need_space(scratch.descriptor, sum(found.size for found in listed.values()), self._room.app.destination,
                         "the copy of the %s" % self._objects.title)
        # From here on it is there: where it is listed once more and is not, nothing says that it had no objects.
        self._record["present"] = True
        copies = _Copies(self._room, self._objects, self._base, scratch.directory())
        copies.settle(listed, self._listed)
        self._record.update(objects=len(copies.names), checked=copies.checked, **copies.counts)
        self._writer = writer
        self._archive(copies)
        self._record.update(self._counts)

    def _archive(self, copies):
        """Adds the copies, with the directories that they need."""
        top = files.open_directory(copies.directory)
        try:
            self._add(self._member(self._base, DIRECTORY, os.fstat(top)))
            for entry in descend(top, self._base):
                if stat.S_ISDIR(entry.stat.st_mode):
                    self._add(self._member(entry.path, DIRECTORY, entry.stat))
                elif entry.path[len(self._base) + 1:].decode("utf-8", "surrogateescape") in copies.names:
                    self._file(entry)
        finally:
            os.close(top)

    def _file(self, entry):
        descriptor = os.open(entry.name, files.READ, dir_fd=entry.directory)
        try:
            member = self._member(entry.path, FILE, entry.stat, entry.stat.st_size)
            trouble = self._writer.add_file(member, descriptor)
        finally:
            os.close(descriptor)
        if trouble:
            raise SourceError("the copy of an object %s" % trouble, path=entry.path)
        self._count(member)

    def _member(self, path, kind, found, size=0):
        names = self._room.names
        return Member(path, kind, size, 0o700 if kind == DIRECTORY else 0o600, found.st_uid, found.st_gid,
                      names.user(found.st_uid), names.group(found.st_gid), found.st_mtime_ns)

    def _listed(self, hashes=True):
        """What is there; None where there is no such bucket, and need not be."""
        listed = self._objects.listed("", hashes)
        if listed is None and (self._source.required or self._record["present"]):
            raise SourceError("there is no %s" % self._objects.title, path=self._source.path,
                              remedy="Correct 'remote', or set 'required: false' where it need not exist")
        return listed

    def record(self):
        return self._record


class _Copies:
    """Copies of objects in a private directory.

    Attributes:
        directory: its path.
        names: of the objects that are there in the end.
        checked: by what they were compared with the bucket's listing: algorithms, or ``size``.
        counts: ``excluded`` and ``unreadable``.
    """

    def __init__(self, room, objects, base, directory):
        self._room = room
        self._objects = objects
        self._base = base
        self._here = {}
        self.directory = directory
        self.names = set()
        self.checked = ""
        self.counts = {"excluded": 0, "unreadable": 0}

    def settle(self, listed, list_again):
        """Copies what is listed until it agrees with what is listed then, or there was a second try."""
        listed = self._without_misfits(listed)
        behind = set(listed)
        for unused in range(PASSES):
            self._fetch(behind)
            self.names |= behind
            listed = self._without_misfits(list_again())
            self._drop(self.names - set(listed))
            behind = {name for name, found in listed.items() if not self._is_copied(name, found)}
            if not behind:
                break
        self._judge(listed, behind)

    def _without_misfits(self, listed):
        """Those that can be files beside one another."""
        self._misfits = misfits(listed, self._base)
        return {name: found for name, found in listed.items() if name not in self._misfits}

    def _fetch(self, names):
        self._drop(names)
        try:
            self._objects.fetch(names, self.directory)
        except SpaceError as error:
            raise SpaceError("no space left for the copy of the %s: %s" % (self._objects.title, error.message),
                             path=self._room.app.destination, remedy="Free some space at the destination")

    def _is_copied(self, name, found):
        if name not in self._here:
            try:
                descriptor = os.open(self._path(name), files.READ)
            except FileNotFoundError:
                return False
            try:
                self._here[name] = found_here(descriptor, found.hashes)
            finally:
                os.close(descriptor)
        return self._here[name].may_be(found)

    def _path(self, name):
        return os.path.join(files.as_bytes(self.directory), files.as_bytes(name))

    def _drop(self, names):
        """Makes room for copies, and for directories in the place of files."""
        for name in names:
            self._here.pop(name, None)
            try:
                os.unlink(self._path(name))
                for place in reversed(above(name)):
                    os.rmdir(self._path(place))
            except OSError:
                pass  # It was never there, or others are in its directory.

    def _judge(self, listed, behind):
        """Says of each object that is not, or not surely, in the backup as it is in the bucket."""
        for name in sorted(self._misfits):
            self._leave_out(name, self._misfits[name])
        for name in sorted(self._objects.unnamable):
            self._leave_out(name, "rclone cannot be asked for an object of that name")
        for name in sorted(self.names - set(listed) - set(self._misfits)):
            self._room.warn("%s vanished while it was copied, and was left out" % self._shown(name))
        # What is only listed now has come later.
        for name in sorted(behind & self.names):
            if name in self._here:
                self._room.warn("%s changed while it was copied" % self._shown(name))
            else:
                self._leave_out(name, "rclone has not copied it")
        self.names &= set(self._here)
        self.counts["excluded"] = self._objects.excluded
        means = {way for name in self.names for way in self._here[name].shared(listed[name]) or ["size"]}
        self.checked = ", ".join(sorted(means))

    def _leave_out(self, name, reason):
        self.counts["unreadable"] += 1
        self._room.unreadable.append("%s: %s" % (self._shown(name), reason))

    def _shown(self, name):
        return shown(self._base + b"/" + files.as_bytes(name))


def misfits(names, base):
    """From name to reason, of objects that cannot be files beside the others, in the directory ``base`` of an archive."""
    directories = {place for name in names or () for place in above(name)}
    found = {}
    for name in names or ():
        path = base + b"/" + files.as_bytes(name)
        if name in directories:
            found[name] = "other objects' names have it as their directory"
        elif not _is_plain(path):
            found[name] = "no file can have that name"
    return found


def _is_plain(path):
    try:
        return check_path(path) == path
    except ArchiveError:
        return False
