# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading an archive: every damage is noticed, and what old recipes made is read."""

from __future__ import annotations

import gzip
import io
import os
import resource
import subprocess
import tarfile
import tempfile
import tracemalloc

import pytest
from hypothesis import given, settings, strategies

from ansible_collections.appstate.backup.plugins.module_utils.archive import reader, tar
from ansible_collections.appstate.backup.plugins.module_utils.archive.members import FILE, LIST_PATH, Member, new_digest
from ansible_collections.appstate.backup.plugins.module_utils.archive.origin import FileDigest, FileOrigin
from ansible_collections.appstate.backup.plugins.module_utils.archive.reader import Most
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import (
    AppStateError, ArchiveError, SchemaTooNewError, SpaceError)


def digest_of(data):
    """The digest that a manifest beside an archive tells."""
    digest = new_digest()
    digest.update(data)
    return digest.hexdigest()


@pytest.fixture(scope="module")
def small(tools, tmp_path_factory):
    """The bytes of a small archive by its compression."""
    place = tmp_path_factory.mktemp("small")
    top = place / "top"
    (top / "d").mkdir(parents=True)
    (top / "d" / "f").write_bytes(b"content")
    os.symlink("f", str(top / "d" / "l"))
    made = {}
    for kind in ("gzip", "zstd"):
        tools.archive_tree(str(top), str(place / kind), kind)
        made[kind] = (place / kind).read_bytes()
    return made


def problems(tools, data):
    """What reading finds, the digest that the manifest beside it would tell left aside."""
    contents = tools.read(data)
    contents.lines.close()
    return contents.problems, contents.digest


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_a_sound_archive_is_what_it_says(tools, small, kind):
    contents = tools.read(small[kind])
    assert contents.problems == [] and contents.digest == digest_of(small[kind])
    assert (contents.count, contents.bytes, contents.manifest.app) == (3, 7, "notes")
    assert [member.path for member in reader.entries(contents.lines)] == [b"d", b"d/f", b"d/l"]
    assert contents.manifest.content["members"]["digest"] == digest_of(lines_of(contents))


def lines_of(contents):
    """The list of members as it stands."""
    contents.lines.seek(0)
    return contents.lines.read()


def test_every_flipped_byte_is_noticed_gzip(tools, small):
    data = small["gzip"]
    for position in range(len(data)):
        found, digest = problems(tools, flipped(data, position))
        assert digest != digest_of(data)
        # The digest beside the archive alone tells of what changes nothing: gzip's header, a way to write zeros.
        assert found or lines_of(tools.read(flipped(data, position))) == lines_of(tools.read(data))


def test_every_flipped_byte_is_noticed_zstd(tools, small):
    """Each takes a process, so only some are tried."""
    data = small["zstd"]
    for position in list(range(20)) + list(range(20, len(data), 25)):
        found, digest = problems(tools, flipped(data, position))
        assert digest != digest_of(data)
        assert found or lines_of(tools.read(flipped(data, position))) == lines_of(tools.read(data))


def flipped(data, position):
    """The data with one bit of one byte turned."""
    return data[:position] + bytes([data[position] ^ 1 << position % 8]) + data[position + 1:]


@pytest.mark.parametrize("kind, step", [("gzip", 1), ("zstd", 29)])
def test_every_cut_is_noticed_without_a_manifest_beside(tools, small, kind, step):
    data = small[kind]
    for length in range(0, len(data), step):
        found, digest = problems(tools, data[:length])
        assert found and digest != digest_of(data), length


def test_every_flipped_byte_of_the_plain_archive_is_noticed_by_its_list_or_harmless(tools, small):
    """Inside of the compression: what the list does not tell (padding, numbers in headers) changes no content."""
    data = gzip.decompress(small["gzip"])
    sound = lines_of(tools.read(data))
    unseen = 0
    for position in range(0, len(data.rstrip(b"\0")), 7):
        try:
            contents = tools.read(flipped(data, position))
        except (ArchiveError, SchemaTooNewError):
            continue
        if not contents.problems:
            unseen += 1
            assert lines_of(contents) == sound
    assert unseen < len(data) // 4


def test_a_newer_format_is_told(tools):
    contents = tools.read(tools.grafted([], [], format=2))
    assert "format 2" in contents.problems[0]["problem"]


@pytest.mark.parametrize("graft, said", [
    (lambda tools: tools.entry(b"f", b"x") + tools.entry(LIST_PATH, tools.member(b"f", b"x").line()) + tar.END, "missing"),
    (lambda tools: tools.entry(b".appstate/manifest.json", tools.manifest().to_bytes()) + tar.END, "missing"),
    (lambda tools: tools.grafted([], [], members={"count": 1, "bytes": 0, "digest": digest_of(b"")}), "does not fit"),
    (lambda tools: tools.grafted([], [], members={"count": 0, "bytes": 0, "digest": digest_of(b"x")}), "does not fit"),
    (lambda tools: tools.grafted([], [], members={"count": 0, "bytes": 5, "digest": digest_of(b"")}), "does not fit"),
    (lambda tools: tools.grafted([tools.entry(LIST_PATH)], []), "keep for themselves"),
    (lambda tools: tools.entry(LIST_PATH, b"x" * 10 ** 6) + tar.END, "longer than"),
    (lambda tools: tools.block(b".appstate/manifest.json", size=1 << 30) + bytes(17 << 20), "larger than"),
    (lambda tools: tar.END, None),
])
def test_a_list_or_manifest_that_cannot_be_is_noticed(tools, graft, said):
    contents = tools.read(graft(tools))
    if said is None:
        assert contents.problems == [] and contents.count == 0 and contents.manifest is None
    else:
        assert any(said in item["problem"] for item in contents.problems), contents.problems


def test_a_line_without_an_end_takes_no_memory(tools):
    """A hostile list of one line, as long as its members allow."""
    parts = [tools.block(b"n%d" % number) for number in range(1000)]
    line = b'{"digest":"' + b"0" * (60 << 20)
    data = b"".join(parts) + tools.entry(LIST_PATH, line) + tools.entry(
        b".appstate/manifest.json", tools.manifest(1000, 0, digest_of(line)).to_bytes()) + tar.END
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        del data, line
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        tracemalloc.start()
        contents = reader.read_archive(FileOrigin(file.fileno()), None)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert any("cannot be read" in item["problem"] for item in contents.problems)
    assert peak < 16 << 20 and resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40 * 1024


def test_the_longest_line_that_a_member_can_have_is_read(tools):
    path = b"/".join([b"\x01" * 255] * 15)
    member = Member(path, FILE, 0, 0o644, owner="\x01" * 256, group="\x01" * 256, digest=digest_of(b""))
    assert len(member.line()) < reader.LINE_MOST
    contents = tools.read(tools.grafted([tar.header(member)], [member]))
    assert contents.problems == []
    assert [item.path for item in reader.entries(contents.lines)] == [path]


def test_too_many_members_are_refused(tools, monkeypatch):
    monkeypatch.setattr(reader, "MEMBERS_MOST", 5)
    assert tools.read(b"".join(tools.block(b"%d" % number) for number in range(5)) + tar.END).problems == []
    contents = tools.read(b"".join(tools.block(b"%d" % number) for number in range(6)) + tar.END)
    assert "more than 5 members" in contents.problems[0]["problem"]


@pytest.mark.parametrize("count, size", [(2, 1000), (100, 29)])
def test_reading_ends_where_there_is_more_than_there_may_be(tools, count, size):
    data = b"".join(tools.entry(b"f%d" % number, b"x" * 10) for number in range(3))
    bound = Most(count, size, SpaceError("too much"))
    with tempfile.TemporaryFile() as file:
        file.write(data)  # It has no end either: nobody gets there.
        file.flush()
        with pytest.raises(SpaceError, match="too much"):
            reader.read_archive(FileOrigin(file.fileno()), None, most=bound)
        with pytest.raises(SpaceError, match="too much"):
            reader.read_single(FileOrigin(file.fileno()), None, b"f", "sqlite", 0, most=bound)
        assert reader.read_archive(FileOrigin(file.fileno()), None, most=Most(3, 30, SpaceError(""))).count == 3


def test_problems_are_told_member_by_member_but_not_without_end(tools):
    members = [tools.member(b"n%04d" % number, b"x") for number in range(1500)]
    data = tools.grafted([tools.entry(b"n%04d" % number, b"y") for number in range(1500)], members)
    found = tools.read(data).problems
    assert found[0] == {"member": "n0000", "problem": "has other content than was backed up (its digest differs)"}
    assert len(found) == reader.PROBLEMS_MOST


@settings(max_examples=30)
@given(strategies.lists(strategies.binary(max_size=6), max_size=60))
def test_a_path_that_comes_twice_is_noticed(paths):
    repeats = reader.Repeats()
    for path in paths:
        repeats.add(path)
    assert repeats.found() == (len(set(paths)) != len(paths))


def test_many_different_paths_are_no_repeats_on_a_host_of_32_bits_too():
    narrow = {reader.hash_of(b"%d" % number, 32) for number in range(100000)}
    assert len(narrow) == 100000
    assert reader.hash_of(b"x") == hash(b"x")


def test_marked_files_are_named(tools):
    mark = b"SQLite format 3\0"
    data = tools.entry(b"a.db", mark + b"x") + tools.entry(b"b", b"x" + mark) + tools.entry(b"c", mark[:5]) \
        + tools.entry(b"d", b"PGDMP\1") + tar.END
    assert tools.read(data, marks={mark: "sqlite", b"PGDMP": "postgresql"}).marked == {b"a.db": "sqlite", b"d": "postgresql"}


def test_progress_tells_every_byte(tools):
    told = []
    data = tools.entry(b"a", b"x" * 700) + tools.entry(b"b", b"y") + tar.END
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        reader.read_archive(FileOrigin(file.fileno()), None, on_bytes=told.append)
    assert sum(told) == 701


@pytest.mark.parametrize("kind", ["plain", "gzip", "bzip2", "xz", "zstd"])
def test_a_bare_file_is_one_member(tools, kind):
    content = os.urandom(700000)
    with tempfile.TemporaryFile() as file:
        file.write(tools.compressed(content, kind))
        file.flush()
        contents = reader.read_single(FileOrigin(file.fileno()), None, b"database.db", "sqlite", 0)
        member, = reader.entries(contents.lines)
        assert (member.path, member.size, member.digest) == (b"database.db", 700000, digest_of(content))
        assert (contents.count, contents.bytes, contents.marked) == (1, 700000, {b"database.db": "sqlite"})
        assert reader.first_bytes(FileOrigin(file.fileno()), 16) == content[:16]


def test_a_damaged_bare_file_is_refused(tools):
    for kind in ("gzip", "bzip2", "xz", "zstd"):
        data = tools.compressed(os.urandom(5000), kind)
        for broken in (data[:-9], flipped(data, len(data) // 2)):
            with tempfile.TemporaryFile() as file:
                file.write(broken)
                file.flush()
                with pytest.raises(ArchiveError):
                    reader.read_single(FileOrigin(file.fileno()), None, b"database.db", "sqlite", 0)


# GNU tar's formats; all that are not pax tell whole seconds.
@pytest.mark.parametrize("format", ["gnu", "oldgnu", "pax", "posix", "ustar", "v7"])
@pytest.mark.parametrize("kind", ["plain", "gzip", "bzip2", "xz", "zstd"])
def test_what_gnu_tar_made_is_read_and_extracted(tools, tmp_path, format, kind):
    top = tmp_path / "top"
    (top / "d").mkdir(parents=True)
    (top / "d" / "f").write_bytes(b"content")
    (top / "d" / "empty").write_bytes(b"")
    os.link(str(top / "d" / "f"), str(top / "d" / "z"))
    os.symlink("f", str(top / "d" / "l"))
    if format not in ("ustar", "v7"):
        (top / ("n" * 200)).write_bytes(b"long")
    if format not in ("ustar", "v7"):
        (top / "d" / os.fsdecode(b"\xff\n")).write_bytes(b"odd")
    for path, unused, names in os.walk(str(top), topdown=False):
        for name in names:
            os.utime(os.path.join(path, name), (1, 1), follow_symlinks=False)
        os.utime(path, (1, 1))
    made = subprocess.run(["tar", "--format", format, "-C", str(top), "-cf", "-", "."], stdout=subprocess.PIPE, check=True)
    contents = tools.extract(tools.compressed(made.stdout, kind), str(tmp_path / "out"))
    assert contents.problems == [] and contents.manifest is None
    assert tools.tree(str(tmp_path / "out")) == tools.tree(str(top))


def test_what_pythons_tarfile_made_is_read(tools, tmp_path):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name, content in (("data/notes.db", b"SQLite format 3\0"), ("public/uploads/a", b"a")):
            info = tarfile.TarInfo(name)
            info.size, info.uid = len(content), os.getuid()
            archive.addfile(info, io.BytesIO(content))
    contents = tools.extract(made.getvalue(), str(tmp_path / "out"))
    assert contents.problems == [] and (contents.count, contents.bytes) == (2, 17)
    assert (tmp_path / "out" / "public" / "uploads" / "a").read_bytes() == b"a"


@settings(max_examples=200)
@given(strategies.binary(max_size=3000), strategies.sampled_from((b"", b"\x1f\x8b\x08\0", b"BZh9", b"\xfd7zXZ\0", b"\0" * 512)))
def test_garbage_raises_nothing(tools, garbage, magic):
    contents = tools.read(magic + garbage)
    assert contents.problems or not (magic + garbage).strip(b"\0")


def test_a_digest_that_is_not_wanted_any_more_stops():
    with tempfile.TemporaryFile() as file:
        file.truncate(1 << 33)
        digest = FileDigest(file.fileno())
        digest.abandon()


def test_an_error_of_the_disk_is_raised(tmp_path):
    descriptor = os.open(str(tmp_path), os.O_RDONLY)
    with pytest.raises(OSError):
        FileDigest(descriptor).hexdigest()
    os.close(descriptor)


def test_errors_are_those_of_the_engine():
    assert issubclass(ArchiveError, AppStateError) and issubclass(SchemaTooNewError, AppStateError)
