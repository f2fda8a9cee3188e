# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Members that no archive of good will has, to be grafted into one that is otherwise sound; the list tells of each as well as a
list can.

Sources: tar(5) and pax(1) for what a header can say; what extractors fell for: CVE-2001-1267 (``..``),
    CVE-2016-6321 (a name cut
after a check), CVE-2021-32804 (absolute names), CVE-2021-37701 (a directory that becomes a link), CVE-2025-4517 (links longer
than PATH_MAX).
"""

from __future__ import annotations

import collections

from ansible_collections.appstate.backup.plugins.module_utils.archive.members import DIRECTORY, FILE, LINK, Member
from ansible_collections.appstate.backup.tests.unit.plugins import raw_tar
from grafting import Part, digest_of, file, folder, link

# What is written where it should not be is called so.
MARK = b"hostile-mark"
# What a rollback journal begins with (sqlite.org/fileformat2.html, 3).
JOURNAL = b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7"
# ``under``: where in the tree. ``outside``: absolute path of a directory with canaries. ``climb``: the same from below ``under``.
Aim = collections.namedtuple("Aim", "under outside climb")


def _told(path, content=b"x", type=FILE, target=None, mode=0o644):
    digest, size = (digest_of(content), len(content)) if type == FILE else (None, 0)
    return Member(path, type, size, mode, digest=digest, target=target)


def _plain(path, **words):
    """A file of that name below ``under``."""
    return lambda aim: [file(aim.under + b"/" + path, **words)]


def _pax(path, content=b"x", records=(), kind=b"0", target=None, told=FILE):
    """A member whose extended header says what it is; the header block behind it says something harmless."""
    more = [(b"linkpath", target)] if target is not None else []
    raw = raw_tar.pax([(b"path", path)] + more + list(records))
    raw += raw_tar.entry(b"harmless", content if kind == b"0" else b"", kind=kind)
    return Part(raw, _told(path, content, told, target if told == LINK else None))


def _long_name(path, kind=b"L"):
    """A member whose name stands in a header of GNU tar's."""
    return Part(raw_tar.entry(b"././@LongLink", path + b"\0", kind=kind) + raw_tar.entry(b"harmless", b"x"), _told(path))


def _typed(kind, path=b"n", content=b"", target=b"", told=FILE, **words):
    """A member of some type, which a list can only call a file."""
    def make(aim):
        place = aim.under + b"/" + path
        raw = raw_tar.entry(place, content, kind=kind, target=target, **words)
        return [Part(raw, _told(place, content, told, target or None))]
    return make


def _recorded(*records, **words):
    """A file with such records in its extended header."""
    return lambda aim: [_pax(aim.under + b"/r", records=records, **words)]


def _directory(path):
    return Part(raw_tar.pax([(b"path", path)]) + raw_tar.block(b"harmless", b"5"), _told(path, type=DIRECTORY))


def _raw(path, raw, content=b"x", **words):
    """A member of which the list says something obvious; ``raw`` makes what stands in the tar of its whole path."""
    return lambda aim: [Part(raw(aim.under + b"/" + path), _told(aim.under + b"/" + path, content, **words))]


def _after(header, content=b"x"):
    """A file behind an extended header that is odd."""
    return _raw(b"r", lambda place: header + raw_tar.entry(place, content), content)


def _named_nothing(path, told):
    """A file whose extended header names what is no name."""
    return Part(raw_tar.pax([(b"path", path)]) + raw_tar.entry(b"harmless", b"x"), told)


def _hard(target, path=b"h"):
    """A hard link."""
    return lambda aim: _raw(path, lambda place: raw_tar.block(place, b"1", target=target(aim)), b"")(aim)


def _several(*makers):
    return lambda aim: [part for maker in makers for part in maker(aim)]


def _folder(path, mode=0o755):
    return lambda aim: [folder(aim.under + b"/" + path, mode)]


def _outside(aim):
    return aim.outside


def _link(path, target):
    return lambda aim: [link(aim.under + b"/" + path, target(aim) if callable(target) else target)]


def _beyond_path_max(aim):
    """Links whose whole length no system call takes, so that resolving them ends early (CVE-2025-4517)."""
    parts, path, part = [], aim.under, b"d" * 230
    for step in b"abcdefghijklmnop":
        parts += [folder(path + b"/" + part), link(path + b"/" + bytes([step]), part)]
        path += b"/" + part
    steps = b"/".join(bytes([step]) for step in b"abcdefghijklmnop")
    parts.append(link(aim.under + b"/" + steps + b"/" + b"l" * 254, b"../" * 16))
    parts.append(link(aim.under + b"/escape", steps + b"/" + b"l" * 254 + b"/" + b"../" * 8 + aim.outside[1:]))
    return parts + [file(aim.under + b"/escape/" + MARK)]


def _deep_tree(aim):
    """A path of 4 KiB and more, each of whose directories is a member."""
    path, parts = aim.under, []
    for unused in range(18):
        path += b"/" + b"p" * 240
        parts.append(_directory(path))
    return parts + [_pax(path + b"/" + MARK)]


def _sparse(major, minor, *records):
    """GNU tar's sparse files in extended headers, formats 0.0 to 1.0, whose real size is absurd."""
    told = [(b"GNU.sparse.major", major), (b"GNU.sparse.minor", minor)] + list(records)
    return _recorded(*told, content=b"1\n0\n1\n".ljust(512, b"\0"))


def _old_sparse(aim):
    """GNU tar's old format: what the block says is sparse, with a real size of 2**62."""
    block = bytearray(raw_tar.block(aim.under + b"/s", b"S", magic=b"ustar  \0"))
    block[483:495] = b"\x80" + (2 ** 62).to_bytes(11, "big")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return [Part(bytes(block), _told(aim.under + b"/s", b""))]


def _checked_twice(aim):
    """What a name is depends on who reads it: an extended header, then one of GNU tar's, then the block."""
    raw = raw_tar.pax([(b"path", aim.under + b"/good")]) + raw_tar.entry(b"././@LongLink", aim.climb + MARK + b"\0", kind=b"L")
    return [Part(raw + raw_tar.entry(b"../" + MARK, b"x"), _told(aim.under + b"/good"))]


def _global(aim):
    """A name in a global header, which holds for all members after it (pax(1))."""
    good = file(aim.under + b"/g")
    return [Part(raw_tar.pax([(b"path", aim.climb + MARK), (b"linkpath", aim.outside)], kind=b"g") + good.raw, good.told)]


def _at(path, maker):
    """Something where one of the app's own sources is."""
    return lambda aim: maker(path)


def _climbing(count):
    return lambda aim: [_pax(aim.under + b"/" + b"../" * count + MARK)]


HOSTILE = {
    "dotdot far": lambda aim: [_pax(aim.climb + MARK)], "dotdot 1": _climbing(1), "dotdot 2": _climbing(2),
    "dotdot 3": _climbing(3), "dotdot 4": _climbing(4), "dotdot in front": lambda aim: [file(b"../" + aim.under + b"/" + MARK)],
    "dotdot last": _plain(b"a/.."), "dotdot over a canary": lambda aim: [_pax(aim.climb + b"file")],
    "dotdot in ustar's prefix": _typed(b"0", MARK, b"x", prefix=b"../.."),
    "dotdot in a long name": lambda aim: [_long_name(aim.climb + MARK)],
    "dotdot after slashes": _plain(b"//.//..//..//../" + MARK),
    "dotdot in a directory": _raw(b"../../../" + MARK, lambda place: raw_tar.block(place, b"5"), type=DIRECTORY),
    "dotdot in a link's name": lambda aim: [link(aim.climb + MARK, b"file")],
    "dotdot by backslashes": _plain(b"..\\..\\" + MARK), "absolute": lambda aim: [_pax(aim.outside + b"/" + MARK)],
    "absolute over a canary": lambda aim: [_pax(aim.outside + b"/file")],
    "absolute with two slashes": lambda aim: [_pax(b"/" + aim.outside + b"/" + MARK)],
    "absolute by a prefix": lambda aim: [Part(raw_tar.entry(MARK, b"x", prefix=aim.outside), _told(aim.outside + b"/" + MARK))],
    "absolute directory": lambda aim: [_directory(aim.outside + b"/" + MARK)],
    "link absolute": _link(b"l", lambda aim: aim.outside),
    "link out": _link(b"l", lambda aim: b"../../../../" + aim.outside[1:]),
    "link to a canary": _link(b"l", lambda aim: aim.outside + b"/file"), "link up by one": _link(b"l", b"../.."),
    "link empty": _link(b"l", b""), "link to itself": _link(b"l", b"l"),
    "link by a name and up": _link(b"l", b"deep/../../../.."),
    "link with a NUL": lambda aim: [_pax(aim.under + b"/l", kind=b"2", target=b"a\0/../../..", told=LINK)],
    "link beyond PATH_MAX": _link(b"l", b"x/" * 2500),
    "link, then a file below it": _several(_link(b"l", lambda aim: aim.outside), _plain(b"l/" + MARK)),
    "link inside, then a file below it": _several(_link(b"l", b"deep"), _plain(b"l/" + MARK)),
    "links of links": _several(_folder(b"a"), _folder(b"a/b"), _link(b"a/b/c", b".."), _link(b"m", b"a/b/c/../../..")),
    "links beyond PATH_MAX": _beyond_path_max,
    "directory that becomes a link": _several(_folder(b"d"), _plain(b"d/f"), _link(b"d", _outside), _plain(b"d/" + MARK)),
    "directory that becomes a link inside": _several(_folder(b"d"), _link(b"d", b"deep"), _plain(b"d/" + MARK)),
    "link that becomes a directory": _several(_link(b"d", b"deep"), _folder(b"d"), _plain(b"d/" + MARK)),
    "file below a file": _several(_plain(b"f"), _plain(b"f/g")), "directory over a file": _several(_plain(b"f"), _folder(b"f")),
    "file over a directory": _several(_folder(b"f"), _plain(b"f")),
    "link over a file": _several(_plain(b"f"), _link(b"f", b"a.bin")),
    "file over a link": _several(_link(b"f", b"a.bin"), _plain(b"f")),
    "file twice": _several(_plain(b"f"), _plain(b"f", content=b"other")),
    "file twice by a dot": _several(_plain(b"f"), _raw(b"f", lambda place: raw_tar.entry(b"./" + place, b"x"))),
    "link twice": _several(_link(b"f", b"a.bin"), _link(b"f", b"deep")),
    "directory twice": _several(_folder(b"f"), _folder(b"f")), "hard link absolute": _hard(lambda aim: aim.outside + b"/file"),
    "hard link out": _hard(lambda aim: b"../../../../../" + MARK),
    "hard link far": _hard(lambda aim: b"../" * 8 + b"etc/passwd"), "hard link to itself": _hard(lambda aim: aim.under + b"/h"),
    "hard link to a file": _hard(lambda aim: aim.under + b"/a.bin"),
    "hard link to the database": _hard(lambda aim: b"data/notes.db"), "hard link to a directory": _hard(lambda aim: aim.under),
    "hard link over a file": _several(_plain(b"h"), _hard(lambda aim: aim.under + b"/a.bin")),
    "hard link through a link": _several(_link(b"l", lambda aim: aim.outside), _hard(lambda aim: aim.under + b"/l/file")),
    "hard link with content": _raw(b"h", lambda place: raw_tar.entry(place, b"x", kind=b"1", target=b"uploads/a.bin")),
    "character device": _typed(b"3"), "block device": _typed(b"4"), "FIFO": _typed(b"6"), "socket": _typed(b"s"),
    "contiguous file": _typed(b"7", content=b"x"), "volume label": _typed(b"V"), "part of a file": _typed(b"M", content=b"x"),
    "dump directory": _typed(b"D", content=b"x"), "old sparse file": _old_sparse, "unknown type": _typed(b"Z"),
    "type of a NUL": _typed(b"\0", content=b"x"), "Solaris's header": _typed(b"X", content=b"x"), "inode alone": _typed(b"I"),
    "device with content": _typed(b"3", content=b"x" * 700),
    "directory with content": _typed(b"5", content=b"x" * 700, told=DIRECTORY),
    "link with content": _typed(b"2", content=b"x" * 700, target=b"a.bin", told=LINK), "set-user-id": _plain(b"f", mode=0o4755),
    "set-group-id": _plain(b"f", mode=0o2755), "all bits": _plain(b"f", mode=0o7777), "set-id directory": _folder(b"f", 0o6777),
    "bits of a file's type": _plain(b"f", raw=raw_tar.entry(b"uploads/f", b"x", mode=0o120644)),
    "name of 255": lambda aim: [_pax(aim.under + b"/" + b"n" * 255)],
    "name of 256": lambda aim: [_pax(aim.under + b"/" + b"n" * 256)],
    "path of 4095": lambda aim: [_pax((aim.under + b"/" + (b"n" * 200 + b"/") * 25)[:4095 - 1] + b"x")],
    "path beyond PATH_MAX": _deep_tree, "path of 60000": lambda aim: [_pax(aim.under + b"/" + b"y/" * 30000)],
    "depth of 200": lambda aim: [_pax(aim.under + b"/" + b"d/" * 198 + b"f")],
    "depth of 201": lambda aim: [_pax(aim.under + b"/" + b"d/" * 199 + b"f")],
    "long name of 4096": lambda aim: [_long_name(aim.under + b"/" + b"n/" * 2048)],
    "name cut at 100": _raw(b"n" * 92, lambda place: raw_tar.entry(place + b"/../../../" + MARK, b"x")),
    "sparse 0.0": _sparse(b"0", b"0", (b"GNU.sparse.size", b"4611686018427387904"), (b"GNU.sparse.numblocks", b"1")),
    "sparse 0.1": _sparse(b"0", b"1", (b"GNU.sparse.map", b"0,1,4611686018427387903,1"), (b"GNU.sparse.name", b"uploads/s")),
    "sparse 1.0": _sparse(b"1", b"0", (b"GNU.sparse.realsize", b"4611686018427387904"), (b"GNU.sparse.name", b"../../" + MARK)),
    "size below zero": _typed(b"0", number=b"\xff" * 12), "size of 2**87": _typed(b"0", number=b"\x80" + b"\x7f" * 11),
    "size of 8 GiB": _typed(b"0", number=b"7" * 11 + b"\0"), "size of minus 8": _typed(b"0", number=b"-0000000010\0"),
    "size that is no number": _typed(b"0", number=b"0x000000010\0"), "size of minus 1 in a record": _recorded((b"size", b"-1")),
    "size of 10**30 in a record": _recorded((b"size", b"1" + b"0" * 30)),
    "size of 10**17 in a record": _recorded((b"size", b"1" + b"0" * 17)),
    "size that is a fraction": _recorded((b"size", b"1.0")), "size in other digits": _recorded((b"size", "\u0661".encode())),
    "size that is empty": _recorded((b"size", b"")), "time that is not": _recorded((b"mtime", b"nan")),
    "time without end": _recorded((b"mtime", b"inf")), "time of 10**400": _recorded((b"mtime", b"1" + b"0" * 400)),
    "time of minus 10**18": _recorded((b"mtime", b"-1" + b"0" * 18)),
    "time of 10**5 digits": _recorded((b"mtime", b"0." + b"1" * 60000)),
    "owner of 2**32 - 1": _recorded((b"uid", b"4294967295"), (b"gid", b"4294967295")),
    "owner of minus 1": _recorded((b"uid", b"-1")), "owner of 10**40": _recorded((b"uid", b"1" + b"0" * 40)),
    "owner with a NUL": _recorded((b"uname", b"ro\0ot")), "owner of 60000": _recorded((b"uname", b"u" * 60000)),
    "path that is empty": lambda aim: [_named_nothing(b"", _told(b"harmless"))],
    "path that is a dot": lambda aim: [_named_nothing(b".", None)], "path that is a slash": _recorded((b"path", b"/")),
    "path in a global header": _global, "paths of three kinds": _checked_twice,
    "other charset": _recorded((b"hdrcharset", b"BINARY")),
    "capabilities": _recorded((b"SCHILY.xattr.security.capability", b"\1\0\0\2\xff\xff\xff\xff" + bytes(12))),
    "access list": _recorded((b"SCHILY.acl.access", b"user::rwx,group::rwx,other::rwx,user:1000:rwx")),
    "record without a value": _after(raw_tar.entry(b"pax", b"8 path\n\n", kind=b"x")),
    "record of length 0": _after(raw_tar.entry(b"pax", b"0 a=b\n", kind=b"x")),
    "record beyond its header": _after(raw_tar.entry(b"pax", b"99999999 a=b\n", kind=b"x")),
    "records without end": _after(raw_tar.pax([(b"a", b"b" * 60000)]) * 40),
    "header of 1 GiB": _after(raw_tar.block(b"pax", b"x", size=1 << 30)),
    "header below zero": _after(raw_tar.block(b"pax", b"x", number=b"\xff" * 12)),
    "name that is no UTF-8": _plain(b"caf\xe9-\xff\xfe"),
    "name with a NUL": lambda aim: [_pax(aim.under + b"/a\0/../../" + MARK)], "name with a newline": _plain(b"a\nb"),
    "name with control characters": _plain(b"\x1b[2J\x07\r\x7f"),
    "name of an overlong dot": _plain(b"\xc0\xae\xc0\xae/" + MARK), "name of a space": _plain(b" "),
    "name like ours": lambda aim: [file(b".appstate/x")],
    "list as a directory": lambda aim: [folder(b".appstate/members.jsonl")],
    "manifest as a link": lambda aim: [link(b".appstate/manifest.json", b"../uploads/a.bin")],
    "room as ours": lambda aim: [link(b".appstate", b"uploads")],
    "checksum that is wrong": _raw(b"c", lambda place: raw_tar.block(place)[:300] + b"x" * 10 + bytes(202), b""),
    "the end in the middle": lambda aim: [Part(bytes(1024), None), file(aim.under + b"/late")],
    "database as a link": _at(b"data/notes.db", lambda path: [link(path, b"../../../etc/shadow")]),
    "log of the database as a link": _at(b"data/notes.db-wal", lambda path: [link(path, b"settings.json")]),
    "journal of the database": _at(b"data/notes.db-journal", lambda path: [file(path, JOURNAL + b"x" * 504)]),
    "directory of the database as a link": _at(b"data", lambda path: [link(path, b"uploads"), file(path + b"/" + MARK)]),
    "source as a link": _at(b"uploads", lambda path: [link(path, b"data"), file(path + b"/" + MARK)]),
    "source as a file": _at(b"uploads", lambda path: [file(path)]),
    "database as a directory": _at(b"data/notes.db", lambda path: [folder(path)]),
}
# What the list can tell of as it is, and what does no harm where it is restored.
HARMLESS = {
    "access list", "all bits", "bits of a file's type", "capabilities", "contiguous file", "depth of 200",
    "directory of the database as a link", "directory twice", "dotdot by backslashes", "journal of the database",
    "link to itself", "log of the database as a link", "name cut at 100", "name of 255", "name of a space",
    "name of an overlong dot", "name that is no UTF-8", "name with a newline", "name with control characters",
    "other charset", "owner of 10**40", "owner of 2**32 - 1", "owner of 60000", "owner of minus 1", "owner with a NUL",
    "path in a global header", "path of 4095", "path that is a dot", "path that is empty", "set-group-id", "set-id directory",
    "set-user-id", "time of 10**5 digits", "time of minus 10**18", "type of a NUL"}
