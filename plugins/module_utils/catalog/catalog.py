# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All backups of an app at a destination: publishing one, listing them, and choosing one.

A backup exists when its archive and its manifest are both under their final names, and it is listed as good only while
the archive still has the size that the manifest tells, and the generations are there that the manifest names.
"""

from __future__ import annotations

import os
import re
import stat

from ..archive.generation import problem_of
from ..archive.manifest import ID, MOST, parse_manifest
from ..archive.streams import ENDINGS
from ..system import files
from ..system.errors import AppStateError, ArchiveError, ConfigurationError, SourceError
from ..system.times import parse_time
from . import generations

PARTIAL = re.compile(r"\.([A-Za-z0-9][A-Za-z0-9_-]{0,62}-\d{8}T\d{6}Z)(\.tar\.zst|\.tar\.gz|\.json)\.partial\Z")


class Backup:
    """One backup: its manifest with its place.

    Attributes:
        id: ``<app>-<UTC stamp>``.
        manifest: the copy beside the archive, or None where that cannot be read.
        path: of the archive; None where the manifest that would name it cannot be read.
        problem: None, or why this is no good backup.
    """

    def __init__(self, id, manifest, path, problem=None):
        self.id = id
        self.manifest = manifest
        self.path = path
        self.problem = problem

    def to_dict(self, now):
        """The backup as results show it; ``now`` is an aware datetime."""
        told = {"id": self.id, "path": self.path, "good": self.problem is None, "problem": self.problem}
        if self.manifest is None:
            return told
        content = self.manifest.content
        shown = ("app", "host", "created", "duration", "kind", "sources", "verified", "warnings", "members")
        told.update({key: content[key] for key in shown})
        told.update({key: content.get(key) for key in ("app_version", "schema_version", "downtime")})
        told["size"] = content["archive"]["size"]
        told["digest"] = content["archive"]["digest"]
        told["age_seconds"] = int((now - self.manifest.created).total_seconds())
        return told


def list_backups(directory_path, app_name):
    """All Backups in an app's directory, newest first; those that are not good, or another app's, stand at the end.

    Raises:
        AppStateError: the directory cannot be read. One that does not exist holds no backups.
    """
    # Sorting is stable, so the good ones stay in their order.
    return sorted(_each(directory_path, app_name), key=lambda backup: backup.problem is not None)


def _each(directory_path, app_name):
    """Reads one Backup after the other, newest first by what their ids say."""
    try:
        directory = files.open_directory(directory_path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise AppStateError("the backups cannot be listed: %s" % error.strerror, path=directory_path)
    try:
        yield from _each_in(directory, directory_path, app_name)
    finally:
        os.close(directory)


def _each_in(directory, directory_path, app_name):
    ids = [name[:-5] for name in os.listdir(directory) if name.endswith(".json") and ID.match(name[:-5])]
    for id in sorted(ids, key=lambda id: (id[-16:], id), reverse=True):
        yield _read(directory, directory_path, id, app_name)


def _read(directory, directory_path, name, app_name=None):
    manifest, path = None, None
    try:
        manifest = parse_manifest(files.read_file(directory, name + ".json", MOST), beside=True)
        if manifest.id != name:
            raise ArchiveError("the manifest is that of %s" % manifest.id)
        if app_name is not None and manifest.app != app_name:
            raise ArchiveError("is a backup of the app %s" % manifest.app)
        path = os.path.join(directory_path, manifest.archive["name"])
        found = os.stat(manifest.archive["name"], dir_fd=directory, follow_symlinks=False)
        if not stat.S_ISREG(found.st_mode) or found.st_size != manifest.archive["size"]:
            raise ArchiveError("the archive has %d bytes, and the manifest says %d"
                               % (found.st_size, manifest.archive["size"]))
        for problem in (problem_of(directory, source) for source in manifest.generations):
            if problem is not None:
                raise ArchiveError(problem)
    except FileNotFoundError:
        return Backup(name, manifest, path, "the archive is missing")
    except OSError as error:
        return Backup(name, manifest, path, "cannot be read: %s" % error.strerror)
    except AppStateError as error:
        return Backup(name, manifest, path, error.message)
    return Backup(name, manifest, path)


def backup_beside(archive_path):
    """The Backup of a bare archive path that has its manifest beside it, or None where it has none."""
    directory_path, name = os.path.split(os.path.abspath(archive_path))
    stem = _stem(name)
    if stem is None:
        return None
    directory = files.open_directory(directory_path)
    try:
        if not files.exists_at(directory, stem + ".json"):
            return None
        return _read(directory, directory_path, stem)
    finally:
        os.close(directory)


def _stem(name):
    for ending in ENDINGS.values():
        if name.endswith(ending) and ID.match(name[:-len(ending)]):
            return name[:-len(ending)]
    return None


def good_backups(directory_path, app_name):
    """Yields the good Backups in an app's directory, newest first; the rest is not read until it is asked for."""
    return (backup for backup in _each(directory_path, app_name) if backup.problem is None)


def newest_good(directory_path, app_name):
    """The newest good Backup in an app's directory, or None."""
    return next(good_backups(directory_path, app_name), None)


def choose(backups, app_name, directory_path, which="latest", before=None):
    """The newest good backup, the newest before a time, or the one with an id.

    Args:
        backups: as ``list_backups`` gives them.
        before: RFC 3339 text; the backup was begun at or before it.

    Raises:
        SourceError: there is none, or the one that was asked for is not good.
    """
    if which != "latest":
        return _by_id(backups, app_name, directory_path, which)
    good = [backup for backup in backups if backup.problem is None]
    if before is not None:
        limit = _time(before, app_name)
        good = [backup for backup in good if backup.manifest.created <= limit]
    if not good:
        broken = len(backups) - len([backup for backup in backups if backup.problem is None])
        raise SourceError("has no good backup%s%s" % (" at or before %s" % before if before else "",
                                                      " (%d that are not good)" % broken if broken else ""),
                          app=app_name, path=directory_path, remedy="List them with appstate.backup.backup_info")
    return good[0]


def _by_id(backups, app_name, directory_path, wanted):
    for backup in backups:
        if backup.id == wanted:
            if backup.problem is not None:
                raise ArchiveError("backup %s cannot be restored: %s" % (wanted, backup.problem), app=app_name,
                                   path=backup.path or directory_path, remedy="Choose another one")
            return backup
    known = ", ".join(backup.id for backup in backups[:5])
    raise SourceError("has no backup %r" % wanted, app=app_name, path=directory_path,
                      remedy="The newest are: %s" % known if known else "It has none at all")


def _time(text, app_name):
    try:
        return parse_time(text)
    except ValueError:
        raise ConfigurationError("%r is no time" % text, app=app_name,
                                 remedy="Write it as RFC 3339 with its offset: 2026-11-19T03:00:00Z")


class Publication:
    """An archive on its way into an app's directory: under partial names until ``publish``.

    Leaving it without ``publish`` removes what there is.
    """

    def __init__(self, directory, id, ending):
        self._directory = directory
        self._id = id
        self._ending = ending
        self._published = False

    @property
    def archive_name(self):
        """The archive's final name."""
        return self._id + self._ending

    def __enter__(self):
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self.descriptor = os.open(self._partial(self._ending), flags, 0o600, dir_fd=self._directory)
        return self

    def publish(self, manifest):
        """Gives archive and manifest their final names; ``manifest`` is the copy that lies beside the archive."""
        os.fsync(self.descriptor)
        partial = self._partial(".json")
        descriptor = os.open(partial, files.CREATE, 0o600, dir_fd=self._directory)
        try:
            files.write_all(descriptor, manifest.to_bytes())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        for name in (self._ending, ".json"):
            os.rename(self._partial(name), self._id + name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        os.fsync(self._directory)
        self._published = True

    def __exit__(self, *unused):
        os.close(self.descriptor)
        if not self._published:
            remove_partial(self._directory, self._id)

    def _partial(self, ending):
        return ".%s%s.partial" % (self._id, ending)


def remove_partial(directory, id):
    """Removes what an unfinished publication left: the archive under its final name too, while it has no manifest.

    The partial manifest goes last: it is what tells that the rest is ours.
    """
    endings = tuple(ENDINGS.values())
    if files.exists_at(directory, ".%s.json.partial" % id) and not files.exists_at(directory, id + ".json"):
        for ending in endings:
            files.remove_if_there(directory, id + ending)
    for ending in endings + (".json",):
        files.remove_if_there(directory, ".%s%s.partial" % (id, ending))


def remove(directory, backup):
    """Deletes a backup: off the list first, and in a way that the next run goes on with where this one is killed."""
    try:
        os.rename(backup.id + ".json", ".%s.json.partial" % backup.id, src_dir_fd=directory, dst_dir_fd=directory)
    except FileNotFoundError:
        return
    os.fsync(directory)
    remove_partial(directory, backup.id)


def reap_partials(directory, app_name):
    """Removes what killed runs of an app left in its directory; the caller holds the app's lock."""
    for name in os.listdir(directory):
        match = PARTIAL.match(name)
        if match and match.group(1).rpartition("-")[0] == app_name:
            remove_partial(directory, match.group(1))
    reap_generations(directory, app_name)


def reap_generations(directory, app_name):
    """Removes the generations of an app that no backup needs any more; the caller holds the app's lock."""
    generations.reap(directory, app_name, lambda: _each_in(directory, "", None))


def is_free(directory, id):
    """Whether no archive, no manifest, no generation and no hold has that id yet."""
    return not any(name.startswith(id + ".") for name in os.listdir(directory))
