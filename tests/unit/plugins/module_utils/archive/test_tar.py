# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tar format, written and read: by Python's tarfile on the other side, and byte by byte."""

from __future__ import annotations

import io
import tarfile
import time
import tracemalloc

import pytest
from hypothesis import example, given, strategies

from ansible_collections.appstate.backup.plugins.module_utils.archive import tar
from ansible_collections.appstate.backup.plugins.module_utils.archive.members import (
    DIRECTORY, FILE, HARD_LINK, LINK, Member)
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import ArchiveError

PARTS = strategies.binary(min_size=1, max_size=255).filter(
    lambda name: b"\0" not in name and b"/" not in name and name not in (b".", b".."))
PATHS = strategies.lists(PARTS, min_size=1, max_size=8).map(b"/".join)


def read(data):
    """The members of a plain tar, each with its content."""
    reader = tar.TarReader(io.BytesIO(data))
    return [(member, b"".join(reader.content())) for member in reader]


def refused(data):
    """Why a plain tar is refused."""
    with pytest.raises(ArchiveError) as caught:
        read(data)
    return str(caught.value)


@given(PATHS, strategies.sampled_from((FILE, DIRECTORY, LINK)), PATHS, strategies.integers(0, 0o7777),
       strategies.integers(0, 2 ** 32 - 2), strategies.integers(0, 2 ** 32 - 2), strategies.integers(-2 ** 40, 2 ** 40))
@example(b"x" * 100, FILE, b"t", 0o644, 2 ** 21, 2 ** 21 - 1, -1)
@example(b"x" * 101, LINK, b"y" * 101, 0o777, 0, 0, 0)
@example(b"\xe9\n", LINK, b"\xff", 0o777, 0, 0, 0)
def test_a_header_gives_back_its_member(path, kind, target, mode, uid, gid, seconds):
    member = Member(path, kind, 0, mode, uid, gid, "wwwü", "grüppe", seconds * 10 ** 9 + 999999999,
                    target=target if kind == LINK else None)
    (found, content), = read(tar.header(member) + tar.END)
    assert content == b""
    member.mtime = seconds * 10 ** 9
    for name in Member.__slots__:
        assert getattr(found, name) == getattr(member, name), name


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 8 ** 11 - 1, 8 ** 11, 9 * 10 ** 12])
def test_a_size_of_any_length_is_written_and_read(size):
    header = tar.header(Member(b"big", FILE, size))
    assert len(header) % 512 == 0 and len(header + b"\0" * size if size < 600 else b"") % 512 == size % 512 * (size < 600)
    assert next(iter(tar.TarReader(io.BytesIO(header)))).size == size
    with tarfile.open(fileobj=io.BytesIO(header)) as archive:
        assert archive.next().size == size


def test_padding_fills_a_block():
    assert [len(tar.padding(size)) for size in (0, 1, 511, 512, 513)] == [0, 511, 1, 0, 511]


def python_tar(format):
    """An archive of each kind of member as Python's tarfile writes it."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=format) as archive:
        for name, kind, content, target in (
                ("./d", tarfile.DIRTYPE, b"", ""), ("./d/f", tarfile.REGTYPE, b"x" * 700, ""),
                ("d/" + "n" * 95 + "/f", tarfile.REGTYPE, b"long", ""), ("d/l", tarfile.SYMTYPE, b"", "f"),
                ("d/h", tarfile.LNKTYPE, b"", "./d/f"), ("d/old", tarfile.AREGTYPE, b"old", ""),
                ("d/c", tarfile.CONTTYPE, b"contiguous", "")):
            info = tarfile.TarInfo(name)
            info.type, info.size, info.linkname, info.mtime, info.mode = kind, len(content), target, 12345, 0o640
            info.uname, info.gname, info.uid, info.gid = "alice", "users", 1000, 100
            archive.addfile(info, io.BytesIO(content))
    return made.getvalue()


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_what_tarfile_writes_is_read(format):
    found = read(python_tar(format))
    assert [(member.path, member.type, content, member.target) for member, content in found] == [
        (b"d", DIRECTORY, b"", None), (b"d/f", FILE, b"x" * 700, None),
        (b"d/" + b"n" * 95 + b"/f", FILE, b"long", None), (b"d/l", LINK, b"", b"f"),
        (b"d/h", HARD_LINK, b"", b"d/f"), (b"d/old", FILE, b"old", None), (b"d/c", FILE, b"contiguous", None)]
    for member, unused in found:
        assert (member.mtime, member.mode, member.owner, member.group, member.uid, member.gid) == (
            12345 * 10 ** 9, 0o640, "alice", "users", 1000, 100)


def test_the_oldest_format_is_read(tools):
    (member, content), (folder, unused) = read(
        tools.entry(b"a/b", b"v7", kind=b"\0", magic=b"\0" * 8) + tools.block(b"d/", b"\0", magic=b"\0" * 8) + tar.END)
    assert (member.path, member.type, content) == (b"a/b", FILE, b"v7")
    assert (folder.path, folder.type) == (b"d", DIRECTORY)


def test_the_signed_checksum_of_old_programs_is_known(tools):
    block = tools.block("é".encode())
    signed = 256 + sum(byte - 256 * (byte > 127) for byte in block[:148] + block[156:])
    assert read(block[:148] + b"%06o\0 " % signed + block[156:] + tar.END)[0][0].path == "é".encode()
    assert "checksum" in refused(block[:148] + b"%06o\0 " % (signed + 1) + block[156:] + tar.END)


def test_gnu_long_names_are_read(tools):
    path, target = b"p/" * 90 + b"\xfff", b"t" * 200
    (member, unused), = read(tools.entry(b"././@LongLink", path + b"\0", kind=b"L") +
                             tools.entry(b"././@LongLink", target + b"\0", kind=b"K") +
                             tools.block(b"short", b"2") + tar.END)
    assert (member.path, member.target) == (path, target)


def test_an_extended_header_counts_for_one_member_only(tools):
    first, second = read(tools.pax([(b"path", b"first"), (b"uid", b"70000000")]) + tools.block(b"x") +
                         tools.block(b"second") + tar.END)
    assert (first[0].path, first[0].uid) == (b"first", 70000000)
    assert (second[0].path, second[0].uid) == (b"second", 0)


def test_a_global_header_changes_no_member(tools):
    (member, unused), = read(tools.pax([(b"comment", b"0" * 40), (b"path", b"elsewhere")], b"g") +
                             tools.block(b"here") + tar.END)
    assert member.path == b"here"


@pytest.mark.parametrize("text, nanoseconds", [
    (b"0", 0), (b"5", 5 * 10 ** 9), (b"1.5", 1500000000), (b"1.123456789", 1123456789), (b"1.1234567891", 1123456789),
    (b"1.", 10 ** 9), (b"-1", -10 ** 9), (b"-1.5", -1500000000), (b"-0.25", -250000000), (b"-2.000000001", -2000000001)])
def test_a_pax_time_is_a_decimal_fraction(tools, text, nanoseconds):
    (member, unused), = read(tools.pax([(b"mtime", text)]) + tools.block(b"a") + tar.END)
    assert member.mtime == nanoseconds


@pytest.mark.parametrize("text", [b"", b"x", b"1.x", b"1.-5", b"--1", b"1_0", b"9" * 100, b"9" * 60000, b"-" + b"9" * 20,
                                  b"1e9", b"nan", b" 1"])
def test_a_time_that_no_file_can_have_is_refused(tools, text):
    assert "time" in refused(tools.pax([(b"mtime", text)]) + tools.block(b"a") + tar.END)


def test_numbers_in_base_256_are_read(tools):
    (member, unused), = read(tools.block(
        b"a", uid=b"\x80" + (5000000).to_bytes(7, "big"), mtime=b"\xff" + (256 ** 11 - 5).to_bytes(11, "big")) + tar.END)
    assert (member.uid, member.mtime) == (5000000, -5 * 10 ** 9)
    assert "time" in refused(tools.block(b"a", mtime=b"\x80" + b"\xff" * 11) + tar.END)


@pytest.mark.parametrize("field", [b"\x80" + b"\xff" * 7, b"\x80\0\0\0\xff\xff\xff\xff", b"\xff" * 8])
def test_an_owner_that_no_system_has_counts_as_unknown(tools, field):
    (member, unused), = read(tools.block(b"a", uid=field, gid=field) + tar.END)
    assert (member.uid, member.gid) == (0, 0)


@pytest.mark.parametrize("text", [b"4294967295", b"99999999999", b"-5", b"x", b"9" * 5000])
def test_the_same_in_an_extended_header(tools, text):
    (member, unused), = read(tools.pax([(b"uid", text), (b"gid", text)]) + tools.block(b"a") + tar.END)
    assert (member.uid, member.gid) == (0, 0)


@pytest.mark.parametrize("kind, said", [
    (b"3", "character device"), (b"4", "block device"), (b"6", "FIFO"), (b"S", "sparse"), (b"M", "several volumes"),
    (b"V", "volume label"), (b"D", "dump directory"), (b"A", "unknown type"), (b"N", "unknown type")])
def test_what_no_application_state_needs_is_refused(tools, kind, said):
    assert said in refused(tools.block(b"a", kind) + tar.END)


@pytest.mark.parametrize("key", [b"GNU.sparse.major", b"GNU.sparse.map", b"GNU.sparse.name", b"GNU.sparse.size"])
def test_a_sparse_file_in_pax_clothes_is_refused(tools, key):
    assert "sparse" in refused(tools.pax([(key, b"1")]) + tools.block(b"a") + tar.END)


@pytest.mark.parametrize("path", [b"/abs", b"..", b"../x", b"a/../../x", b"", b"a" * 4096])
def test_a_path_out_of_the_tree_is_refused(tools, path):
    data = tools.pax([(b"path", path)]) + tools.block(b"harmless") + tar.END
    if path:
        assert "path" in refused(data)
    else:
        assert read(data)[0][0].path == b"harmless"


@pytest.mark.parametrize("target", [b"/etc/shadow", b"../../etc/shadow", b"d/../../x"])
def test_a_hard_link_out_of_the_tree_is_refused(tools, target):
    assert "path" in refused(tools.block(b"a", b"1", target=target) + tar.END)


def test_a_path_in_a_prefix_is_refused_too(tools):
    assert ".." in refused(tools.block(b"x", prefix=b"a/../../b") + tar.END)
    assert "absolute" in refused(tools.block(b"x", prefix=b"/b") + tar.END)


@pytest.mark.parametrize("extra", [b"5 a=b\n", b"7 a=b\n", b"6 a=b ", b"6 ab \n", b"x a=b\n", b"-6 a=b\n", b"6\na=b\n",
                                   b"0 a=b\n", b"1 a=b\n", b"999999999 a=b\n", b"12 size=x10\n", b"11 size=-1\n",
                                   b"8 size=\n", b"\0" * 6, b"6 a=b\n\0", b"9" * 5000 + b" a=b\n"])
def test_a_broken_extended_header_is_refused(tools, extra):
    refused(tools.entry(b"pax", extra, kind=b"x") + tools.block(b"a") + tar.END)


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K"])
def test_a_header_that_claims_a_gigabyte_is_refused_before_it_is_read(tools, kind):
    assert "1073741824" in refused(tools.block(b"pax", kind, size=1 << 30))


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K"])
def test_a_header_with_a_size_below_zero_is_refused(tools, kind):
    refused(tools.block(b"pax", kind, number=b"-0000000777\0") + tar.END)
    refused(tools.block(b"pax", kind, number=b"\xff" * 12) + tar.END)


def test_a_member_with_a_size_below_zero_is_refused(tools):
    assert "below zero" in refused(tools.block(b"a", number=b"\xff" * 12) + tar.END)


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K"])
def test_headers_that_never_come_to_a_member_are_refused(tools, kind):
    class Endless:
        """One extended header after the other, each with other keys."""
        def __init__(self):
            self.number = 0
            self.waiting = b""

        def read(self, count):
            while len(self.waiting) < count:
                self.number += 1
                records = [(b"key%d.%d" % (self.number, index), b"v" * 50) for index in range(500)]
                self.waiting += tools.pax(records, kind)
            piece, self.waiting = self.waiting[:count], self.waiting[count:]
            return piece

    stream = Endless()
    with pytest.raises(ArchiveError):
        next(iter(tar.TarReader(stream)))
    assert stream.number < 100


def test_many_small_records_take_no_time(tools):
    header = tools.entry(b"pax", b"6 a=b\n" * 10000, kind=b"x")
    started = time.process_time()
    read((header + tools.block(b"a")) * 20 + tar.END)
    assert time.process_time() - started < 2


@pytest.mark.parametrize("kind", [b"5", b"2"])
def test_content_where_none_can_be_is_refused(tools, kind):
    assert "content" in refused(tools.entry(b"a", b"x", kind=kind, target=b"b") + tar.END)


def test_a_number_that_is_none_is_refused(tools):
    assert "number" in refused(tools.block(b"a", number=b"12345678x\0\0\0") + tar.END)
    for number in (b"0o777\0\0\0\0\0\0\0", b"1_7\0\0\0\0\0\0\0\0\0", b"+7\0\0\0\0\0\0\0\0\0\0"):
        assert "number" in refused(tools.block(b"a", number=number) + tar.END)


def test_every_cut_is_noticed():
    data = python_tar(tarfile.PAX_FORMAT)
    end = len(data.rstrip(b"\0")) + 511 & ~511
    for length in range(0, end + 512, 64):
        if length % 512 or length <= end:
            assert "cut short" in refused(data[:length]), length


def test_a_cut_is_told_with_the_member_before_it(tools):
    assert "after data/a" in refused(tools.block(b"data/a", size=5))
    assert "at its beginning" in refused(b"")


def test_one_block_of_zeros_ends_an_archive_and_nothing_may_follow(tools):
    assert len(read(tools.block(b"a") + b"\0" * 512)) == 1
    assert len(read(tools.block(b"a") + b"\0" * 20480)) == 1
    for after in (tools.block(b"b"), b"x", b"\0" * 512 + tools.block(b"b"), b"\0" * 511 + b"x"):
        assert "after its end" in refused(tools.block(b"a") + b"\0" * 512 + after)


def test_zeros_without_an_end_are_refused():
    class Zeros:
        """As many zeros as anybody asks for."""
        given = 0

        def read(self, count):
            self.given += count
            return bytes(count)

    stream = Zeros()
    with pytest.raises(ArchiveError):
        list(tar.TarReader(stream))
    assert stream.given < 1 << 30


def test_unread_content_is_skipped(tools):
    reader = tar.TarReader(io.BytesIO(tools.entry(b"a", b"x" * 1000) + tools.entry(b"b", b"y") + tar.END))
    found = []
    for member in reader:
        found.append(member.path)
        if member.path == b"a":
            next(reader.content())
    assert found == [b"a", b"b"] and reader.last == b"b"


def test_content_comes_in_pieces_whatever_the_stream_gives(tools):
    class Drip(io.RawIOBase):
        """At most seven bytes at a time."""
        def __init__(self, data):
            self.data = io.BytesIO(data)

        def read(self, count=-1):
            return self.data.read(min(count, 7))

    reader = tar.TarReader(Drip(tools.entry(b"a", b"x" * 1000) + tar.END))
    assert [(member.path, b"".join(reader.content())) for member in reader] == [(b"a", b"x" * 1000)]
    large = tools.entry(b"a", b"x" * (tar.CHUNK * 2 + 1))
    reader = tar.TarReader(io.BytesIO(large + tar.END))
    next(iter(reader))
    assert [len(piece) for piece in reader.content()] == [tar.CHUNK, tar.CHUNK, 1]


def test_memory_does_not_grow_with_the_size_of_a_member(tools):
    class Large:
        """A header, and then as many bytes as it promised."""
        def __init__(self):
            self.waiting = tools.block(b"a", size=200 << 20)

        def read(self, count):
            piece, self.waiting = self.waiting[:count], self.waiting[count:]
            return piece or b"x" * count

    tracemalloc.start()
    reader = tar.TarReader(Large())
    next(iter(reader))
    assert sum(len(piece) for piece in reader.content()) == 200 << 20
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20


@given(strategies.binary(max_size=512), strategies.integers(0, 511))
def test_no_header_raises_anything_else(garbage, position):
    """A block with a right checksum and anything else wrong is read or refused."""
    block = bytearray(tar.header(Member(b"a", FILE)))
    block[position:position + len(garbage)] = garbage[:512 - position]
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    try:
        read(bytes(block) + tar.END)
    except ArchiveError:
        pass


@given(strategies.binary(max_size=600))
def test_no_extended_header_raises_anything_else(data):
    header = bytearray(tar.header(Member(b"x", FILE, len(data))))
    header[156:157] = b"x"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    try:
        read(bytes(header) + data + tar.padding(len(data)) + tar.header(Member(b"a", FILE)) + tar.END)
    except ArchiveError:
        pass


def test_what_is_never_extracted_can_be_left_out():
    odd = tarfile.TarInfo("fifo")
    odd.type = tarfile.FIFOTYPE
    plain = tarfile.TarInfo("after")
    plain.size = 5
    data = odd.tobuf(tarfile.PAX_FORMAT) + plain.tobuf(tarfile.PAX_FORMAT) + b"bytes" + tar.padding(5) + tar.END
    left_out = []
    reader = tar.TarReader(io.BytesIO(data), lambda path, what: left_out.append((path, what)))
    assert [(member.path, b"".join(reader.content())) for member in reader] == [(b"after", b"bytes")]
    assert left_out == [(b"fifo", "a FIFO")]


def test_what_is_left_out_has_no_content():
    odd = tarfile.TarInfo("disk")
    odd.type, odd.size = tarfile.BLKTYPE, 512
    with pytest.raises(ArchiveError, match="with content"):
        list(tar.TarReader(io.BytesIO(odd.tobuf(tarfile.GNU_FORMAT) + bytes(512) + tar.END), lambda path, what: None))


def one_file(path):
    return tar.header(Member(path, FILE, 5)) + b"bytes" + tar.padding(5)


@pytest.mark.parametrize("zeros", [tar.END, bytes(512), bytes(10240)])
def test_several_tars_can_stand_in_one_stream(zeros):
    data = io.BytesIO(one_file(b"a") + zeros + one_file(b"b") + one_file(b"c") + zeros)
    reader = tar.TarReader(data, several=True)
    assert [(member.path, b"".join(reader.content())) for member in reader] == [
        (path, b"bytes") for path in (b"a", b"b", b"c")]


@pytest.mark.parametrize("cut", [1, 511, 513, 1023, 1025])
def test_a_cut_in_one_of_several_is_noticed(cut):
    data = (one_file(b"a") + tar.END + one_file(b"b"))[:-cut]
    with pytest.raises(ArchiveError, match="cut short"):
        list(tar.TarReader(io.BytesIO(data), several=True))
