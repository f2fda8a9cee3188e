# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Takes a backup that was made elsewhere into an app's directory: its archive, with the manifest that lies beside it.

What is verified is what has come under its partial name here, and only then it is listed, by its id. Of an encrypted
archive the digest is looked at, since nobody here has to be able to open it.
"""

from __future__ import annotations

import os
import stat

from ..archive.manifest import ID, MOST, parse_manifest
from ..archive.origin import FileOrigin
from ..catalog import catalog
from ..monitor import audit
from ..system import files
from ..system.copying import copy_descriptor
from ..system.errors import NO_SPACE, AppStateError, ArchiveError, SourceError, SpaceError
from ..system.locks import AppLock
from .backup import open_own_directory
from .selection import Selected
from .verify import verify


class Imported:
    """What came of it.

    Attributes:
        backup: the Backup as it is, or would be, listed at the destination.
        changed: False where it was there already, and nothing was left to move.
    """

    def __init__(self, backup, changed):
        self.backup = backup
        self.changed = changed


def import_backup(app, machine, archive, move=False, dry_run=False):
    """Takes one backup in.

    Args:
        archive: path of its archive.
        move: removes archive and manifest from where they are, once they are here.

    Returns:
        Imported.

    Raises:
        AppStateError: it is not taken in, and nothing is left of the attempt.
    """
    path = os.path.abspath(archive)
    try:
        with AppLock(machine.lock_directory, app.name):
            return _Import(app, machine, path, move).run(dry_run)
    except AppStateError as error:
        raise error.about(app.name)
    except OSError as error:
        if error.errno in NO_SPACE:
            raise SpaceError("no space left for the backup", app=app.name, path=app.destination,
                             remedy="Free some space at the destination")
        raise AppStateError("cannot be taken in: %s" % error.strerror, app=app.name, path=path)


class _Import:
    """One backup on its way in."""

    def __init__(self, app, machine, path, move):
        self._app = app
        self._machine = machine
        self._path = path
        self._move = move

    def run(self, dry_run):
        moved = self._moved_before(dry_run)
        if moved is not None:
            return Imported(moved, False)
        source = self._source()
        there = catalog.find(self._app.directory, self._app.name, source.id)
        if there is not None:
            self._refuse_another(there, source)
            return Imported(there, self._remove_second(source, there, dry_run))
        if dry_run:
            self._verify(Selected(self._path, source))
            return Imported(self._arrived(source), True)
        backup = self._take_in(source)
        audit.record(self._machine.state_directory, self._machine.now(), self._app.name, "import", "ok", backup=backup.id,
                     archive=self._path)
        if self._move:
            self._in_source(lambda directory: catalog.remove(directory, source))
        return Imported(backup, True)

    def _moved_before(self, dry_run):
        """The good Backup here that an earlier call has moved from this place, or None; what that one has left there, since
        it was cut off, is removed."""
        stem = catalog.stem_of(os.path.basename(self._path))
        if not self._move or stem is None or os.path.lexists(os.path.join(os.path.dirname(self._path), stem + ".json")):
            return None
        try:
            manifest = self._in_source(lambda directory: parse_manifest(
                files.read_file(directory, ".%s.json.partial" % stem, MOST), beside=True))
        except (OSError, AppStateError):
            return None if os.path.lexists(self._path) or not ID.match(stem) else self._good_here(stem)
        there = self._good_here(manifest.id)
        if there is None or there.manifest.archive["digest"] != manifest.archive["digest"]:
            return None
        if not dry_run:
            self._in_source(lambda directory: catalog.remove_partial(directory, stem))
        return there

    def _good_here(self, id):
        found = catalog.find(self._app.directory, self._app.name, id)
        return found if found is not None and found.problem is None else None

    def _source(self):
        """The Backup that is taken in."""
        if not os.path.lexists(self._path):
            raise SourceError("the archive does not exist", path=self._path)
        if catalog.stem_of(os.path.basename(self._path)) is None:
            raise SourceError("is not called as an archive of a backup", path=self._path, remedy="Keep the names that its files had")
        source = catalog.backup_beside(self._path)
        if source is None:
            raise ArchiveError("has no manifest beside it", path=self._path,
                               remedy="Copy the file that is called like it and ends with .json, too")
        if source.problem is not None:
            raise ArchiveError("is not good: %s" % source.problem, path=self._path, remedy="Copy it once more, with its manifest")
        if source.path != self._path:
            raise ArchiveError("the manifest beside it is that of %s" % os.path.basename(source.path), path=self._path)
        if source.manifest.app != self._app.name:
            raise ArchiveError("is a backup of the app %s" % source.manifest.app, path=self._path)
        if source.manifest.generations:
            raise ArchiveError("has generations (method: rsync), which lie beside the archive and are not taken in",
                               path=self._path, remedy="Have the app take that source with 'method: archive'")
        return source

    def _in_source(self, step):
        directory = files.open_directory(os.path.dirname(self._path))
        try:
            return step(directory)
        finally:
            os.close(directory)

    def _refuse_another(self, there, source):
        remedy = "Look at both, and move the one that is here elsewhere"
        if there.problem is not None:
            raise ArchiveError("is here already, and not good: %s" % there.problem, path=there.path or self._app.directory,
                               remedy=remedy)
        if there.manifest.archive["digest"] != source.manifest.archive["digest"]:
            raise ArchiveError("is here already, with another archive than %s" % self._path, path=there.path, remedy=remedy)

    def _remove_second(self, source, there, dry_run):
        """Ends a move of what is here already; returns whether there was anything to remove."""
        if not self._move or os.path.samefile(os.path.dirname(self._path), self._app.directory):
            return False
        self._verify(Selected(there.path, there))
        if not dry_run:
            self._in_source(lambda directory: catalog.remove(directory, source))
        return True

    def _arrived(self, source):
        """The Backup as it will be listed: by its id, whatever rolling name it had."""
        told = source.manifest.archive
        name = source.id + told["name"][len(source.stem):]
        manifest = source.manifest.beside(dict(told, name=name), source.manifest.content["verified"])
        return catalog.Backup(source.id, manifest, os.path.join(self._app.directory, name))

    def _take_in(self, source):
        backup = self._arrived(source)
        name = os.path.basename(backup.path)
        directory = open_own_directory(self._app)
        try:
            catalog.reap_partials(directory, self._app.name)
            if files.exists_at(directory, name):
                raise AppStateError("is there without a manifest, so it is not replaced", path=backup.path,
                                    remedy="Look at it, and move it elsewhere")
            with catalog.Publication(directory, backup.id, name[len(backup.id):]) as publication:
                self._in_source(lambda beside: self._bring(beside, directory, publication))
                self._verify(_Arrived(backup, publication.descriptor), self._path)
                os.fchmod(publication.descriptor, 0o600)
                publication.publish(backup.manifest)
        finally:
            os.close(directory)
        return backup

    def _bring(self, beside, directory, publication):
        name = os.path.basename(self._path)
        descriptor = os.open(name, files.READ, dir_fd=beside)
        try:
            found = os.fstat(descriptor)
            if self._move and _is_ours_alone(found) and files.mount_of(descriptor) == files.mount_of(directory):
                publication.adopt(beside, name)
                return
            files.need_space(directory, found.st_size, self._app.directory, "the backup")
            copy_descriptor(descriptor, publication.descriptor)
        finally:
            os.close(descriptor)

    def _verify(self, selected, path=None):
        """Raises ArchiveError where an archive is not what was written; ``path`` is where it came from, where it has just come."""
        with selected:
            found = verify(selected, "checksum")
        if not found.ok:
            first = found.problems[0]
            raise ArchiveError("is damaged: %s%s (%d %s in all)" % (
                first["member"] + " " if first["member"] else "", first["problem"], len(found.problems),
                "problem" if len(found.problems) == 1 else "problems"), path=path or selected.path,
                remedy="Copy it once more; verify it where it was made")


class _Arrived(Selected):
    """An archive that is here, and has no final name yet."""

    def __init__(self, backup, descriptor):
        super().__init__(backup.path, backup)
        self._descriptor = descriptor

    def __enter__(self):
        self.origin = FileOrigin(self._descriptor)
        return self

    def __exit__(self, *unused):
        """Whoever publishes it closes it."""


def _is_ours_alone(found):
    """Whether a file has one name, and nobody else may write it: only then can it be given another name."""
    return (stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and found.st_nlink == 1
            and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH))
