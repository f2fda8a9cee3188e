# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which archive an operation works on, opened: a backup out of the catalog, or a file that an operator names.

A file can be a backup with its manifest beside it, the archive of one without, or what an old shell recipe made: a tar
in any compression, a bare database, a compressed one.
"""

from __future__ import annotations

import io
import os
import stat

from ..archive.generation import read_generations
from ..archive.reader import Contents, first_bytes, read_archive, read_single
from ..catalog import catalog
from ..sources.checking import MARKS
from ..system import files
from ..system.errors import ArchiveError, ConfigurationError, SourceError
from ..system.times import format_time

# What a bare database is called inside, until a source says where it goes.
DATABASE = b"database.db"


class Selected:
    """An open archive.

    Attributes:
        path: absolute.
        descriptor: open for reading.
        backup: the Backup, where its manifest lies beside it; else None.
        bare: the kind (see ``sources.checking``) of a database or a dump that is in no archive; else None.
    """

    def __init__(self, path, backup=None):
        self.path = path
        self.backup = backup
        self.descriptor = None
        self.bare = None

    def __enter__(self):
        try:
            directory = files.open_directory(os.path.dirname(self.path))
            try:
                self.descriptor = os.open(os.path.basename(self.path), files.READ, dir_fd=directory)
            finally:
                os.close(directory)
        except OSError as error:
            raise SourceError("the archive cannot be opened: %s" % error.strerror, path=self.path)
        try:
            if not stat.S_ISREG(os.fstat(self.descriptor).st_mode):
                raise SourceError("is not a regular file", path=self.path)
            if self.backup is None:
                self.bare = self._kind_of_bare()
        except BaseException:
            os.close(self.descriptor)
            raise
        return self

    def __exit__(self, *unused):
        os.close(self.descriptor)

    def _kind_of_bare(self):
        try:
            start = first_bytes(self.descriptor, 16)
        except ArchiveError:
            return None  # Damaged: a reading says how.
        return next((kind for mark, kind in MARKS.items() if start.startswith(mark)), None)

    @property
    def manifest(self):
        """The manifest beside the archive, or None."""
        return None if self.backup is None else self.backup.manifest

    @property
    def id(self):
        """The backup's id, or the file's name."""
        return os.path.basename(self.path) if self.backup is None else self.backup.id

    def read(self, scratch, extractor=None, on_bytes=None):
        """Reads all of it, with the generations that its manifest names; see ``archive.reader.read_archive``. A manifest
        beside it has to fit what was read."""
        if self.bare:
            return self._read_bare(scratch, extractor)
        contents = read_archive(self.descriptor, scratch, extractor, on_bytes, MARKS)
        self._compare(contents)
        manifest = self.manifest or contents.manifest
        if manifest is not None:
            read_generations(os.path.dirname(self.path), manifest, contents, extractor, on_bytes)
        return contents

    def _read_bare(self, scratch, extractor):
        try:
            return read_single(self.descriptor, scratch, DATABASE, self.bare, extractor)
        except ArchiveError as error:
            if extractor is not None:
                raise
            contents = Contents()
            contents.problem(DATABASE, error.message)
            contents.lines = io.BytesIO()
            return contents

    def _compare(self, contents):
        if self.backup is None:
            return
        if contents.digest != self.manifest.archive["digest"]:
            contents.problem(None, "the archive is not the one that was written (its digest differs)")
        if contents.manifest is not None and not contents.manifest.same_backup(self.manifest):
            contents.problem(None, "the manifest in the archive and the one beside it tell of different backups")

    def to_dict(self, now):
        """What results say of it."""
        if self.backup is not None:
            return self.backup.to_dict(now)
        found = os.fstat(self.descriptor)
        created = type(now).fromtimestamp(found.st_mtime, now.tzinfo)
        return {"id": self.id, "path": self.path, "good": None, "problem": None, "verified": None,
                "size": found.st_size, "created": format_time(created),
                "age_seconds": int((now - created).total_seconds()), "sources": []}


def select(app, which="latest", before=None, archive=None):
    """The Selected (not entered yet) that an operator asks for.

    Raises:
        ConfigurationError: more than one way to choose was given.
        SourceError, ArchiveError: there is none, or it is not good.
    """
    if sum((which != "latest", before is not None, archive is not None)) > 1:
        raise ConfigurationError("'which', 'before' and 'archive' exclude one another", app=app.name if app else None,
                                 remedy="Give one of them")
    if archive is not None:
        return _of_path(archive)
    backups = catalog.list_backups(app.directory, app.name)
    backup = catalog.choose(backups, app.name, app.directory, which, before)
    return Selected(backup.path, backup)


def _of_path(archive):
    path = os.path.abspath(archive)
    if not os.path.isdir(os.path.dirname(path)):
        raise SourceError("the archive does not exist", path=path)
    backup = catalog.backup_beside(path)
    if backup is not None and backup.problem is not None:
        raise ArchiveError("the backup is not good: %s" % backup.problem, path=path, remedy="Choose another one")
    return Selected(path, backup)


def describe(archive, now):
    """What a listing says of one archive: also of a backup that is not good, which ``select`` refuses."""
    path = os.path.abspath(archive)
    backup = catalog.backup_beside(path) if os.path.isdir(os.path.dirname(path)) else None
    if backup is not None:
        return backup.to_dict(now)
    with _of_path(path) as selected:
        return selected.to_dict(now)
