# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The SQLite databases inside a volume, each taken at one transaction.

Where the engine is this host's own, and lets us read the volume where it keeps it, a database is taken as any other is,
while the application writes. Where it is not, the files can only be fetched as they lie, which is right while no
container runs that uses the volume, and never otherwise.
"""

from __future__ import annotations

import os
from contextlib import ExitStack

from ..archive.members import FILE, Member
from ..archive.tar import TarReader
from ..sqlite.examine import fold_sidecars
from ..sqlite.questions import ask_copy
from ..sqlite.sandbox import give_to_sandbox, owner_of
from ..sqlite.snapshot import take_snapshot
from ..system import files
from ..system.errors import ArchiveError, SourceError
from ..system.scratch import Scratch
from .sqlite import COPY, FALLBACK, examine_copy, told_of

# Beside the database itself; the index of a log (-shm) is made anew.
FETCHED = ("", "-wal", "-journal")


class VolumeDatabases:
    """All databases of one VolumeSource."""

    def __init__(self, room, source, place, helper):
        self._room = room
        self._source = source
        self._place = place
        self._helper = helper
        self._taken = []
        self.members = 0

    def prepare(self):
        """Takes all of them, and has them examined beside what follows."""
        wanted = self._source.databases
        if not wanted:
            return
        found = self._helper.look([database.path + ending for database in wanted for ending in FETCHED])
        for number, database in enumerate(wanted):
            looks = found[len(FETCHED) * number:][:len(FETCHED)]
            if looks[0] is not None:
                self._take(database, looks)
            elif database.required:
                raise SourceError("the database %s is missing in the %s" % (database.path, self._place.title),
                                  path=self._path(database), remedy="Correct the path, which is the one inside the "
                                  "volume, or set 'required: false' where it need not exist")

    def _path(self, database):
        return "%s/%s" % (self._source.path, database.path)

    def _take(self, database, looks):
        taken = _Database(self._room, database, self._path(database), looks[0])
        self._taken.append(taken)
        local = self._local_path(database, looks[0][0])
        if local is not None:
            taken.snapshot(local, self._place.host_path, sum(look[1] for look in looks if look))
            return
        users = self._place.running_users()
        if users:
            raise SourceError("the host cannot read the database in the %s, which the running container %s uses, so "
                              "that no copy of it would be consistent" % (self._place.title, ", ".join(users)),
                              path=self._path(database), remedy="Set 'mode: cold' for the app, so that it is stopped "
                              "meanwhile, or take the application's own dump by a source of type command")
        taken.fetch(self._helper, [ending for ending, look in zip(FETCHED, looks) if look is not None],
                    sum(look[1] for look in looks if look))

    def _local_path(self, database, inode):
        """Where this host has the very file that the helper saw, or None where it cannot read it."""
        if self._place.host_path is None:
            return None
        path = os.path.join(self._place.host_path, self._place.inner, database.path)
        try:
            found = os.stat(path, follow_symlinks=False)
        except OSError:
            return None
        return path if found.st_ino == inode and os.access(path, os.R_OK) else None

    def write(self, writer):
        """Adds each database under its path in the volume; ``{"members", "bytes"}``."""
        size = 0
        for taken in self._taken:
            size += taken.write(writer)
        self.members = len(self._taken)
        return {"members": self.members, "bytes": size}

    def finish(self):
        """Waits for the examinations, and raises what they found."""
        for taken in self._taken:
            taken.finish()

    def record(self):
        """What the manifest says of them."""
        return [taken.record for taken in self._taken]

    def close(self):
        """Ends what still runs, and removes the copies."""
        for taken in self._taken:
            taken.close()


class _Database:
    """One database on its way into an archive; ``look`` is what the container sees of it."""

    def __init__(self, room, source, path, look):
        self._room = room
        self._source = source
        self._path = path
        self._look = look
        self._resources = ExitStack()
        self._directory = None
        self._examination = None
        self.record = {"path": source.path}

    def snapshot(self, live, volume, size):
        """Takes it as this host's own file, by a child that sees the volume and the copy, and nothing else: what its
        owner is in the container, the owner is not on the host."""
        identity = owner_of(live)
        scratch = self._scratch(size)
        self._directory = scratch.directory(identity)
        told = take_snapshot(live, self._directory, COPY, method=self._source.method, durable=False,
                             deadline_seconds=self._room.app.snapshot_deadline, view=(volume, self._directory))
        scratch.seal()
        self.record["method"] = told["method"]
        self._examine()

    def fetch(self, helper, endings, size):
        """Takes its files as they lie; what a log or a journal still holds is folded in."""
        scratch = self._scratch(2 * size)
        scratch.seal()
        self._directory = scratch.directory()
        inner = files.as_bytes(self._source.path)
        names = {inner + ending.encode(): COPY + ending for ending in endings}
        with helper.take_some(sorted(names)) as stream:
            try:
                self._receive(TarReader(stream), names)
            except ArchiveError as error:
                status, said = stream.finish()
                if status:
                    raise helper.failure(status, said)
                raise SourceError("could not be fetched: %s" % error.message, path=self._path)
            helper.expect_success(stream)
        give_to_sandbox(self._directory, COPY)
        if len(endings) > 1:
            fold_sidecars(self._directory, COPY)
        self.record["method"] = "cold"
        self._examine()

    def _scratch(self, size):
        app = self._room.app
        scratch = self._resources.enter_context(Scratch([app.destination, FALLBACK], app.name))
        files.need_space(scratch.descriptor, size, scratch.path, "the snapshot of %s" % self._path)
        return scratch

    def _receive(self, reader, names):
        directory = files.open_directory(self._directory)
        try:
            for member in reader:
                name = names.pop(member.path, None)
                if name is None or member.type != FILE:
                    raise ArchiveError("has what was not asked for", path=member.path)
                descriptor = os.open(name, files.CREATE, 0o600, dir_fd=directory)
                try:
                    for piece in reader.content():
                        files.write_all(descriptor, piece)
                finally:
                    os.close(descriptor)
        finally:
            os.close(directory)
        if names:
            raise ArchiveError("lacks what was asked for", path=sorted(names)[0])

    def _examine(self):
        self._examination = examine_copy(self._directory, COPY, self._source)
        self._resources.callback(self._examination.kill)

    def write(self, writer):
        """Adds the copy; returns its bytes."""
        mode, uid, gid = self._look[2:5]
        directory = files.open_directory(self._directory)
        try:
            descriptor = os.open(COPY, files.READ, dir_fd=directory)
        finally:
            os.close(directory)
        try:
            copied = os.fstat(descriptor)
            member = Member(files.as_bytes(self._path), FILE, copied.st_size, mode, uid, gid, mtime=copied.st_mtime_ns)
            trouble = writer.add_file(member, descriptor)
        finally:
            os.close(descriptor)
        if trouble:
            raise SourceError("the snapshot %s" % trouble, app=self._room.app.name, path=self._path)
        return member.size

    def finish(self):
        """Waits for the examination."""
        try:
            self.record.update(told_of(self._examination.result(), self._room, self._path, self._source))
            self._room.inquire(self._path, self._source, lambda sql: ask_copy(self._directory, COPY, sql))
        finally:
            self.close()

    def close(self):
        """Ends the examination where it still runs, and removes the copy."""
        self._resources.close()
