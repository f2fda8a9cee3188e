# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tar format itself: header blocks out of members, and members out of a stream of blocks.

Written by this engine: POSIX.1-2001 (pax) as Python's tarfile lays it out, which GNU tar and bsdtar read. Read: that,
ustar, and GNU tar's long names, since old archives of shell recipes have them. What no application state needs
(devices, FIFOs, sparse files, volumes) is refused. Memory is bounded: no header may ask for more than HEADER_MOST.

Source: pax(1) of POSIX.1-2017 ("ustar Interchange Format", "pax Interchange Format"), and tar(5).
"""

from __future__ import annotations

import re
import tarfile

from ..system.errors import ArchiveError
from .members import DIRECTORY, FILE, HARD_LINK, ID_MOST, LINK, SECONDS_MOST, Member, check_path

BLOCK = 512
CHUNK = 256 * 1024
END = b"\0" * (2 * BLOCK)
# An extended header or a long name: paths of 4096 bytes, a link's target of the same, and some room.
HEADER_MOST = 64 * 1024
# All such headers before one member; there are four kinds, and few records in each.
HEADERS_MOST = 16 * HEADER_MOST
# Zeros after the end: what a tape's blocks are filled up with.
ZEROS_MOST = 64 * 1024 * 1024
# Of a user or a group (LOGIN_NAME_MAX of limits.h).
NAME_MOST = 256
LENGTH = re.compile(rb"(\d{1,8}) ")
OCTAL = re.compile(rb"-?[0-7]*\Z")
TIME = re.compile(rb"(-?)(\d{1,19})(?:\.(\d*))?\Z")
TYPES = {b"0": FILE, b"\0": FILE, b"7": FILE, b"5": DIRECTORY, b"2": LINK, b"1": HARD_LINK}
REFUSED = {b"3": "a character device", b"4": "a block device", b"6": "a FIFO", b"S": "a sparse file",
           b"M": "a part of a file in several volumes", b"V": "a volume label", b"D": "a GNU dump directory"}


def header(member):
    """The header blocks of a member, to stand before its content."""
    info = tarfile.TarInfo(member.path.decode("utf-8", "surrogateescape"))
    info.size = member.size
    info.mode = member.mode
    info.uid, info.gid = member.uid, member.gid
    info.uname, info.gname = member.owner, member.group
    info.mtime = member.mtime // 10 ** 9
    if member.type == DIRECTORY:
        info.type = tarfile.DIRTYPE
    elif member.type == LINK:
        info.type = tarfile.SYMTYPE
        info.linkname = member.target.decode("utf-8", "surrogateescape")
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def padding(size):
    """The zeros that fill a content up to a whole block."""
    return b"\0" * (-size % BLOCK)


class TarReader:
    """Iterates over the members of a plain tar stream; each one's content must be read before the next, or is skipped.

    Args:
        stream: has ``read(count)``.
        on_refused: called with the path and a text for each member of a kind that is never extracted, which is then
            skipped; without it such a member ends the reading.
        several: whether more than one tar may stand in the stream, one after the other.

    Attributes:
        last: path of the member that was begun last, for messages.
    """

    def __init__(self, stream, on_refused=None, several=False):
        self._stream = stream
        self._on_refused = on_refused
        self._several = several
        self._left = 0
        self._pad = 0
        self.last = None

    def __iter__(self):
        while True:
            self._skip_rest()
            member = self._next()
            if member is None:
                return
            yield member

    def content(self):
        """Yields the current member's content in pieces of at most CHUNK bytes."""
        while self._left:
            piece = self._stream.read(min(CHUNK, self._left))
            if not piece:
                raise self._cut_short()
            self._left -= len(piece)
            yield piece

    def _skip_rest(self):
        for unused in self.content():
            pass
        if self._pad:
            self._exactly(self._pad)
            self._pad = 0

    def _exactly(self, count):
        parts = []
        while count:
            piece = self._stream.read(count)
            if not piece:
                raise self._cut_short()
            parts.append(piece)
            count -= len(piece)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _cut_short(self):
        where = "after %s" % self.last.decode("utf-8", "backslashreplace") if self.last else "at its beginning"
        return ArchiveError("the archive is cut short %s" % where)

    def _next(self):
        overrides, room = {}, HEADERS_MOST
        while True:
            block = self._exactly(BLOCK)
            if not any(block):
                block = self._after_zeros() if self._several else self._to_the_end()
                if block is None:
                    return None
            kind = _checked_type(block)
            if kind in (b"x", b"g", b"L", b"K"):
                extra = self._extra(block)
                room -= BLOCK + len(extra)
                if room < 0:
                    raise ArchiveError("the archive has headers without a member", path=self.last)
                if kind == b"x":
                    overrides.update(_pax_records(extra))
                elif kind in (b"L", b"K"):
                    overrides[b"path" if kind == b"L" else b"linkpath"] = extra.rstrip(b"\0")
                continue
            if self._skips(block, kind, overrides):
                overrides, room = {}, HEADERS_MOST
                continue
            return self._member(block, kind, overrides)

    def _skips(self, block, kind, overrides):
        """Whether a member is of a kind that is left out; its content, if any, is then behind us."""
        if self._on_refused is None or kind not in REFUSED:
            return False
        self.last = overrides.get(b"path") or _ustar_path(block)
        self._on_refused(check_path(self.last), REFUSED[kind])
        size = _number(block[124:136])
        if size:
            raise ArchiveError("a member is %s with content, which is never extracted" % REFUSED[kind], path=self.last)
        return True

    def _extra(self, block):
        size = _number(block[124:136])
        if not 0 <= size <= HEADER_MOST:
            raise ArchiveError("a header of the archive asks for %d bytes" % size)
        return self._exactly(size + -size % BLOCK)[:size]

    def _after_zeros(self):
        """The first block of the next tar, or None where the one that has ended was the last."""
        left = ZEROS_MOST
        while left > 0:
            start = self._stream.read(BLOCK)
            if not start:
                return None
            block = start + self._exactly(BLOCK - len(start))
            if any(block):
                return block
            left -= BLOCK
        raise ArchiveError("the archive goes on after its end")

    def _to_the_end(self):
        left = ZEROS_MOST
        while left > 0:
            piece = self._stream.read(CHUNK)
            if not piece:
                return
            if piece.strip(b"\0"):
                break
            left -= len(piece)
        raise ArchiveError("the archive goes on after its end")

    def _member(self, block, kind, overrides):
        path = overrides.get(b"path") or _ustar_path(block)
        self.last = path
        if any(key.startswith(b"GNU.sparse") for key in overrides):
            kind = b"S"
        if kind in REFUSED or kind not in TYPES:
            raise ArchiveError("a member is %s, which is never extracted"
                               % REFUSED.get(kind, "of the unknown type %r" % kind), path=path)
        type_ = DIRECTORY if kind in (b"0", b"\0") and path.endswith(b"/") else TYPES[kind]
        size = int(overrides[b"size"]) if b"size" in overrides else _number(block[124:136])
        if size < 0:
            raise ArchiveError("a member has a size below zero", path=path)
        if type_ != FILE:
            if size and type_ != HARD_LINK:
                raise ArchiveError("a member that is no file has content", path=path)
            size = 0
        self._left, self._pad = size, -size % BLOCK
        target = (overrides.get(b"linkpath") or _until_nul(block[157:257])) if type_ in (LINK, HARD_LINK) else None
        return Member(
            check_path(path), type_, size, _number(block[100:108]) & 0o7777,
            _id(overrides.get(b"uid"), block[108:116]), _id(overrides.get(b"gid"), block[116:124]),
            _text(overrides.get(b"uname", block[265:297])), _text(overrides.get(b"gname", block[297:329])),
            _time(overrides.get(b"mtime"), block[136:148]),
            target=check_path(target) if type_ == HARD_LINK else target)


def _checked_type(block):
    """The type flag of a header block whose checksum is right; both ways to sum bytes are known in the field."""
    told = _number(block[148:156])
    unsigned = 256 + sum(block[:148]) + sum(block[156:])
    if told != unsigned:
        signed = unsigned - 256 * sum(byte > 127 for byte in block[:148] + block[156:])
        if told != signed:
            raise ArchiveError("a header of the archive is damaged (its checksum is wrong)")
    return block[156:157]


def _ustar_path(block):
    name = _until_nul(block[0:100])
    prefix = _until_nul(block[345:500]) if block[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _number(field):
    """A numeric field: octal, or base 256 where its first bit is set (GNU tar)."""
    if field[0] in (0x80, 0xff):
        value = int.from_bytes(field[1:], "big")
        return value - (1 << 8 * (len(field) - 1)) if field[0] == 0xff else value
    digits = _until_nul(field).strip()
    if not OCTAL.match(digits) or digits == b"-":
        raise ArchiveError("a header of the archive is damaged (a number cannot be read)")
    return int(digits or b"0", 8)


def _id(override, field):
    """A user's or group's number; 0, as for archives that do not tell it, where no system can have that one."""
    if override is None:
        number = _number(field)
    else:
        number = int(override) if override.isdigit() and len(override) < 12 else 0
    return number if 0 <= number <= ID_MOST else 0


def _time(override, field):
    """Nanoseconds; a pax time is a decimal fraction of seconds."""
    sign, seconds, nanoseconds = 1, 0, 0
    if override is None:
        seconds = _number(field)
    else:
        told = TIME.match(override)
        if told is None:
            raise ArchiveError("a header of the archive is damaged (a time cannot be read)")
        sign = -1 if told.group(1) else 1
        seconds, nanoseconds = int(told.group(2)), int((told.group(3) or b"")[:9].ljust(9, b"0"))
    if abs(seconds) > SECONDS_MOST:
        raise ArchiveError("a header of the archive is damaged (it tells a time that no file can have)")
    return sign * (seconds * 10 ** 9 + nanoseconds)


def _until_nul(field):
    return field.split(b"\0", 1)[0]


def _text(field):
    return _until_nul(field)[:NAME_MOST].decode("utf-8", "backslashreplace")


def _pax_records(data):
    """The ``length key=value`` records of an extended header."""
    records, start = {}, 0
    while start < len(data):
        told = LENGTH.match(data, start)
        end = start + int(told.group(1)) if told is not None else 0
        if told is None or not told.end() < end <= len(data) or data[end - 1:end] != b"\n":
            raise ArchiveError("an extended header of the archive is damaged")
        key, equals, value = data[told.end():end - 1].partition(b"=")
        if not equals:
            raise ArchiveError("an extended header of the archive is damaged")
        if key == b"size" and (not value.isdigit() or len(value) > 18):
            raise ArchiveError("an extended header of the archive is damaged (a size cannot be read)")
        records[key] = value
        start = end
    return records
