# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Finds the SQLite databases of a host, by what they begin with and not by their names, and says which no app covers.

The walk is bounded: in depth, in entries, and in time. It stays on the file systems it began on, and leaves out what
holds no application's state: the system's own places, caches, and backups.
"""

from __future__ import annotations

import os
import stat
import time

from ..sources.files import ASIDE_NAME
from ..sqlite.header import looks_like_sqlite
from ..system import files
from ..system.errors import SourceError, printable
from ..system.trees import MAXIMUM_DEPTH, descend

SKIPPED = ("/proc", "/sys", "/dev", "/run", "/tmp", "/var/tmp", "/var/cache", "/usr", "/bin", "/sbin", "/lib", "/lib64",
           "/boot", "/var/lib/dpkg", "/var/lib/apt", "/var/lib/rpm", "/var/lib/dnf", "/var/lib/systemd",
           "/var/lib/containers/cache", "/lost+found", "/snap")
SKIPPED_NAMES = (b".cache", b"__pycache__", b"node_modules", b".git", b"Cache", b"CacheStorage", b"site-packages")
# What the collection itself works in; old state that a restore set aside is told apart by its ending.
OWN = b".appstate-"
SMALLEST = 512


class Coverage:
    """What was found: ``databases`` (``path``, ``size``, ``app`` or None), and whether the walk was ``complete``."""

    def __init__(self):
        self.databases = []
        self.complete = True
        self.unreadable = 0
        self.looked_at = 0


def find_databases(roots, apps, skip=(), most_entries=2000000, seconds=300.0):
    """Walks some directories.

    Args:
        roots: absolute paths.
        apps: the Apps that may cover what is found; their destinations are left out of the walk.
        skip: absolute paths to leave out beside those that always are.
    """
    walk = _Walk(apps, skip, most_entries, time.monotonic() + seconds)
    for root in roots:
        walk.walk(files.as_bytes(os.path.abspath(root)))
    walk.coverage.databases = [walk.found[path] for path in sorted(walk.found)]
    return walk.coverage


class _Walk:
    """One walk over all roots."""

    def __init__(self, apps, skip, most_entries, until):
        self._apps = apps
        left_out = SKIPPED + tuple(skip) + tuple(app.directory for app in apps if app.destination)
        self._skipped = {files.as_bytes(path.rstrip("/")) for path in left_out}
        self._left = most_entries
        self._until = until
        self.coverage = Coverage()
        self.found = {}

    def walk(self, root):
        try:
            directory = files.open_directory(root)
        except OSError as error:
            raise SourceError("cannot be walked: %s" % error.strerror, path=root)
        try:
            self._device = os.fstat(directory).st_dev
            self._deepest = root.rstrip(b"/").count(b"/") + MAXIMUM_DEPTH
            for entry in descend(directory, root.rstrip(b"/"), self._skip, self._unreadable):
                if self._left <= 0 or time.monotonic() > self._until:
                    self.coverage.complete = False
                    return
                self._left -= 1
                self.coverage.looked_at += 1
                if stat.S_ISREG(entry.stat.st_mode) and entry.stat.st_size >= SMALLEST:
                    self._look(entry)
        finally:
            os.close(directory)

    def _skip(self, path, found):
        name = path.rpartition(b"/")[2]
        if path in self._skipped or name in SKIPPED_NAMES or name.startswith(OWN) or ASIDE_NAME.match(name):
            return True
        if path.count(b"/") > self._deepest:
            self.coverage.complete = False
            return True
        return stat.S_ISDIR(found.st_mode) and found.st_dev != self._device

    def _unreadable(self, path, error):
        self.coverage.unreadable += 1

    def _look(self, entry):
        """Reads the first bytes; a lock that the application holds is none of this process, so closing drops none."""
        try:
            descriptor = os.open(entry.name, files.READ, dir_fd=entry.directory)
        except OSError:
            self.coverage.unreadable += 1
            return
        try:
            if looks_like_sqlite(os.pread(descriptor, 16, 0)):
                path = printable(entry.path)
                self.found[path] = {"path": path, "size": entry.stat.st_size, "app": self._app_of(path)}
        except OSError:
            self.coverage.unreadable += 1
        finally:
            os.close(descriptor)

    def _app_of(self, path):
        """The name of the app with a sqlite source at that path; a plain file source does not cover a database."""
        for app in self._apps:
            if any(source.type == "sqlite" and app.full_path(source) == path for source in app.sources):
                return app.name
        return None
