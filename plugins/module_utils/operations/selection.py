# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which archive an operation works on, opened: a backup out of the catalog, here or at a remote, or a file that an operator
names.

A file can be a backup with its manifest beside it, the archive of one without, or what an old shell recipe made: a tar
in any compression, a bare database, a compressed one.
"""

from __future__ import annotations

import io
import os
import stat

from ..archive.generation import read_generations
from ..archive.origin import FileOrigin, StreamOrigin
from ..archive.reader import Contents, Most, first_bytes, read_archive, read_single
from ..catalog import catalog
from ..sources.checking import MARKS
from ..system import files
from ..system.errors import ArchiveError, ConfigurationError, IdentityError, SourceError
from ..system.times import format_time

# What a bare database is called inside, until a source says where it goes.
DATABASE = b"database.db"
# So much more than its manifest says an archive may have before its reading ends: of a little damage each member is told.
MORE_MEMBERS = 1000
MORE_BYTES = 64 * 1024 * 1024


class Selected:
    """An archive, open while it is entered.

    Attributes:
        path: absolute.
        origin: where its bytes come from; see ``archive.origin``.
        backup: the Backup, where its manifest lies beside it; else None.
        identity: secret keys that open it where it is encrypted, or None.
        bare: the kind (see ``sources.checking``) of a database or a dump that is in no archive; else None.
    """

    def __init__(self, path, backup=None, identity=None):
        self.path = path
        self.origin = None
        self.backup = backup
        self.identity = identity
        self.bare = None
        self._descriptor = None

    def __enter__(self):
        try:
            directory = files.open_directory(os.path.dirname(self.path))
            try:
                self._descriptor = os.open(os.path.basename(self.path), files.READ, dir_fd=directory)
            finally:
                os.close(directory)
        except OSError as error:
            raise SourceError("the archive cannot be opened: %s" % error.strerror, path=self.path)
        try:
            if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
                raise SourceError("is not a regular file", path=self.path)
            self.origin = FileOrigin(self._descriptor, self.identity)
            if self.backup is None:
                self.bare = self._kind_of_bare()
        except BaseException:
            os.close(self._descriptor)
            raise
        return self

    def __exit__(self, *unused):
        os.close(self._descriptor)

    def _kind_of_bare(self):
        try:
            start = first_bytes(self.origin, 16)
        except (ArchiveError, IdentityError):
            return None  # Damaged, or not to be opened: a reading says how.
        return next((kind for mark, kind in MARKS.items() if start.startswith(mark)), None)

    @property
    def is_sealed(self):
        """Whether it is encrypted, and nobody gave an identity that could open it."""
        return self.origin.is_encrypted and not self.identity

    def scratch_parents(self, app):
        """Where there may be room for what is extracted of it, the best place first."""
        return [os.path.dirname(self.path)]

    @property
    def manifest(self):
        """The manifest beside the archive, or None."""
        return None if self.backup is None else self.backup.manifest

    @property
    def id(self):
        """The backup's id, or the file's name."""
        return os.path.basename(self.path) if self.backup is None else self.backup.id

    def read(self, scratch, extractor=None, on_bytes=None, most=None):
        """Reads all of it, with the generations that its manifest names; see ``archive.reader.read_archive``. A manifest
        beside it has to fit what was read, and bounds what is read."""
        if self.bare:
            return self._read_bare(scratch, extractor, most)
        try:
            contents = read_archive(self.origin, scratch, extractor, on_bytes, MARKS, most or self._most())
        except (ArchiveError, IdentityError) as error:
            error.path = error.path or self.path
            raise
        self._compare(contents)
        manifest = self.manifest or contents.manifest
        if manifest is not None:
            self._read_generations(manifest, contents, extractor, on_bytes)
        return contents

    def _most(self):
        """What there can be in it by its manifest, or None."""
        if self.manifest is None:
            return None
        told = self.manifest.content["members"]
        return Most(told["count"] + MORE_MEMBERS, told["bytes"] + MORE_BYTES,
                    ArchiveError("there is more in the archive than its manifest says"))

    def _read_generations(self, manifest, contents, extractor, on_bytes):
        read_generations(os.path.dirname(self.path), manifest, contents, extractor, on_bytes)

    def _read_bare(self, scratch, extractor, most):
        try:
            written = os.fstat(self._descriptor).st_mtime_ns
            return read_single(self.origin, scratch, DATABASE, self.bare, written, extractor, most)
        except ArchiveError as error:
            if extractor is not None:
                raise
            contents = Contents()
            contents.problem(DATABASE, error.message)
            contents.lines = io.BytesIO()
            return contents

    def _compare(self, contents):
        if self.backup is None or contents.digest is None:
            return
        if contents.digest != self.manifest.archive["digest"]:
            contents.problem(None, "the archive is not the one that was written (its digest differs)")
        if contents.manifest is None and not contents.problems:
            contents.problem(None, "a manifest lies beside the archive, and in it there is neither one nor a list of members")
        elif contents.manifest is not None and not contents.manifest.same_backup(self.manifest):
            contents.problem(None, "the manifest in the archive and the one beside it tell of different backups")

    def to_dict(self, now):
        """What results say of it."""
        if self.backup is not None:
            return self.backup.to_dict(now)
        found = os.fstat(self._descriptor)
        created = type(now).fromtimestamp(found.st_mtime, now.tzinfo)
        return {"id": self.id, "path": self.path, "good": None, "problem": None, "verified": None,
                "size": found.st_size, "created": format_time(created),
                "age_seconds": int((now - created).total_seconds()), "sources": []}


class RemoteSelected(Selected):
    """A backup at a remote: its archive is never a file here, however often it is read."""

    def __init__(self, catalog_there, backup, identity=None):
        super().__init__(backup.path, backup, identity)
        self._catalog = catalog_there

    def __enter__(self):
        archive = self.manifest.archive
        self.origin = StreamOrigin(lambda: self._catalog.download(self.backup), archive["name"], archive["size"], self.identity)
        return self

    def __exit__(self, *unused):
        """Each reading has closed what it had opened."""

    def scratch_parents(self, app):
        return [app.destination] if app.destination is not None else []

    def _read_generations(self, manifest, contents, extractor, on_bytes):
        """A backup that has any is none at a remote."""


def select(app, which="latest", before=None, archive=None, remote=None, identity=None):
    """The Selected (not entered yet) that an operator asks for.

    Args:
        remote: the ``RemoteCatalog`` to choose from; None chooses at the destination.
        identity: secret keys that open it where it is encrypted, or None.

    Raises:
        ConfigurationError: more than one way to choose was given.
        SourceError, ArchiveError: there is none, or it is not good.
    """
    if sum((which != "latest", before is not None, archive is not None)) > 1:
        raise ConfigurationError("'which', 'before' and 'archive' exclude one another", app=app.name if app else None,
                                 remedy="Give one of them")
    if archive is not None and remote is not None:
        raise ConfigurationError("'archive' and 'remote' exclude one another", app=app.name if app else None,
                                 remedy="Give the one or the other")
    if archive is not None:
        return _of_path(archive, identity)
    if remote is not None:
        return RemoteSelected(remote, _chosen_there(app, remote, which, before), identity)
    backups = catalog.list_backups(app.directory, app.name)
    backup = catalog.choose(backups, app.name, app.directory, which, before)
    return Selected(backup.path, backup, identity)


def _chosen_there(app, remote, which, before):
    """The Backup at a remote; no more manifests are read than it takes to find it."""
    if which != "latest":
        found = remote.find(which)
        if found is not None:
            return catalog.choose([found], app.name, remote.place, which)
    elif before is None:
        newest = next(remote.good(), None)
        if newest is not None:
            return newest
    return catalog.choose(remote.list(), app.name, remote.place, which, before)


def _of_path(archive, identity=None):
    path = os.path.abspath(archive)
    if not os.path.isdir(os.path.dirname(path)):
        raise SourceError("the archive does not exist", path=path)
    backup = catalog.backup_beside(path)
    if backup is not None and backup.problem is not None:
        raise ArchiveError("the backup is not good: %s" % backup.problem, path=path, remedy="Choose another one")
    return Selected(path, backup, identity)


def describe(archive, now):
    """What a listing says of one archive: also of a backup that is not good, which ``select`` refuses."""
    path = os.path.abspath(archive)
    backup = catalog.backup_beside(path) if os.path.isdir(os.path.dirname(path)) else None
    if backup is not None:
        return backup.to_dict(now)
    with _of_path(path) as selected:
        return selected.to_dict(now)
