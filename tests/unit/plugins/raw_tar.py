# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tar blocks made byte by byte, for archives that no program of good will makes."""

from __future__ import annotations

BLOCK = 512


def block(path, kind=b"0", size=0, target=b"", mode=0o644, magic=b"ustar\x0000", **fields):
    """A ustar header block; ``fields`` put raw bytes where uid, gid, number (of bytes), mtime or prefix stand."""
    parts = [path[:100].ljust(100, b"\0"), b"%07o\0" % mode, fields.get("uid", b"0000000\0"),
             fields.get("gid", b"0000000\0"), fields.get("number", b"%011o\0" % size),
             fields.get("mtime", b"14600000000\0"), b" " * 8, kind, target[:100].ljust(100, b"\0"), magic,
             b"root".ljust(32, b"\0"), b"root".ljust(32, b"\0"), b"0000000\0" * 2,
             fields.get("prefix", b"").ljust(155, b"\0")]
    data = b"".join(parts).ljust(BLOCK, b"\0")
    assert len(data) == BLOCK
    return data[:148] + b"%06o\0 " % sum(data) + data[156:]


def entry(path, content=b"", **words):
    """A header block with the content after it, padded."""
    words.setdefault("size", len(content))
    return block(path, **words) + padded(content)


def padded(content):
    """A content filled up to whole blocks."""
    return content + b"\0" * (-len(content) % BLOCK)


def pax(records, kind=b"x"):
    """An extended header of ``(key, value)`` records."""
    data = b""
    for key, value in records:
        length = len(key) + len(value) + 3
        length += len(str(length + len(str(length))))
        data += b"%d %s=%s\n" % (length, key, value)
    return entry(b"pax", data, kind=kind)
