# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Takes one backup of an app: lock, snapshots, one streaming pass, a second look at the finished archive, publication.

An app whose mode is ``cold`` is stopped for no longer than its state is read. Nothing has its final name before the
archive was read back and found to be what its sources were.
"""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import ExitStack
from itertools import chain

from ..archive import age, streams
from ..archive.manifest import FORMAT, Manifest
from ..archive.origin import FileOrigin
from ..archive.reader import entries, read_archive
from ..archive.writer import ArchiveWriter
from ..catalog import catalog
from ..sources.sqlite import FALLBACK
from ..sources.taking import Room, takers_of
from ..system import files, scratch
from ..system.errors import NO_SPACE, AppStateError, ArchiveError, SourceError, SpaceError
from ..system.locks import AppLock
from ..system.times import format_time, stamp
from .cold import Stopped
from .diagnosis import contents_below, missing_texts
from .inquiry import Inquiry
from .journal import refuse_unfinished
from .version import application_version


class Taken:
    """What came of a run.

    Attributes:
        backup: the published Backup.
        warnings: texts for the operator.
        complete: False where something could not be read.
        problem: a NotRunningError where the app was stopped for the backup and is not well since; else None.
    """

    def __init__(self, backup, warnings, complete, problem):
        self.backup = backup
        self.warnings = warnings
        self.complete = complete
        self.problem = problem


def take_backup(app, machine, on_bytes=None, on_phase=None):
    """Takes, verifies and publishes a backup.

    Args:
        on_bytes: called with the number of bytes that went into, and then were verified in, the archive.
        on_phase: called with what begins now, and how many bytes that has, or None where nobody can know.

    Returns:
        Taken.

    Raises:
        AppStateError: no backup was made, and nothing is left of the attempt.
    """
    with AppLock(machine.lock_directory, app.name):
        return take_backup_locked(app, machine, on_bytes, on_phase)


def take_backup_locked(app, machine, on_bytes=None, on_phase=None):
    """The same for a caller that holds the app's lock."""
    try:
        refuse_unfinished(app, machine)
        return _Run(app, machine, on_bytes, on_phase or (lambda phase, total: None)).run()
    except AppStateError as error:
        raise error.about(app.name)
    except OSError as error:
        raise _explained(app, error)


def check_backup(app, machine):
    """What ``take_backup`` would refuse before it begins: nothing is written.

    Returns:
        The bytes that the sources have now, files in directories not counted.
    """
    try:
        return _look(app, machine)
    except AppStateError as error:
        raise error.about(app.name)
    except OSError as error:
        raise _explained(app, error)


def _look(app, machine):
    refuse_unfinished(app, machine)
    os.close(_open_destination(app))
    streams.choose(app.compression)
    if app.recipients:
        age.require_age()
    room = Room(app, _open_root(app))
    try:
        return sum(taker.look() for taker in takers_of(room))
    finally:
        os.close(room.root)


class _Run:
    """One backup on its way."""

    def __init__(self, app, machine, on_bytes, on_phase):
        self._app = app
        self._machine = machine
        self._on_bytes = on_bytes
        self._on_phase = on_phase
        self._begun = time.monotonic()
        self._identity = None
        self._place = None
        self._stopped = Stopped(app, machine, on_phase)

    def run(self):
        with ExitStack() as stack:
            root = _open_root(self._app)
            stack.callback(os.close, root)
            directory = open_own_directory(self._app)
            stack.callback(os.close, directory)
            # By its descriptor: whoever owns the destination could put a link in the place of the directory's name.
            self._place = files.by_descriptor(directory)
            catalog.reap_partials(directory, self._app.name)
            scratch.reap([self._app.destination, FALLBACK], self._app.name)
            self._created, self._id = _free_id(self._app, self._machine, directory)
            self._room = Room(self._app, root, directory, self._id)
            self._room.inquiry = Inquiry(self._app)
            self._application = self._application_version()
            takers = takers_of(self._room)
            for taker in takers:
                stack.callback(taker.close)
            kind = streams.choose(self._app.compression)
            ending = streams.ending(kind, self._app.recipients)
            publication = stack.enter_context(catalog.Publication(directory, self._id, ending))
            self._write(takers, kind, publication.descriptor)
            digest = self._verify(publication.descriptor)
            manifest = self._manifest.beside(
                {"name": publication.archive_name, "size": os.fstat(publication.descriptor).st_size, "digest": digest},
                {"level": "content", "at": format_time(self._machine.now())})
            manifest.content["duration"] = self._seconds()
            for taker in takers:
                taker.publish()
            publication.publish(manifest)
        backup = catalog.Backup(self._id, manifest, os.path.join(self._app.directory, publication.archive_name))
        self._stopped.probe()
        return Taken(backup, self._room.all_warnings(), not self._room.unreadable, self._stopped.problem)

    def _write(self, takers, kind, descriptor):
        stream = None
        if self._app.mode == "cold":
            for taker in takers:
                taker.look()  # What is missing is better found while the app still runs.
        try:
            with tempfile.TemporaryFile(dir=self._place) as lines:
                with self._stopped:
                    self._warn_of_holders()
                    self._on_phase("snapshots", None)
                    for taker in takers:
                        taker.prepare()
                    self._on_phase("archive", self._expected())
                    stream = streams.writer(kind, descriptor, self._recipients())
                    writer = ArchiveWriter(stream, lines, self._on_bytes)
                    for taker in takers:
                        taker.write(writer)
                # From here on the app's own files are not needed any more, and it runs again.
                for taker in takers:
                    taker.finish()
                writer.finish(lambda *totals: self._make_manifest(takers, lines, *totals))
            stream.close()
        except BaseException:
            if stream is not None:
                stream.abort()
            raise

    def _recipients(self):
        """The app's, and one of our own: nobody here could open the archive to verify it otherwise. Its identity is only in
        the memory of this run, and goes with it."""
        if not self._app.recipients:
            return ()
        self._identity, own = age.make_pair()
        return self._app.recipients + (own,)

    def _warn_of_holders(self):
        held = self._stopped.still_held(self._room.root)
        if held is not None:
            self._room.warn(held)

    def _application_version(self):
        told, why = application_version(self._app)
        if why is not None:
            self._room.warn("the manifest does not tell the application's version: %s" % why)
        return told

    def _compare_references(self, takers, lines):
        """Warns of files that databases name and the backup lacks: it is made all the same."""
        members = chain(entries(lines), chain.from_iterable(taker.members_beside() for taker in takers))
        for text in self._room.inquiry.warnings(members):
            self._room.warn(text)

    def _look_for_mentioned(self):
        """Warns of what settings name and what is not there: after a restore it would be missing as well."""
        root = self._room.root
        for source in self._app.sources:
            if getattr(source, "mentions", ()):
                for text in missing_texts(source, contents_below(root, source.path), [root]):
                    self._room.warn(text)

    def _make_manifest(self, takers, lines, count, size, digest):
        self._compare_references(takers, lines)
        self._look_for_mentioned()
        content = {
            "format": FORMAT, "id": self._id, "app": self._app.name, "host": self._machine.hostname,
            "created": format_time(self._created), "duration": self._seconds(), "kind": "full",
            "app_version": self._application,
            "sources": [taker.record() for taker in takers],
            "members": {"count": count, "bytes": size, "digest": digest},
            "verified": None, "warnings": self._room.all_warnings()}
        if self._app.recipients:
            content["encryption"] = {"recipients": list(self._app.recipients)}
        if self._stopped.seconds is not None:
            content["downtime"] = self._stopped.seconds
        if self._room.inquiry.guard.found is not None:
            content["schema_version"] = self._room.inquiry.guard.found
        self._manifest = Manifest(content)
        return self._manifest.to_bytes()

    def _verify(self, descriptor):
        """Reads the finished archive back; returns its digest.

        Each member's digest was taken from the bytes that came from the source, and a database's bytes are those that
        were examined. So an archive that gives these digests back holds what was examined.
        """
        self._on_phase("verification", self._manifest.archived_bytes)
        origin = FileOrigin(descriptor, self._identity)
        contents = read_archive(origin, self._place, on_bytes=self._on_bytes)
        contents.lines.close()
        if contents.manifest is None or contents.manifest.to_bytes() != self._manifest.to_bytes():
            contents.problem(None, "the manifest in the archive is not the one that was written")
        if contents.problems:
            raise ArchiveError("the archive was written, but could not be read back: %s"
                               % contents.problems[0]["problem"], path=self._app.directory,
                               remedy="Check the disk of the destination")
        return contents.digest

    def _expected(self):
        """About how many bytes there are to write: as many as last time."""
        earlier = catalog.newest_good(self._app.directory, self._app.name)
        return None if earlier is None else earlier.manifest.archived_bytes

    def _seconds(self):
        return round(time.monotonic() - self._begun, 3)


def _open_root(app):
    try:
        return files.open_directory(app.root)
    except OSError as error:
        raise SourceError("the app's root cannot be opened: %s" % error.strerror, app=app.name, path=app.root,
                          remedy="Correct 'root', or create that directory")


def _open_destination(app):
    try:
        return files.open_directory(app.destination)
    except OSError as error:
        raise SourceError("the destination cannot be opened: %s" % error.strerror, app=app.name, path=app.destination,
                          remedy="Create that directory, or mount what belongs there")


def open_own_directory(app):
    """A descriptor of ``<destination>/<app>``, made where it is missing; its parents are never made, since a missing
    destination can be a disk that is not mounted."""
    destination = _open_destination(app)
    try:
        return files.private_directory_in(destination, app.name, app.directory)
    finally:
        os.close(destination)


def _free_id(app, machine, directory):
    """The time of this backup and its id, which no other has; ids tell seconds, so it may take one to get the next."""
    for unused in range(50):
        created = machine.now()
        name = "%s-%s" % (app.name, stamp(created))
        if catalog.is_free(directory, name):
            return created, name
        time.sleep(0.1)
    raise AppStateError("there is a backup of this second already", path=os.path.join(app.directory, name),
                        remedy="Look at the clock of this host")


def _explained(app, error):
    if error.errno in NO_SPACE:
        return SpaceError("no space left for the backup", app=app.name, path=app.destination,
                          remedy="Free some space at the destination")
    where = error.filename if error.filename is not None else app.destination
    return AppStateError("the backup failed: %s" % error.strerror, app=app.name, path=where)
