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
import io
import lzma
import os
import shutil
import subprocess
import threading
import zlib

from ..system.errors import AppStateError, ArchiveError, SpaceError
from ..system.files import WriteOut, write_all
from ..system.process import close_pipes, end_program
from . import age
from .tar import CHUNK

ENDINGS = {"zstd": ".tar.zst", "gzip": ".tar.gz"}
# How archives of ours can end, whether encrypted or not.
ALL_ENDINGS = tuple(ending + after for ending in ENDINGS.values() for after in ("", age.ENDING))
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


def ending(kind, recipients=()):
    """How the name of an archive ends that is compressed, and perhaps encrypted."""
    return ENDINGS[kind] + (age.ENDING if recipients else "")


def writer(kind, descriptor, recipients=()):
    """A stream to write plain bytes to; what comes out goes to an open file, encrypted where there are recipients."""
    if recipients:
        return EncryptingWriter(kind, descriptor, recipients)
    return compressor(kind, descriptor, WriteOut(descriptor))


def compressor(kind, descriptor, write_out):
    """The same without encryption; what comes out goes to a descriptor, and ``write_out`` is that of the file."""
    return ZstdWriter(descriptor, write_out) if kind == "zstd" else GzipWriter(descriptor, write_out)


class EncryptingWriter:
    """Compresses, and has age encrypt what comes out of that."""

    def __init__(self, kind, descriptor, recipients):
        self._age = age.AgeWriter(descriptor, recipients)
        try:
            _widen(self._age.pipe)
            self._compressor = compressor(kind, self._age.pipe, WriteOut(descriptor))
        except BaseException:
            self._age.abort()
            raise

    def write(self, data):
        self._passing_on(lambda: self._compressor.write(data))

    def close(self):
        """Ends the stream; all is written when this returns."""
        self._passing_on(self._compressor.close)
        self._age.close()

    def abort(self):
        """Ends both without the rest."""
        self._compressor.abort()
        self._age.abort()

    def _passing_on(self, step):
        """Where age has failed, what the compressor says is only that."""
        try:
            step()
        except (AppStateError, BrokenPipeError):
            complaint = self._age.complaint()
            if complaint is not None:
                raise complaint
            raise


class ZstdWriter:
    """Pipes into ``zstd``: level 3 packs text tighter than gzip's default, and memory is bounded by two jobs of 4 MiB."""

    def __init__(self, descriptor, write_out):
        self._process = start_zstd(["-3", "-T2", "-B4MiB"], subprocess.PIPE, descriptor)
        _widen(self._process.stdin)
        self._pipe = self._process.stdin.fileno()
        self._write_out = write_out
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

    def __init__(self, descriptor, write_out):
        self._descriptor = descriptor
        self._squeeze = zlib.compressobj(6, zlib.DEFLATED, 31)
        self._write_out = write_out

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


def open_plain(descriptor, identity=None):
    """A stream of the plain bytes of an open file, whatever compressed or encrypted it; its ``close`` is safe at any time.

    Raises:
        IdentityError: it is encrypted, and there is no identity.
    """
    magic = os.pread(descriptor, age.MAGIC_SIZE, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)
    if age.is_encrypted(magic):
        decrypting = age.AgeReader(descriptor, identity)
        return open_feed(Feed(decrypting.fileno()), decrypting)
    if magic.startswith(ZSTD_MAGIC):
        return ZstdReader(descriptor)
    return _by_library(os.fdopen(os.dup(descriptor), "rb", buffering=1 << 20), magic)


def open_feed(feed, upstream, identity=None):
    """The same of what comes out of a Feed; ``upstream`` (with ``complaint`` and ``close``) is who sends that."""
    try:
        magic = feed.peek(age.MAGIC_SIZE)
        if age.is_encrypted(magic):
            decrypting = age.AgeReader(None, identity)
            feed.pump(decrypting.sink, decrypting.close_sink)
            return Fed(open_feed(Feed(decrypting.fileno()), decrypting), feed, upstream)
        if magic.startswith(ZSTD_MAGIC):
            unpacking = ZstdReader(None)
            feed.pump(unpacking.sink, unpacking.close_sink)
            return Fed(unpacking, feed, upstream)
        return Fed(_by_library(io.BufferedReader(_Raw(feed), 1 << 20), magic), feed, upstream)
    except BaseException:
        upstream.stop()
        upstream.close()
        raise


def _by_library(plain, magic):
    if magic.startswith(b"\x1f\x8b"):
        return LibraryReader(plain, gzip.GzipFile(fileobj=plain))
    if magic.startswith(b"BZh"):
        return LibraryReader(plain, bz2.BZ2File(plain))
    if magic.startswith(b"\xfd7zXZ\x00"):
        return LibraryReader(plain, lzma.LZMAFile(plain))
    return LibraryReader(plain, plain)


class Feed:
    """Bytes out of a pipe that somebody wants to see before they go on.

    Args:
        on_piece: called with each piece as it comes.
    """

    def __init__(self, descriptor, on_piece=None):
        self._descriptor = descriptor
        self._on_piece = on_piece or (lambda piece: None)
        self._waiting = b""
        self._thread = None
        _widen(descriptor)

    def peek(self, count):
        """The next bytes, as many as that where there are so many; they are still to be read."""
        while len(self._waiting) < count:
            piece = self._next(CHUNK)
            if not piece:
                break
            self._waiting += piece
        return self._waiting

    def read(self, count):
        """Up to so many bytes; none at the end."""
        if not self._waiting:
            return self._next(count)
        piece, self._waiting = self._waiting[:count], self._waiting[count:]
        return piece

    def _next(self, count):
        piece = os.read(self._descriptor, count)
        if piece:
            self._on_piece(piece)
        return piece

    def pump(self, sink, close_sink):
        """From here on a thread passes everything on to a descriptor, until either side has ended."""
        self._thread = threading.Thread(target=self._run, args=(sink, close_sink), daemon=True)
        self._thread.start()

    def _run(self, sink, close_sink):
        try:
            for piece in iter(lambda: self.read(CHUNK), b""):
                write_all(sink, piece)
        except BrokenPipeError:
            pass  # Who reads has had enough, and says so.
        finally:
            try:
                close_sink()
            except BrokenPipeError:
                pass

    def finish(self, patience=None):
        """Waits for the thread, which ends with either side; returns whether it has ended within so many seconds."""
        if self._thread is not None:
            self._thread.join(patience)
            return not self._thread.is_alive()
        return True


class _Raw(io.RawIOBase):
    """A Feed as Python's decompressors want it."""

    def __init__(self, feed):
        super().__init__()
        self._feed = feed

    def readable(self):
        return True

    def readinto(self, buffer):
        piece = self._feed.read(len(buffer))
        buffer[:len(piece)] = piece
        return len(piece)


class Fed:
    """A stream that is fed by somebody else, whose failure is then the reason for its own."""

    # How long somebody who has failed may take to end, when what reads from him has failed.
    PATIENCE = 2.0

    def __init__(self, stream, feed, upstream):
        self._stream = stream
        self._feed = feed
        self._upstream = upstream

    def read(self, count):
        try:
            data = self._stream.read(count)
        except ArchiveError as error:
            raise self._reason(error)
        if not data:
            self.finish()
        return data

    def finish(self):
        """After the last byte: raises what upstream ended with."""
        if isinstance(self._stream, Fed):
            try:
                self._stream.finish()
            except AppStateError as error:
                raise self._reason(error)
        complaint = self._complaint()
        if complaint is not None:
            raise complaint

    def _reason(self, error):
        """Who was cut off by an upstream that failed is not to blame."""
        return self._complaint(self.PATIENCE) or error

    def _complaint(self, patience=None):
        """What upstream ended with; None where all is well, and where it has not ended."""
        if not self._feed.finish(patience) or self._feed.peek(1):
            return None
        return self._upstream.complaint()

    def stop(self):
        """Ends the processes on both sides; nothing is closed while a thread may still use it."""
        self._upstream.stop()
        self._stream.stop()
        self._feed.finish()

    def close(self):
        self.stop()
        self._upstream.close()
        self._stream.close()


class ZstdReader:
    """Reads from ``zstd -d``; an end that zstd was not content with is an ArchiveError, not an end."""

    def __init__(self, descriptor):
        if not shutil.which("zstd"):
            raise AppStateError("the archive is compressed with zstd, which is not installed on this host",
                                remedy="Install the package 'zstd'")
        self._process = start_zstd(["-d"], subprocess.PIPE if descriptor is None else descriptor, subprocess.PIPE)
        _widen(self._process.stdout)

    @property
    def sink(self):
        """The descriptor to write to, where it reads from no file."""
        return self._process.stdin.fileno()

    def close_sink(self):
        """No more bytes follow."""
        self._process.stdin.close()

    def read(self, count):
        data = self._process.stdout.read(count)
        if not data and self._process.poll() is None:
            self._process.wait()
        if not data and self._process.returncode:
            said = self._process.stderr.read().decode("utf-8", "replace").strip()
            raise ArchiveError("the archive cannot be decompressed: %s" % said)
        return data

    def stop(self):
        """Ends zstd, in the middle if need be."""
        end_program(self._process)

    def close(self):
        self.stop()
        close_pipes(self._process.stdin, self._process.stdout, self._process.stderr)


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

    def stop(self):
        """No process has to be ended."""

    def close(self):
        self._stream.close()
        self._raw.close()


def _widen(pipe):
    """A wider pipe where the system has F_SETPIPE_SZ (Linux; the constant's name is there from Python 3.10 on)."""
    try:
        fcntl.fcntl(pipe, getattr(fcntl, "F_SETPIPE_SZ", 1031), PIPE_SIZE)
    except OSError:
        pass
