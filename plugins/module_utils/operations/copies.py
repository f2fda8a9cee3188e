# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copies a backup to a remote: the archive first, then a look at what has arrived, the manifest last.

So a backup is in the remote's catalog only when its archive is there and is what was sent. What is looked at is the hash
that the remote itself tells, where it tells one that Python knows; else the archive is read back and digested.
"""

from __future__ import annotations

import hashlib
import time

from ..archive.origin import StreamOrigin
from ..archive.streams import ALL_ENDINGS
from ..archive.tar import CHUNK
from ..catalog.catalog import Backup
from ..catalog.holds import held_in
from ..catalog.remote import RemoteCatalog, host_of
from ..remotes.attempts import attempted
from ..system.errors import AppStateError, RemoteError
from .under_way import UnderWay, remove_half

# Of the algorithms that remotes tell, and Python has, the one that says most first.
ALGORITHMS = ("sha256", "sha1", "md5")


class Copied:
    """How one copy ended.

    Attributes:
        remote: name of the remote.
        path: where the archive is, or None.
        size: bytes that were sent, or None.
        seconds: it took.
        error: the AppStateError that made it fail, or None.
        warnings: texts.
    """

    def __init__(self, remote, path=None, size=None, seconds=0.0, error=None):
        self.remote = remote
        self.path = path
        self.size = size
        self.seconds = seconds
        self.error = error
        self.warnings = []

    def to_dict(self):
        """The copy as results show it."""
        return {"remote": self.remote, "path": self.path, "size": self.size, "seconds": self.seconds,
                "problem": None if self.error is None else str(self.error)}


def copy_to(app, remote, machine, backup, stem=None, on_bytes=None):
    """Copies a published backup to a remote, and checks it there; the caller holds the app's lock.

    Args:
        stem: the rolling name that it gets there once it is listed, or None.
        on_bytes: called with the number of bytes that were sent.

    Returns:
        Copied; what went wrong is in it, and nothing half done is left, unless the remote cannot be reached any more: then
        the next run removes it.
    """
    begun = time.monotonic()
    copied = Copied(remote.name)
    try:
        copying = _Copying(app, remote, machine, backup, on_bytes)
        copied.path, copied.size = copying.run(stem), backup.manifest.archive["size"]
        copied.warnings = copying.warnings
    except AppStateError as error:
        copied.error = error.about(app.name)
    except OSError as error:
        copied.error = RemoteError("remote %s: the copy failed: %s" % (remote.name, error.strerror), app=app.name,
                                   path=error.filename)
    copied.seconds = round(time.monotonic() - begun, 3)
    return copied


def reach(app, remote, machine):
    """Raises AppStateError where a copy to a remote could not begin; nothing is written."""
    attempted(RemoteCatalog(remote, app.name, host_of(remote, machine)).names, remote.attempts)


class _Copying:
    """One backup on its way to one remote."""

    def __init__(self, app, remote, machine, backup, on_bytes):
        self.warnings = []
        self._app = app
        self._remote = remote
        self._backup = backup
        self._on_bytes = on_bytes
        self._catalog = RemoteCatalog(remote, app.name, host_of(remote, machine))
        self._rclone = self._catalog.rclone
        self._under_way = UnderWay(machine, app.name, remote.name)

    def run(self, stem):
        """Returns where the archive is."""
        attempted(self._rclone.require, self._remote.attempts)
        name = self._backup.manifest.archive["name"]
        if self._remote.delete:
            attempted(lambda: self._under_way.settle(self._catalog), self._remote.attempts)
        else:
            self._refuse_to_replace(name)
        self._publish(self._backup, self._send)
        # Where nothing may be deleted, nothing can be replaced: there each backup keeps its own name.
        if stem is not None and stem != self._backup.stem and self._remote.delete:
            name = self._roll(stem)
        return self._remote.at(self._catalog.path(name))

    def _refuse_to_replace(self, archive):
        names = attempted(self._catalog.names, self._remote.attempts)
        for name in (self._backup.stem + ".json", archive):
            if name in names:
                raise RemoteError("%s: is there already, and nothing is replaced where 'delete' is false" % self._catalog.title,
                                  path=self._remote.at(self._catalog.path(name)), remedy="See whether two hosts have one name")

    def _publish(self, backup, bring):
        """Has an archive brought to its name there, and its manifest follow; removes what is half there where that fails."""
        archive = backup.manifest.archive["name"]
        self._under_way.begin(backup.stem)
        try:
            attempted(lambda: self._bring(bring, archive), self._remote.attempts)
            attempted(lambda: self._put_manifest(backup), self._remote.attempts)
        except BaseException:
            self._take_back(backup.stem)
            raise
        self._under_way.end(backup.stem)

    def _bring(self, bring, archive):
        bring(archive)
        self._check(archive)

    def _send(self, archive):
        self._rclone.put(self._backup.path, self._catalog.path(archive), self._on_bytes)

    def _check(self, archive):
        """Whether what has arrived is what was sent."""
        told = self._backup.manifest.archive
        found = self._rclone.stat(self._catalog.path(archive))
        if found is None or found["Size"] != told["size"]:
            raise self._differs(archive, "has %s bytes instead of %d" % (found["Size"] if found else "no", told["size"]))
        algorithm = next((each for each in ALGORITHMS if found["Hashes"].get(each)), None)
        if algorithm is None:
            origin = StreamOrigin(lambda: self._rclone.download(self._catalog.path(archive)), archive, told["size"])
            same = origin.hexdigest() == told["digest"]
        else:
            same = found["Hashes"][algorithm] == _hash_of(self._backup.path, algorithm)
        if not same:
            raise self._differs(archive, "has other content (its %s differs)" % (algorithm or "digest"))

    def _put_manifest(self, backup):
        path, data = self._catalog.path(backup.stem + ".json"), backup.manifest.to_bytes()
        self._rclone.put_bytes(data, path)
        if self._rclone.get_bytes(path, 2 * len(data)) != data:
            raise self._differs(backup.stem + ".json", "has other content")

    def _differs(self, name, what):
        error = RemoteError("%s: what has arrived is not what was sent: it %s" % (self._catalog.title, what),
                            path=self._remote.at(self._catalog.path(name)), remedy="Look at the disk of the remote")
        error.lasting = False
        return error

    def _take_back(self, stem):
        """Where it cannot be done, the next run does it."""
        if not self._remote.delete:
            return
        try:
            # The manifest first: whatever became of it, without it the backup is not listed.
            self._rclone.delete(self._catalog.path(stem + ".json"))
            remove_half(self._catalog, stem, self._catalog.names())
            self._under_way.end(stem)
        except AppStateError:
            pass

    def _roll(self, stem):
        """Gives the copy its rolling name; the older one of that name goes when this one is listed already.

        Returns:
            The archive's name; the one that it has where the older one is on hold.

        Raises:
            RemoteError: something is there that nobody may replace; the copy stays what it is called.
        """
        before = self._backup
        ending = before.manifest.archive["name"][len(before.stem):]
        manifest = before.manifest.beside(dict(before.manifest.archive, name=stem + ending), before.manifest.content["verified"])
        names = attempted(self._catalog.names, self._remote.attempts)
        older = self._at_stem(stem, names)
        # Asked right before it would go: copying may have taken hours. It is what that name has there, whatever it is called here.
        if older is not None and older.id in held_in(self._app.directory):
            self.warnings.append("%s at remote %s" % (kept_text(older, before), self._remote.name))
            return before.manifest.archive["name"]
        # The last of the two to go: until then the next run looks whether the backup has both names.
        self._under_way.begin(before.stem)
        self._under_way.begin(stem)
        for name in [stem + ".json"] + [stem + each for each in ALL_ENDINGS]:
            if name in names:
                self._rclone.delete(self._catalog.path(name))
        source = self._catalog.path(before.manifest.archive["name"])
        self._publish(Backup(before.id, manifest, None, stem=stem),
                      lambda archive: self._rclone.copy_within(source, self._catalog.path(archive)))
        self._catalog.remove(before)
        self._under_way.end(before.stem)
        return stem + ending

    def _at_stem(self, stem, names):
        """The Backup that has a rolling name there, or None; refuses strangers as ``catalog.roll`` does at the destination."""
        older = self._catalog.at_stem(stem, names)
        if older is None:
            strangers = [stem + ending for ending in ALL_ENDINGS if stem + ending in names]
            what = "is there without a manifest"
        else:
            strangers = [stem + ".json"] if older.manifest is None or older.manifest.app != self._backup.manifest.app else []
            what = "is no manifest of this app"
        if strangers:
            raise RemoteError("%s: %s, so it is not replaced" % (self._catalog.title, what),
                              path=self._remote.at(self._catalog.path(strangers[0])),
                              remedy="Look at it, and move it elsewhere; the copy is called %s meanwhile" % self._backup.id)
        return older


def kept_text(older, newer):
    """Why a backup does not get its rolling name."""
    return "%s is on hold, so %s keeps its own name" % (older.id, newer.id)


def _hash_of(path, algorithm):
    digest = hashlib.new(algorithm)
    with open(path, "rb") as stream:
        for piece in iter(lambda: stream.read(CHUNK), b""):
            digest.update(piece)
    return digest.hexdigest()
