# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Dumps as the checks of a backup find them: extracted by themselves into a private directory."""

from __future__ import annotations

import gzip
import io
import os
import sqlite3
import tarfile

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.source import Assertion, CommandSource
from ansible_collections.appstate.backup.plugins.module_utils.sources.checking import ASKERS, CHECKERS, COPY
from ansible_collections.appstate.backup.plugins.module_utils.sources.finding import problems_of
from ansible_collections.appstate.backup.plugins.module_utils.sources.formats import kind_of_bytes
from ansible_collections.appstate.backup.plugins.module_utils.sqlite import passport

DUMP = (b"BEGIN;\nCREATE TABLE notes (text TEXT);\nINSERT INTO notes VALUES ('one'), ('two');\n"
        b"PRAGMA user_version=3;\nCOMMIT;\n")


def archive(*names, **words):
    """A tar archive with empty files of these names."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            for key, value in words.items():
                setattr(member, key, value)
            tar.addfile(member)
    return made.getvalue()


@pytest.fixture(name="extracted")
def fixture_extracted(tmp_path):
    """A function that puts a dump where the checks look for it; gives the open directory."""
    opened = []

    def put(content):
        (tmp_path / COPY).write_bytes(content)
        opened.append(os.open(str(tmp_path), os.O_RDONLY))
        return opened[-1]
    yield put
    for descriptor in opened:
        os.close(descriptor)


@pytest.mark.parametrize("format, content", [
    ("sql", DUMP), ("raw", b"x"), ("tar", archive("a", "b/c")), ("tar", gzip.compress(archive("a")))])
def test_what_is_good_has_no_troubles(extracted, format, content):
    assert problems_of(CHECKERS[format](extracted(content), None, None)) == []


@pytest.mark.parametrize("format, content, words", [
    ("sql", DUMP[:-9], "cut short"), ("sql", DUMP[:50], "cut short"), ("sql", b"", "no statement"),
    ("raw", b"", "is empty"), ("tar", b"", "tar archive"), ("tar", archive(), "tar archive is empty"),
    ("tar", archive("a")[:700], "cut short"), ("tar", gzip.compress(archive("a"))[:-4], "tar archive"),
    ("tar", archive("../a"), "tar archive"), ("tar", archive("/etc/x"), "tar archive"),
    ("tar", archive("a", type=tarfile.SYMTYPE, linkname="../../etc"), "leads out"),
    ("tar", archive("a", type=tarfile.CHRTYPE), "character device"), ("tar", archive("a", "a"), "same path")])
def test_what_is_wrong_is_told(extracted, format, content, words):
    (trouble,) = problems_of(CHECKERS[format](extracted(content), None, None))
    assert words in trouble


def test_a_dump_is_held_against_its_passport_and_its_assertions(extracted):
    directory = extracted(DUMP)
    source = CommandSource("notes.sql", ["x"], format="sql", assertions=[Assertion("SELECT count(*) FROM notes", 2)])
    recorded = {"application_id": 0, "encoding": "UTF-8", "tables": {"notes": 2}, "user_version": 3,
                "schema_digest": digest_of_schema()}
    assert problems_of(CHECKERS["sql"](directory, source, recorded)) == []
    assert "rows of notes differ" in problems_of(CHECKERS["sql"](directory, source, dict(recorded, tables={"notes": 3})))[0]
    source.assertions[0].minimum = 3
    assert "at least 3" in problems_of(CHECKERS["sql"](directory, source, recorded))[0]


def digest_of_schema():
    """That of the dump, by the one who knows."""
    connection = sqlite3.connect(":memory:")
    connection.text_factory = bytes
    connection.executescript(DUMP.decode())
    try:
        return passport.schema_digest(connection)
    finally:
        connection.close()


def test_a_dump_can_be_asked_once_it_was_checked(extracted):
    directory = extracted(DUMP)
    assert problems_of(CHECKERS["sql"](directory, None, None)) == []
    assert list(ASKERS["sql"](directory, "SELECT text FROM notes ORDER BY 1")) == [b"one", b"two"]


@pytest.mark.parametrize("start, kind", [
    (b"", "it is empty"), (b"\n <!DOCTYPE HTML><p>", "it is HTML"), (b"\xef\xbb\xbf<html>", "it is HTML"),
    (b"<?xml version='1.0'?>", "it is XML"), (b' {"error": 1}', "it is JSON"),
    (gzip.compress(b"x"), "it is compressed with gzip"),
    (b"PK\x03\x04...", "it is a zip file"), (archive("[a]"), "it is a tar archive"), (DUMP, "it is an SQL script"),
    (b"anything", "it is something else")])
def test_a_wrong_beginning_is_told_without_showing_it(start, kind):
    assert kind_of_bytes(start) == kind
