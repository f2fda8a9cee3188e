# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An SQL script as its statements, however long it is, with one statement in memory at a time.

What SQLite takes for a string, a quoted name or a comment is told at https://www.sqlite.org/lang_expr.html and
https://www.sqlite.org/lang_comment.html. Within them a semicolon ends nothing; within the body of a trigger it does not
either, which ``sqlite3.complete_statement`` knows.
"""

from __future__ import annotations

import codecs
import re
import sqlite3

from ..system.errors import DatabaseError

CHUNK = 1 << 18
LONGEST_STATEMENT = 64 << 20
# What opens something that a semicolon has no meaning in, and what then closes it.
_INTERESTING = re.compile(rb"[;'\"`\[]|--|/\*")
# What can be passed over at once, where all of it is there: other text, and whole strings and quoted names.
_PLAIN = re.compile(rb"""(?:[^;'"`\[/-]+|'[^']*'|"[^"]*"|-(?=[^-])|/(?=[^*]))*""")
_CLOSING = {b"'": b"'", b'"': b'"', b"`": b"`", b"[": b"]", b"--": b"\n", b"/*": b"*/"}
_BLANK = re.compile(rb"(?:\s+|--[^\n]*(?:\n|\Z)|/\*.*?\*/)*", re.DOTALL)
_STRING = re.compile(rb"'(?:[^']|'')*'")


class Statement:
    """One statement: its text as SQLite takes it, without what stands before it, and the number of its first line."""

    def __init__(self, text, line):
        self.text = text
        self.line = line


def statements(stream):
    """Yields the Statements of a script.

    Args:
        stream: file of bytes, at its beginning.
    Raises:
        DatabaseError: it ends in the middle of a statement, or is no script at all.
    """
    line = 1
    for raw in _pieces(stream):
        start = _BLANK.match(raw).end()
        line += raw.count(b"\n", 0, start)
        text = raw[start:]
        if text.strip(b"; \t\r\n\f"):
            yield Statement(_decoded(text, line), line)
        line += text.count(b"\n")


def _pieces(stream):
    """Yields the script cut after each statement; blanks and comments go with what comes after them."""
    scan = _Scan()
    if stream.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
        stream.seek(0)
    while True:
        more = stream.read(CHUNK)
        yield from scan.feed(more, final=not more)
        if not more:
            break
    begun = _BLANK.match(scan.rest).end()
    if begun != len(scan.rest):
        raise DatabaseError("the SQL dump is cut short: it ends in the middle of a statement (line %d)"
                            % (scan.line + scan.rest.count(b"\n", 0, begun)))


class _Scan:
    """Looks for the ends of statements; every byte is looked at once, whatever it stands in.

    Attributes:
        rest: what belongs to no whole statement yet.
        line: number of the first line of that.
    """

    def __init__(self):
        self.rest = bytearray()
        self.line = 1
        self._looked = 0  # How much of the rest was looked at.
        self._closing = None

    def feed(self, more, final):
        """Takes what comes next; yields what is whole now."""
        buffer = self.rest
        buffer += more
        start, at = 0, self._looked
        while True:
            at, found = self._next(buffer, at, final)
            if not found:
                break
            piece = bytes(buffer[start:at])
            if _is_whole(piece, self.line):
                self.line += piece.count(b"\n")
                start = at
                yield piece
        del buffer[:start]
        self._looked = at - start
        if len(self.rest) > LONGEST_STATEMENT:
            raise DatabaseError("the SQL dump has a statement of more than %d MiB (line %d)"
                                % (LONGEST_STATEMENT >> 20, self.line))

    def _next(self, buffer, at, final):
        """``(how far it was looked, whether a semicolon stands before that)``."""
        while True:
            if self._closing is not None:
                end = buffer.find(self._closing, at)
                if end < 0:
                    # The first byte of a closing of two may be the last that is there.
                    return max(at, len(buffer) - len(self._closing) + 1), False
                at = end + len(self._closing)
                self._closing = None
            found = _INTERESTING.search(buffer, _PLAIN.match(buffer, at).end())
            if found is None:
                # So may be that of an opening.
                last = buffer[-1:] in (b"-", b"/") and len(buffer) > at and not final
                return len(buffer) - (1 if last else 0), False
            at = found.end()
            if found.group() == b";":
                return at, True
            self._closing = _CLOSING[bytes(found.group())]


def _is_whole(piece, line):
    """Whether what ends in a semicolon is a statement, and not the first part of a trigger."""
    try:
        return sqlite3.complete_statement(piece.decode("utf-8", "replace"))
    except ValueError:
        raise DatabaseError("the SQL dump has a NUL character (after line %d): it is no text" % line)


def _decoded(text, line):
    """A statement as text. SQLite keeps texts that are no UTF-8, and writes them into a dump as they are; here they are
    written as their bytes."""
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        text = _STRING.sub(_as_bytes_literal, text)
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        raise DatabaseError("the SQL dump is no UTF-8 outside of its strings (line %d)" % line)


def _as_bytes_literal(found):
    literal = found.group()
    try:
        literal.decode("utf-8")
        return literal
    except UnicodeDecodeError:
        return b"CAST(X'%s' AS TEXT)" % literal[1:-1].replace(b"''", b"'").hex().encode("ascii")
