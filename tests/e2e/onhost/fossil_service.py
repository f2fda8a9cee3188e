# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Starts and stops ``fossil server`` on a test host: fossil_service.py start|stop REPOSITORY PORT."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time

HOME = "/var/lib/fossil-home"
OWNER = "www-data"


def start(repository, port):
    """Serve the repository as its owner, in a process group of its own, and wait until it listens."""
    os.makedirs(HOME, exist_ok=True)
    shutil.chown(HOME, OWNER, OWNER)
    become = ["setpriv", "--reuid=" + OWNER, "--regid=" + OWNER, "--init-groups", "--"]
    subprocess.Popen(become + ["fossil", "server", "--port", port, repository],  # pylint: disable=consider-using-with
                     cwd="/", start_new_session=True, env={"HOME": HOME, "PATH": "/usr/bin:/bin", "USER": OWNER},
                     stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _attempt in range(500):
        try:
            socket.create_connection(("127.0.0.1", int(port)), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    sys.exit("fossil does not listen")


def stop(repository, _port):
    """End the server and those of its children that answer requests, and wait until they are gone."""
    for _attempt in range(500):
        serving = servers(repository)
        if not serving:
            return
        for pid in serving:
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                pass  # it ended by itself
        time.sleep(0.02)
    sys.exit("fossil does not stop")


def servers(repository):
    """The numbers of the processes that serve the repository; each of them is in a session of its own."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % name, "rb") as stream:
                words = stream.read().split(b"\0")
        except OSError:
            continue
        if words[:2] == [b"fossil", b"server"] and repository.encode() in words:
            found.append(int(name))
    return found


if __name__ == "__main__":
    {"start": start, "stop": stop}[sys.argv[1]](*sys.argv[2:])
