# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Says what is wrong with a backup, member by member, without touching live state.

Levels, each with all of the ones before: ``presence`` (manifest and archive are there and fit), ``checksum`` (every
byte of the archive is what was written), ``content`` (its databases and dumps are sound and what they were).

An encrypted archive is opened with an identity. Without one, ``checksum`` still tells whether its bytes are those that
were written.
"""

from __future__ import annotations

import os
from contextlib import ExitStack

from ..archive.extract import Extractor
from ..archive.reader import entries, first_bytes
from ..catalog import catalog
from ..sources.checking import COPY, Check, checks_of
from ..sources.finding import problems_of
from ..sources.sqlite import FALLBACK
from ..system import files
from ..system.errors import (
    AppStateError, ArchiveError, ConfigurationError, DataTooNewError, IdentityError, SourceError, printable)
from ..system.scratch import Scratch, reap
from .diagnosis import contents_below, lost_log_text, missing_texts, vacant_text
from .inquiry import Inquiry
from .references import lacking_text, unnamed_text
from .rehearsal import rehearse
from .selection import DATABASE

LEVELS = ("presence", "checksum", "content")
# Databases of one archive that are examined; more are not what an application's state is made of.
MOST_DATABASES = 1000
# Where files are extracted to that name what has to be there.
MENTIONING = b"mentioning"


class Verification:
    """What was found.

    Attributes:
        level: as it was asked for.
        problems: list of ``{"member", "problem"}``, and with some an ``event`` for programs.
        members: how many there are, or None.
        notes: texts for the operator about what is no problem of the backup.
    """

    def __init__(self, level, problems, members=None, notes=()):
        self.level = level
        self.problems = problems
        self.members = members
        self.notes = list(notes)

    @property
    def ok(self):
        return not self.problems


def verify(selected, level, app=None, on_bytes=None):
    """Verifies an entered Selected.

    Args:
        app: where it is given, the assertions of its sources are asked too.
        on_bytes: called with the number of bytes that were read.

    Raises:
        AppStateError: it cannot be verified at all (no room, a program missing); what is wrong with the backup itself
            is in the result.
    """
    if level == "presence":
        return Verification(level, [] if selected.backup is not None or _is_archive(selected) else
                            [{"member": None, "problem": "is neither an archive nor a database"}])
    if selected.origin.is_encrypted and level == "checksum":
        return _sealed(selected) if selected.is_sealed else _without_a_trace(selected, on_bytes)
    parents = selected.scratch_parents(app) + [FALLBACK]
    try:
        with ExitStack() as stack:
            reap(parents, "verify")
            scratch = stack.enter_context(Scratch(parents, "verify"))
            scratch.seal()
            return _Verifying(selected, app, scratch, on_bytes).run(level)
    except OSError as error:
        raise SourceError("cannot be verified: %s" % error.strerror, path=selected.path,
                          remedy="See that nobody else changes, and that there is room in, %s" % parents[0])


def _sealed(selected):
    """What can be said of an encrypted archive without its identity: whether its bytes are those that were written."""
    if selected.manifest is None:
        raise IdentityError("is encrypted and has no manifest beside it, so nothing can be said of it without an identity",
                            path=selected.path, remedy="Give the secret key of one of its recipients")
    same = selected.origin.hexdigest() == selected.manifest.archive["digest"]
    return Verification("checksum", [] if same else [
        {"member": None, "problem": "the archive is not the one that was written (its digest differs)"}],
        notes=["it is encrypted and was not opened; with an identity its members are looked at, too"])


def _without_a_trace(selected, on_bytes):
    """Reads an encrypted archive with its identity; nothing of what is in it gets to a disk, no names of members either."""
    contents = selected.read(None, on_bytes=on_bytes)
    contents.lines.close()
    return Verification("checksum", contents.problems, contents.count)


class _Verifying:
    """One verification in a private place."""

    def __init__(self, selected, app, scratch, on_bytes):
        self._selected = selected
        self._app = app
        self._scratch = scratch
        # By its descriptor: whoever owns the directory around it could put a link in the place of its name.
        self._room = files.by_descriptor(scratch.descriptor)
        self._on_bytes = on_bytes
        self._notes = []
        self._lines = None
        self._inquiry = None if app is None else Inquiry(app)

    def run(self, level):
        known = self._checks_of_manifest()
        extractor = self._extractor(known) if level == "content" and known is not None else None
        self._old = known is None
        contents = self._read(extractor)
        problems = list(contents.problems)
        if not problems and contents.count == 0 and contents.manifest is None:
            problems.append({"member": None, "problem": "the archive is empty"})
        if level == "content" and not problems:
            if known is None:
                known = [Check(os.fsdecode(path), kind, None, self._source_at(os.fsdecode(path)))
                         for path, kind in list(contents.marked.items())[:MOST_DATABASES]]
                self._read(self._extractor(known))
            problems.extend(self._check(known))
            problems.extend(self._settle())
            self._look_for_mentioned()
        self._lines.close()
        return Verification(level, problems, contents.count, self._notes)

    def _read(self, extractor):
        try:
            contents = self._selected.read(self._room, extractor, on_bytes=self._on_bytes)
        except ArchiveError as error:
            if extractor is None:
                raise
            # Read again without extracting: then what is wrong is listed instead of ending the reading.
            contents = self._selected.read(self._room)
            if not contents.problems:
                contents.problem(None, error.message)
        finally:
            if extractor is not None:
                extractor.close()
        if self._lines is not None:
            self._lines.close()
        self._lines = contents.lines
        return contents

    def _checks_of_manifest(self):
        """What is to be checked by the manifest, or None where only a reading can tell."""
        if self._selected.bare:
            return [Check(os.fsdecode(DATABASE), self._selected.bare)]
        if self._selected.manifest is None:
            return None
        return [check for record in self._selected.manifest.sources if record["present"]
                for check in checks_of(record, self._source_at(record["path"]))]

    def _source_at(self, path):
        """The app's source, with its assertions."""
        return None if self._app is None else self._app.source_at(path)

    def _extractor(self, checks):
        places = {name: b"%d/%s" % (number, copy.encode())
                  for number, check in enumerate(checks) for name, copy in check.names.items()}
        places.update((files.as_bytes(source.path), MENTIONING + b"/" + files.as_bytes(source.path))
                      for source in self._mentioning())
        return Extractor(self._scratch.descriptor, self._scratch.path, places.get)

    def _check(self, checks):
        for number, check in enumerate(checks):
            try:
                directory = files.open_beneath(self._scratch.descriptor, b"%d" % number, files.DIRECTORY)
            except FileNotFoundError:
                yield {"member": printable(files.as_bytes(check.path)), "problem": "is missing"}
                continue
            try:
                if self._old and check.kind == "sqlite":
                    self._note(lost_log_text(check.path, files.by_descriptor(directory), COPY))
                troubles = self._troubles(check, directory)
                for trouble in troubles:
                    yield {"member": printable(files.as_bytes(check.path)), "problem": trouble}
                if not troubles and check.kind == "sqlite" and self._app is not None:
                    self._note(vacant_text(check.path, files.by_descriptor(directory), COPY, None, self._other))
            finally:
                os.close(directory)

    def _troubles(self, check, directory):
        """What is wrong with one member, as the first way of looking at it that finds anything tells."""
        return problems_of(check.findings(directory)) or self._ask(check, directory) or self._rehearse(check, directory)

    def _ask(self, check, directory):
        """What the app's description asks of a database that is good; what cannot be asked is a problem."""
        try:
            if self._inquiry is not None:
                self._inquiry.ask_copy(check, directory)
        except ConfigurationError as error:
            return [error.message]
        return []

    def _settle(self):
        """Yields what the answers amount to, now that every database was asked."""
        if self._inquiry is None:
            return
        try:
            self._note(self._inquiry.guard.judge())
        except DataTooNewError as error:
            yield {"member": error.path, "problem": error.message, "event": error.event}
        except ConfigurationError as error:
            self._note(error.message)  # The application need not be installed where a backup is verified.
        references = self._inquiry.references
        for text in references.failures:
            yield {"member": None, "problem": text}
        lacking, unnamed = references.compare(entries(self._lines))
        for finding in lacking:
            yield {"member": finding.database, "problem": lacking_text(finding)[len(finding.database) + 1:]}
        self._notes.extend(unnamed_text(finding) for finding in unnamed)

    def _mentioning(self):
        """The app's sources whose files name what has to be there; of directories only a restore looks at the files."""
        sources = () if self._app is None else self._app.sources
        return [source for source in sources if getattr(source, "mentions", ())]

    def _look_for_mentioned(self):
        """Notes what settings name and what is not there; nothing where the app is not on this host."""
        if not self._mentioning() or not files.exists_at(self._scratch.descriptor, MENTIONING):
            return
        try:
            root = files.open_directory(self._app.root)
        except OSError:
            return
        extracted = os.open(MENTIONING, files.DIRECTORY, dir_fd=self._scratch.descriptor)
        try:
            for source in self._mentioning():
                self._notes.extend(missing_texts(source, contents_below(extracted, source.path), [root]))
        finally:
            os.close(extracted)
            os.close(root)

    def _other(self):
        """The manifest of the newest good backup but this one, or None."""
        if self._app.destination is None:
            return None
        backups = catalog.good_backups(self._app.directory, self._app.name)
        return next((backup.manifest for backup in backups if backup.id != self._selected.id), None)

    def _note(self, text):
        if text is not None:
            self._notes.append(text)

    def _rehearse(self, check, directory):
        """What is wrong with a dump that is brought into its store for a moment."""
        tried = rehearse(self._app, check, directory, self._selected.manifest, self._inquiry)
        if tried is None:
            return []
        self._note(tried.note)
        return [] if tried.problem is None else [tried.problem]


def _is_archive(selected):
    """Whether the first bytes are those of something that can be restored from."""
    if selected.bare is not None or selected.is_sealed:
        return True
    try:
        start = first_bytes(selected.origin, 512)
    except AppStateError:
        return False
    return start[257:262] == b"ustar"
