# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a deed takes: done in a fork, whose time and memory the kernel tells when it ends (wait4(2), getrusage(2))."""

from __future__ import annotations

import json
import os
import signal
import time
import traceback

from row import Bad

# A watchdog only: what is judged is the time on a processor, which others on this machine do not lengthen.
MOST_SECONDS = 300
LOOK_EVERY = 0.005


class Measured:
    """``told``: what the deed returned, through JSON. ``seconds``: on a processor, children included. ``memory``: bytes of the
    largest of its processes. ``free``: the least that was free on the file system meanwhile."""

    def __init__(self, told, used, free):
        self.told = told
        self.seconds = used.ru_utime + used.ru_stime
        self.memory = used.ru_maxrss * 1024
        self.free = free


def measure(deed, place):
    """Does it in a fork; ``place`` is on the file system whose room is watched. Raises Bad where it ends in any other way than
    by returning."""
    answer, theirs = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(answer)
        _child(deed, theirs)
    os.close(theirs)
    try:
        status, used, free = _wait(pid, place)
        with os.fdopen(answer, "rb", closefd=False) as file:
            told = json.loads(file.read() or b'{"error": "it ended by signal or status %d"}' % status)
    finally:
        os.close(answer)
    if "error" in told:
        raise Bad(told["error"])
    return Measured(told["told"], used, free)


def _wait(pid, place):
    until, free = time.monotonic() + MOST_SECONDS, _free(place)
    while True:
        done, status, used = os.wait4(pid, os.WNOHANG)
        free = min(free, _free(place))
        if done:
            return status, used, free
        if time.monotonic() > until:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise Bad("it ran for %d seconds" % MOST_SECONDS)
        time.sleep(LOOK_EVERY)


def _free(place):
    found = os.statvfs(place)
    return found.f_bavail * found.f_frsize


def _child(deed, answer):
    try:
        told = {"told": deed()}
    except BaseException:
        told = {"error": traceback.format_exc(limit=-4)}
    data = json.dumps(told).encode("ascii")
    while data:
        data = data[os.write(answer, data):]
    os._exit(0)
