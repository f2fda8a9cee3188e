# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two processes that take turns: each runs for a moment, then stands still while the other goes on (SIGSTOP, SIGCONT).

So their steps come in an order that no two processes would have by themselves, and the same seed gives about the same one.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback

from row import Bad

SECONDS = 60
# How long a turn is at most, in seconds: from a step or two up to a whole stage of a run.
TURNS = (0.002, 0.01, 0.04)


class Process:
    """A function in a process group of its own, which stands still until it is its turn.

    Attributes:
        status: what it returned, once it has ended; 70 where it raised something.
        said: what it wrote.
    """

    def __init__(self, work, log):
        self._log = log
        self.status = None
        self.pid = os.fork()
        if not self.pid:
            self._live(work)
        os.waitpid(self.pid, os.WUNTRACED)

    def _live(self, work):
        try:
            os.setsid()
            output = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.kill(os.getpid(), signal.SIGSTOP)
            status = work()
            sys.stdout.flush()
        except BaseException:
            traceback.print_exc()
            status = 70
        os._exit(status)

    @property
    def is_alive(self):
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status is None

    def go_on(self):
        os.killpg(self.pid, signal.SIGCONT)

    def stand_still(self):
        if self.is_alive:
            os.killpg(self.pid, signal.SIGSTOP)

    def wait(self):
        """Lets it run to its end; returns its exit status."""
        if self.is_alive:
            self.go_on()
        until = time.monotonic() + SECONDS
        while self.is_alive:
            if time.monotonic() > until:
                raise Bad("it has not ended after %d s: %s" % (SECONDS, self.said))
            time.sleep(0.002)
        return self.status

    @property
    def said(self):
        with open(self._log, encoding="utf-8", errors="replace") as file:
            return file.read()


def take_turns(first, second, chance, is_time):
    """Lets both run to their ends.

    Args:
        is_time: function that says, while the first runs, whether the second is to begin.

    Returns:
        How often one of them had its turn while both were under way: 0 says that they did not overlap.
    """
    both, turns, longest = (first, second), 0, chance.choice(TURNS)
    until = time.monotonic() + SECONDS
    _give_turn((first,), SECONDS, is_time)
    while first.is_alive and second.is_alive:
        if time.monotonic() > until:
            raise Bad("they have not ended after %d s: %s %s" % (SECONDS, first.said, second.said))
        # Now and then both run at once, as they would on two processors.
        chosen = both if chance.random() < 0.2 else (chance.choice(both),)
        # The other one has its own turn first.
        _give_turn(chosen if turns else (second,), chance.random() * longest)
        turns += 1
    for process in both:  # Nobody is left to take turns with.
        process.wait()
    return turns


def _give_turn(processes, seconds, is_over=lambda: False):
    for process in processes:
        process.go_on()
    until = time.monotonic() + seconds
    while time.monotonic() < until and any(process.is_alive for process in processes) and not is_over():
        time.sleep(min(0.002, seconds))
    for process in processes:
        process.stand_still()
