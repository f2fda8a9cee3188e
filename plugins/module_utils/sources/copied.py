# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A tree that rsync(1) has copied out of a source: what of it counts, and the list of that.

What is a hard link to the earlier generation was judged when that one was made. All else is opened in the source too, by
descriptors and without following a link, and compared byte by byte. Where the two differ, since the file changes or since
somebody led rsync elsewhere, it is copied again from that descriptor; what the source does not have is removed.
"""

from __future__ import annotations

import errno
import os
import stat

from ..archive import generation
from ..archive.members import DIRECTORY, FILE, LINK, Member, new_digest, shown, stays_inside
from ..archive.reader import entries
from ..archive.tar import CHUNK
from ..sqlite.header import looks_like_sqlite
from ..system import files
from ..system.errors import NO_SPACE, SourceError
from ..system.trees import Entry, remove_tree

SECOND = 10 ** 9


class CopiedTree:
    """The files of a generation that grows.

    Args:
        room: the backup's ``Room``.
        path: bytes, of the source below the root.
        source: its descriptor.
        directory: descriptor of the generation.
        earlier: ``mirror.EarlierGeneration`` that the copy was linked to, with its list; or None.

    Attributes:
        counts: ``members``, ``bytes``, ``unreadable``.
        list: ``count``, ``bytes`` and ``digest`` of the list, once it is settled.
    """

    def __init__(self, room, path, source, directory, earlier):
        self._room = room
        self._path = path
        self._source = _Places(source)
        self._directory = directory
        self._earlier = earlier
        self._digest = new_digest()
        self.counts = {"members": 0, "bytes": 0, "unreadable": 0}
        self.list = None

    def note_unreadable(self, path, reason):
        """Counts what could not be read."""
        self.counts["unreadable"] += 1
        self._room.unreadable.append("%s: %s" % (shown(path), reason))

    def settle(self):
        """Takes what does not count away, and writes the list of all the rest."""
        top = os.open(generation.FILES, files.DIRECTORY, dir_fd=self._directory)
        lines = os.fdopen(os.open(generation.LIST, files.CREATE, 0o600, dir_fd=self._directory), "wb")
        shut = []
        try:
            walked = generation.walk(top, self._path, lambda path, error: shut.append(path))
            for entry, before in generation.side_by_side(walked, self._before()):
                member = None if entry is None else self._settle(entry, before)
                if member is not None:
                    self._note(member, lines)
            self._remove_shut(top, shut)
            self.list = {"count": self.counts["members"], "bytes": lines.tell(), "digest": self._digest.hexdigest()}
        finally:
            lines.close()
            os.close(top)
            self._source.close()

    def _before(self):
        return () if self._earlier is None else entries(self._earlier.lines)

    def _remove_shut(self, top, paths):
        """Without root, directories that we may not enter: rsync has said that it could not read them."""
        for path in paths:
            above, name = files.open_parent(top, path[len(self._path) + 1:])
            try:
                _remove(Entry(above, name, path, None))
            finally:
                os.close(above)

    def _note(self, member, lines):
        line = member.line()
        lines.write(line)
        self._digest.update(line)
        self.counts["members"] += 1
        self.counts["bytes"] += member.size

    def _settle(self, entry, before):
        """The Member that an entry of the copy is; None where it is not one."""
        kind = generation.kind_of(entry.stat.st_mode)
        if kind == FILE:
            return self._file(entry, before)
        if kind == LINK:
            return self._link(entry)
        if entry.path != self._path and (before is None or before.type != DIRECTORY) \
                and not self._source.has_directory(self._inner(entry)):
            _remove(entry)
            return None
        return self._member(entry.path, DIRECTORY, entry.stat)

    def _link(self, entry):
        target = os.fsencode(os.readlink(entry.name, dir_fd=entry.directory))
        if stays_inside(target, self._inner(entry).count(b"/")):
            member = self._member(entry.path, LINK, entry.stat)
            member.target = target
            return member
        # An old rsync lets names stand before '..'.
        self._room.warn("%s is a symbolic link that leads out of the source (to %s), and was left out"
                        % (shown(entry.path), shown(target)))
        _remove(entry)
        return None

    def _file(self, entry, before):
        if before is not None and before.type == FILE and self._is_linked(entry):
            member = self._member(entry.path, FILE, entry.stat)
            member.digest = before.digest
            return member
        try:
            original = self._source.open(self._inner(entry))
        except (FileNotFoundError, NotADirectoryError):
            original = None
        except OSError as error:
            self.note_unreadable(entry.path, error.strerror)
            original = None
        if original is None:
            _remove(entry)
            return None
        try:
            return self._new_file(entry, original)
        except OSError as error:
            if error.errno in NO_SPACE:  # That of the destination, as the caller says.
                raise
            raise SourceError("cannot be copied: %s" % error.strerror, path=entry.path)
        finally:
            os.close(original)

    def _is_linked(self, entry):
        """Whether a file is the earlier generation's."""
        if entry.stat.st_nlink < 2:
            return False
        try:
            found = os.stat(self._inner(entry), dir_fd=self._earlier.files, follow_symlinks=False)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == (entry.stat.st_dev, entry.stat.st_ino)

    def _new_file(self, entry, original):
        found = os.fstat(original)
        copy = os.open(entry.name, files.READ, dir_fd=entry.directory)
        try:
            digest = None
            if found.st_size == entry.stat.st_size and _is_time(entry.stat.st_mtime_ns, found.st_mtime_ns):
                digest = _digest_where_same(copy, original)
            if looks_like_sqlite(os.pread(copy, 16, 0)):
                self._room.warn("%s is a SQLite database taken as a plain file, which is not safe while it is in use; "
                                "name it as a source of type sqlite" % shown(entry.path))
        finally:
            os.close(copy)
        if digest is None:
            return self._again(entry, original)
        member = self._member(entry.path, FILE, entry.stat)
        member.digest = digest
        return member

    def _again(self, entry, original):
        """Copies a file itself: rsync's copy is not what lies there now."""
        _remove(entry)
        above = os.fstat(entry.directory)
        found = os.fstat(original)
        copy = os.open(entry.name, files.CREATE, 0o600, dir_fd=entry.directory)
        try:
            digest = new_digest()
            os.lseek(original, 0, os.SEEK_SET)
            for piece in iter(lambda: os.read(original, CHUNK), b""):
                digest.update(piece)
                files.write_all(copy, piece)
            owner = (found.st_uid, found.st_gid) if os.geteuid() == 0 else (-1, -1)
            files.give(copy, owner[0], owner[1], stat.S_IMODE(found.st_mode))
            os.utime(copy, ns=(found.st_mtime_ns, found.st_mtime_ns))
            written = os.fstat(copy)
        finally:
            os.close(copy)
            os.utime(entry.directory, ns=(above.st_atime_ns, above.st_mtime_ns))
        if os.fstat(original).st_mtime_ns != found.st_mtime_ns or written.st_size != found.st_size:
            self._room.warn("%s changed while it was read" % shown(entry.path))
        member = self._member(entry.path, FILE, written)
        member.digest = digest.hexdigest()
        return member

    def _member(self, path, kind, found):
        names = self._room.names
        return Member(path, kind, found.st_size if kind == FILE else 0, stat.S_IMODE(found.st_mode), found.st_uid,
                      found.st_gid, names.user(found.st_uid), names.group(found.st_gid), found.st_mtime_ns)

    def _inner(self, entry):
        return entry.path[len(self._path) + 1:]


class _Places:
    """Opens what lies in the source; the directory that was used last stays open, since neighbours come together."""

    def __init__(self, top):
        self._top = top
        self._path = None
        self._descriptor = None

    def open(self, inner):
        """A descriptor of a regular file.

        Raises:
            FileNotFoundError, NotADirectoryError: there is none, or a link stands on the way.
        """
        above, unused, name = inner.rpartition(b"/")
        if above != self._path:
            self.close()
            self._descriptor = self._directory(above)
            self._path = above
        descriptor = _not_through_links(lambda: os.open(name, files.READ, dir_fd=self._descriptor))
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise FileNotFoundError()
        return descriptor

    def has_directory(self, inner):
        """Whether a directory lies there, by no link."""
        try:
            os.close(self._directory(inner))
            return True
        except (FileNotFoundError, NotADirectoryError):
            return False

    def _directory(self, inner):
        if not inner:
            return os.dup(self._top)
        return _not_through_links(lambda: files.open_beneath(self._top, inner, files.DIRECTORY))

    def close(self):
        """Lets go of the directory."""
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._path = self._descriptor = None


def _not_through_links(opening):
    try:
        return opening()
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise FileNotFoundError()
        raise


def _is_time(copied, original):
    """Whether a copy has the original's time; there are file systems that keep whole seconds only."""
    return copied == original or copied == original // SECOND * SECOND


def _digest_where_same(copy, original):
    """The digest of two open files with the same content; None where they differ."""
    digest = new_digest()
    while True:
        piece = os.read(copy, CHUNK)
        if _read_as_much(original, len(piece) or 1) != piece:
            return None
        if not piece:
            return digest.hexdigest()
        digest.update(piece)


def _read_as_much(descriptor, count):
    data = os.read(descriptor, count)
    while data and len(data) < count:
        more = os.read(descriptor, count - len(data))
        if not more:
            break
        data += more
    return data


def _remove(entry):
    """Takes an entry out of its directory, whose time stays what it was in the source."""
    above = os.fstat(entry.directory)
    remove_tree(entry.directory, entry.name)
    os.utime(entry.directory, ns=(above.st_atime_ns, above.st_mtime_ns))
