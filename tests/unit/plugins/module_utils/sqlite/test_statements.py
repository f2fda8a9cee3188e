# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import io
import sqlite3

import pytest
from hypothesis import given, settings, strategies

from ansible_collections.appstate.backup.plugins.module_utils.sqlite import statements as room
from ansible_collections.appstate.backup.plugins.module_utils.sqlite.statements import statements
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import DatabaseError


def split(script):
    return [(statement.text, statement.line) for statement in statements(io.BytesIO(script))]


TRIGGER = "CREATE TRIGGER t AFTER INSERT ON a BEGIN UPDATE a SET x = ';'; DELETE FROM b; END;"


@pytest.mark.parametrize("script, texts", [
    ("", []), (" \n ", []), (";;\n;", []), ("-- nothing", []), ("/* nothing; */", []),
    ("SELECT 1;SELECT 2;\n", ["SELECT 1;", "SELECT 2;"]),
    ("INSERT INTO t VALUES('a;b''c;');SELECT 1;", ["INSERT INTO t VALUES('a;b''c;');", "SELECT 1;"]),
    ('SELECT ";", `;`, [;];SELECT 1;', ['SELECT ";", `;`, [;];', "SELECT 1;"]),
    ("SELECT 1 -- no; end\n;SELECT 2 /* nor; here */;", ["SELECT 1 -- no; end\n;", "SELECT 2 /* nor; here */;"]),
    (TRIGGER + "SELECT 1;", [TRIGGER, "SELECT 1;"]),
    ("COMMIT; -- done", ["COMMIT;"]), ("/* first */ SELECT 1;", ["SELECT 1;"]),
    ("\N{BYTE ORDER MARK}SELECT 1;", ["SELECT 1;"]), ("SELECT 1-1;SELECT 4/2;", ["SELECT 1-1;", "SELECT 4/2;"])])
def test_a_script_is_cut_after_each_statement(script, texts):
    assert [text for text, unused in split(script.encode())] == texts


def test_each_statement_knows_its_line():
    assert [line for unused, line in split(b"SELECT 1;\n-- more\n\nSELECT\n2;SELECT 3;\n")] == [1, 4, 5]


@pytest.mark.parametrize("script", ["SELECT 1", "SELECT 1; SELECT", "INSERT INTO t VALUES('a;",
                                    "SELECT 1; /* on and on;",
                                    "SELECT [a;", TRIGGER[:-5], "SELECT 1; -- \n x"])
def test_one_that_ends_in_the_middle_is_refused(script):
    with pytest.raises(DatabaseError) as caught:
        split(script.encode())
    assert "cut short" in str(caught.value)


def test_a_text_that_is_no_utf8_is_written_as_its_bytes():
    (text, unused), = split(b"INSERT INTO t VALUES('caf\xe9''s','caf\xc3\xa9');")
    assert text == "INSERT INTO t VALUES(CAST(X'636166e92773' AS TEXT),'café');"


@pytest.mark.parametrize("script, words", [(b"SELECT caf\xe9;", "no UTF-8"), (b"SELECT '\0';", "NUL")])
def test_what_is_no_text_is_refused(script, words):
    with pytest.raises(DatabaseError) as caught:
        split(script)
    assert words in str(caught.value)


def test_a_statement_that_never_ends_does_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(room, "LONGEST_STATEMENT", 1 << 20)

    class Endless(io.RawIOBase):
        def read(self, size=-1):
            return b"(" * size

        def seek(self, *unused):
            return 0

    with pytest.raises(DatabaseError) as caught:
        list(statements(Endless()))
    assert "more than 1 MiB" in str(caught.value)


PARTS = strategies.lists(strategies.sampled_from(
    [";", "'", '"', "`", "[", "]", "-", "--", "/", "/*", "*/", "*", "\n", " ", "SELECT", "1", "x'';'",
     "CREATE TRIGGER t", "BEGIN", "END;", "é"]), max_size=30)


@settings(max_examples=300, deadline=None)
@given(parts=PARTS, chunk=strategies.integers(1, 9))
def test_whole_statements_are_those_that_sqlite_takes_for_whole(parts, chunk):
    """Wherever the pieces that are read end, each statement is whole and none of its beginnings is; together they are
    the script."""
    script = "".join(parts).encode()
    before, room.CHUNK = room.CHUNK, chunk
    try:
        pieces = []
        try:
            for piece in room._pieces(io.BytesIO(script)):
                pieces.append(piece)
        except DatabaseError:
            pass
        for piece in pieces:
            assert sqlite3.complete_statement(piece.decode())
            ends = [at + 1 for at in range(len(piece) - 1) if piece[at:at + 1] == b";"]
            assert not any(sqlite3.complete_statement(piece[:end].decode()) for end in ends)
        rest = script[len(b"".join(pieces)):]
        assert b"".join(pieces) + rest == script
        ends = [at + 1 for at in range(len(rest)) if rest[at:at + 1] == b";"]
        assert not any(sqlite3.complete_statement(rest[:end].decode()) for end in ends)
    finally:
        room.CHUNK = before
