# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Source ``volume``: a container engine's volume, or a path in a container, streamed through a helper container.

What tar writes inside is read by our own reader, member by member, and written into the archive; nothing is made on
disk between the two, and nothing inside the container. Users and groups are recorded by number only: their names inside
the container are not the host's.
"""

from __future__ import annotations

import re
import tempfile

from ..archive.members import DIRECTORY, FILE, HARD_LINK, LINK, shown, stays_inside
from ..archive.tar import TarReader
from ..containers.helper import ABSENT, Helper, literal
from ..containers.places import find_place
from ..containers.streams import TAIL
from ..sqlite.header import SIDECARS, looks_like_sqlite
from ..system import files
from ..system.errors import AppStateError, ArchiveError, SourceError
from .files import ASIDE_NAME, compiled, paths_of_others
from .taker import TreeTaker
from .volume_databases import VolumeDatabases

# What a store of ours makes inside a volume.
OWN = b".appstate-"
# What tar says of a tree that changes while it is read: as with files of the host, that is told and breaks nothing.
_CHANGED = re.compile(r"tar: .*(file changed as we read it|file removed before we read it|no such file or directory|"
                      r"socket ignored|error exit delayed from previous errors|exiting with failure status due to "
                      r"previous errors)$", re.IGNORECASE)
_NOTHING_THERE = re.compile("could not find the file|could not be found|no such file", re.IGNORECASE)
# Bytes of paths in the arguments of one command.
ARGUMENTS_MOST = 64 * 1024


def place_of(app, source):
    """The Place of a source; None where there is no such volume.

    Raises:
        SourceError: see ``find_place``.
    """
    try:
        return find_place(source)
    except AppStateError as error:
        error.path = error.path or source.path
        raise error.about(app.name)


class VolumeTaker(TreeTaker):
    """Takes one VolumeSource into an archive."""

    def __init__(self, room, source):
        super().__init__(room, source)
        self._base = files.as_bytes(source.path)
        self._excludes = [compiled(pattern) for pattern in source.exclude]
        self._others = paths_of_others(room.app, source)
        self._apart = {files.as_bytes(database.path + ending) for database in source.databases
                       for ending in ("",) + SIDECARS}
        self._place = None
        self._helper = None
        self._databases = None
        self._skipped = None
        self._is_directory = False
        self._hard_links = _Waiting()
        self.present = False

    def look(self):
        self._find()
        return 0

    def prepare(self):
        """Finds the place, and takes the snapshots of its databases."""
        self._find()
        if not self.present:
            return
        self._helper = Helper(self._place, self._source.timeout, self._source.method == "exec", self._room.app.name)
        self._databases = VolumeDatabases(self._room, self._source, self._place, self._helper)
        try:
            self._databases.prepare()
        except AppStateError as error:
            raise self._about(error)

    def _find(self):
        self._place = place_of(self._room.app, self._source)
        self.present = self._place is not None
        if not self.present and self._source.required:
            raise SourceError("there is no volume %s" % self._source.volume, app=self._room.app.name,
                              path=self._source.path, remedy="Correct the name (the engine's 'volume ls' lists them), "
                              "or set 'required: false' where it need not exist")
        if not self.present:
            return
        if self._place.mount is None and self._source.databases:
            raise SourceError("%s is no volume, so that no databases can be taken from it" % self._place.title,
                              app=self._room.app.name, path=self._source.path,
                              remedy="Keep the data in a volume, or take the application's own dump by a source of "
                              "type command")
        if self._source.method == "exec" and not self._place.running:
            raise SourceError("the container %s does not run" % self._place.container, app=self._room.app.name,
                              path=self._source.path, remedy="Start it, or use 'method: helper'")

    def write(self, writer):
        if not self.present:
            return
        self._writer = writer
        self._counts.update(self._databases.write(writer))
        try:
            if self._place.mount is None:
                self._write_layer()
            else:
                self._write_tree()
        except AppStateError as error:
            raise self._about(error)

    def _write_tree(self):
        without = literal(list(self._source.exclude) + ["/" + path.decode() for path in sorted(self._apart)])
        if not self._read(self._helper.take(without), self._member):
            return
        # tar tells each file of several names but once; the others are asked for, and become files of their own.
        while self._hard_links.count:
            self._read(self._helper.take_each(self._hard_links.take()), self._linked)

    def _write_layer(self):
        """One file of the container's own layer: the engine puts it into a tar, whether the container runs or not."""
        self._read(self._helper.take_from_layer(), self._single_file)

    def _read(self, opened, take):
        """Reads a stream of tar to its end; False where there is nothing to take, and need not be."""
        with opened as stream:
            reader = TarReader(stream, self._left_out, several=True)
            try:
                for member in reader:
                    take(member, reader)
            except ArchiveError as error:
                status, said = stream.finish()
                if self._is_absent(status, said) and not self._source.required and reader.last is None:
                    self.present = False
                    return False
                if status:
                    raise self._failure(status, said)
                raise SourceError("what %s sends cannot be read: %s" % (self._place.engine.name, error.message),
                                  path=error.path)
            status, said = stream.finish()
        if status and not _only_changed(said):
            raise self._failure(status, said)
        for line in said.splitlines() if status else ():
            self._room.warn("%s: %s" % (self._source.path, line))
        return True

    def _is_absent(self, status, said):
        return status == ABSENT or (self._place.mount is None and status and bool(_NOTHING_THERE.search(said)))

    def _failure(self, status, said):
        if self._is_absent(status, said):
            return SourceError("there is no %s" % self._place.title,
                               remedy="Correct the path, or set 'required: false' where it need not exist")
        return self._helper.failure(status, said)

    def _left_out(self, path, what):
        self._room.warn("%s is %s, and was left out" % (shown(self._path(path)), what))

    def _path(self, inner):
        return self._base + b"/" + inner if inner else self._base

    def _skips(self, inner, is_directory):
        """Whether a path inside the source is left out; a directory is with all that follows below it."""
        if self._skipped is not None and inner.startswith(self._skipped):
            return True
        if inner in self._apart or inner.rpartition(b"/")[2].startswith(OWN) or ASIDE_NAME.match(inner) \
                or self._path(inner) in self._others or any(matches(_text(inner)) for matches in self._excludes):
            if is_directory:
                self._skipped = inner + b"/"
            return True
        return False

    def _member(self, member, reader):
        inner = member.path
        if not inner:
            self._is_directory = True
        elif not self._is_directory:
            self._single_file(member, reader)
            return
        elif self._skips(inner, member.type == DIRECTORY):
            return
        member.path, member.owner, member.group = self._path(inner), "", ""
        if member.type == HARD_LINK:
            self._hard_links.add(inner)
        elif member.type == LINK:
            if stays_inside(member.target, inner.count(b"/")):
                self._add(member)
            else:
                self._room.warn("%s is a symbolic link that leads out of the source (to %s), and was left out"
                                % (shown(member.path), shown(member.target)))
        elif member.type == DIRECTORY:
            self._add(member)
        else:
            self._file(member, reader)

    def _linked(self, member, reader):
        """A file of several names, by one of the others; unless it has become something else meanwhile."""
        if member.type == FILE:
            self._member(member, reader)

    def _single_file(self, member, reader):
        """The source is a file, not a directory."""
        if member.type != FILE and self._place.mount is None:
            raise SourceError("%s is a %s in the container's own layer, which is lost when the container is made anew"
                              % (self._place.title, member.type),
                              remedy="Keep it in a volume; only single files are taken from the layer itself")
        if member.type != FILE:
            raise SourceError("%s is neither a file nor a directory" % self._place.title,
                              remedy="Name the place itself, not a link to it")
        member.path, member.owner, member.group = self._base, "", ""
        if self._place.mount is None:
            self._give_owner(member)
        self._file(member, reader)

    def _give_owner(self, member):
        owner = self._helper.owner_in_layer()
        if owner is not None:
            member.uid, member.gid = owner
        elif self._place.engine.name == "podman":
            self._room.warn("the owner of %s is not known, since the container does not run; it counts as root's"
                            % self._place.title)

    def _file(self, member, reader):
        self._writer.add_pieces(member, self._marked(member, reader.content()))
        self._count(member)

    def _marked(self, member, pieces):
        for number, piece in enumerate(pieces):
            if not number and looks_like_sqlite(piece[:16]):
                self._room.warn("%s is a SQLite database taken as a plain file, which is not safe while it is in use; "
                                "name it in the source's 'databases'" % shown(member.path))
            yield piece

    def finish(self):
        """Waits for the examinations; a database that does not pass is never part of a backup."""
        if self.present:
            self._databases.finish()

    def record(self):
        told = {"type": "volume", "path": self._source.path, "present": self.present}
        if self.present:
            told.update(self._counts, volume=self._place.volume, engine=self._place.engine.name,
                        place=self._place.title, databases=self._databases.record())
        return told

    def close(self):
        self._hard_links.close()
        if self._databases is not None:
            self._databases.close()


def _text(inner):
    return inner.decode("utf-8", "surrogateescape")


def _only_changed(said):
    """Whether all that tar had to say is that the tree changed meanwhile; of a long tale the end is enough."""
    lines = said.splitlines()
    if len(said) >= TAIL - 1:
        lines = lines[1:]
    return bool(lines) and all(_CHANGED.match(line) for line in lines)


class _Waiting:
    """Paths that wait for their turn, first come first served; not in memory, however many there are.

    Attributes:
        count: how many wait.
    """

    def __init__(self):
        self._file = None
        self._taken = 0
        self.count = 0

    def add(self, path):
        """One more."""
        if self._file is None:
            self._file = tempfile.TemporaryFile()
        self._file.seek(0, 2)
        self._file.write(path + b"\0")
        self.count += 1

    def take(self):
        """As many as one command takes."""
        self._file.seek(self._taken)
        paths = self._file.read(ARGUMENTS_MOST).split(b"\0")[:-1]
        self._taken += sum(len(path) + 1 for path in paths)
        self.count -= len(paths)
        return paths

    def close(self):
        """Forgets them."""
        if self._file is not None:
            self._file.close()
