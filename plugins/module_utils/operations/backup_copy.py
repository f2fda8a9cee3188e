# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A backup taken apart, and put together again: as it was, or as somebody would have it.

What is put together is what a run publishes: every digest is right, whatever was changed. What was encrypted is not any
more, and what stood in generations beside the archive is in it.
"""

from __future__ import annotations

import copy
import os
import tempfile

from ..archive import streams
from ..archive.extract import RESERVE, Extractor
from ..archive.manifest import Manifest
from ..archive.members import FILE
from ..archive.origin import FileOrigin
from ..archive.reader import entries
from ..archive.writer import ArchiveWriter
from ..catalog import catalog
from ..system import files
from .staging import refuse_damaged

# Of a manifest: what is told of the archive, or is another's to say.
_OF_THE_ARCHIVE = ("archive", "digest", "encryption")
_OF_A_GENERATION = ("generation", "list")


class BackupCopy:
    """The files of a backup in a private directory, and the list of its members; a context manager.

    Args:
        selected: an entered Selected that has a manifest.
        room: the ``system.scratch.Scratch`` that has the directory.

    Attributes:
        manifest: of the backup.

    Raises:
        AppStateError: there is no room, or it is not what was backed up.
    """

    def __init__(self, selected, room):
        self.manifest = selected.manifest
        self._tree = room.directory()
        self._lines = self._unpack(selected, room)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self._lines.close()

    def _unpack(self, selected, room):
        directory = files.open_directory(self._tree)
        try:
            files.need_space(directory, self.manifest.bytes + RESERVE, self._tree, "a copy of the backup")
            extractor = Extractor(directory, self._tree)
            try:
                contents = selected.read(room.path, extractor)
            finally:
                extractor.close()
        finally:
            os.close(directory)
        try:
            refuse_damaged(contents, selected.path)
        except BaseException:
            contents.lines.close()
            raise
        return contents.lines

    def members(self):
        """Yields all Members."""
        return entries(self._lines)

    def path(self, member_path):
        """Where the content of a file is, by the path of its member."""
        return os.path.join(files.as_bytes(self._tree), member_path)

    def publish(self, directory_path, alter=None, tell=None):
        """Puts the backup together in an empty directory; returns the path of its archive.

        Args:
            alter: gives for a Member the list of ``(Member, path of its content)`` that take its place.
            tell: changes what the manifest says, a dictionary.
        """
        directory = files.open_directory(directory_path)
        try:
            kind = streams.choose("auto")
            with catalog.Publication(directory, self.manifest.id, streams.ending(kind)) as publication:
                inner = self._write(kind, publication.descriptor, directory_path, alter or self.unaltered, tell or (lambda content: None))
                publication.publish(inner.beside(
                    {"name": publication.archive_name, "size": os.fstat(publication.descriptor).st_size,
                     "digest": FileOrigin(publication.descriptor).hexdigest()}, self.manifest.content["verified"]))
        finally:
            os.close(directory)
        return os.path.join(directory_path, publication.archive_name)

    def unaltered(self, member):
        """What takes the place of a Member that stays as it is."""
        return [(member, self.path(member.path))]

    def _write(self, kind, descriptor, directory_path, alter, tell):
        content = self._content()
        tell(content)

        def made(count, size, digest):
            content["members"] = {"count": count, "bytes": size, "digest": digest}
            return Manifest(content).to_bytes()

        stream = streams.writer(kind, descriptor)
        try:
            with tempfile.TemporaryFile(dir=directory_path) as lines:
                writer = ArchiveWriter(stream, lines)
                for member in self.members():
                    for altered, path in alter(member):
                        _add(writer, altered, path)
                writer.finish(made)
            stream.close()
        except BaseException:
            stream.abort()
            raise
        return Manifest(content)

    def _content(self):
        content = {key: value for key, value in copy.deepcopy(self.manifest.content).items() if key not in _OF_THE_ARCHIVE}
        content["verified"] = None
        for source in content["sources"]:
            for key in _OF_A_GENERATION:
                source.pop(key, None)
        return content


def _add(writer, member, path):
    if member.type != FILE:
        writer.add(member)
        return
    descriptor = os.open(path, files.READ)
    try:
        member.size = os.fstat(descriptor).st_size
        writer.add_file(member, descriptor)
    finally:
        os.close(descriptor)
