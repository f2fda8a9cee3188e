# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The first process of the namespaces in which a fleet lives; run as ``python -m hosts.keeper FOLDER``.

Its standard input is a pipe that only the test holds. When that pipe closes, because the test is done or because
it was killed, the keeper removes the fleet's folder and ends, and the kernel ends everything in its namespaces.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys

from . import network


def main(folder):
    """Set up the bridge, say under which number the outer machine knows this process, and wait for the end."""
    # As first process of its namespace it inherits orphans; this way the kernel clears them away.
    network.make_bridge()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print(own_pid(), flush=True)
    sys.stdin.buffer.read()
    shutil.rmtree(folder, ignore_errors=True)


def own_pid():
    """The caller's process number as the outer machine counts, read where /proc is still the outer one."""
    return int(os.readlink("/proc/self"))


if __name__ == "__main__":
    main(sys.argv[1])
