# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the engine keeps its own things on a host, and what it knows of that host.

Root uses the folders of the Filesystem Hierarchy Standard, everyone else those of the XDG Base Directory
Specification. Time and host name come in here, once, so that all below can be run with fixed ones.
"""

from __future__ import annotations

import os
import socket
from datetime import datetime, timezone


class Machine:
    """The host that a run is on.

    Attributes:
        hostname: the name that manifests carry.
        now: a function without arguments that gives an aware UTC datetime.
        state_directory: restore journals.
        lock_directory: one lock an app.
    """

    def __init__(self, hostname, now, state_directory, lock_directory):
        self.hostname = hostname
        self.now = now
        self.state_directory = state_directory
        self.lock_directory = lock_directory


def this_machine(state_directory=None, lock_directory=None):
    """The machine we run on, with its places; each can be moved."""
    return Machine(socket.gethostname(), lambda: datetime.now(timezone.utc),
                   state_directory or _state_directory(), lock_directory or _lock_directory())


def _state_directory():
    if os.geteuid() == 0:
        return "/var/lib/appstate-backup"
    base = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    return os.path.join(base, "appstate-backup")


def _lock_directory():
    # Not XDG_RUNTIME_DIR: a login has it and cron has not, and both have to take the same lock.
    return "/run/appstate-backup" if os.geteuid() == 0 else os.path.join(_state_directory(), "locks")
