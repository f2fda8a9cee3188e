# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a dump has to be, by the ``format`` that an app declares, and how that is proven.

``sqlite``: a sound SQLite database. ``sql``: a whole script that makes one. ``tar``: an archive, compressed or not,
that can be read to its end and has nothing in it that would never be extracted. ``raw``: anything but nothing.
"""

from __future__ import annotations

import os

from ..archive.origin import FileOrigin
from ..archive.reader import read_archive
from ..sqlite.header import MAGIC, looks_like_sqlite
from ..sqlite.loading import start_loading
from ..sqlite.questions import ask_copy
from ..system import files
from ..system.errors import AppStateError, ArchiveError, DatabaseError
from .finding import INTEGRITY, Finding
from .sqlite import examine_copy, findings_of

# The dump where the checks of a backup extract it to; ``checking`` has the same name.
COPY = "database.db"
# What a dump is loaded into, beside it.
LOADED = "loaded.db"
# Of the passport of a database that a dump was loaded into, what follows from the dump alone: its pages do not.
_OF_DUMP = ("application_id", "encoding", "schema_digest", "tables", "user_version")


class Proof:
    """The check of one dump in a private directory, begun when it is made.

    Attributes:
        notes: texts, once there is a result: what is only doubtful.
    """

    def __init__(self, format, directory, name, source=None):
        self._format = format
        self._directory = directory
        self._name = name
        self._source = source
        self._child = None
        self.notes = []
        if format == "sqlite":
            _refuse_other(directory, name)
            self._child = examine_copy(directory, name, source)
        elif format == "sql":
            self._child = start_loading(directory, name, LOADED)

    def result(self):
        """What was found in the database: see ``sqlite.examine.start_examination``; None where it is none.

        Raises:
            DatabaseError, ArchiveError: the dump is not what it is declared to be.
        """
        if self._format == "sqlite":
            return self._child.result()
        if self._format == "sql":
            return self._loaded(self._child.result())
        if self._format == "tar":
            _read_tar(self._directory, self._name)
        return None

    def ask(self, sql):
        """The values of a query's first column, of a dump that was found to be good."""
        return ask_copy(self._directory, self._name if self._format == "sqlite" else LOADED, sql)

    def kill(self):
        """Ends what still runs."""
        if self._child is not None:
            self._child.kill()

    def _loaded(self, told):
        if not told["transaction"]:
            self.notes.append("the SQL dump is not one transaction, so nobody could tell if it was cut between two "
                              "statements")
        self._child = examine_copy(self._directory, LOADED, self._source)
        return _of_dump(self._child.result())


def _of_dump(examined):
    passport = examined["passport"]
    return dict(examined, passport=passport and {key: passport[key] for key in _OF_DUMP})


def _refuse_other(directory, name):
    """Raises DatabaseError where a file does not begin as a database does, and says how it does begin."""
    start = _beginning(directory, name)
    if not looks_like_sqlite(start):
        raise DatabaseError("is not a SQLite database: %s" % kind_of_bytes(start))


def _beginning(directory, name):
    with open(os.path.join(directory, name), "rb") as stream:
        return stream.read(len(MAGIC) + 1024)


def kind_of_bytes(start):
    """What some first bytes look like, in words that show nothing of them."""
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not start:
        return "it is empty"
    if start[257:262] == b"ustar":
        return "it is a tar archive"
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "it is HTML"
    if text.startswith(b"<?xml"):
        return "it is XML"
    if text.startswith((b"{", b"[")):
        return "it is JSON"
    if start.startswith(b"\x1f\x8b"):
        return "it is compressed with gzip"
    if start.startswith(b"PK\x03\x04"):
        return "it is a zip file"
    if text.startswith((b"pragma ", b"begin", b"create ", b"--")):
        return "it is an SQL script"
    return "it is something else"


def _read_tar(directory, name):
    """Reads an archive from its first byte to its last.

    Raises:
        ArchiveError: it is none, is damaged, has unsafe members, or none at all.
    """
    descriptor = os.open(os.path.join(directory, name), files.READ)
    try:
        contents = read_archive(FileOrigin(descriptor), directory)
    finally:
        os.close(descriptor)
    contents.lines.close()
    if contents.problems:
        first = contents.problems[0]
        raise ArchiveError("the tar archive is not good: %s%s" % (
            "%s: " % first["member"] if first["member"] else "", first["problem"]))
    if not contents.count:
        raise ArchiveError("the tar archive is empty")


def check_sql(directory, source, recorded):
    """The Findings about an SQL dump that was extracted as COPY into an open private directory."""
    return _check("sql", directory, source, recorded)


def check_tar(directory, source, recorded):
    """The same for a tar archive."""
    return _check("tar", directory, source, recorded)


def check_raw(directory, source, recorded):
    """The same for anything."""
    return [Finding(INTEGRITY, None if files.lookup(directory, COPY).st_size else "is empty")]


def _check(format, directory, source, recorded):
    try:
        examined = Proof(format, files.by_descriptor(directory), COPY, source).result()
    except AppStateError as error:
        return [Finding(INTEGRITY, error.message)]
    return [Finding(INTEGRITY)] if examined is None else findings_of(examined, source, recorded)


def ask_sql(directory, sql):
    """The answer to a query of an SQL dump that ``check_sql`` found to be good in the same directory."""
    return ask_copy(files.by_descriptor(directory), LOADED, sql)
