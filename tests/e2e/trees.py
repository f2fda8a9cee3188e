# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a tree of files is, to the byte: content, owner, mode and time of everything in it."""

from __future__ import annotations

import hashlib
import os
import random
import stat


def tree(top):
    """From relative path (bytes) to what is there; symbolic links are never followed.

    A directory or a file is told with its mode, owner, group and mtime in nanoseconds, a file also with its size and
    digest, a link with its target. The tree may be live: what goes while it is looked at, such as the journal of a
    writer, is no part of it.
    """
    top = os.fsencode(top)
    found = {b".": _entry(top)}
    for folder, folders, files in os.walk(top):
        for name in folders + files:
            path = os.path.join(folder, name)
            try:
                found[os.path.relpath(path, top)] = _entry(path)
            except FileNotFoundError:
                continue
    return found


def without_times(entries, paths):
    """The same tree, with the times of some directories left out: those in which a restore renames things."""
    return {path: entry[:4] + entry[5:] if path in paths else entry for path, entry in entries.items()}


def below(entries, *tops, leave_out=()):
    """The part of a tree at and below some relative paths (bytes), without those at and below others."""
    return {path: entry for path, entry in entries.items()
            if any(_within(path, top) for top in tops) and not any(_within(path, top) for top in leave_out)}


def _within(path, top):
    return path == top or path.startswith(top + b"/")


def _entry(path):
    status = os.lstat(path)
    owned = (stat.S_IFMT(status.st_mode), stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)
    if stat.S_ISLNK(status.st_mode):
        return owned[:1] + owned[2:] + (os.readlink(path),)
    if stat.S_ISREG(status.st_mode):
        with open(path, "rb") as stream:
            return owned + (status.st_mtime_ns, status.st_size, hashlib.sha256(stream.read()).hexdigest())
    return owned + (status.st_mtime_ns,)


def make_uploads(top, uid, gid):
    """A tree of files as users upload them, with every odd name that a file system takes."""
    top = os.fsencode(top)
    chance = random.Random(20261119)
    files = {b"report final.txt": 0o644, "größe-写真.txt".encode(): 0o640, b"caf\xe9 \xff.bin": 0o600,
             b"new\nline.txt": 0o664, b"quote'\"$(id)`.txt": 0o444, b"-rf": 0o755, b" ": 0o640, b"tab\t\\x41": 0o640,
             b"reports/2026/deep/one.csv": 0o640, b"reports/empty": 0o640, b"growing.log": 0o640,
             b"a" * 255: 0o640, b"draft.part": 0o640}
    files.update({b"many/%03d.jpg" % number: 0o644 for number in range(150)})
    for name, mode in files.items():
        path = os.path.join(top, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as stream:
            stream.write(b"" if name.endswith(b"empty") else chance.randbytes(chance.randint(1, 20000)))
        os.chmod(path, mode)
    with open(os.path.join(top, b"video.mp4"), "wb") as stream:
        stream.write(chance.randbytes(3 << 20))
    os.makedirs(os.path.join(top, b"no files/in here"))
    os.makedirs(os.path.join(top, b"receipts"))
    os.symlink(b"report final.txt", os.path.join(top, b"latest"))
    os.symlink(b"../many/001.jpg", os.path.join(top, b"reports/cover"))
    os.symlink(b"reports/2026", os.path.join(top, b"this year"))
    _own_and_date(top, uid, gid, chance)


def _own_and_date(top, uid, gid, chance):
    """Give all to one owner, directories odd modes, everything a time of its own to the nanosecond."""
    for folder, folders, files in os.walk(top, topdown=False):
        for name in files + folders:
            path = os.path.join(folder, name)
            os.lchown(path, uid, gid)
            if not os.path.islink(path):
                when = chance.randint(500_000_000, 1_750_000_000) * 10 ** 9 + chance.randint(1, 999_999_999)
                if os.path.isdir(path):
                    os.chmod(path, 0o2770 if name == b"reports" else 0o750)
                os.utime(path, ns=(when, when))
    os.chown(top, uid, gid)
    os.chmod(top, 0o755)
