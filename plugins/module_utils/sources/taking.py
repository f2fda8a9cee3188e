# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the sources of one backup share, and which class takes which type."""

from __future__ import annotations

import stat

from ..system import files
from ..system.accounts import Names
from ..system.errors import SourceError
from .bucket import BucketTaker
from .command import CommandTaker
from .files import FilesTaker
from .http import HttpTaker
from .mirror import MirrorTaker
from .postgresql import PostgresqlTaker
from .sqlite import SqliteTaker
from .volume import VolumeTaker

# In the order in which they are taken: databases first, so that every file that a snapshot refers to is in the backup, as
# it was then or newer.
TAKERS = {"sqlite": SqliteTaker, "postgresql": PostgresqlTaker, "command": CommandTaker, "http": HttpTaker,
          "volume": VolumeTaker, "bucket": BucketTaker, "files": FilesTaker}


class Room:
    """Where the takers of one backup meet.

    Attributes:
        app: the App.
        root: descriptor of its root.
        directory: descriptor of the app's own directory at the destination; None while nothing is to be written.
        id: of the backup, or None likewise.
        names: users and groups by number.
        warnings: texts for the operator; the first hundred are kept, the rest counted.
        unreadable: texts, one for each path that could not be read.
        inquiry: what databases are asked beside their assertions (``operations.inquiry``), or None.
    """

    MOST_WARNINGS = 100

    def __init__(self, app, root, directory=None, id=None):
        self.app = app
        self.root = root
        self.directory = directory
        self.id = id
        self.names = Names()
        self.warnings = []
        self.unreadable = []
        self.inquiry = None
        self._more = 0

    def inquire(self, path, source, ask):
        """Asks a database what there is to ask, once it was found to be good.

        Args:
            path: relative to the app's root.
            source: the database's own.
            ask: function that is given SQL, and gives the values of its first column as bytes, which can be gone through
                more than once.
        """
        if self.inquiry is not None and self.inquiry.wants(path, source):
            self.inquiry.ask(path, source, ask)

    def look_up(self, source):
        """``lstat`` of a source, or None for one that is missing and may be.

        Raises:
            SourceError: it is missing and required, a link stands on the way to it, or it is of a kind that its type
                does not take.
        """
        path = self.app.full_path(source)
        try:
            found = files.lookup(self.root, source.path)
        except OSError as error:
            raise SourceError("cannot be reached: %s" % error.strerror, app=self.app.name, path=path,
                              remedy="No part of a source's path below the root may be a symbolic link")
        if found is None and source.required:
            raise SourceError("the %s is missing" % ("database" if source.type == "sqlite" else "source"),
                              app=self.app.name, path=path,
                              remedy="Correct the path, or set 'required: false' where it need not exist")
        if found is not None:
            self._refuse_kind(source, found.st_mode, path)
        return found

    def _refuse_kind(self, source, mode, path):
        if source.type == "sqlite" and not stat.S_ISREG(mode):
            raise SourceError("is not a regular file", app=self.app.name, path=path,
                              remedy="Name the database itself, not a link to it")
        if source.type == "files" and not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
            raise SourceError("is neither a file nor a directory", app=self.app.name, path=path,
                              remedy="Name the place itself, not a link to it")

    def warn(self, text):
        """Notes something that the operator should know, and that does not make the backup wrong."""
        if len(self.warnings) < self.MOST_WARNINGS:
            self.warnings.append(text)
        else:
            self._more += 1

    def all_warnings(self):
        """The warnings with what could not be read, and a count of those that were left out."""
        said = self.warnings + ["could not be read: %s" % text for text in self.unreadable[:self.MOST_WARNINGS]]
        more = self._more + max(0, len(self.unreadable) - self.MOST_WARNINGS)
        return said + (["and %d more" % more] if more else [])


def takers_of(room):
    """A taker for each source of the app, in the order of ``TAKERS``."""
    order = list(TAKERS)
    ordered = sorted(room.app.sources, key=lambda source: order.index(source.type))
    return [_taker_of(source)(room, source) for source in ordered]


def _taker_of(source):
    return MirrorTaker if getattr(source, "method", None) == "rsync" else TAKERS[source.type]
