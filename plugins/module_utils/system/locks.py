# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run at a time for an app: an flock(2) on a file of its own, which the kernel drops when its holder dies."""

from __future__ import annotations

import fcntl
import os

from .errors import LockedError
from .files import as_bytes, private_directory, write_all


class AppLock:
    """Holds the lock of one app while it is entered; a second holder gets a LockedError that names the first."""

    def __init__(self, directory, app_name):
        self._directory = directory
        self._app_name = app_name
        self._descriptor = None

    def __enter__(self):
        directory = private_directory(self._directory)
        name = as_bytes(self._app_name) + b".lock"
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            self._descriptor = os.open(name, flags, 0o600, dir_fd=directory)
        finally:
            os.close(directory)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(self._descriptor, 200, 0).decode("utf-8", "replace").strip()
            self._close()
            raise LockedError("another run holds the lock%s" % (" (%s)" % holder if holder else ""),
                              app=self._app_name, path=os.path.join(self._directory, self._app_name + ".lock"),
                              remedy="Wait until it has ended")
        os.ftruncate(self._descriptor, 0)
        write_all(self._descriptor, b"process %d\n" % os.getpid())
        return self

    def __exit__(self, *unused):
        os.ftruncate(self._descriptor, 0)
        self._close()

    def _close(self):
        os.close(self._descriptor)
        self._descriptor = None
