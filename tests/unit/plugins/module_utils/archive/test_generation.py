# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import io
import os
import shutil

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.archive import generation
from ansible_collections.appstate.backup.plugins.module_utils.archive.extract import Extractor
from ansible_collections.appstate.backup.plugins.module_utils.archive.manifest import Manifest
from ansible_collections.appstate.backup.plugins.module_utils.archive.members import DIRECTORY, FILE, LINK, Member
from ansible_collections.appstate.backup.plugins.module_utils.archive.reader import Contents
from ansible_collections.appstate.backup.plugins.module_utils.system import files
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import ArchiveError

NAME = "notes-20261119T030000Z.1.tree"


def digest(content):
    return hashlib.blake2b(content, digest_size=32).hexdigest()


class Made:
    """A generation of the source ``data/blobs``, and what reading it gives."""

    def __init__(self, path):
        self.path = str(path)
        os.makedirs(self.at("files", "deep"))
        for name, content in ((b"a", b"a"), (b"a.b", b"large" * 300000), (b"deep/\xff", b"odd")):
            with open(os.path.join(os.fsencode(self.at("files")), name), "wb") as file:
                file.write(content)
        os.symlink("../a", self.at("files", "deep", "link"))
        self.members = [
            Member(b"data/blobs", DIRECTORY), Member(b"data/blobs/a", FILE, 1, digest=digest(b"a")),
            Member(b"data/blobs/a.b", FILE, 1500000, digest=digest(b"large" * 300000)), Member(b"data/blobs/deep", DIRECTORY),
            Member(b"data/blobs/deep/link", LINK, target=b"../a"),
            Member(b"data/blobs/deep/\xff", FILE, 3, digest=digest(b"odd"))]
        self.write_list()

    def at(self, *names):
        return os.path.join(self.path, NAME, *names)

    def write_list(self):
        lines = b"".join(member.line() for member in self.members)
        with open(self.at("members.jsonl"), "wb") as file:
            file.write(lines)
        self.source = {"type": "files", "path": "data/blobs", "present": True, "method": "rsync", "generation": NAME,
                       "bytes": 0, "list": {"count": len(self.members), "bytes": len(lines), "digest": digest(lines)}}

    def read(self, extractor=None, on_bytes=None):
        contents = Contents()
        contents.lines = io.BytesIO(b"earlier\n")
        contents.count, contents.bytes = 1, 10
        generation.read_generations(self.path, Manifest({"sources": [self.source]}), contents, extractor, on_bytes)
        return contents

    def problems(self):
        contents = self.read()
        return [(problem["member"], problem["problem"]) for problem in contents.problems]

    def problem(self):
        """What a listing sees."""
        directory = os.open(self.path, files.DIRECTORY)
        try:
            return generation.problem_of(directory, self.source)
        finally:
            os.close(directory)


@pytest.fixture
def made(tmp_path):
    return Made(tmp_path)


def test_its_members_follow_those_of_the_archive(made):
    seen = []
    contents = made.read(on_bytes=seen.append)
    assert contents.problems == [] and made.problem() is None
    assert contents.lines.read() == b"earlier\n" + b"".join(member.line() for member in made.members)
    assert (contents.count, contents.bytes) == (7, 10 + 1500004) and sum(seen) == 1500004


def test_they_are_extracted_as_copies(made, tmp_path, tree):
    os.mkdir(str(tmp_path / "out"))
    out = os.open(str(tmp_path / "out"), files.DIRECTORY)
    try:
        extractor = Extractor(out, "out")
        made.read(extractor)
        extractor.close()
    finally:
        os.close(out)
    found = tree(str(tmp_path / "out" / "data" / "blobs"), times=False)
    assert sorted(found) == [b"a", b"a.b", b"deep", b"deep/\xff"]  # Links come when all is in place.
    assert os.stat(str(tmp_path / "out/data/blobs/a")).st_nlink == 1
    assert os.stat(made.at("files/a")).st_nlink == 1


def test_a_backup_without_one_needs_no_directory():
    generation.read_generations("/nowhere", Manifest({"sources": [{"path": "x"}]}), None)


@pytest.mark.parametrize("damage, problem", [
    (lambda made: os.unlink(made.at("files/a")), ("data/blobs/a", "is missing in the generation")),
    (lambda made: shutil.rmtree(made.at("files/deep")), ("data/blobs/deep", "is missing in the generation")),
    (lambda made: open(made.at("files/a"), "wb").close(), ("data/blobs/a", "has 0 bytes, and the list says 1")),
    (lambda made: write(made.at("files/a"), b"b"),
     ("data/blobs/a", "has other content than was backed up (its digest differs)")),
    (lambda made: write(made.at("files/deep/new"), b"b"), ("data/blobs/deep/new", "is in the generation, and not in its list")),
    (lambda made: relink(made.at("files/deep/link"), "../a.b"), ("data/blobs/deep/link", "leads elsewhere than the list says")),
    (lambda made: relink(made.at("files/a"), "a.b"), ("data/blobs/a", "is a link, and the list says file")),
    (lambda made: (os.unlink(made.at("files/a")), os.mkfifo(made.at("files/a"))),
     ("data/blobs/a", "is a special file, and the list says file")),
    (lambda made: write(made.at("members.jsonl"), b"x"),
     ("data/blobs", "the list of its generation %s is not the one that was written (its digest differs)" % NAME)),
    (lambda made: os.unlink(made.at("members.jsonl")),
     ("data/blobs", "members.jsonl of its generation %s cannot be opened: No such file or directory" % NAME)),
    (lambda made: shutil.rmtree(made.at("files")),
     ("data/blobs", "files of its generation %s cannot be opened: No such file or directory" % NAME)),
    (lambda made: shutil.rmtree(made.at()),
     ("data/blobs", "its generation %s cannot be opened beside the archive: No such file or directory" % NAME)),
])
def test_damage_is_named(made, damage, problem):
    damage(made)
    assert problem in made.problems()


def write(path, content):
    with open(path, "wb") as file:
        file.write(content)


def relink(path, target):
    os.unlink(path)
    os.symlink(target, path)


@pytest.mark.parametrize("change, problem", [
    (lambda members: setattr(members[1], "path", b"data/other/a"), "lies outside of its source"),
    (lambda members: setattr(members[1], "path", b"data/blobs/../a"), "a member's path has '..' in it"),
    (lambda members: setattr(members[4], "target", b"../../a"), "is a symbolic link that leads out of the source"),
    (lambda members: setattr(members[4], "target", b"/etc/passwd"), "is a symbolic link that leads out of the source"),
])
def test_a_list_that_leads_elsewhere_is_refused(made, change, problem, tmp_path):
    change(made.members)
    made.write_list()
    assert problem in [text for unused, text in made.problems()]
    os.mkdir(str(tmp_path / "out"))
    out = os.open(str(tmp_path / "out"), files.DIRECTORY)
    try:
        with pytest.raises(ArchiveError, match=problem):
            made.read(Extractor(out, "out"))
    finally:
        os.close(out)


@pytest.mark.parametrize("damage, problem", [
    (lambda made: shutil.rmtree(made.at()), "its generation %s is missing" % NAME),
    (lambda made: shutil.rmtree(made.at("files")), "its generation %s is missing" % NAME),
    (lambda made: os.unlink(made.at("members.jsonl")), "its generation %s is missing" % NAME),
    (lambda made: write(made.at("members.jsonl"), b"xy"), "the list of its generation %s has 2 bytes, and the manifest says" % NAME),
])
def test_a_listing_sees_at_once_what_is_missing(made, damage, problem):
    damage(made)
    assert made.problem().startswith(problem)


def test_two_streams_go_side_by_side():
    class At:
        def __init__(self, path):
            self.path = path

    left = [At(path) for path in (b"a", b"a/b", b"a.b", b"c")]
    right = [At(path) for path in (b"a", b"a/a", b"a.b", b"d")]
    found = [tuple(None if each is None else each.path for each in pair) for pair in generation.side_by_side(left, right)]
    assert found == [(b"a", b"a"), (None, b"a/a"), (b"a/b", None), (b"a.b", b"a.b"), (b"c", None), (None, b"d")]
