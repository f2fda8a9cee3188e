# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What all takers are: objects that bring one source into one backup."""

from __future__ import annotations

from abc import ABC, abstractmethod


class Taker(ABC):
    """Takes one source; ``room`` is the backup's ``Room`` (see ``taking``).

    The steps come in this order, each for all sources before the next. Whatever one of them raises ends the backup.
    """

    def __init__(self, room, source):
        self._room = room
        self._source = source

    def look(self):
        """Whether all is there that a backup needs; nothing is written. Returns the bytes it has now, or 0."""
        return 0

    def prepare(self):
        """Takes what has to be of one moment: databases their snapshots, before any file is read."""

    @abstractmethod
    def write(self, writer):
        """Adds the source's members to an ``ArchiveWriter``."""

    def finish(self):
        """Waits for what runs beside, and raises what it found: nothing that is unfit becomes part of a backup."""

    def members_beside(self):
        """The Members that are a part of the backup and do not lie in its archive."""
        return ()

    @abstractmethod
    def record(self):
        """What the manifest says of this source: ``type``, ``path``, ``present``, ``members``, ``bytes``, and more."""

    def publish(self):
        """The backup is about to get its name: what lies beside the archive gets its own."""

    def close(self):
        """Ends what still runs and removes what is left over, whatever became of the backup."""

    def _full_path(self):
        """The source's absolute path, for messages."""
        return self._room.app.full_path(self._source)

    def _about(self, error):
        """The same error, with the source that it is about where it names no other path."""
        error.path = error.path or self._source.path
        return error.about(self._room.app.name)


class TreeTaker(Taker):
    """Takes a source that is many members, and counts them.

    Its ``_writer`` is the ArchiveWriter from when ``write`` has begun.
    """

    def __init__(self, room, source):
        super().__init__(room, source)
        self._writer = None
        self._counts = {"members": 0, "bytes": 0}

    def _add(self, member):
        """A directory or a link."""
        self._writer.add(member)
        self._count(member)

    def _count(self, member):
        self._counts["members"] += 1
        self._counts["bytes"] += member.size
