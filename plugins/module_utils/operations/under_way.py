# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What this host is about to do at a remote: files that a killed run may have left half there.

A remote knows no partial names that others do not see, so an archive whose manifest has not come yet looks as one whose
manifest was lost. The difference is written down here, on the host, before anything is sent or deleted:
``/var/lib/appstate-backup/remotes/<app>.<remote>.json``, a list of stems.
"""

from __future__ import annotations

import json
import os

from ..archive.manifest import ID
from ..archive.streams import ALL_ENDINGS
from ..catalog.catalog import Backup
from ..system import files
from ..system.errors import AppStateError

MOST = 1024 * 1024


def remove_half(catalog, stem, names):
    """Removes the archive of that name at a ``RemoteCatalog``; from 1.63 on, rclone calls it differently while it comes."""
    for name in names:
        if any(name == stem + ending or (name.startswith(stem + ending + ".") and name.endswith(".partial"))
               for ending in ALL_ENDINGS):
            catalog.rclone.delete(catalog.path(name))


class UnderWay:
    """The list for one app and one remote; the caller holds the app's lock."""

    def __init__(self, machine, app_name, remote_name):
        self._state_directory = machine.state_directory
        self._name = "%s.%s.json" % (app_name, remote_name)  # Neither has a dot, so no two have one file.
        self._stems = self._read()

    def begin(self, stem):
        """The files of that name may from here on be half there."""
        self._write(self._stems + [stem])

    def end(self, stem):
        """They are whole, or gone."""
        self._write([each for each in self._stems if each != stem])

    def settle(self, catalog):
        """Removes at a ``RemoteCatalog`` what earlier runs have left half there, and the first name of what has its second one."""
        if not self._stems:
            return
        names = catalog.names()
        for stem in list(self._stems):
            self._settle(catalog, stem, names)
            self.end(stem)

    @staticmethod
    def _settle(catalog, stem, names):
        found = catalog.at_stem(stem, names)
        if found is None or found.manifest is None:  # Where a file grows under its name, half a manifest is there.
            catalog.rclone.delete(catalog.path(stem + ".json"))
            remove_half(catalog, stem, names)
        elif ID.match(stem):
            second = catalog.second(stem, names)
            if second is not None:
                catalog.remove(Backup(stem, None, stem + second.manifest.archive["name"][len(second.stem):]))

    def _read(self):
        try:
            directory = files.open_directory(os.path.join(self._state_directory, "remotes"))
        except FileNotFoundError:
            return []
        try:
            told = json.loads(files.read_file(directory, self._name, MOST).decode("utf-8"))
            return [stem for stem in told if isinstance(stem, str)] if isinstance(told, list) else []
        except (FileNotFoundError, ValueError, RecursionError, AppStateError):
            return []
        finally:
            os.close(directory)

    def _write(self, stems):
        self._stems = stems
        os.close(files.private_directory(self._state_directory))
        directory = files.private_directory(os.path.join(self._state_directory, "remotes"))
        try:
            if stems:
                files.write_atomically(directory, self._name, json.dumps(stems).encode("ascii") + b"\n")
            else:
                files.remove_written(directory, self._name)
        finally:
            os.close(directory)
