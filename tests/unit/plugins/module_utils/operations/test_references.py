# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files that a database names, and files that there are: each difference is found, in time and in memory."""

from __future__ import annotations

import time
import tracemalloc

import pytest
from hypothesis import given, strategies as st

from ansible_collections.appstate.backup.plugins.module_utils.archive.members import DIRECTORY, FILE, Member
from ansible_collections.appstate.backup.plugins.module_utils.operations.references import (
    References, lacking_text, unnamed_text)
from ansible_collections.appstate.backup.plugins.module_utils.source import Reference, SqliteSource
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import QueryError

DATABASE = "db/club.db"


def source(*unders, path=DATABASE):
    """A database with a reference for each of these directories; the SQL is the directory's name."""
    return SqliteSource(path, references=[Reference(under, under) for under in unders])


def compared(answers, paths, path=DATABASE, own=DATABASE):
    """What is told of the answers of a database, and of these files (directories end with a slash)."""
    references = References()
    references.ask(path, source(*answers, path=own), answers.__getitem__)
    assert references.failures == []
    members = [Member(name.rstrip(b"/"), DIRECTORY if name.endswith(b"/") else FILE) for name in paths]
    lacking, unnamed = references.compare(members)
    return [lacking_text(each) for each in lacking], [unnamed_text(each) for each in unnamed]


def test_all_is_there():
    assert compared({"blobs": [b"a", b"b/c"]}, [b"blobs/", b"blobs/a", b"blobs/b/", b"blobs/b/c"]) == ([], [])


def test_what_is_lacking_and_what_is_not_named_is_told():
    lacking, unnamed = compared({"blobs": [b"a", b"b/c", b"d"]}, [b"blobs/a", b"blobs/x", b"blobsx/y", b"z"])
    assert lacking == ["db/club.db names 2 files below blobs that the backup lacks: b/c, d"]
    assert unnamed == ["1 file below blobs is named by nothing in db/club.db: x"]


def test_the_first_file_that_is_named_can_be_asked_for():
    references = References()
    references.ask(DATABASE, source("blobs", "more"), {"blobs": [b"b", b"c"], "more": [b"/x"]}.__getitem__)
    members = [Member(name, FILE) for name in (b"b", b"blobs/a", b"blobsx/b", b"more/c", b"more/x", b"blobs/b")]
    assert references.first_named(members) == b"more/x" and references.first_named(members[:4]) is None
    assert References().first_named(members) is None


def test_of_many_the_first_are_named():
    lacking, unnamed = compared({"blobs": [b"%03d" % number for number in range(500)]},
                                [b"blobs/x%d" % number for number in range(25)])
    assert lacking[0].startswith("db/club.db names 500 files below blobs that the backup lacks: 000, 001, ")
    assert lacking[0].endswith(", 019 and 480 more")
    assert unnamed[0].startswith("25 files below blobs are named by nothing") and unnamed[0].endswith(" and 5 more")


@pytest.mark.parametrize("value", [b"/a/b", b"a/b", b"./a//b", b"a/./b", b"//a/b/", b"a/c/../b"])
def test_a_path_can_be_written_in_many_ways(value):
    assert compared({"blobs": [value]}, [b"blobs/a/b"]) == ([], [])


@pytest.mark.parametrize("value", [b"", b"  ", b"/", b".", b"./"])
def test_no_path_is_ignored(value):
    assert compared({"blobs": [value]}, []) == ([], [])


def test_what_leads_out_is_lacking():
    assert compared({"blobs": [b"../z", b"../../etc/passwd"]}, [b"z"])[0] == [
        "db/club.db names 2 files below blobs that the backup lacks: ../z, ../../etc/passwd"]


def test_one_that_is_named_twice_lacks_once():
    assert "names 1 file below" in compared({"blobs": [b"a", b"/a", b"a"]}, [])[0][0]


def test_a_directory_can_be_named_and_need_not_be():
    assert compared({"blobs": [b"a"]}, [b"blobs/a/", b"blobs/b/"]) == ([], [])


def test_a_name_that_is_no_text_can_be_told():
    assert compared({"blobs": [b"\xff"]}, [])[0] == ["db/club.db names 1 file below blobs that the backup lacks: \\xff"]


def test_two_references_to_one_directory_name_together_what_is_there():
    references = References()
    for path, values in (("one.db", [b"a"]), ("two.db", [b"b", b"a"])):
        references.ask(path, source("blobs", path=path), {"blobs": values}.get)
    lacking, unnamed = references.compare([Member(b"blobs/a", FILE), Member(b"blobs/b", FILE), Member(b"blobs/c", FILE)])
    assert lacking == []
    assert [unnamed_text(each) for each in unnamed] == ["1 file below blobs is named by nothing in one.db or two.db: c"]


def test_a_database_inside_of_a_volume_names_files_of_that_volume():
    assert compared({"blobs": [b"a", b"b"]}, [b"volumes/club/blobs/a"], "volumes/club/db/club.db", "db/club.db")[0] == [
        "volumes/club/db/club.db names 1 file below volumes/club/blobs that the backup lacks: b"]


def test_a_query_that_fails_is_told_and_the_others_go_on():
    def ask(sql):
        if sql == "one":
            raise QueryError("the query failed: no such table: files")
        return [b"a"]
    references = References()
    references.ask(DATABASE, source("one", "two"), ask)
    assert references.failures == ["the files that db/club.db names cannot be read: the query failed: no such table: files"]
    assert [each.under for each in references.compare([])[0]] == ["two"]


def test_without_references_members_are_not_looked_at():
    references = References()
    references.ask(DATABASE, SqliteSource(DATABASE), None)
    assert references.compare(iter(int, 1)) == ([], [])


NAMES = st.lists(st.text("abc/", min_size=1, max_size=4).map(str.encode), max_size=12)


@given(NAMES, NAMES)
def test_differences_are_those_of_the_sets(named, there):
    def plain(path):
        return b"/".join(part for part in path.split(b"/") if part)
    wanted = {plain(path) for path in named} - {b""}
    found = {plain(path) for path in there} - {b""}
    references = References()
    references.ask(DATABASE, source("u"), lambda sql: named)
    lacking, unnamed = references.compare([Member(b"u/" + path, FILE) for path in sorted(found)])
    assert sum(each.count for each in lacking) == len(wanted - found)
    assert sum(each.count for each in unnamed) == len(found - wanted)
    assert {path.encode() for each in lacking for path in each.paths} == wanted - found


def test_many_take_neither_long_nor_much():
    class Many:
        def __iter__(self):
            return (b"sha256/%064d" % number for number in range(30000))
    tracemalloc.start()
    begun = time.monotonic()
    references = References()
    references.ask(DATABASE, source("blobs"), lambda sql: Many())
    lacking, unnamed = references.compare(Member(b"blobs/sha256/%064d" % number, FILE) for number in range(7, 30007))
    seconds, peak = time.monotonic() - begun, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (lacking[0].count, unnamed[0].count) == (7, 7)
    assert seconds < 10 and peak < 8 << 20, (seconds, peak)
