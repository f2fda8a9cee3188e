# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All backups of an app at a destination: publishing one, listing them, and choosing one.

A backup exists when its archive and its manifest are both under their final names, and it is listed as good only while
the archive still has the size that the manifest tells, and the generations are there that the manifest names.

Its files are called after its id, or have a rolling name (see ``naming``), which it gets once it is published: the older
backup of that name goes when the newer one is listed already.
"""

from __future__ import annotations

import os
import re
import stat

from ..archive.generation import problem_of
from ..archive.manifest import ID, MOST, parse_manifest
from ..archive.streams import ALL_ENDINGS
from ..naming import STEM
from ..system import files
from ..system.copying import link_or_copy
from ..system.errors import AppStateError, ArchiveError, ConfigurationError, SourceError
from ..system.times import parse_time
from . import generations
from .holds import held_ids

PARTIAL = re.compile(r"\.([A-Za-z0-9][A-Za-z0-9_-]{0,199})(\.tar\.(zst|gz)(\.age)?|\.json)\.partial\Z")


class Backup:
    """One backup: its manifest with its place.

    Attributes:
        id: ``<app>-<UTC stamp>``.
        manifest: the copy beside the archive, or None where that cannot be read.
        path: of the archive; None where the manifest that would name it cannot be read.
        problem: None, or why this is no good backup.
        stem: what its files are called, without their endings: its id, or a rolling name.
    """

    def __init__(self, id, manifest, path, problem=None, stem=None):
        self.id = id
        self.manifest = manifest
        self.path = path
        self.problem = problem
        self.stem = stem or id

    def to_dict(self, now):
        """The backup as results show it; ``now`` is an aware datetime."""
        told = {"id": self.id, "path": self.path, "good": self.problem is None, "problem": self.problem}
        if self.manifest is None:
            return told
        content = self.manifest.content
        shown = ("app", "host", "created", "duration", "kind", "sources", "verified", "warnings", "members")
        told.update({key: content[key] for key in shown})
        told.update({key: content.get(key) for key in ("app_version", "schema_version", "downtime", "encryption")})
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
    yield from newest_first(os.listdir(directory), lambda stem: _read(directory, directory_path, stem, app_name))


def newest_first(names, read):
    """Yields the Backups among the files of a directory, newest first by what their ids say.

    A backup that has both names, since a run was killed while it gave it the second one, comes once.

    Args:
        names: of all files there.
        read: makes the Backup whose files have that stem, and is called when it is its turn. Rolling names do not tell the
            time, so those are read at once; what neither is a manifest of ours nor stands beside an archive is somebody
            else's.
    """
    names = set(names)
    stems = stems_of(names)
    rolling = [read(stem) for stem in stems if not ID.match(stem)]
    rolling = [backup for backup in rolling
               if backup.manifest is not None or any(backup.stem + ending in names for ending in ALL_ENDINGS)]
    twice = {backup.id for backup in rolling if backup.problem is None}
    ordered = [(backup.id, backup) for backup in rolling]
    ordered.extend((stem, None) for stem in stems if ID.match(stem) and stem not in twice)
    for id, backup in sorted(ordered, key=lambda each: (each[0][-16:], each[0]), reverse=True):
        yield read(id) if backup is None else backup


def stems_of(names):
    """What those are called whose manifests are among some files."""
    return [name[:-5] for name in names if name.endswith(".json") and STEM.match(name[:-5])]


def _read(directory, directory_path, stem, app_name=None):
    def size_of(name):
        try:
            found = os.stat(name, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            return None
        return found.st_size if stat.S_ISREG(found.st_mode) else -1

    backup = judged(stem, lambda: files.read_file(directory, stem + ".json", MOST), size_of, directory_path, app_name)
    if backup.problem is None:
        problems = (problem_of(directory, source) for source in backup.manifest.generations)
        backup.problem = next((problem for problem in problems if problem is not None), None)
    return backup


def judged(stem, read_manifest, size_of, place, app_name=None):
    """The Backup whose files have a name, and what is wrong with it.

    Args:
        read_manifest: gives the bytes of its manifest.
        size_of: gives the size of a file beside it by its name: None where it is missing, -1 where it is no file.
        place: path of the directory, which becomes the archive's path.
        app_name: whose it has to be, or None.
    """
    id, manifest, path = stem, None, None
    try:
        manifest = parse_manifest(read_manifest(), beside=True)
        if ID.match(stem) and manifest.id != stem:
            raise ArchiveError("the manifest is that of %s" % manifest.id)
        id = manifest.id
        if app_name is not None and manifest.app != app_name:
            raise ArchiveError("is a backup of the app %s" % manifest.app)
        name = manifest.archive["name"]
        if name not in [stem + ending for ending in ALL_ENDINGS]:
            raise ArchiveError("the manifest names another archive: %s" % name)
        path, size = os.path.join(place, name), size_of(name)
        if size is None:
            raise ArchiveError("the archive is missing")
        if size != manifest.archive["size"]:
            raise ArchiveError("the archive has %d bytes, and the manifest says %d" % (size, manifest.archive["size"]))
    except OSError as error:
        return Backup(id, manifest, path, "cannot be read: %s" % error.strerror, stem)
    except AppStateError as error:
        return Backup(id, manifest, path, error.message, stem)
    return Backup(id, manifest, path, stem=stem)


def backup_beside(archive_path):
    """The Backup of a bare archive path that has its manifest beside it, or None where it has none."""
    directory_path, name = os.path.split(os.path.abspath(archive_path))
    stem = stem_of(name)
    if stem is None:
        return None
    directory = files.open_directory(directory_path)
    try:
        if not files.exists_at(directory, stem + ".json"):
            return None
        backup = _read(directory, directory_path, stem)
        # Beside an archive of somebody else may lie a JSON file of somebody else.
        return None if backup.manifest is None and not ID.match(stem) else backup
    finally:
        os.close(directory)


def stem_of(name):
    """The name of an archive without its ending, or None where it is not called as an archive of ours."""
    for ending in ALL_ENDINGS:
        if name.endswith(ending) and STEM.match(name[:-len(ending)]):
            return name[:-len(ending)]
    return None


def good_backups(directory_path, app_name):
    """Yields the good Backups in an app's directory, newest first; the rest is not read until it is asked for."""
    return (backup for backup in _each(directory_path, app_name) if backup.problem is None)


def newest_good(directory_path, app_name):
    """The newest good Backup in an app's directory, or None."""
    return next(good_backups(directory_path, app_name), None)


def find(directory_path, app_name, id):
    """The Backup with an id in an app's directory, good or not, or None; where its files are called after it, no other
    manifest of such a name is read."""
    try:
        directory = files.open_directory(directory_path)
    except FileNotFoundError:
        return None
    try:
        names = [name for name in os.listdir(directory) if not ID.match(name[:-5]) or name[:-5] == id]
        found = newest_first(names, lambda stem: _read(directory, directory_path, stem, app_name))
        return next((backup for backup in found if backup.id == id), None)
    finally:
        os.close(directory)


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

    def adopt(self, directory, name):
        """Begins with a finished archive out of a directory of ours, by a second name for it where that can be.

        Its owner has to be who we are, and nobody else may be able to write it.
        """
        partial = self._partial(self._ending)
        os.unlink(partial, dir_fd=self._directory)
        link_or_copy(directory, name, self._directory, partial)
        empty, self.descriptor = self.descriptor, os.open(partial, files.READ, dir_fd=self._directory)
        os.close(empty)

    def publish(self, manifest):
        """Gives archive and manifest their final names; ``manifest`` is the copy that lies beside the archive."""
        os.fsync(self.descriptor)
        _write_new(self._directory, self._partial(".json"), manifest)
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


def remove_partial(directory, stem):
    """Removes what an unfinished publication left: the archive under its final name too, while it has no manifest.

    The partial manifest goes last: it is what tells that the rest is ours.
    """
    if files.exists_at(directory, ".%s.json.partial" % stem) and not files.exists_at(directory, stem + ".json"):
        for ending in ALL_ENDINGS:
            files.remove_if_there(directory, stem + ending)
    for ending in ALL_ENDINGS + (".json",):
        files.remove_if_there(directory, ".%s%s.partial" % (stem, ending))


def remove(directory, backup, stays=None):
    """Deletes a backup: off the list first, and in a way that the next run goes on with where this one is killed.

    Args:
        stays: asked when it is off the list, so that nobody can begin to need it: whether it is to stay after all.

    Returns:
        Whether it is gone.
    """
    listed, unlisted = backup.stem + ".json", ".%s.json.partial" % backup.stem
    try:
        os.rename(listed, unlisted, src_dir_fd=directory, dst_dir_fd=directory)
    except FileNotFoundError:
        return True
    os.fsync(directory)
    if stays is not None and stays():
        os.rename(unlisted, listed, src_dir_fd=directory, dst_dir_fd=directory)
        os.fsync(directory)
        return False
    remove_partial(directory, backup.stem)
    return True


def roll(directory, directory_path, backup, stem):
    """Gives a published backup a rolling name; the older one of that name, if any, goes when this one is listed already.

    Whenever it is killed the backup is listed, by one name or by both, and ``reap_partials`` ends what was begun.

    Returns:
        The Backup with its new name; None where the older one is on hold, and both stay what they are called.

    Raises:
        AppStateError: something is there that nobody may replace; the backup stays what it is called.
    """
    ending = backup.manifest.archive["name"][len(backup.stem):]
    remove_partial(directory, stem)
    if files.exists_at(directory, stem + ".json"):
        older = _read(directory, directory_path, stem, backup.manifest.app)
        if older.manifest is None or older.manifest.app != backup.manifest.app:
            raise AppStateError("is no manifest of this app, so it is not replaced", path=os.path.join(directory_path, stem + ".json"),
                                remedy="Look at it, and move it elsewhere; the backup is called %s meanwhile" % backup.id)
        if not remove(directory, older, lambda: older.id in held_ids(directory)):
            return None
    if files.exists_at(directory, stem + ending):
        raise AppStateError("is there without a manifest, so it is not replaced", path=os.path.join(directory_path, stem + ending),
                            remedy="Look at it, and move it elsewhere; the backup is called %s meanwhile" % backup.id)
    manifest = backup.manifest.beside(dict(backup.manifest.archive, name=stem + ending), backup.manifest.content["verified"])
    try:
        _write_new(directory, ".%s.json.partial" % stem, manifest)
        os.fsync(directory)
        link_or_copy(directory, backup.stem + ending, directory, stem + ending)
        os.rename(".%s.json.partial" % stem, stem + ".json", src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        remove_partial(directory, stem)
        raise
    os.fsync(directory)
    remove(directory, backup)
    return Backup(backup.id, manifest, os.path.join(directory_path, stem + ending), stem=stem)


def _write_new(directory, name, manifest):
    descriptor = os.open(name, files.CREATE, 0o600, dir_fd=directory)
    try:
        files.write_all(descriptor, manifest.to_bytes())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def reap_partials(directory, app_name):
    """Removes what killed runs of an app left in its directory; the caller holds the app's lock.

    What is on hold is listed again instead: ``remove`` was killed when it had just found that out.
    """
    held = held_ids(directory)
    for name in os.listdir(directory):
        match = PARTIAL.match(name)
        if match and _is_of(directory, match.group(1), app_name) and not _listed_again(directory, match.group(1), held):
            remove_partial(directory, match.group(1))
    _reap_second_names(directory, app_name)
    reap_generations(directory, app_name)


def _listed_again(directory, stem, held):
    """Puts a manifest back where its backup is on hold and has its archive still; returns whether it did."""
    unlisted = ".%s.json.partial" % stem
    try:
        manifest = parse_manifest(files.read_file(directory, unlisted, MOST), beside=True)
    except (OSError, AppStateError):
        return False
    if manifest.id not in held or not files.exists_at(directory, manifest.archive["name"]):
        return False
    os.rename(unlisted, stem + ".json", src_dir_fd=directory, dst_dir_fd=directory)
    os.fsync(directory)
    return True


def _is_of(directory, stem, app_name):
    """Whether partial files belong to an app; those with a rolling name do where they have a manifest that says so."""
    if ID.match(stem):
        return stem.rpartition("-")[0] == app_name
    try:
        manifest = parse_manifest(files.read_file(directory, ".%s.json.partial" % stem, MOST), beside=True)
        return manifest.app == app_name and stem_of(manifest.archive["name"]) == stem
    except (OSError, AppStateError):
        return False


def _reap_second_names(directory, app_name):
    """A backup that has its rolling name is not called by its id any more."""
    names = os.listdir(directory)
    for stem in stems_of(names):
        if ID.match(stem):
            continue
        backup = _read(directory, "", stem, app_name)
        if backup.problem is None and backup.id + ".json" in names:
            remove(directory, Backup(backup.id, backup.manifest, None))


def reap_generations(directory, app_name):
    """Removes the generations of an app that no backup needs any more; the caller holds the app's lock."""
    generations.reap(directory, app_name, lambda: _each_in(directory, "", None))


def is_free(directory, id):
    """Whether no archive, no manifest, no generation and no hold has that id yet."""
    return not any(name.startswith(id + ".") for name in os.listdir(directory))
