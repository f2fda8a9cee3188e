# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compression, by programs and by Python's own libraries, in both directions."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import tempfile

import pytest
from hypothesis import given, settings, strategies

from ansible_collections.appstate.backup.plugins.module_utils.archive import streams
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import AppStateError, ArchiveError, SpaceError


@pytest.fixture
def file():
    """A temporary file."""
    with tempfile.TemporaryFile() as made:
        yield made


def read_all(descriptor, piece=65536):
    """All plain bytes of an open file."""
    stream = streams.open_plain(descriptor)
    try:
        return b"".join(iter(lambda: stream.read(piece), b""))
    finally:
        stream.close()


@settings(max_examples=15)
@given(strategies.lists(strategies.integers(0, 400000), max_size=6), strategies.sampled_from(("gzip", "zstd")))
def test_what_was_written_is_read(sizes, kind):
    pieces = [os.urandom(size // 2) + b"\0" * (size - size // 2) for size in sizes]
    with tempfile.TemporaryFile() as file:
        stream = streams.writer(kind, file.fileno())
        for piece in pieces:
            stream.write(piece)
        stream.close()
        assert read_all(file.fileno()) == b"".join(pieces)


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_small_pieces_arrive_in_order(file, kind):
    stream = streams.writer(kind, file.fileno())
    for number in range(20000):
        stream.write(b"%d," % number)
    stream.write(b"x" * 1000000)
    stream.write(b"end")
    stream.close()
    assert read_all(file.fileno()) == b"".join(b"%d," % number for number in range(20000)) + b"x" * 1000000 + b"end"


def test_programs_read_what_was_written(file):
    for kind, program in (("gzip", "gzip"), ("zstd", "zstd")):
        file.seek(0)
        file.truncate()
        stream = streams.writer(kind, file.fileno())
        stream.write(b"content" * 1000)
        stream.close()
        file.seek(0)
        assert subprocess.run([program, "-dc"], stdin=file, stdout=subprocess.PIPE, check=True).stdout == b"content" * 1000


def test_the_same_bytes_compress_to_the_same_bytes(file):
    stream = streams.writer("gzip", file.fileno())
    stream.write(b"content")
    stream.close()
    file.seek(0)
    assert file.read()[:8] == b"\x1f\x8b\x08\0\0\0\0\0"  # Neither a name nor a time.


@pytest.mark.parametrize("kind", ["plain", "gzip", "bzip2", "xz", "zstd"])
@pytest.mark.parametrize("content", [b"", b"x", b"abc" * 300000], ids=len)
def test_compression_is_known_by_the_first_bytes(tools, file, kind, content):
    file.write(tools.compressed(content, kind))
    file.flush()
    assert read_all(file.fileno(), 1000) == content
    assert read_all(file.fileno()) == content


@pytest.mark.parametrize("kind", ["gzip", "bzip2", "xz", "zstd"])
def test_a_stream_that_is_cut_is_an_error_and_no_end(tools, file, kind):
    data = tools.compressed(os.urandom(200000), kind)
    for length in (len(data) - 1, len(data) // 2, 20):
        file.seek(0)
        file.truncate()
        file.write(data[:length])
        file.flush()
        with pytest.raises(ArchiveError):
            read_all(file.fileno())


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_what_stands_after_the_end_is_an_error(tools, file, kind):
    file.write(tools.compressed(b"content", kind) + b"garbage")
    file.flush()
    with pytest.raises(ArchiveError):
        read_all(file.fileno())


@pytest.mark.parametrize("kind", ["gzip", "bzip2", "xz", "zstd"])
@settings(max_examples=20)
@given(strategies.binary(max_size=300))
def test_no_garbage_raises_anything_else(tools, kind, garbage):
    with tempfile.TemporaryFile() as file:
        file.write(tools.compressed(b"content" * 50, kind)[:12] + garbage)
        file.flush()
        try:
            read_all(file.fileno())
        except ArchiveError:
            pass


def test_a_compressor_is_chosen(monkeypatch, tmp_path):
    assert streams.choose("gzip") == "gzip"
    assert streams.choose("auto") == streams.choose("zstd") == "zstd"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert streams.choose("auto") == "gzip"
    with pytest.raises(AppStateError) as caught:
        streams.choose("zstd")
    assert "Install the package 'zstd'" in str(caught.value)


def test_a_host_without_zstd_says_so(tools, file, monkeypatch, tmp_path):
    file.write(tools.compressed(b"content", "zstd"))
    file.flush()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AppStateError) as caught:
        streams.open_plain(file.fileno())
    assert "Install the package 'zstd'" in str(caught.value)


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_a_full_disk_is_told(kind):
    with open("/dev/full", "wb", buffering=0) as full:
        stream = streams.writer(kind, full.fileno())
        with pytest.raises((SpaceError, OSError)) as caught:
            for unused in range(100):
                stream.write(os.urandom(1 << 20))
            stream.close()
        assert isinstance(caught.value, SpaceError) or caught.value.errno == 28
        stream.abort()


def test_a_compressor_that_dies_is_told(file):
    stream = streams.writer("zstd", file.fileno())
    stream._process.send_signal(signal.SIGKILL)
    with pytest.raises(AppStateError):
        for unused in range(100):
            stream.write(os.urandom(1 << 20))
        stream.close()
    stream.abort()


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_an_aborted_stream_leaves_no_process(file, kind):
    before = children()
    stream = streams.writer(kind, file.fileno())
    stream.write(b"x" * 1000000)
    stream.abort()
    assert children() == before


def test_a_reader_that_stops_early_leaves_no_process(tools, file):
    before = children()
    file.write(tools.compressed(bytes(50 << 20), "zstd"))
    file.flush()
    stream = streams.open_plain(file.fileno())
    assert stream.read(10) == bytes(10)
    stream.close()
    assert children() == before


def children():
    """Process ids of our children."""
    with open("/proc/self/task/%d/children" % os.getpid()) as stream:
        return stream.read().split()


def test_descriptors_are_given_back(tools, file):
    before = len(os.listdir("/proc/self/fd"))
    for kind in ("plain", "gzip", "bzip2", "xz", "zstd"):
        file.seek(0)
        file.truncate()
        file.write(tools.compressed(b"content", kind))
        file.flush()
        read_all(file.fileno())
    for kind in ("gzip", "zstd"):
        stream = streams.writer(kind, file.fileno())
        stream.close()
    assert len(os.listdir("/proc/self/fd")) == before
    assert gzip.decompress(tools.compressed(b"x", "gzip")) == b"x"


def test_how_archives_are_called():
    assert [streams.ending(kind, recipients) for kind in ("zstd", "gzip") for recipients in ((), ("age1x",))] == [
        ".tar.zst", ".tar.zst.age", ".tar.gz", ".tar.gz.age"]
    assert set(streams.ALL_ENDINGS) == {".tar.zst", ".tar.zst.age", ".tar.gz", ".tar.gz.age"}


def test_a_feed_can_be_looked_at_before_it_is_read():
    reader, writer = os.pipe()
    pieces = []
    feed = streams.Feed(reader, pieces.append)
    os.write(writer, b"abcdef")
    assert feed.peek(4)[:4] == b"abcd" and feed.peek(2)[:2] == b"ab"
    assert feed.read(2) == b"ab" and feed.read(100) == b"cdef"
    os.close(writer)
    assert feed.peek(1) == feed.read(1) == b"" and b"".join(pieces) == b"abcdef" and feed.finish()
    os.close(reader)
