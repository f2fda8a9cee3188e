# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

r"""A conversation with a server: one psql for as long as it takes, in one transaction where one snapshot is wanted.

Questions go to psql as constants for its ``\gexec``, which sends a text to the server as it is: nothing in it is ever
one of psql's own commands. Answers come back as JSON, with a line behind each that nobody else can know.
"""

from __future__ import annotations

import json
import os
import secrets
import select
import subprocess
import time
from contextlib import contextmanager

from ..system.errors import QueryError, SourceError
from .quoting import literal

# A server may end who waits too long, or is slow. The last two are of newer versions.
UNLIMITED = ("statement_timeout", "idle_in_transaction_session_timeout", "transaction_timeout", "idle_session_timeout")
# A row as a line: a column of type json may have line feeds of its own, where blanks mean the same.
_AS_JSON = "SELECT pg_catalog.replace(pg_catalog.row_to_json(q)::pg_catalog.text, E'\\n', ' ') FROM (\n%s\n) AS q"
ROWS_AT_ONCE = 5000


class Session:
    """A connection to one database. Use it as a context manager.

    Args:
        server: a ``client.Server``.
        database: the name.
        deadline: by ``time.monotonic()``; whatever is not answered then ends the session.
        lock_seconds: how long a statement may wait for a lock; None for ever.

    Raises:
        AppStateError: the server cannot be reached, in words of ``complaints``.

    Attributes:
        version: of the server, for example 150013.
    """

    def __init__(self, server, database, deadline, lock_seconds=None, doing="be reached"):
        self._deadline = deadline
        self._marker = secrets.token_hex(16).encode()
        self._last = b""
        self._in_snapshot = False
        self._program = server.start("psql", ["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--no-password",
                                              "--set=ON_ERROR_STOP=1", "--file=-"], database,
                                     subprocess.PIPE, subprocess.PIPE, doing=doing)
        try:
            self.version = int(self.value("SELECT current_setting('server_version_num')"))
            for name in UNLIMITED:
                self.value("SELECT set_config(name, '0', false) FROM pg_settings WHERE name = '%s'" % name)
            # What a dump would not see must be an error, and names are those of the system unless they say otherwise.
            # Counting goes on beside the dump, and need not take what the application could use.
            self.run("SET row_security = off", "SET max_parallel_workers_per_gather = 0",
                     "SET search_path = ''", "SET standard_conforming_strings = on",
                     "SET lock_timeout = %d" % (0 if lock_seconds is None else lock_seconds * 1000))
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def run(self, *statements):
        """Runs statements that give nothing, each by itself."""
        for statement in statements:
            self._ask(statement)

    def rows(self, query):
        """The rows of a query, as lists of what JSON makes of its values.

        Raises:
            AppStateError: the query failed; the session has ended.
        """
        return _parsed(self._ask(_AS_JSON % query))

    def value(self, query):
        """The first value of the first row; None where there is none."""
        rows = self.rows(query)
        return rows[0][0] if rows else None

    def asked(self, sql, most=2):
        """The first rows of a query that the operator wrote, who names tables as the application does.

        Raises:
            QueryError: it failed.
        """
        with self._asking(sql):
            return self._fetch(most)

    def write_values(self, sql, stream, most_values, most_bytes):
        """Writes the first column of such a query into a stream, NULL left out, each value with a zero byte behind it.

        Returns:
            How many there are.

        Raises:
            QueryError: it failed, or gave more than the given numbers.
        """
        count = size = 0
        with self._asking(sql):
            rows = [None]
            while rows:
                rows = self._fetch(ROWS_AT_ONCE)
                for row in rows:
                    if row and row[0] is not None:
                        value = _as_bytes(row[0]) + b"\0"
                        stream.write(value)
                        count, size = count + 1, size + len(value)
                if count > most_values or size > most_bytes:
                    raise QueryError("the query gives too much: more than %d values, or %d bytes"
                                     % (most_values, most_bytes))
        return count

    def begin_snapshot(self):
        """From here on everything is seen as it is now; gives the name by which others see the same."""
        self.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        self._in_snapshot = True
        return self.value("SELECT pg_catalog.pg_export_snapshot()")

    def close(self):
        """Ends the connection, and waits until the server knows."""
        try:
            self._program.process.stdin.close()
            self._program.process.wait(5)
        except (OSError, subprocess.TimeoutExpired):
            pass  # Then it is killed.
        self._program.kill()

    @contextmanager
    def _asking(self, sql):
        """The query can do nothing but read, and a failure of it leaves the session as it was.

        A block of PL/pgSQL opens its cursor, and there the server takes one statement at most: none that ends the
        transaction could come behind it.
        """
        begin, end = ("SAVEPOINT asked", "ROLLBACK TO SAVEPOINT asked") if self._in_snapshot else \
            ("BEGIN READ ONLY", "ROLLBACK")
        # The search path is the role's own until the end takes that back.
        self._say(begin, "RESET search_path")
        opening = "DECLARE asked refcursor := 'asked'; BEGIN OPEN asked NO SCROLL FOR EXECUTE %s; END" % literal(
            _AS_JSON % sql.strip().rstrip(";"))
        try:
            self._try("DO " + literal(opening))
            yield
        except QueryError:
            self._say(end)
            raise
        self._say(end)

    def _fetch(self, count):
        return _parsed(self._try("FETCH %d FROM asked" % count))

    def _say(self, *statements):
        """Statements of our own, sent as they are: in a transaction that has failed, a constant can not be selected."""
        for statement in statements:
            self._converse("%s;\n\\echo %s\n" % (statement, self._marker.decode()))

    def _ask(self, statement):
        return self._converse("SELECT %s\n\\gexec\n\\echo %s\n" % (literal(statement), self._marker.decode()))

    def _try(self, statement):
        """The same; where the statement fails, the session goes on."""
        marker = self._marker.decode()
        answer = self._converse(
            "\\set ON_ERROR_STOP 0\nSELECT %s\n\\gexec\n\\if :ERROR\n\\echo :LAST_ERROR_SQLSTATE :LAST_ERROR_MESSAGE\n"
            "\\echo failed %s\n\\endif\n\\set ON_ERROR_STOP 1\n\\echo %s\n" % (literal(statement), marker, marker))
        if answer.endswith(b"failed " + self._marker + b"\n"):
            raise QueryError("the statement failed: %s" % answer[:-len(marker) - 9].decode("utf-8", "backslashreplace"))
        return answer

    def _converse(self, question):
        # Whoever sends it reads on, so that neither side waits for the other.
        pending = memoryview(question.encode("utf-8", "surrogateescape"))
        end_line = b"\n" + self._marker + b"\n"
        answer = bytearray(b"\n")
        while True:
            end = answer.find(end_line, max(0, len(answer) - len(self._last) - len(end_line)))
            if end >= 0:
                return bytes(answer[1:end + 1])
            pending = self._exchange(pending)
            answer += self._last

    def _exchange(self, pending):
        """Sends and receives what can be at once; gives what is still to be sent."""
        process = self._program.process
        left = self._deadline - time.monotonic()
        self._last = b""
        readable, writable, unused = select.select(
            [process.stdout], [process.stdin] if pending else [], [], max(0, left))
        if not readable and not writable:
            self._program.kill()
            raise SourceError("the PostgreSQL server did not answer in time", remedy="Give it more time by 'timeout'")
        if readable:
            piece = os.read(process.stdout.fileno(), 1 << 16)
            if not piece:
                process.wait()
                raise self._program.failure()
            self._last = piece
        if writable:
            try:
                return pending[os.write(process.stdin.fileno(), pending[:4096]):]
            except BrokenPipeError:
                return pending[len(pending):]  # Why it has ended is said where its answer is read.
        return pending


def _parsed(answer):
    return [json.loads(line.decode("utf-8", "backslashreplace"), object_pairs_hook=_values)
            for line in answer.splitlines() if line]


def _values(pairs):
    """A row: columns may have the same name."""
    return [value for unused, value in pairs]


def _as_bytes(value):
    return (value if isinstance(value, str) else json.dumps(value)).encode("utf-8", "surrogateescape")
