# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Queries of an operator, asked of a private copy by the same kind of child that examines it.

An answer can be long: each file of a large store by its name. The child writes it down, and nobody holds all of it.
"""

from __future__ import annotations

import os
import sqlite3
import stat

from ..system import files
from ..system.errors import DatabaseError, QueryError
from ..system.process import NOBODY, Limits, start_child
from .assertions import only_read
from .examine import Examination
from .sandbox import clear_errors, give_to_sandbox, open_private, use_larger_cache

MOST_VALUES = 1000 * 1000
MOST_BYTES = 64 * 1024 * 1024
_ANSWER = b"answer"
_END = b"\0"


class Answer:
    """The values of a query's first column as bytes, NULL left out; it can be gone through more than once.

    Attributes:
        count: how many there are.
    """

    def __init__(self, stream, count):
        self._stream = stream
        self.count = count

    def __len__(self):
        return self.count

    def __iter__(self):
        self._stream.seek(0)
        rest = b""
        for piece in iter(lambda: self._stream.read(1 << 16), b""):
            values = (rest + piece).split(_END)
            rest = values.pop()
            yield from values


def ask_copy(directory, name, sql, most_values=MOST_VALUES, most_bytes=MOST_BYTES, wall_seconds=600):
    """Asks a private copy, which nobody else opens and which has no sidecars.

    Args:
        directory: holds the copy, and where we are root is given to nobody, as ``examine.start_examination`` has it.
        sql: one statement that reads.

    Returns:
        An Answer.

    Raises:
        QueryError: the statement fails, does more than reading, or gives more than the given numbers.
        DatabaseError: the copy cannot be read.
    """
    give_to_sandbox(directory, name)
    path = os.path.join(files.as_bytes(directory), files.as_bytes(name))
    root = os.open(directory, files.DIRECTORY)
    try:
        files.remove_if_there(root, _ANSWER)
        child = start_child(_ask, (files.as_bytes(name), sql, most_values, most_bytes), NOBODY, root,
                            Limits(cpu_seconds=wall_seconds, wall_seconds=wall_seconds))
        try:
            with Examination(child, path) as asking:
                count = asking.result()
            return Answer(_open(root, path, most_bytes), count)
        finally:
            files.remove_if_there(root, _ANSWER)
    finally:
        os.close(root)


def _open(root, path, most_bytes):
    """The answer as a file; whoever took the child over could have put anything in its place."""
    descriptor = os.open(_ANSWER, files.READ, dir_fd=root)
    stream = os.fdopen(descriptor, "rb")
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_size > most_bytes:
        stream.close()
        raise DatabaseError("is malicious: it took over the process that read it", path=path)
    return stream


def _ask(name, sql, most_values, most_bytes):
    with clear_errors(name):
        connection = open_private(name)
        use_larger_cache(connection)
        only_read(connection)
        with open(_ANSWER, "xb") as stream:
            try:
                count = _write(connection.execute(sql), stream, most_values, most_bytes)
            except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
                raise QueryError("the query %r failed: %s" % (sql, error), path=name,
                                 remedy="Correct it in the description of the app, or try it with sqlite3 on a copy")
        connection.close()
        return count


def _write(rows, stream, most_values, most_bytes):
    """Writes the values down; returns how many."""
    count = size = 0
    for row in rows:
        if row[0] is None:
            continue
        # No path has a NUL in it; what has one is shown as something that cannot be found.
        value = (row[0] if isinstance(row[0], bytes) else str(row[0]).encode()).replace(_END, b"\\0") + _END
        count += 1
        size += len(value)
        if count > most_values or size > most_bytes:
            raise ValueError("it gives more than %d values, or more than %d MiB" % (most_values, most_bytes >> 20))
        stream.write(value)
    return count
