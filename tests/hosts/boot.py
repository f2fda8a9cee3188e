# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The first process of a host; run as ``python -m hosts.boot``, it reads what it is to become as JSON.

It runs in fresh namespaces, builds the host's network and file system, moves into it, starts the services, and
from then on does what a first process must: it waits for children, its own and adopted ones. Where the host is to
have systemd, it leaves its place to that instead.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

from . import filesystem, network, systemd
from .keeper import own_pid

ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}


def main(host):
    """Become the host that was described, say under which number the outer machine knows it, and run for ever."""
    pid = own_pid()
    socket.sethostname(host["name"])
    network.plug_in(host["number"], host["keeper"])
    filesystem.enter(host["folder"])
    filesystem.write_files(host["secrets"], 0o600)
    filesystem.write_files(host["files"], 0o644)
    if host["systemd"]:
        systemd.prepare(host["services"], host["group"])
        print(pid, flush=True)
        systemd.become()
    for command in host["services"]:
        subprocess.Popen(command, env=ENVIRONMENT, stdin=subprocess.DEVNULL,  # pylint: disable=consider-using-with
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    print(pid, flush=True)
    wait_for_children()


def wait_for_children():
    """Clear away every child that ends, until the host is taken down."""
    while True:
        os.wait()


if __name__ == "__main__":
    main(json.load(sys.stdin))
