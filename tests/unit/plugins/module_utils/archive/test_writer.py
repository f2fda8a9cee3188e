# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writing an archive: other programs read it, and a file that changes meanwhile does not break it."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tempfile
import threading

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.archive import reader, tar
from ansible_collections.appstate.backup.plugins.module_utils.archive.members import (
    DIRECTORY, FILE, LINK, LIST_PATH, MANIFEST_PATH, Member, new_digest)
from ansible_collections.appstate.backup.plugins.module_utils.archive.writer import SMALL, ArchiveWriter
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import ArchiveError

ODD = [b"plain", b"with space", b"new\nline", b"\xff\xfe", "é".encode(), b"x" * 255, b"-n", b"back\\slash", b"*", b"\x01"]
# GNU tar has to be there; bsdtar (libarchive-tools) is tried where it is.
PROGRAMS = ["tar"] + (["bsdtar"] if shutil.which("bsdtar") else [])
SIZES = (0, 1, 511, 512, 513, SMALL - 1, SMALL, SMALL + 1, tar.CHUNK * 2, tar.CHUNK * 2 + 1)


class Collected:
    """A stream that keeps what is written to it, and can do something at a certain write."""

    def __init__(self, at=None, action=None):
        self.data = bytearray()
        self._left = at
        self._action = action

    def write(self, data):
        self.data += data
        if self._left is not None:
            self._left -= 1
            if self._left == 0:
                self._action()


@pytest.fixture
def source(tmp_path):
    """A directory with odd names, all sizes around a limit, links and times."""
    top = tmp_path / "source"
    top.mkdir()
    deep = os.path.join(os.fsencode(str(top)), *[b"deep" * 20] * 5)
    os.makedirs(deep)
    for name in ODD:
        with open(os.path.join(os.fsencode(str(top)), name), "wb") as file:
            file.write(name)
        os.symlink(name, os.path.join(deep, name[:250] + b"link"))
    for size in SIZES:
        (top / ("size%d" % size)).write_bytes(os.urandom(size))
    (top / "empty").mkdir()
    with open(os.path.join(deep, b"f"), "wb") as file:
        file.write(b"deep")
    os.utime(str(top / "plain"), ns=(-3000000000, -3000000000))
    os.utime(str(top / "size1"), ns=(1234567890123456789, 1234567890123456789))
    if os.geteuid() == 0:
        os.chown(str(top / "plain"), 2 ** 21 + 5, 2 ** 31 + 5)
    return str(top)


def without_fractions(told):
    """A tree as an archive of whole seconds tells it, the top's own part left out."""
    return {path: what[:4] + (what[4] // 10 ** 9,) + what[5:] for path, what in told.items()
            if not path.startswith(b".appstate")}


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_a_tree_comes_back_identical(tools, source, tmp_path, kind):
    assert tools.archive_tree(source, str(tmp_path / "a"), kind) == {}
    contents = tools.extract(str(tmp_path / "a"), str(tmp_path / "out"))
    assert contents.problems == []
    assert tools.tree(str(tmp_path / "out")) == tools.tree(source)
    assert contents.count == len(tools.tree(source))


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_other_programs_extract_the_same(tools, source, tmp_path, kind, program):
    tools.archive_tree(source, str(tmp_path / "a"), kind)
    (tmp_path / "out").mkdir()
    words = ["--same-owner", "--numeric-owner"] if os.geteuid() == 0 else []
    done = subprocess.run([program, "-x", "-p", "-f", str(tmp_path / "a"), "-C", str(tmp_path / "out")] + words,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    assert done.returncode == 0, done.stdout
    assert without_fractions(tools.tree(str(tmp_path / "out"))) == without_fractions(tools.tree(source))
    assert sorted(os.listdir(str(tmp_path / "out" / ".appstate"))) == ["manifest.json", "members.jsonl"]


def test_the_list_is_the_last_but_one_and_the_manifest_the_last(tools, source, tmp_path):
    tools.archive_tree(source, str(tmp_path / "a"), "gzip")
    listed = subprocess.run(["tar", "-tzf", str(tmp_path / "a")], stdout=subprocess.PIPE, check=True).stdout.splitlines()
    assert listed[-2:] == [LIST_PATH, MANIFEST_PATH]


def written(path, at=None, action=None, member=None):
    """One file as the writer writes it: what it reported, the member, the archive's bytes and its list."""
    descriptor = os.open(path, os.O_RDONLY)
    found = os.fstat(descriptor)
    member = member or Member(b"f", FILE, found.st_size, 0o600, mtime=found.st_mtime_ns)
    stream = Collected(at, action)
    with tempfile.TemporaryFile() as lines:
        writer = ArchiveWriter(stream, lines)
        if at == 0:
            action()
        trouble = writer.add_file(member, descriptor)
        os.close(descriptor)
        lines.seek(0)
        return trouble, member, bytes(stream.data), lines.read(), writer


def checked(tools, member, data, line):
    """The content that an archive of one member gives back; it fits its own list."""
    contents = tools.read(tools.grafted([data], [member]))
    assert contents.problems == [] and line == member.line()
    reading = tar.TarReader(io.BytesIO(data + tar.END))
    return b"".join(piece for unused in reading for piece in reading.content())


@pytest.mark.parametrize("size", [10, SMALL, SMALL + 1, 5 * tar.CHUNK + 7])
@pytest.mark.parametrize("change, said", [("shrink", "shrank"), ("empty", "shrank"), ("grow", "grew"),
                                          ("overwrite", "changed"), ("nothing", None)])
@pytest.mark.parametrize("moment", [0, 2])
def test_a_file_that_changes_while_it_is_read(tools, tmp_path, size, change, said, moment):
    """The change comes between the look and the reading, or, in a large file, after the first piece."""
    path = str(tmp_path / "f")
    before = os.urandom(size)
    with open(path, "wb") as file:
        file.write(before)
    os.utime(path, ns=(5, 5))

    def act():
        with open(path, "r+b") as file:
            if change == "shrink":
                file.truncate(size // 2)
            elif change == "empty":
                file.truncate(0)
            elif change == "grow":
                file.seek(0, 2)
                file.write(b"more" * 1000)
            elif change == "overwrite":
                file.write(b"X")

    if moment and size <= SMALL:
        moment = 1  # Read already when its header is written; what happens then is still told.
    trouble, member, data, line, writer = written(path, moment, act)
    assert (trouble is None) if said is None else trouble.startswith(said)
    content = checked(tools, member, data, line)
    assert len(content) == member.size == writer.bytes
    if change in ("grow", "nothing"):
        assert content == before
    if change in ("shrink", "empty") and size > SMALL:
        assert len(content) == size and content.endswith(b"\0")
    if change == "shrink" and moment == 0:
        assert content[:size // 2] == before[:size // 2]


def test_a_file_that_another_thread_keeps_changing_gives_a_valid_archive(tools, tmp_path):
    path = str(tmp_path / "f")
    with open(path, "wb") as file:
        file.write(os.urandom(3 << 20))
    ended = threading.Event()

    def churn():
        descriptor = os.open(path, os.O_WRONLY)
        size = 0
        while not ended.is_set():
            size = (size + 777777) % (4 << 20)
            os.ftruncate(descriptor, size)
            os.pwrite(descriptor, b"changed", size // 2)
        os.close(descriptor)

    thread = threading.Thread(target=churn)
    thread.start()
    troubles = []
    try:
        for unused in range(20):
            descriptor = os.open(path, os.O_RDONLY)
            found = os.fstat(descriptor)
            os.close(descriptor)
            member = Member(b"f", FILE, found.st_size, 0o600, mtime=found.st_mtime_ns)
            trouble, member, data, line, unused_writer = written(path, member=member)
            troubles.append(trouble)
            assert len(checked(tools, member, data, line)) == member.size
    finally:
        ended.set()
        thread.join()
    assert any(troubles)


def test_a_file_without_its_look_is_read_to_its_promised_size(tools, tmp_path):
    """A member that promises less or more than there is."""
    path = str(tmp_path / "f")
    with open(path, "wb") as file:
        file.write(b"x" * (SMALL + 10))
    for size in (0, 5, SMALL, SMALL + 5, SMALL + 10, SMALL + 600):
        trouble, member, data, line, unused = written(path, member=Member(b"f", FILE, size, 0o600))
        content = checked(tools, member, data, line)
        assert content == (b"x" * (SMALL + 10) + b"\0" * 1000)[:size]
        assert trouble.startswith("grew" if size < SMALL + 10 else "shrank" if size > SMALL + 10 else "changed")


def test_the_digest_is_that_of_the_content(tmp_path):
    for size in SIZES:
        content = os.urandom(size)
        (tmp_path / "f").write_bytes(content)
        digest = new_digest()
        digest.update(content)
        unused, member, data, line, writer = written(str(tmp_path / "f"))
        assert member.digest == digest.hexdigest() and content in data and len(data) % 512 == 0


def test_totals_and_progress_are_told(tmp_path):
    (tmp_path / "f").write_bytes(b"x" * 700)
    told, totals = [], []
    stream = Collected()
    with tempfile.TemporaryFile() as lines:
        writer = ArchiveWriter(stream, lines, told.append)
        writer.add(Member(b"d", DIRECTORY))
        writer.add(Member(b"l", LINK, target=b"d"))
        descriptor = os.open(str(tmp_path / "f"), os.O_RDONLY)
        writer.add_file(Member(b"f", FILE, 700), descriptor)
        os.close(descriptor)
        writer.finish(lambda *given: totals.append(given) or b"{}")
        lines.seek(0)
        digest = new_digest()
        digest.update(lines.read())
    assert told == [700] and totals == [(3, 700, digest.hexdigest())] and stream.data.endswith(tar.END)


def test_a_long_list_is_written_whole(tools):
    members = [Member(b"d%06d" % number, DIRECTORY, mode=0o755) for number in range(20000)]
    stream = Collected()
    with tempfile.TemporaryFile() as lines:
        writer = ArchiveWriter(stream, lines)
        for member in members:
            writer.add(member)
        stream.data = bytearray()
        writer.finish(lambda count, size, digest: tools.manifest(count, size, digest).to_bytes())
    reading = tar.TarReader(io.BytesIO(stream.data))
    found = {member.path: b"".join(reading.content()) for member in reading}
    assert found[LIST_PATH] == b"".join(member.line() for member in members)
    assert reader.parse_manifest(found[MANIFEST_PATH], beside=False).content["members"]["count"] == 20000


def written_pieces(size, pieces):
    """``(what was written, the member)`` of a file that came in pieces."""
    stream, lines = io.BytesIO(), io.BytesIO()
    member = Member(b"file", FILE, size)
    ArchiveWriter(stream, lines).add_pieces(member, pieces)
    return stream.getvalue(), member


def test_a_file_can_come_in_pieces():
    data, member = written_pieces(1000, [b"a" * 400, b"b" * 600])
    digest = new_digest()
    digest.update(b"a" * 400 + b"b" * 600)
    assert member.digest == digest.hexdigest()
    found = tar.TarReader(io.BytesIO(data + tar.END))
    assert [(each.path, b"".join(found.content())) for each in found] == [(b"file", b"a" * 400 + b"b" * 600)]


@pytest.mark.parametrize("pieces", [[], [b"a" * 999], [b"a" * 600, b"b" * 401]])
def test_pieces_have_to_be_as_long_as_was_told(pieces):
    with pytest.raises(ArchiveError, match="not as long"):
        written_pieces(1000, pieces)
