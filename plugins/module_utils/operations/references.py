# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compares the files that an app's databases name with the files that a backup has.

Of each path eight bytes are held, so that a million of them fit beside everything else; the paths themselves are gone
through twice.
"""

from __future__ import annotations

import array
import os
from bisect import bisect_left

from ..archive.members import DIRECTORY
from ..archive.reader import hash_of
from ..system import files
from ..system.errors import AppStateError, printable

# Of many, that many are told by name.
NAMED = 20
_LACKING, _THERE, _TOLD = 0, 1, 2


class Finding:
    """What a comparison found.

    Attributes:
        database: path of the database.
        under: the directory that its paths are relative to.
        count: how many.
        paths: the first of them, as texts below ``under``.
    """

    def __init__(self, database, under):
        self.database = database
        self.under = under
        self.count = 0
        self.paths = []

    def add(self, path):
        """Counts a path (bytes)."""
        self.count += 1
        if len(self.paths) < NAMED:
            self.paths.append(printable(path))

    def listed(self):
        """The paths for a message."""
        more = self.count - len(self.paths)
        return ", ".join(self.paths) + (" and %d more" % more if more else "")

    @property
    def files(self):
        """How many, with their noun."""
        return "%d %s" % (self.count, "file" if self.count == 1 else "files")


class References:
    """The references of an app, as its databases answer and a list of members settles them.

    Attributes:
        failures: texts, one for each query that could not be asked.
    """

    def __init__(self):
        self._named = []
        self.failures = []

    @property
    def asked(self):
        """Whether there was anything to ask."""
        return bool(self._named or self.failures)

    def ask(self, path, source, ask):
        """Asks a database whose source has references.

        Args:
            path: of the database, relative to the app's root (text).
            source: with ``references``; its own path is the end of the other, relative to a volume where it is in one.
            ask: function that is given SQL, and gives the values of its first column as bytes, which can be gone
                through more than once.
        """
        inside = path[:len(path) - len(source.path)] if path.endswith(source.path) else ""
        for reference in getattr(source, "references", ()):
            try:
                self._named.append(_Named(path, inside + reference.under, ask(reference.sql)))
            except AppStateError as error:
                self.failures.append("the files that %s names cannot be read: %s" % (path, error.message))

    def compare(self, members):
        """Which files are named and not there, and which are there and not named.

        Args:
            members: iterable of Members, or of anything with ``path`` and ``type``; gone through once, and not at all
                where there are no references.

        Returns:
            ``(lacking, unnamed)``, two lists of Findings.
        """
        if not self._named:
            return [], []
        groups = {}
        for named in self._named:
            groups.setdefault(named.under, []).append(named)
        unnamed = {under: Finding(" or ".join(sorted({named.database for named in group})), under)
                   for under, group in groups.items()}
        for member in members:
            for under, group in groups.items():
                path = _below(member.path, files.as_bytes(under))
                if not path:
                    continue
                marked = [named.mark(path) for named in group]
                if True not in marked and member.type != DIRECTORY:
                    unnamed[under].add(path)
        lacking = [named.lacking() for named in self._named]
        return [found for found in lacking if found.count], [found for found in unnamed.values() if found.count]

    def first_named(self, members):
        """The path of the first of some Members that a database names, or None."""
        for member in members:
            for named in self._named:
                path = _below(member.path, files.as_bytes(named.under))
                if path and named.mark(path):
                    return member.path
        return None


def lacking_text(finding):
    """What is said of files that are named and not there."""
    return "%s names %s below %s that the backup lacks: %s" % (finding.database, finding.files, finding.under,
                                                               finding.listed())


def unnamed_text(finding):
    """What is said of files that are there and not named."""
    return "%s below %s %s named by nothing in %s: %s" % (
        finding.files, finding.under, "is" if finding.count == 1 else "are", finding.database, finding.listed())


class _Named:
    """The paths that one query gave."""

    def __init__(self, database, under, values):
        self.database = database
        self.under = under
        self._values = values
        self._hashes = array.array("q", sorted(hash_of(path) for path in self._paths()))
        self._states = bytearray(len(self._hashes))

    def _paths(self):
        for value in self._values:
            path = os.path.normpath(value.lstrip(b"/")) if value.strip() else b"."
            if path != b".":
                yield path

    def _place(self, path):
        return bisect_left(self._hashes, hash_of(path))

    def mark(self, path):
        """Whether a path is one of them; it is not lacking then."""
        wanted = hash_of(path)
        place = bisect_left(self._hashes, wanted)
        if place == len(self._hashes) or self._hashes[place] != wanted:
            return False
        self._states[place] = _THERE
        return True

    def lacking(self):
        """The Finding of those that were not marked."""
        found = Finding(self.database, self.under)
        for path in self._paths():
            place = self._place(path)
            if self._states[place] == _LACKING:
                self._states[place] = _TOLD
                found.add(path)
        return found


def _below(path, under):
    """A path relative to a directory; None where it does not lie below it."""
    return path[len(under) + 1:] if path.startswith(under + b"/") else None
