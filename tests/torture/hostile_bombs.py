# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Archives of a few megabytes that are gigabytes, or millions of members, once they are unpacked.

Compressed streams may follow one another (RFC 1952, 2.2; RFC 8878, 3.1), so one that was packed once is repeated.
"""

from __future__ import annotations

import collections

from ansible_collections.appstate.backup.plugins.module_utils.archive import tar
from ansible_collections.appstate.backup.plugins.module_utils.archive.members import (
    FILE, LIST_PATH, MANIFEST_PATH, Member, new_digest)
from ansible_collections.appstate.backup.tests.unit.plugins import raw_tar
from grafting import gzipped, lines_of, totals, zstandard

FRAME = 64 << 20
MEMBERS = 4 * 1000
DIFFERENT = 100 * 1000
ZERO = "0" * 64
# ``head``: plain bytes before ``content``, which is packed once and stands there ``times`` times. ``lines``: what the list has of
# it, ``size``: bytes that the list tells. ``tail``: whether the list, the manifest and the end follow.
Bomb = collections.namedtuple("Bomb", "head content times lines size tail pack", defaults=(b"", 0, True, zstandard))


def _zeros(path, told=None, pack=zstandard):
    """A file of so many frames of zeros; ``told`` is the size that list and manifest tell."""
    def make(times):
        size = FRAME * times
        header = tar.header(Member(path, FILE, size, 0o644))
        line = Member(path, FILE, told or size, 0o644, digest=ZERO).line()
        return Bomb(header, bytes(FRAME), times, line, told or size, pack=pack)
    return make


def _inside(path):
    """Zeros as one of the members that archives keep for themselves."""
    return lambda times: Bomb(tar.header(Member(path, FILE, FRAME * times)), bytes(FRAME), times)


def _repeated(block):
    """One member again and again."""
    return lambda times: Bomb(b"", block * MEMBERS, times)


def _different(times):
    """Empty files, each of another name, of which the list tells."""
    told = [Member(b"uploads/%d" % number, FILE, mode=0o644, digest=new_digest().hexdigest()) for number in range(DIFFERENT)]
    return Bomb(b"".join(raw_tar.block(member.path) for member in told), b"", 0, b"".join(member.line() for member in told))


def _long(times):
    """Names as long as they may be, which a list writes with six bytes for each of theirs."""
    path = b"uploads/" + (b"\xff" * 250 + b"/") * 16
    return Bomb(b"", (raw_tar.pax([(b"path", path)]) + raw_tar.block(b"x", b"5")) * (MEMBERS // 10), times)


BOMBS = {
    "zeros by zstd": _zeros(b"uploads/zeros"), "zeros by gzip": _zeros(b"uploads/zeros", pack=gzipped),
    "zeros outside of any source": _zeros(b"other/zeros"), "zeros as the database": _zeros(b"data/notes.db-wal"),
    "zeros that list and manifest belittle": _zeros(b"uploads/zeros", 1), "zeros outside, belittled": _zeros(b"other/zeros", 1),
    "zeros as the list": _inside(LIST_PATH), "zeros as the manifest": _inside(MANIFEST_PATH),
    "zeros after the end": lambda times: Bomb(tar.END, bytes(FRAME), times, tail=False),
    "zeros as an extended header": lambda times: Bomb(raw_tar.block(b"p", b"x", number=b"7" * 11 + b"\0"), bytes(FRAME), times),
    "extended headers without end": _repeated(raw_tar.pax([(b"a", b"b")])),
    "global headers without end": _repeated(raw_tar.pax([(b"a", b"b")], b"g")),
    "one directory without end": _repeated(raw_tar.block(b"uploads/d", b"5")),
    "one directory outside without end": _repeated(raw_tar.block(b"d", b"5")),
    "one file without end": _repeated(raw_tar.block(b"uploads/f")),
    "one link without end": _repeated(raw_tar.block(b"uploads/l", b"2", target=b"a.bin")), "long names without end": _long,
    "different files": _different,
}


def _bare(start, pack):
    """A file that is no archive, by what it begins with, and zeros."""
    return lambda times: Bomb(start, bytes(FRAME), times, tail=False, pack=pack)


BARE = {"database by gzip": _bare(b"SQLite format 3\0", gzipped), "database by zstd": _bare(b"SQLite format 3\0", zstandard)}


def pieces(bomb, parts, ending):
    """The packed archive, with its own members in front."""
    yield bomb.pack(b"".join(part.raw for part in parts) + bomb.head)
    packed = bomb.pack(bomb.content) if bomb.times else b""
    for unused in range(bomb.times):
        yield packed
    yield bomb.pack(ending if bomb.tail else b"\0")


def list_of(bomb, parts):
    """``(lines, what a manifest says of them)``."""
    lines = lines_of(parts) + bomb.lines
    told = totals(parts, lines)
    return lines, dict(told, count=told["count"] + bomb.lines.count(b"\n"), bytes=told["bytes"] + bomb.size)
