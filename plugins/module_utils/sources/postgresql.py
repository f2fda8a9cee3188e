# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Source ``postgresql``: a database that a server keeps, dumped in one snapshot and counted in that same snapshot."""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import ExitStack

from ..archive.members import FILE, Member
from ..postgresql.client import Server
from ..postgresql.complaints import MissingDatabase
from ..postgresql.dump import looks_like_dump, start_dump, start_reading
from ..postgresql.properties import read_properties
from ..postgresql.session import Session
from ..postgresql.tables import count_rows
from ..sqlite.assertions import objection
from ..sqlite.questions import MOST_BYTES, MOST_VALUES, Answer
from ..system import files
from ..system.errors import AppStateError, AssertionFailed, DatabaseError, QueryError
from .finding import INTEGRITY, Finding
from .taker import Taker

# Seconds for what is asked before and after a dump: nothing there is long.
SHORT = 300.0
# How long one reading of a dump may take that is not told otherwise.
READING = 21600.0
# The dump where the checks of a backup extract it to; ``checking`` has the same name.
COPY = "database.db"


class PostgresqlTaker(Taker):
    """Takes one PostgresqlSource into an archive."""

    def __init__(self, room, source):
        super().__init__(room, source)
        self._resources = ExitStack()
        self._begun = time.monotonic()
        self._session = None
        self._dumping = None
        self._reading = []
        self._spool = None
        self._record = {"type": "postgresql", "path": source.path, "present": False, "database": source.database}

    def look(self):
        session = self._connect(Server(self._source), time.monotonic() + SHORT)
        if session is None:
            return 0
        with session:
            return _size(session)

    def prepare(self):
        """Fixes the moment, and has the dump of it written beside all that follows."""
        server = Server(self._source)
        self._begun = time.monotonic()
        self._session = self._connect(server, self._deadline())
        if self._session is None:
            return
        self._resources.callback(self._session.close)
        room = files.by_descriptor(self._room.directory)
        files.need_space(self._room.directory, _size(self._session), self._room.app.directory,
                         "the dump of the PostgreSQL database %s" % self._source.database)
        self._spool = self._resources.enter_context(tempfile.TemporaryFile(dir=room))
        snapshot = self._session.begin_snapshot()
        self._dumping = start_dump(server, self._source.database, self._session.version, snapshot, self._spool,
                                   self._room.app.snapshot_deadline)
        self._resources.callback(self._dumping.kill)
        self._look_into()

    def _connect(self, server, deadline):
        """A Session; None where there is no such database and none is required."""
        try:
            return Session(server, self._source.database, deadline, self._room.app.snapshot_deadline)
        except MissingDatabase as error:
            if self._source.required:
                raise error
            return None

    def _look_into(self):
        """Reads what the dump will hold, in its own snapshot, beside its being written."""
        tables = count_rows(self._session)
        told, troubles = judge(self._session, self._source)
        self._record.update(server_version=self._session.version, passport={"tables": tables},
                            properties=read_properties(self._session, self._source.database), assertions=told)
        if troubles:
            raise AssertionFailed(troubles[0], path=self._source.path,
                                  remedy="Look into the database; where it is right, change the app's sources")
        self._room.inquire(self._source.path, self._source, lambda sql: answer_of(self._session, sql))

    def write(self, writer):
        """Adds the dump, once it is whole; it is read through beside that."""
        if self._session is None:
            return
        said = self._dumping.wait(self._deadline())
        if said:
            self._room.warn("pg_dump said of the database %s: %s" % (self._source.database, "; ".join(said)))
        self._session.close()
        title = "the dump of the PostgreSQL database %s" % self._source.database
        for whole in (False, True):
            reading = start_reading(self._spool, title, whole)
            self._resources.callback(reading.kill)
            self._reading.append(reading)
        found = os.fstat(self._spool.fileno())
        names = self._room.names
        member = Member(files.as_bytes(self._source.path), FILE, found.st_size, 0o600, found.st_uid, found.st_gid,
                        names.user(found.st_uid), names.group(found.st_gid), found.st_mtime_ns)
        os.lseek(self._spool.fileno(), 0, os.SEEK_SET)
        trouble = writer.add_file(member, self._spool.fileno())
        if trouble:
            raise DatabaseError("%s %s" % (title, trouble), path=self._source.path)
        self._record.update(present=True, members=1, bytes=member.size)

    def finish(self):
        """Waits for the readings: a dump that pg_restore cannot read is never part of a backup."""
        try:
            for reading in self._reading:
                reading.wait(self._deadline())
            self._record["seconds"] = round(time.monotonic() - self._begun, 3)
        finally:
            self.close()

    def record(self):
        return self._record

    def close(self):
        """Ends what still runs; the dump goes with its descriptor."""
        self._resources.close()

    def _deadline(self):
        return self._begun + self._source.timeout


def _size(session):
    return session.value("SELECT pg_catalog.pg_database_size(pg_catalog.current_database())")


def judge(session, source):
    """Asks the assertions of a source.

    Returns:
        ``(told, troubles)``: a list of ``{"sql", "value", "ok"}`` for the manifest, and a list of texts.
    """
    told, troubles = [], []
    for assertion in source.assertions:
        value, trouble = None, None
        try:
            rows = session.asked(assertion.sql)
            if len(rows) != 1 or len(rows[0]) != 1:
                trouble = "it must give one row of one column"
            else:
                value = rows[0][0]
                trouble = objection(value, assertion.to_dict())
        except QueryError as error:
            trouble = error.message
        if trouble:
            troubles.append("an assertion does not hold: %s (%s)" % (trouble, assertion.sql))
        told.append({"sql": assertion.sql, "value": value[:200] if isinstance(value, str) else value,
                     "ok": not trouble})
    return told, troubles


def answer_of(session, sql):
    """The first column of a query as an ``Answer``: bytes, which can be gone through more than once."""
    stream = tempfile.TemporaryFile()
    try:
        return Answer(stream, session.write_values(sql, stream, MOST_VALUES, MOST_BYTES))
    except BaseException:
        stream.close()
        raise


def check_dump(directory, source, recorded):
    """The Finding about a dump by itself: whether pg_restore can read it from its beginning to its end.

    What is in it (``recorded``, and the assertions of ``source``) can only a server tell; see ``PostgresqlStore``.
    """
    descriptor = files.open_beneath(directory, COPY)
    with os.fdopen(descriptor, "rb", buffering=0) as dump:
        if not looks_like_dump(dump.read(16)):
            return [Finding(INTEGRITY, "is no dump of pg_dump's custom format")]
        try:
            for whole in (False, True):
                with start_reading(dump, "the dump", whole) as reading:
                    reading.wait(time.monotonic() + getattr(source, "timeout", READING))
        except AppStateError as error:
            return [Finding(INTEGRITY, "%s%s" % (error.message, ". " + error.remedy if error.remedy else ""))]
    return [Finding(INTEGRITY)]
