# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who holds a file open: read from ``/proc``, so that a restore never pulls a database away under a running process.

Source: proc(5), ``/proc/[pid]/fd``. Without root only our own processes can be looked into; root who has no CAP_SYS_PTRACE
(as in many a container) is not told that nobody holds it.
"""

from __future__ import annotations

import os
import time

from .errors import SourceError
from .privileges import has

# Seconds: a process that was told to stop may take a moment to close its files.
GRACE = 5.0


class Holder:
    """A process that has one of the files open."""

    def __init__(self, pid, command, path):
        self.pid = pid
        self.command = command
        self.path = path

    def __str__(self):
        return "%s (process %d)" % (self.command, self.pid)


def find_holders(places):
    """Holders of any of ``places``, a dictionary of ``(st_dev, st_ino)`` to the path to name.

    Raises:
        SourceError: a process does not let us look, since we are root without CAP_SYS_PTRACE.
    """
    found = []
    for name in os.listdir("/proc") if places else ():
        if not name.isdigit() or int(name) == os.getpid():
            continue
        path = _held_by(name, places)
        if path is not None:
            found.append(Holder(int(name), _command(name), path))
    return found


def lasting_holders(places):
    """Holders that do not let go within GRACE; ``places()`` gives what ``find_holders`` takes, before each look."""
    until = time.monotonic() + GRACE
    while True:
        holders = find_holders(places())
        if not holders or time.monotonic() > until:
            return holders
        time.sleep(0.1)


def _held_by(pid, places):
    try:
        descriptors = os.listdir("/proc/%s/fd" % pid)
    except OSError as error:
        _refuse_blindness(pid, error)
        return None  # Ended, or not ours to look into.
    for descriptor in descriptors:
        try:
            held = os.stat("/proc/%s/fd/%s" % (pid, descriptor))
        except OSError as error:
            _refuse_blindness(pid, error)
            continue
        if (held.st_dev, held.st_ino) in places:
            return places[held.st_dev, held.st_ino]
    return None


def _refuse_blindness(pid, error):
    """Root has to see who holds a database: what a process writes to one that was moved away is lost."""
    if isinstance(error, PermissionError) and os.geteuid() == 0 and not has("sys_ptrace"):
        raise SourceError("%s (process %s) cannot be looked into, and it may have a database open" % (_command(pid), pid),
                          remedy="Run this with the capability CAP_SYS_PTRACE")


def _command(pid):
    try:
        with open("/proc/%s/comm" % pid, "rb") as stream:
            return stream.read().decode("utf-8", "replace").strip()
    except OSError:
        return "a process"
