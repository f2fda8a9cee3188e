# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A process that takes a step, and sees to it that the step which undoes it is taken, whatever becomes of its parent.

Both steps are the guardian's from the beginning, so that a parent that is killed in the middle of one of them never has
the other one overtake it, and none is taken twice. It hears of its parent's death from the kernel, which closes the
socket between them. It runs in a session of its own, away from the signals that end its parent's, and holds nothing open
that its parent has but what it is told to: whoever waits for the parent's output does not wait for it.

Made by fork(2) without exec(3), as in ``process``. Fork it before threads are started.
"""

from __future__ import annotations

import fcntl
import gc
import json
import os
import signal
import socket

from .errors import AppStateError, ChildError, from_dict
from .process import close_descriptors, reset_signals

FIRST, LAST = b"f", b"l"
# What ends a session or a service: the guardian outlives it.
_OUTLIVED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE)


class Guardian:
    """The parent's side. Use it as a context manager: leaving it waits until the guardian has gone.

    Args:
        first: function that is called in the guardian when ``take_first`` is; what it raises, ``take_first`` raises.
        last: the same for ``take_last``; also called when the parent has gone without ``take_last``.
        orphaned: called in the guardian with the AppStateError of ``last``, or None, where there was no parent to tell.
        keep: descriptors that stay open in it.
    """

    def __init__(self, first, last, orphaned, keep=()):
        self._steps = {FIRST: first, LAST: last}
        self._orphaned = orphaned
        self._keep = tuple(keep)
        self.pid = None
        self._socket = None
        self._answers = None

    def __enter__(self):
        ours, its = socket.socketpair()
        # A handler of the parent's must not run in the guardian: no signal is delivered until it has its own.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            pid = os.fork()
            if pid == 0:
                _live(its.fileno(), self._steps, self._orphaned, self._keep)
        except BaseException:
            ours.close()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            its.close()
        self.pid, self._socket, self._answers = pid, ours, ours.makefile("rb")
        return self

    def __exit__(self, *unused):
        self._answers.close()
        self._socket.close()
        try:
            os.waitpid(self.pid, 0)
        except ChildProcessError:
            pass  # Somebody ignores SIGCHLD: the kernel reaped it.

    def take_first(self):
        """Takes the first step; from here on the last one will be taken."""
        self._ask(FIRST)

    def take_last(self):
        """Takes the last step.

        Raises:
            AppStateError: it failed.
            ChildError: the guardian was killed, and it is not known how far it came.
        """
        self._ask(LAST)

    def _ask(self, step):
        told = None
        try:
            self._socket.sendall(step)
            # The answer to a step that the parent was interrupted in may still be waiting.
            while told is None or told["step"] != step.decode("ascii"):
                told = json.loads(self._answers.readline().decode("ascii"))
        except (OSError, ValueError):
            raise ChildError("the process that guards it was killed")
        if told["problem"] is not None:
            raise from_dict(told["problem"])


def _live(number, steps, orphaned, keep):
    """The guardian's whole life; never returns."""
    try:
        # What the parent made is never finalised here: it may delete files or end processes.
        gc.freeze()
        os.setsid()
        # Handlers, and not SIG_IGN, which what is started from here would inherit.
        reset_signals({number: _outlive for number in _OUTLIVED})
        connection = socket.socket(fileno=_settle(number, keep))
        _serve(connection, steps, orphaned)
    finally:
        os._exit(0)


def _settle(number, keep):
    """Lets go of all that is the parent's; returns the number that the socket has now."""
    high = [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, 3) for each in (number,) + keep]
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    close_descriptors([0, 1, 2] + high)
    return high[0]


def _outlive(*unused):
    """Does nothing."""


def _serve(connection, steps, orphaned):
    owing = False
    while True:
        try:
            step = connection.recv(1)
        except OSError:
            step = b""
        if not step:
            break
        owing = step == FIRST
        problem = _take(steps[step])
        told = {"step": step.decode("ascii"), "problem": None if problem is None else problem.to_dict()}
        try:
            connection.sendall(json.dumps(told).encode("ascii") + b"\n")
        except OSError:
            if step == LAST:
                orphaned(problem)
    if owing:
        orphaned(_take(steps[LAST]))


def _take(step):
    """The AppStateError that came of a step, or None."""
    try:
        step()
        return None
    except AppStateError as error:
        return error
    except BaseException as error:  # pylint: disable=broad-exception-caught
        # Nothing may unwind into the parent's code, nor keep the last step from its turn.
        return ChildError("failed by a defect of this program: %s: %s" % (type(error).__name__, error))
