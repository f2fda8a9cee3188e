# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is none of an application's business, with canaries in it: files of root's, and of another user's."""

from __future__ import annotations

import gzip
import hashlib
import os
import sqlite3
import stat

from ansible_collections.appstate.backup.tests.unit.plugins.host import DATABASE, Host
from swapping import link

STRANGER = 3005
# Root's behind a door that is shut, and behind one that is open; a stranger's, whose databases a child could open as him.
WHOSE = {"shut": (0, 0o700), "open": (0, 0o755), "stranger": (STRANGER, 0o700)}


class Outside:
    """Three places that look as the application's: each name that is looked for inside leads to something there."""

    def __init__(self, path, canary):
        self._path = path
        self._canary = canary.encode("ascii")
        os.mkdir(path)
        os.chmod(path, 0o755)
        for name, (owner, mode) in WHOSE.items():
            self._make(os.path.join(path, name), owner, mode)
        self._before = self._look()

    def _make(self, top, owner, mode):
        os.mkdir(top)
        os.chmod(top, 0o755)
        host = Host(top)
        host.fill(journal="delete")
        for name in ("uploads/a.bin", "uploads/deep/er/b.bin", "data/settings.json", "uploads/%s" % self._canary.decode()):
            host.write(name, self._canary)
        connection = sqlite3.connect(host.at(DATABASE))
        with connection:
            connection.execute("INSERT INTO notes (text) VALUES (?)", (self._canary.decode(),))
        connection.close()
        host.backup(compression="gzip")
        for folder, folders, names in os.walk(top):
            os.chown(folder, owner, owner)
            os.chmod(folder, mode)
            for name in names:
                place = os.path.join(folder, name)
                os.chown(place, owner, owner, follow_symlinks=False)
                if not os.path.islink(place):
                    os.chmod(place, 0o600)

    def links(self, *inner):
        """What makes symbolic links to a place in each of the three."""
        return [link(os.path.join(self._path, name, *inner)) for name in WHOSE]

    def _look(self):
        """All that can be changed of anything: content, owner, mode, number of names, which file it is, when it last changed."""
        found = {}
        for folder, folders, names in os.walk(self._path):
            for place in [folder] + [os.path.join(folder, name) for name in names]:
                told = os.lstat(place)
                found[place] = (told.st_mode, told.st_uid, told.st_gid, told.st_ino, told.st_nlink, told.st_size,
                                told.st_mtime_ns, told.st_ctime_ns, _digest(place) if stat.S_ISREG(told.st_mode) else None)
        return found

    def changed(self):
        """Paths of what is not as it was."""
        now = self._look()
        return sorted(path for path in set(now) | set(self._before) if now.get(path) != self._before.get(path))

    def leaked(self, top):
        """Paths below a directory of files that have a canary in them, or in their name; archives are looked into."""
        return sorted(os.path.join(folder, name) for folder, unused, names in os.walk(top) for name in names
                      if self._canary in os.fsencode(name) or self._canary in _content(os.path.join(folder, name)))


def _digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def _content(path):
    """What is in a regular file; in a gzipped one, what was packed, as far as it goes."""
    if not stat.S_ISREG(os.lstat(path).st_mode):
        return b""
    with open(path, "rb") as file:
        data = file.read()
    try:
        return gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
    except (OSError, EOFError):
        return data
