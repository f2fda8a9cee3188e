# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which members of a backup are proven by more than their digest, and how: databases and dumps.

Each is extracted by itself, as COPY, into a private directory, and judged there; see ``CHECKERS``.
"""

from __future__ import annotations

from functools import partial

from ..sqlite.examine import fold_sidecars
from ..sqlite.header import MAGIC, SIDECARS
from ..sqlite.questions import ask_copy
from ..sqlite.sandbox import give_to_sandbox
from ..system import files
from ..system.errors import AppStateError
from .finding import INTEGRITY, Finding
from .formats import ask_sql, check_raw, check_sql, check_tar
from .postgresql import check_dump
from .sqlite import check_copy

COPY = "database.db"
# What a database or a dump begins with, and the kind that it then is of. A dump of pg_dump -Fc begins with these letters
# (src/bin/pg_dump/pg_backup_archiver.c of PostgreSQL).
MARKS = {MAGIC: "sqlite", b"PGDMP": "postgresql"}


class Check:
    """One member that is to be checked.

    Attributes:
        path: of the member (text).
        kind: key of CHECKERS.
        recorded: the passport it had when it was backed up, or None.
        source: the app's source with the assertions for it, or None.
    """

    def __init__(self, path, kind, recorded=None, source=None):
        self.path = path
        self.kind = kind
        self.recorded = recorded
        self.source = source

    @property
    def names(self):
        """Member path (bytes) to the name it is extracted as: the member itself, and a database's sidecars."""
        endings = ("",) + (SIDECARS if self.kind == "sqlite" else ())
        return {files.as_bytes(self.path + ending): COPY + ending for ending in endings}

    def findings(self, directory):
        """What was found of COPY in an open private directory, a list of Findings."""
        checker = CHECKERS.get(self.kind)
        if checker is None:
            return [Finding(INTEGRITY, "is of a kind (%s) that this version cannot check" % self.kind)]
        return checker(directory, self.source, self.recorded)

    @property
    def can_be_asked(self):
        """Whether ``asker`` is to be had; what is no database cannot be asked, and of some only a server can."""
        return self.kind in ASKERS

    def asker(self, directory):
        """A function that puts a query to COPY, which was found to be good, and gives the values of its first column as
        bytes."""
        return partial(ASKERS[self.kind], directory)


def checks_of(record, source=None):
    """The Checks for what a manifest says of a source; ``source`` is the app's at the same path, where there is one."""
    path, passport = record["path"], record.get("passport")
    kind = record["type"] if record["type"] in ("sqlite", "postgresql") else record.get("format")
    if kind is not None:
        return [Check(path, kind, passport, source)]
    inside = {database.path: database for database in getattr(source, "databases", ())}
    return [Check("%s/%s" % (path, told["path"]), "sqlite", told.get("passport"), inside.get(told["path"]))
            for told in record.get("databases") or ()]


def kind_of(source):
    """The kind of database or dump that a source is, whatever way it is taken; None for files and volumes."""
    return source.type if source.type in ("sqlite", "postgresql") else getattr(source, "format", None)


def record_of(source):
    """As much of a manifest's record as the description of a source tells, for archives without a manifest."""
    return {"type": source.type, "path": source.path, "present": True, "format": getattr(source, "format", None),
            "databases": [{"path": database.path} for database in getattr(source, "databases", ())]}


def check_database(directory, source, recorded):
    """The Findings about a database; sidecars of a cold copy, which are beside it, are folded into it first."""
    path = files.by_descriptor(directory)
    if any(files.exists_at(directory, COPY + ending) for ending in SIDECARS):
        give_to_sandbox(path, COPY)
        try:
            fold_sidecars(path, COPY)
        except AppStateError as error:
            return [Finding(INTEGRITY, error.message)]
    return check_copy(path, COPY, source, recorded)


def ask_database(directory, sql):
    """The answer of a database to a query; see ``sqlite.questions.ask_copy``."""
    return ask_copy(files.by_descriptor(directory), COPY, sql)


# Function(directory, source, recorded): a list of Findings.
CHECKERS = {"sqlite": check_database, "postgresql": check_dump, "sql": check_sql, "tar": check_tar, "raw": check_raw}
# Function(directory, sql): the values of the first column as bytes, which can be gone through more than once.
ASKERS = {"sqlite": ask_database, "sql": ask_sql}
