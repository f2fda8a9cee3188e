# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One member of an archive, and the JSON line that tells of it in ``.appstate/members.jsonl``.

Lines are written in one way only (sorted keys, no spaces, ASCII), so that two lists can be compared as bytes.
"""

from __future__ import annotations

import hashlib
import json
import re

from ..system.errors import ArchiveError, printable

FILE = "file"
DIRECTORY = "directory"
LINK = "link"
# Old archives only; ours hold each file by itself.
HARD_LINK = "hard link"

LIST_PATH = b".appstate/members.jsonl"
MANIFEST_PATH = b".appstate/manifest.json"

DIGEST = re.compile(r"[0-9a-f]{64}\Z")
# Ids have 32 bits, the last of which means "leave it" to chown(2); utimensat(2) takes 64 bits of seconds.
ID_MOST = 2 ** 32 - 2
SECONDS_MOST = 2 ** 62

_quoted = json.JSONEncoder().encode


def new_digest():
    """BLAKE2b with 256 bits, as ``b2sum -l 256`` prints it (RFC 7693)."""
    return hashlib.blake2b(digest_size=32)


class Member:
    """A file, directory or symbolic link.

    Attributes:
        path: bytes, relative to the app's root, no slash at either end.
        type: FILE, DIRECTORY, LINK or HARD_LINK.
        size: bytes of content; 0 for all but files.
        mode: permission bits (at most 0o7777).
        uid, gid, owner, group: numbers, and names or "".
        mtime: nanoseconds since the epoch.
        digest: hexadecimal, files only.
        target: bytes, links only.
    """

    __slots__ = ("path", "type", "size", "mode", "uid", "gid", "owner", "group", "mtime", "digest", "target")

    def __init__(self, path, type, size=0, mode=0o600, uid=0, gid=0, owner="", group="", mtime=0, digest=None,
                 target=None):
        self.path = path
        self.type = type
        self.size = size
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.owner = owner
        self.group = group
        self.mtime = mtime
        self.digest = digest
        self.target = target

    def line(self):
        """The member as a line of the list, with its newline, in bytes."""
        # Written by hand: json.dumps takes several times as long, and there are four lines for each member of a backup.
        digest = '"digest":"%s",' % self.digest if self.digest is not None else ""
        target = "%s," % _named("target", self.target) if self.target is not None else ""
        line = '{%s"gid":%d,"group":%s,"mode":"%04o","mtime":%d,"owner":%s,%s,"size":%d,%s"type":"%s","uid":%d}\n' % (
            digest, self.gid, _quoted(self.group), self.mode, self.mtime, _quoted(self.owner),
            _named("path", self.path), self.size, target, self.type, self.uid)
        return line.encode("ascii")


def parse_line(line):
    """The Member that a line tells of.

    Raises:
        ArchiveError: for anything that ``Member.line`` would not have written.
    """
    try:
        told = json.loads(line.decode("ascii"))
        member = Member(_take_bytes(told, "path"), told["type"], told["size"], int(told["mode"], 8), told["uid"],
                        told["gid"], told["owner"], told["group"], told["mtime"], told.get("digest"),
                        _take_bytes(told, "target"))
        numbers = (member.size, member.mode, member.uid, member.gid, member.mtime)
        sound = all(is_whole(number) for number in numbers) and member.type in (FILE, DIRECTORY, LINK) \
            and isinstance(member.owner, str) and isinstance(member.group, str) and _in_bounds(member) \
            and member.line() == line
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        sound = False
    if not sound:
        raise ArchiveError("the list of members has a line that cannot be read: %r" % line[:120])
    return member


def _in_bounds(member):
    """Whether a file can have these numbers: otherwise giving them to it would raise what nobody expects."""
    return (member.size >= 0 and 0 <= member.mode <= 0o7777 and 0 <= member.uid <= ID_MOST
            and 0 <= member.gid <= ID_MOST and abs(member.mtime) <= SECONDS_MOST * 10 ** 9
            and (member.digest is None or bool(DIGEST.match(member.digest))))


def is_whole(value):
    """Whether a value out of JSON is a whole number; to Python, true and false are some too."""
    return isinstance(value, int) and not isinstance(value, bool)


def _named(key, value):
    """``"key":"text"``, or ``"key_hex":"…"`` for bytes that are no UTF-8."""
    try:
        return '"%s":%s' % (key, _quoted(value.decode("utf-8")))
    except UnicodeDecodeError:
        return '"%s_hex":"%s"' % (key, value.hex())


def _take_bytes(told, key):
    if key in told:
        return told[key].encode("utf-8")
    return bytes.fromhex(told[key + "_hex"]) if key + "_hex" in told else None


def check_path(path):
    """A member's path with ``./`` and a last slash taken off; b"" for the root itself.

    Raises:
        ArchiveError: for a path that is absolute, has ``..``, a NUL, or is longer than any file system takes.
    """
    if path.startswith(b"/"):
        raise ArchiveError("a member has an absolute path", path=path)
    parts = [part for part in path.split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        raise ArchiveError("a member's path has '..' in it", path=path)
    if b"\0" in path or len(path) > 4095 or len(parts) > 200 or any(len(part) > 255 for part in parts):
        raise ArchiveError("a member's path is too long, too deep, or has a NUL in it", path=path[:200])
    return b"/".join(parts)


def stays_inside(target, depth):
    """Whether a symbolic link's target leads nowhere outside, from ``depth`` directories below the tree's top.

    ``..`` may stand only in front: after a name, that name could itself be a link, and ``..`` would then lead
    somewhere that the text does not show.
    """
    if not target or target.startswith(b"/") or b"\0" in target or len(target) > 4095:
        return False
    parts = [part for part in target.split(b"/") if part not in (b"", b".")]
    climbs = 0
    while climbs < len(parts) and parts[climbs] == b"..":
        climbs += 1
    return climbs <= depth and b".." not in parts[climbs:]


def shown(path):
    """A member's path as results and messages show it."""
    return printable(path)
