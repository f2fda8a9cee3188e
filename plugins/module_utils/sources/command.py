# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Source ``command``: what a command of the application itself writes to its standard output.

The commands run in the app's root, so that a relative path means the same from a terminal, from Ansible and from cron.
"""

from __future__ import annotations

import os
import shutil

from ..system import files
from ..system.commands import CommandError, run_as, stream_command
from ..system.errors import AppStateError, SourceError, SpaceError
from .dump import DumpTaker

# A file system with less than this is full.
NO_ROOM = 64 * 1024
# Of what a command says although it succeeds, so much is told.
MOST_SAID = 300


class CommandTaker(DumpTaker):
    """Takes one CommandSource into an archive."""

    def look(self):
        """Whether the command can be found; it is not run, since nobody knows what it changes."""
        self._identity()
        self._is_there()
        return 0

    def _is_there(self):
        if is_program(self._source.argv[0], self._room.root):
            return True
        if self._source.required:
            raise SourceError("the command %s is not there" % self._source.argv[0], app=self._room.app.name,
                              path=self._source.path,
                              remedy="Correct 'argv' (a name without a slash is looked for in PATH, which is short "
                                     "under cron), or set 'required: false' where it need not exist")
        return False

    def _identity(self):
        return _identity(self._room.app, self._source)

    def _fetch(self, directory, name):
        if not self._is_there():
            return False
        with open(os.path.join(directory, name), "wb", buffering=0) as stream:
            try:
                said = dump(self._room.app, self._source, self._room.root, stream)
            except CommandError as error:
                if files.free_bytes(stream.fileno()) < NO_ROOM:
                    raise SpaceError("there is no room at the destination for what %s writes" % self._title(),
                                     path=self._source.path, remedy="Free some space there") from error
                raise
        if said.strip():
            self._room.warn("%s: %s said: %s" % (self._source.path, self._title(), said.strip()[-MOST_SAID:]))
        return True

    def _title(self):
        return title(self._source)


def title(source):
    """What messages call a CommandSource: its program alone, since what follows can be anything."""
    return "the command %s" % source.argv[0]


def is_program(name, root):
    """Whether a command can be found, from the app's root where it has a relative path."""
    if "/" not in name:
        return shutil.which(name) is not None
    return os.path.exists(os.path.join(files.by_descriptor(root), name))


def dump(app, source, root, stream):
    """Writes the present state to an open file; returns the end of what the command said on its standard error.

    Raises:
        AppStateError: the command failed, or did not end in time.
    """
    return _run(app, source, source.argv, root, stdout=stream)


def feed(app, source, root, stream):
    """Gives a dump, which an open file is at the beginning of, to the command that restores.

    Raises:
        AppStateError: the command failed, or did not end in time.
    """
    return _run(app, source, source.restore_argv, root, stdin=stream)


def _run(app, source, argv, root, **streams):
    try:
        return stream_command(argv, source.timeout, identity=_identity(app, source),
                              directory=files.by_descriptor(root), **streams)
    except AppStateError as error:
        error.path = error.path or source.path
        raise error.about(app.name)


def _identity(app, source):
    try:
        return run_as(source.run_as)
    except AppStateError as error:
        error.path = source.path
        raise error.about(app.name)
