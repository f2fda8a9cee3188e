# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What this process holds, and its children: nothing of it may be left over, and no secret be seen in it."""

from __future__ import annotations

import gc
import os
import threading
import time
from contextlib import contextmanager


def children():
    """Process ids of our children, zombies among them."""
    found = []
    for task in os.listdir("/proc/self/task"):
        try:
            with open("/proc/self/task/%s/children" % task, encoding="ascii") as stream:
                found.extend(int(pid) for pid in stream.read().split())
        except OSError:
            continue  # The thread has just ended.
    return sorted(found)


def child(program, word=b"", patience=5.0):
    """The process id of our child that runs a program with that word among its arguments."""
    until = time.monotonic() + patience
    while True:
        for pid in children():
            said = shown(pid, "cmdline")
            if said.split(b"\0")[0].rpartition(b"/")[2] == program.encode() and word in said:
                return pid
        assert time.monotonic() < until, "no %s is running" % program
        time.sleep(0.002)


def shown(pid, what):
    """What everybody, or root, can see of a process: ``cmdline`` or ``environ``."""
    try:
        with open("/proc/%d/%s" % (pid, what), "rb") as stream:
            return stream.read()
    except OSError:
        return b""


def held():
    """Descriptors, threads and children of this process."""
    gc.collect()  # What nobody can reach any more is none.
    return len(os.listdir("/proc/self/fd")), threading.active_count(), children()


@contextmanager
def nothing_left():
    """What is done in it leaves no descriptor, no thread and no child; what others left may end meanwhile."""
    before = held()
    yield
    after = held()
    more = after[0] > before[0] or after[1] > before[1] or not set(after[2]) <= set(before[2])
    assert not more, "descriptors, threads, children: %s, and %s before" % (after, before)


def within(seconds, step):
    """What a step returns or raises; it is done in a thread, so that one that hangs fails the test."""
    outcome = []

    def run():
        try:
            outcome.append((step(), None))
        except BaseException as error:  # pylint: disable=broad-exception-caught
            outcome.append((None, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert outcome, "it hangs"
    if outcome[0][1] is not None:
        raise outcome[0][1]
    return outcome[0][0]
