# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compression: bytes into a file on one side, bytes out of a file on the other.

``zstd`` is the program of that name; where a host has none, Python's own zlib does gzip. Reading
knows by their first bytes also what old shell recipes made: gzip, bzip2, xz, or nothing at all.
"""

from __future__ import annotations

import bz2
import fcntl
import gzip
import lzma
import os
import shutil
import subprocess
import zlib

from ..system.errors import AppStateError, ArchiveError, SpaceError
from ..system.files import WriteOut, write_all

ENDINGS = {"zstd": ".tar.zst", "gzip": ".tar.gz"}
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
# Bytes that wait between us and zstd, so that neither stops for the other; the most an unprivileged process may ask.
PIPE_SIZE = 1 << 20
# What is gathered of small pieces before zstd is woken.
GATHER = 1 << 17


def choose(compression):
    """``zstd`` or ``gzip`` for an app's ``compression``.

    Raises:
        AppStateError: zstd was asked for and is not installed.
    """
    if compression == "gzip":
        return "gzip"
    if shutil.which("zstd"):
        return "zstd"
    if compression == "zstd":
        raise AppStateError("zstd is not installed on this host",
                            remedy="Install the package 'zstd', or set 'compression: gzip'")
    return "gzip"


def compressor(kind, descriptor):
    """A stream to write plain bytes to; what comes out goes to an open file."""
    return ZstdWriter(descriptor) if kind == "zstd" else GzipWriter(descriptor)


class ZstdWriter:
    """Pipes into ``zstd``: level 3 packs text tighter than gzip's default, and memory is bounded by two jobs of 4 MiB."""

    def __init__(self, descriptor):
        self._process = start_zstd(["-3", "-T2", "-B4MiB"], subprocess.PIPE, descriptor)
        _widen(self._process.stdin)
        self._pipe = self._process.stdin.fileno()
        self._write_out = WriteOut(descriptor)
        self._waiting = bytearray()

    def write(self, data):
        """Adds bytes. Small pieces are gathered: waking zstd for each of many small files takes longer than its work."""
        if len(self._waiting) + len(data) < GATHER:
            self._waiting += data
            return
        self._flush()
        self._to_zstd(data)

    def _flush(self):
        if self._waiting:
            self._to_zstd(self._waiting)
            self._waiting = bytearray()

    def _to_zstd(self, data):
        try:
            write_all(self._pipe, data)
        except BrokenPipeError:
            self._ended()
            raise AppStateError("zstd ended early")
        self._write_out.wrote(len(data))

    def close(self):
        """Ends the stream; all is written when this returns."""
        self._flush()
        self._process.stdin.close()
        self._ended()

    def abort(self):
        """Ends zstd without the rest."""
        self._process.kill()
        self._process.stdin.close()
        self._process.stderr.close()
        self._process.wait()

    def _ended(self):
        said = self._process.stderr.read().decode("utf-8", "replace").strip()
        self._process.stderr.close()
        if self._process.wait() == 0:
            return
        if "No space left" in said:
            raise SpaceError("no space left for the archive", remedy="Free some space at the destination")
        raise AppStateError("zstd failed: %s" % (said or "exit code %d" % self._process.returncode))


class GzipWriter:
    """gzip as RFC 1952 has it, without a name or a time in its header."""

    def __init__(self, descriptor):
        self._descriptor = descriptor
        self._squeeze = zlib.compressobj(6, zlib.DEFLATED, 31)
        self._write_out = WriteOut(descriptor)

    def write(self, data):
        self._out(self._squeeze.compress(data))

    def close(self):
        """Ends the stream; all is written when this returns."""
        self._out(self._squeeze.flush())

    def abort(self):
        """Nothing is left running."""

    def _out(self, data):
        if data:
            write_all(self._descriptor, data)
            self._write_out.wrote(len(data))


def start_zstd(arguments, source, sink):
    """A zstd process between two files or pipes; what it has to say comes out of its ``stderr``."""
    command = ["zstd", "-q", "-c"] + arguments
    # The engine is also used without Ansible, whose run_command knows no streams.
    return subprocess.Popen(command, stdin=source, stdout=sink,  # pylint: disable=ansible-bad-function
                            stderr=subprocess.PIPE, bufsize=1 << 20)


def open_plain(descriptor):
    """A stream of the plain bytes of an open file, whatever compressed it; its ``close`` is safe at any time."""
    magic = os.pread(descriptor, 6, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)
    if magic.startswith(ZSTD_MAGIC):
        return ZstdReader(descriptor)
    plain = os.fdopen(os.dup(descriptor), "rb", buffering=1 << 20)
    if magic.startswith(b"\x1f\x8b"):
        return LibraryReader(plain, gzip.GzipFile(fileobj=plain))
    if magic.startswith(b"BZh"):
        return LibraryReader(plain, bz2.BZ2File(plain))
    if magic == b"\xfd7zXZ\x00":
        return LibraryReader(plain, lzma.LZMAFile(plain))
    return LibraryReader(plain, plain)


class ZstdReader:
    """Reads from ``zstd -d``; an end that zstd was not content with is an ArchiveError, not an end."""

    def __init__(self, descriptor):
        if not shutil.which("zstd"):
            raise AppStateError("the archive is compressed with zstd, which is not installed on this host",
                                remedy="Install the package 'zstd'")
        self._process = start_zstd(["-d"], descriptor, subprocess.PIPE)
        _widen(self._process.stdout)

    def read(self, count):
        data = self._process.stdout.read(count)
        if not data and self._process.poll() is None:
            self._process.wait()
        if not data and self._process.returncode:
            said = self._process.stderr.read().decode("utf-8", "replace").strip()
            raise ArchiveError("the archive cannot be decompressed: %s" % said)
        return data

    def close(self):
        if self._process.poll() is None:
            self._process.kill()
        self._process.stdout.close()
        self._process.stderr.close()
        self._process.wait()


class LibraryReader:
    """Reads by one of Python's own decompressors."""

    def __init__(self, raw, stream):
        self._raw = raw
        self._stream = stream

    def read(self, count):
        try:
            return self._stream.read(count)
        except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
            raise ArchiveError("the archive cannot be decompressed: %s" % error)

    def close(self):
        self._stream.close()
        self._raw.close()


def _widen(pipe):
    """A wider pipe where the system has F_SETPIPE_SZ (Linux; the constant's name is there from Python 3.10 on)."""
    try:
        fcntl.fcntl(pipe.fileno(), getattr(fcntl, "F_SETPIPE_SZ", 1031), PIPE_SIZE)
    except OSError:
        pass
