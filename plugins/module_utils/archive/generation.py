# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A generation: the members of one source as plain files in a directory beside the archive, and their list.

``<id>.<number>.tree`` has mode 0700. In it, ``files`` is what the source was, as rsync(1) copied it, and
``members.jsonl`` has the same lines as the list in an archive, in walking order. Generations share the files that did not
change by hard links, so nothing is ever written to a file in one. It is read like an archive: as a whole, in one pass,
each content digested, and compared with its list as two streams.
"""

from __future__ import annotations

import os
import stat

from ..system import files
from ..system.errors import AppStateError, ArchiveError
from ..system.trees import Entry, descend
from .members import DIRECTORY, FILE, LINK, check_path, new_digest, stays_inside
from .reader import MEMBERS_MOST, digest_into, entries
from .tar import CHUNK

FILES = "files"
LIST = "members.jsonl"


def name_of(id, number):
    """The name of the generation that a backup makes of its source with that number."""
    return "%s.%d.tree" % (id, number)


def walk(directory, path, on_error=None):
    """Yields an Entry for the open directory of a generation's files, whose path below the root is ``path``, and for all
    that lies below it."""
    yield Entry(directory, b".", path, os.fstat(directory))
    yield from descend(directory, path, on_error=on_error)


def open_list(directory, source):
    """The list of an open generation, as a file object at its beginning.

    Args:
        source: what the manifest says of the source.

    Raises:
        ArchiveError: it is not the one that was written.
        OSError: as open(2) says.
    """
    lines = os.fdopen(os.open(LIST, files.READ, dir_fd=directory), "rb")
    try:
        digest, size = new_digest(), 0
        for piece in iter(lambda: lines.read(CHUNK), b""):
            digest.update(piece)
            size += len(piece)
        if (size, digest.hexdigest()) != (source["list"]["bytes"], source["list"]["digest"]):
            raise ArchiveError("the list of its generation %s is not the one that was written (its digest differs)"
                               % source["generation"])
        lines.seek(0)
        return lines
    except BaseException:
        lines.close()
        raise


def read_generations(directory_path, manifest, contents, extractor=None, on_bytes=None):
    """Reads all generations of a backup, and adds what was found to the Contents of its archive.

    Args:
        directory_path: where they have to be: the directory that the archive is in.
        extractor: gets each member as it comes (see ``extract.Extractor``).

    Raises:
        ArchiveError: with an extractor only, for what may never be extracted; all else is in ``contents.problems``.
    """
    if not manifest.generations:
        return
    directory = files.open_directory(directory_path)
    try:
        contents.lines.seek(0, os.SEEK_END)
        for source in manifest.generations:
            _read(directory, source, contents, extractor, on_bytes or (lambda count: None))
        contents.lines.seek(0)
    finally:
        os.close(directory)


def _read(directory, source, contents, extractor, on_bytes):
    name = source["generation"]
    try:
        generation = files.open_beneath(directory, name, files.DIRECTORY)
    except OSError as error:
        contents.problem(files.as_bytes(source["path"]), "its generation %s cannot be opened beside the archive: %s"
                         % (name, error.strerror))
        return
    try:
        with open_list(generation, source) as lines:
            top = os.open(FILES, files.DIRECTORY, dir_fd=generation)
            try:
                _Reading(files.as_bytes(source["path"]), top, contents, extractor, on_bytes).run(lines)
            finally:
                os.close(top)
    except ArchiveError as error:
        if extractor is not None:
            raise
        contents.problem(files.as_bytes(error.path or source["path"]), error.message)
    except OSError as error:
        if error.filename not in (LIST, FILES):
            raise  # Of the place that it is extracted to.
        contents.problem(files.as_bytes(source["path"]), "%s of its generation %s cannot be opened: %s"
                         % (error.filename, name, error.strerror))
    finally:
        os.close(generation)


class _Reading:
    """One pass over one generation."""

    def __init__(self, path, top, contents, extractor, on_bytes):
        self._path = path
        self._top = top
        self._contents = contents
        self._extractor = extractor
        self._on_bytes = on_bytes
        self._trouble = None

    def run(self, lines):
        for entry, member in side_by_side(walk(self._top, self._path, self._unreadable), self._checked(lines)):
            if member is None:
                self._contents.problem(entry.path, "is in the generation, and not in its list")
            elif entry is None:
                self._contents.problem(member.path, "is missing in the generation")
            else:
                self._take(entry, member)

    def _unreadable(self, path, error):
        self._contents.problem(path, "cannot be read: %s" % error.strerror)

    def _checked(self, lines):
        """The list's members, as long as they are what may be extracted below the source's path."""
        for member in entries(lines):
            if check_path(member.path) != member.path or not (member.path + b"/").startswith(self._path + b"/"):
                raise ArchiveError("lies outside of its source", path=member.path)
            depth = member.path.count(b"/") - self._path.count(b"/") - 1
            if member.type == LINK and not stays_inside(member.target or b"", depth):
                raise ArchiveError("is a symbolic link that leads out of the source", path=member.path)
            yield member

    def _take(self, entry, member):
        if self._contents.count >= MEMBERS_MOST:
            raise ArchiveError("the backup has more than %d members" % MEMBERS_MOST)
        trouble = self._compare(entry, member)
        if trouble:
            self._contents.problem(member.path, trouble)
        self._contents.lines.write(member.line())
        self._contents.count += 1
        self._contents.bytes += member.size

    def _compare(self, entry, member):
        """Hands a member to the extractor; returns what is wrong with it, or None."""
        kind = kind_of(entry.stat.st_mode)
        if kind != member.type:
            return "is a %s, and the list says %s" % (kind or "special file", member.type)
        if kind == FILE:
            return self._file(entry, member)
        if kind == LINK and os.fsencode(os.readlink(entry.name, dir_fd=entry.directory)) != member.target:
            return "leads elsewhere than the list says"
        if self._extractor is not None:
            self._extractor.add(member)
        return None

    def _file(self, entry, member):
        try:
            descriptor = os.open(entry.name, files.READ, dir_fd=entry.directory)
        except OSError as error:
            return "cannot be read: %s" % error.strerror
        try:
            self._trouble = None
            sink = self._extractor.create(member) if self._extractor is not None else None
            digest, size = digest_into(self._pieces(descriptor), sink)
        finally:
            os.close(descriptor)
        if self._trouble is None and size != member.size:
            return "has %d bytes, and the list says %d" % (size, member.size)
        if self._trouble is None and digest != member.digest:
            return "has other content than was backed up (its digest differs)"
        return self._trouble

    def _pieces(self, descriptor):
        while True:
            try:
                piece = os.read(descriptor, CHUNK)
            except OSError as error:
                self._trouble = "cannot be read: %s" % error.strerror
                return
            if not piece:
                return
            self._on_bytes(len(piece))
            yield piece


def kind_of(mode):
    """The type of member that a mode out of lstat(2) makes, or None."""
    return {stat.S_IFREG: FILE, stat.S_IFDIR: DIRECTORY, stat.S_IFLNK: LINK}.get(stat.S_IFMT(mode))


def side_by_side(walked, listed):
    """Yields ``(Entry or None, Member or None)`` with the same path, of two streams that are both in walking order.

    Each Entry is valid until the next one is asked for.
    """
    walked, listed = iter(walked), iter(listed)
    entry, member = next(walked, None), next(listed, None)
    while entry is not None or member is not None:
        first = _order(entry, member)
        yield (entry if first <= 0 else None), (member if first >= 0 else None)
        if first <= 0:
            entry = next(walked, None)
        if first >= 0:
            member = next(listed, None)


def _order(entry, member):
    """Which of both comes first: below 0 the entry, above 0 the member, 0 where they have one path."""
    if entry is None or member is None:
        return 1 if entry is None else -1
    if entry.path == member.path:
        return 0
    return -1 if entry.path.split(b"/") < member.path.split(b"/") else 1


def problem_of(directory, source):
    """None where a source's generation is there with its list, or what is not as it was published.

    What lists thousands of backups looks no closer: reading the list shows whether it is the one that was written.
    """
    name = source["generation"]
    try:
        found = files.lookup(directory, "%s/%s" % (name, LIST))
        top = files.lookup(directory, "%s/%s" % (name, FILES))
    except (OSError, AppStateError) as error:
        return "its generation %s cannot be read: %s" % (name, getattr(error, "strerror", error))
    if found is None or top is None or not stat.S_ISDIR(top.st_mode):
        return "its generation %s is missing" % name
    if not stat.S_ISREG(found.st_mode) or found.st_size != source["list"]["bytes"]:
        return "the list of its generation %s has %d bytes, and the manifest says %d" \
            % (name, found.st_size, source["list"]["bytes"])
    return None
