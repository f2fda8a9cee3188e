# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sources that give one stream of bytes: it is kept beside the backup until it is known to be what it has to be."""

from __future__ import annotations

import os
import stat
import time
from abc import abstractmethod
from contextlib import ExitStack, contextmanager

from ..archive.members import FILE, Member
from ..system import files
from ..system.errors import AppStateError, ArchiveError, DatabaseError, SourceError
from ..system.scratch import Scratch
from .formats import Proof
from .sqlite import told_of
from .taker import Taker

DUMP = "dump"


class DumpTaker(Taker):
    """Takes one dump; a subclass says where it comes from (``_fetch``) and what messages call it (``_title``)."""

    def __init__(self, room, source):
        super().__init__(room, source)
        self._resources = ExitStack()
        self._directory = None
        self._proof = None
        self._record = {"type": source.type, "path": source.path, "present": False, "format": source.format}

    @abstractmethod
    def _fetch(self, directory, name):
        """Brings the dump to a file that is there and empty, in a directory by its path.

        Returns:
            False where there is nothing to dump, and nothing is required.
        """

    @abstractmethod
    def _title(self):
        """What the dump comes from, for messages; nothing secret is in it."""

    def _seen(self, directory, name):
        """Looks at the dump before it is checked."""

    def prepare(self):
        app = self._room.app
        begun = time.monotonic()
        scratch = self._resources.enter_context(Scratch([app.destination], app.name))
        scratch.seal()
        self._directory = scratch.directory()
        os.close(os.open(os.path.join(self._directory, DUMP), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        if not self._fetched():
            return
        self._record.update(present=True, seconds=round(time.monotonic() - begun, 3))
        if not os.stat(os.path.join(self._directory, DUMP)).st_size:
            raise SourceError("%s gave nothing" % self._title(), path=self._source.path,
                              remedy="A backup of nothing is none; look why that is")
        with self._told():
            self._seen(self._directory, DUMP)
            self._proof = Proof(self._source.format, self._directory, DUMP, self._source)
        self._resources.callback(self._proof.kill)

    def _fetched(self):
        try:
            return self._fetch(self._directory, DUMP)
        except AppStateError as error:
            error.path = error.path or self._source.path
            raise

    def write(self, writer):
        """Adds the dump under the source's path."""
        if not self._record["present"]:
            return
        descriptor = os.open(os.path.join(self._directory, DUMP), files.READ)
        try:
            found, names = os.fstat(descriptor), self._room.names
            uid, gid, mode = self._owner()
            member = Member(files.as_bytes(self._source.path), FILE, found.st_size, mode, uid, gid, names.user(uid),
                            names.group(gid), found.st_mtime_ns)
            trouble = writer.add_file(member, descriptor)
        finally:
            os.close(descriptor)
        if trouble:
            raise DatabaseError("the dump %s" % trouble, app=self._room.app.name, path=self._source.path)
        self._record.update(members=1, bytes=member.size)

    def _owner(self):
        """``(uid, gid, mode)`` that a restore gives the file: of the one that is there now, else of the root."""
        try:
            found = files.lookup(self._room.root, self._source.path)
        except OSError:
            found = None
        if found is not None and stat.S_ISREG(found.st_mode):
            return found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)
        root = os.fstat(self._room.root)
        return root.st_uid, root.st_gid, 0o600

    def finish(self):
        """Waits for the check; what does not pass is never part of a backup."""
        try:
            if self._proof is not None:
                with self._told():
                    self._judge(self._proof.result())
        finally:
            self.close()

    def _judge(self, examined):
        for note in self._proof.notes:
            self._room.warn("%s: %s" % (self._source.path, note))
        self._record["passport"] = None
        if examined is not None:
            self._record.update(told_of(examined, self._room, self._source.path, self._source))
            self._room.inquire(self._source.path, self._source, self._proof.ask)

    def record(self):
        return self._record

    def close(self):
        """Ends the check where it still runs, and removes the dump."""
        self._resources.close()

    @contextmanager
    def _told(self):
        """Says of what is wrong with a dump where that came from."""
        try:
            yield
        except (DatabaseError, ArchiveError) as error:
            error.message = "what %s gave is no good: %s" % (self._title(), error.message)
            error.path = self._source.path
            error.remedy = "No backup was made of it; run or ask for it by hand and look at what comes"
            raise
