# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All backups of an app at a remote: ``<remote>/<host>/<app>/``, where each lies as it does at a destination.

The manifest comes last and goes first, so that what is listed is there. An archive without its manifest is told of, and
nobody removes it: where its manifest was lost, it may be a good one. What a killed run of this host has left is known to
that host (see ``operations.under_way``).
"""

from __future__ import annotations

import os
import tempfile

from ..archive.manifest import ID, MOST
from ..remote import HOST
from ..remotes.rclone import Rclone
from ..system.errors import ConfigurationError
from .catalog import Backup, judged, newest_first, stem_of, stems_of


class RemoteCatalog:
    """The backups of one app of one host at one remote.

    Args:
        remote: a ``remote.Remote``.
        host: whose backups are meant; see ``host_of``.

    Attributes:
        title: what messages call the remote.
        place: what messages call the directory in it.
    """

    def __init__(self, remote, app_name, host):
        self.title = "remote %s" % remote.name
        self.remote = remote
        self.rclone = Rclone(remote, self.title, remote.bandwidth)
        self._app_name = app_name
        self._directory = "%s/%s" % (host, app_name)
        self.place = remote.at(self._directory)

    def path(self, name):
        """Where a file of that name is, relative to the remote."""
        return "%s/%s" % (self._directory, name)

    def names(self):
        """Name to size of all that is there.

        Raises:
            AppStateError: the remote itself is not there, or does not answer.
        """
        found = self.rclone.listing(self._directory)
        if found is None:
            self.rclone.require()
        return found or {}

    def list(self):
        """All Backups, newest first; those that are not good stand at the end. Manifests alone are read, many at a time."""
        names = self.names()
        if not any(name.endswith(".json") for name in names):
            return self._lost(names)
        with tempfile.TemporaryDirectory(prefix=".appstate-") as directory:
            self.rclone.fetch(self._directory, "*.json", MOST, directory)
            listed = list(newest_first(names, lambda stem: self._judged(stem, names, lambda name: _read(directory, name))))
        return sorted(listed, key=lambda backup: backup.problem is not None) + self._lost(names)

    def good(self):
        """Yields the good Backups, newest first; each manifest is read when it is its turn."""
        names = self.names()
        for backup in newest_first(names, lambda stem: self._judged(stem, names, self._manifest)):
            if backup.problem is None:
                yield backup

    def find(self, id):
        """The Backup with an id, or None; no other manifest is read where its files are called after it."""
        names = self.names()
        if ID.match(id) and id + ".json" in names:
            return self._judged(id, names, self._manifest)
        rolling = (self._judged(stem, names, self._manifest) for stem in stems_of(names) if not ID.match(stem))
        return next((backup for backup in rolling if backup.id == id), None)

    def second(self, id, names):
        """The good Backup with a rolling name that also has files called after its id, or None."""
        rolling = (self._judged(stem, names, self._manifest) for stem in stems_of(names) if not ID.match(stem))
        return next((backup for backup in rolling if backup.id == id and backup.problem is None), None)

    def at_stem(self, stem, names):
        """The Backup whose files have that name, or None where no manifest has it; ``names`` as ``names`` gives them."""
        return self._judged(stem, names, self._manifest) if stem + ".json" in names else None

    def _manifest(self, name):
        return self.rclone.get_bytes(self.path(name), MOST)

    def _judged(self, stem, names, read):
        backup = judged(stem, lambda: read(stem + ".json"), names.get, self.place, self._app_name)
        if backup.problem is None and backup.manifest.generations:
            backup.problem = "its generations stand beside the archive, and not at a remote"
        return backup

    def _lost(self, names):
        """Archives whose manifest is missing."""
        found = []
        for name in sorted(names):
            stem = stem_of(name)
            if stem is not None and stem + ".json" not in names:
                found.append(Backup(stem, None, self.remote.at(self.path(name)), "its manifest is missing"))
        return found

    def download(self, backup):
        """Begins to read the archive of a backup; see ``remotes.rclone.Download``."""
        return self.rclone.download(self.path(os.path.basename(backup.path)))

    def remove(self, backup):
        """Deletes a backup: off the list first."""
        self.rclone.delete(self.path(backup.stem + ".json"))
        self.rclone.delete(self.path(os.path.basename(backup.path)))


def catalog_at(app, name, machine, host=None):
    """The RemoteCatalog of an app at its remote of that name; ``host`` is whose backups are meant, see ``host_of``.

    Raises:
        ConfigurationError: the app has no such remote, or no host can be called so.
    """
    remote = app.remote(name)
    if host is not None and not HOST.match(host):
        raise ConfigurationError("%r is no name of a host" % host, app=app.name, remedy="Name the host that made the backups")
    return RemoteCatalog(remote, app.name, host_of(remote, machine, host))


def host_of(remote, machine, asked=None):
    """The directory of whose backups are meant: the host that is asked for, that of the remote, or this one."""
    return asked or remote.host or machine.hostname


def _read(directory, name):
    with open(os.path.join(directory, name), "rb") as stream:
        return stream.read(MOST)
