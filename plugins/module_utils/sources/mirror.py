# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Source ``files`` with ``method: rsync``: a directory as a generation beside the archive, not as members in it.

Where nothing has changed since the newest good backup, that one's generation is this one's too. Otherwise rsync(1) makes a
new one, in which a file that did not change is a hard link to the earlier one's, and keeps the digest that it had there.

rsync finds files by their paths, so an application could lead it astray while it runs. Therefore whatever is new in a
generation is compared with the source, which is walked by descriptors, before it counts.
"""

from __future__ import annotations

import os
import stat
import tempfile

from ..archive import generation
from ..archive.members import shown
from ..archive.reader import entries
from ..catalog import catalog
from ..catalog.generations import GrowingGeneration
from ..system import files
from ..system.errors import AppStateError, ArchiveError, SourceError, SpaceError
from ..system.trees import sync_tree
from .copied import CopiedTree
from .files import ASIDE, paths_of_others
from .rsync import Rsync, find_program, literal, pattern_of
from .taker import Taker

ASIDES = b"*" + ASIDE.encode() + b"[0-9]" * 8 + b"T" + b"[0-9]" * 6 + b"Z"
# A time that only a file system with nanoseconds keeps.
FINE = 1000000000123456789


class MirrorTaker(Taker):
    """Takes one FilesSource with ``method: rsync``."""

    def __init__(self, room, source):
        super().__init__(room, source)
        self._path = files.as_bytes(source.path)
        self._ours = [ASIDES] + [literal(path[len(self._path) + 1:]) for path in sorted(paths_of_others(room.app, source))
                                 if path.startswith(self._path + b"/")]
        self._theirs = [pattern for pattern in map(pattern_of, source.exclude) if pattern is not None]
        self._growing = None
        self._found = {}
        self.present = False

    def look(self):
        self._look_up()
        return 0

    def prepare(self):
        self._look_up()

    def write(self, writer):
        """Nothing goes into the archive."""
        if not self.present:
            return
        source = self._open_source()
        try:
            rsync = Rsync(source, self._ours + self._theirs, self._keeps_nanoseconds())
            earlier = self._earlier()
            try:
                if earlier is None or not self._take_earlier(rsync, earlier):
                    self._make_new(rsync, source, earlier)
            finally:
                if earlier is not None:
                    earlier.close()
        except SpaceError as error:
            error.path = self._room.app.directory
            raise error.about(self._room.app.name)
        except AppStateError as error:
            error.path = error.path or self._full_path()
            raise error.about(self._room.app.name)
        finally:
            os.close(source)

    def members_beside(self):
        if not self.present:
            return
        directory = os.dup(self._growing.descriptor) if self._growing is not None else \
            files.open_beneath(self._room.directory, self._found["generation"], files.DIRECTORY)
        try:
            lines = generation.open_list(directory, self._found)
        finally:
            os.close(directory)
        with lines:
            yield from entries(lines)

    def record(self):
        return dict({"type": "files", "path": self._source.path, "present": self.present}, **self._found)

    def publish(self):
        if self._growing is not None:
            self._growing.publish()

    def close(self):
        """The generation stays only where a manifest names it."""
        if self._growing is None:
            return
        try:
            if not files.exists_at(self._room.directory, self._room.id + ".json"):
                self._growing.remove()
        finally:
            self._growing.close()
            self._growing = None

    def _look_up(self):
        found = self._room.look_up(self._source)
        self.present = found is not None
        if self.present and not stat.S_ISDIR(found.st_mode):
            raise SourceError("is no directory, and 'method: rsync' is for directories", app=self._room.app.name,
                              path=self._full_path(), remedy="Leave 'method' out")
        try:
            find_program()
        except SourceError as error:
            raise error.about(self._room.app.name)

    def _open_source(self):
        try:
            return files.open_beneath(self._room.root, self._path, files.DIRECTORY)
        except OSError as error:
            raise SourceError("cannot be read: %s" % error.strerror, app=self._room.app.name, path=self._full_path())

    def _keeps_nanoseconds(self):
        """Whether the destination's file system does. rsync compares nanoseconds only where it is told to; elsewhere
        all would then seem to have changed."""
        with tempfile.TemporaryFile(dir=files.by_descriptor(self._room.directory)) as probe:
            os.utime(probe.fileno(), ns=(FINE, FINE))
            return os.fstat(probe.fileno()).st_mtime_ns == FINE

    def _earlier(self):
        """The newest generation of this source that a good backup has, or None."""
        for backup in catalog.good_backups(self._room.app.directory, self._room.app.name):
            for told in backup.manifest.generations:
                if told["path"] == self._source.path:
                    return EarlierGeneration(self._room.directory, told)
        return None

    def _take_earlier(self, rsync, earlier):
        """Makes an earlier generation this backup's where nothing has changed; returns whether it did."""
        call = rsync.start_comparison(earlier.files)
        try:
            # While rsync looks at the files: a damaged list is good for nothing.
            if not earlier.read_list(self._room.warn):
                return False
            heard = call.listen(until_change=True)
        finally:
            call.end()
        told = earlier.told
        # All that the source has is in the copy. What it lacks shows in how many there are.
        if heard is None or heard.entries != told["list"]["count"] + heard.unsafe_count:
            return False
        self._warn_of(heard)
        self._found = {key: told[key] for key in ("method", "generation", "list", "members", "bytes")}
        self._found.update(excluded=self._excluded(heard), unreadable=0)
        return True

    def _make_new(self, rsync, source, earlier):
        number = self._room.app.sources.index(self._source) + 1
        self._growing = growing = GrowingGeneration(self._room.directory, generation.name_of(self._room.id, number))
        trusted = earlier if earlier is not None and earlier.lines is not None else None
        heard = rsync.copy(growing.descriptor, generation.FILES, None if trusted is None else trusted.files)
        self._warn_of(heard)
        tree = CopiedTree(self._room, self._path, source, growing.descriptor, trusted)
        for path, reason in heard.unreadable:
            tree.note_unreadable(self._below_source(path), reason)
        tree.settle()
        # One call instead of one for each of thousands of files.
        sync_tree(growing.descriptor)
        self._found = dict(tree.counts, method="rsync", generation=growing.name, list=tree.list,
                           excluded=self._excluded(heard))

    def _below_source(self, said):
        """The path that a message of rsync is about: it puts where it believes to be in front."""
        source = os.fsencode(os.path.realpath(self._full_path())) + b"/"
        inner = said[len(source):] if said.startswith(source) else said.lstrip(b"/")
        return self._path + b"/" + inner if inner else self._path

    def _excluded(self, heard):
        ours = set(self._ours)
        return sum(count for pattern, count in heard.hidden.items() if pattern not in ours)

    def _warn_of(self, heard):
        for path in heard.specials:
            self._room.warn("%s is a socket, a FIFO or a device, and was left out" % shown(self._path + b"/" + path))
        for path, target in heard.unsafe:
            self._room.warn("%s is a symbolic link that leads out of the source (to %s), and was left out"
                            % (shown(self._path + b"/" + path), shown(target)))
        more = heard.special_count + heard.unsafe_count - len(heard.specials) - len(heard.unsafe)
        if more:
            self._room.warn("%d more of them below %s were left out" % (more, self._source.path))
        if heard.vanished:
            self._room.warn("%d %s below %s vanished while it was read, the first was %s"
                            % (len(heard.vanished), "file" if len(heard.vanished) == 1 else "files", self._source.path,
                               shown(heard.vanished[0])))


class EarlierGeneration:
    """A generation that is there, of an earlier backup.

    Attributes:
        told: what its manifest says of the source.
        files: descriptor of its files.
        lines: its list, open, once it was read and found to be what was written; else None.
    """

    def __init__(self, directory, told):
        self.told = told
        self.lines = None
        self._directory = files.open_beneath(directory, told["generation"], files.DIRECTORY)
        try:
            self.files = os.open(generation.FILES, files.DIRECTORY, dir_fd=self._directory)
        except BaseException:
            os.close(self._directory)
            raise

    def read_list(self, warn):
        """Opens the list; returns whether it is what was written."""
        try:
            self.lines = generation.open_list(self._directory, self.told)
            return True
        except (ArchiveError, OSError) as error:
            warn("%s cannot be built upon, so all of %s is copied anew: %s"
                 % (self.told["generation"], self.told["path"], error))
            return False

    def close(self):
        """Lets go of it."""
        if self.lines is not None:
            self.lines.close()
        os.close(self.files)
        os.close(self._directory)
