# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes an archive in one pass: header, content, digest and compression together, in memory that does not grow.

A file that changes while it is read does not break the archive. Its header has promised a size, so exactly that many
bytes are written: what has grown is cut, what has shrunk is filled with zeros, and either is reported.
"""

from __future__ import annotations

import os

from ..system.errors import ArchiveError
from . import tar
from .members import FILE, LIST_PATH, MANIFEST_PATH, Member, new_digest

# Files up to this size are read whole before their header is written, so that it can tell their real size.
SMALL = 256 * 1024


class ArchiveWriter:
    """Members into a compressor, their lines into an open temporary file."""

    def __init__(self, stream, lines, on_bytes=None):
        self._stream = stream
        self._lines = lines
        self._list_digest = new_digest()
        self._on_bytes = on_bytes or (lambda count: None)
        self.count = 0
        self.bytes = 0

    def add(self, member):
        """A directory or a link."""
        self._stream.write(tar.header(member))
        self._note(member)

    def add_file(self, member, descriptor):
        """A regular file, read from an open descriptor; sets the member's digest.

        Returns:
            None, or what happened to the file while it was read.
        """
        digest = new_digest()
        if member.size <= SMALL:
            trouble = self._small(member, descriptor, digest)
        else:
            trouble = self._large(member, descriptor, digest)
        member.digest = digest.hexdigest()
        self._note(member)
        return trouble

    def add_pieces(self, member, pieces):
        """A regular file of ``member.size`` bytes whose content comes in pieces; sets the member's digest.

        Raises:
            ArchiveError: the pieces are not as many bytes as the member promises.
        """
        digest, left = new_digest(), member.size
        self._stream.write(tar.header(member))
        for piece in pieces:
            left -= len(piece)
            if left < 0:
                break
            self._stream.write(piece)
            digest.update(piece)
            self._on_bytes(len(piece))
        if left:
            raise ArchiveError("its content is not as long as was told", path=member.path)
        self._stream.write(tar.padding(member.size))
        member.digest = digest.hexdigest()
        self._note(member)

    def finish(self, make_manifest):
        """Adds the list of members, and the manifest that ``make_manifest(count, bytes, digest of the list)`` gives."""
        size = self._lines.tell()
        self._lines.seek(0)
        self._stream.write(tar.header(Member(LIST_PATH, FILE, size)))
        self._copy(self._lines.fileno(), size, None)
        self._stream.write(tar.padding(size))
        manifest = make_manifest(self.count, self.bytes, self._list_digest.hexdigest())
        self._stream.write(tar.header(Member(MANIFEST_PATH, FILE, len(manifest))))
        self._stream.write(manifest + tar.padding(len(manifest)) + tar.END)

    def _note(self, member):
        line = member.line()
        self._lines.write(line)
        self._list_digest.update(line)
        self.count += 1
        self.bytes += member.size

    def _small(self, member, descriptor, digest):
        promised = member.size
        data = _read_up_to(descriptor, promised + 1)
        if len(data) > promised:
            data = data[:promised]
        member.size = len(data)
        digest.update(data)
        self._stream.write(tar.header(member) + data + tar.padding(member.size))
        self._on_bytes(member.size)
        return _trouble(descriptor, promised, member)

    def _large(self, member, descriptor, digest):
        self._stream.write(tar.header(member))
        missing = self._copy(descriptor, member.size, digest)
        while missing:
            filler = bytes(min(missing, tar.CHUNK))
            digest.update(filler)
            self._stream.write(filler)
            missing -= len(filler)
        self._stream.write(tar.padding(member.size))
        return _trouble(descriptor, member.size, member)

    def _copy(self, descriptor, count, digest):
        """Copies up to ``count`` bytes; returns how many were missing."""
        while count:
            piece = os.read(descriptor, min(tar.CHUNK, count))
            if not piece:
                break
            self._stream.write(piece)
            if digest is not None:
                digest.update(piece)
                self._on_bytes(len(piece))
            count -= len(piece)
        return count


def _read_up_to(descriptor, count):
    data = os.read(descriptor, count)
    while data and len(data) < count:
        more = os.read(descriptor, count - len(data))
        if not more:
            break
        data += more
    return data


def _trouble(descriptor, promised, member):
    """What became of a file between the look at it and the end of its reading, or None."""
    found = os.fstat(descriptor)
    if found.st_size < promised:
        return "shrank while it was read"
    if found.st_size > promised:
        return "grew while it was read"
    return "changed while it was read" if found.st_mtime_ns != member.mtime else None
