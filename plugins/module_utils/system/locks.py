# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run at a time for an app: an flock(2) on a file of its own, which the kernel drops when its holder dies."""

from __future__ import annotations

import fcntl
import os
import time

from .errors import LockedError
from .files import as_bytes, private_directory, write_all

# A hundredth of a second each.
ATTEMPTS = 50


class AppLock:
    """Holds the lock of one app while it is entered; a second holder gets a LockedError that names the first.

    Args:
        work: what is locked beside the app's runs, and goes on beside them, as ``drill``; None for the runs themselves.
    """

    def __init__(self, directory, app_name, work=None):
        self._directory = directory
        self._app_name = app_name
        self._work = work or "run"
        self._name = app_name + (".lock" if work is None else ".%s.lock" % work)
        self._descriptor = None

    def __enter__(self):
        directory = private_directory(self._directory)
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            self._descriptor = os.open(as_bytes(self._name), flags, 0o600, dir_fd=directory)
        finally:
            os.close(directory)
        holder = self._refused_by()
        if holder is not None:
            self._close()
            raise LockedError("another %s holds the lock%s" % (self._work, " (%s)" % holder if holder else ""),
                              app=self._app_name, path=os.path.join(self._directory, self._name),
                              remedy="Wait until it has ended")
        os.ftruncate(self._descriptor, 0)
        write_all(self._descriptor, b"process %d\n" % os.getpid())
        return self

    def _refused_by(self):
        """Locks; returns None, or who holds the lock. One that has not written yet who it is, or not any more, is waited for."""
        for unused in range(ATTEMPTS):
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return None
            except OSError:
                holder = os.pread(self._descriptor, 200, 0).decode("utf-8", "replace").strip()
            if holder:
                break
            time.sleep(0.01)
        return holder

    def __exit__(self, *unused):
        os.ftruncate(self._descriptor, 0)
        self._close()

    def _close(self):
        os.close(self._descriptor)
        self._descriptor = None
