# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nothing of a command outlives the process that started it, however that ended.

The kernel kills a child with its parent where that was asked for (``process.die_with_parent``), but not what that child has
started. A watcher does: it hears of the parent's death by the end of a pipe, and kills the whole group.
"""

from __future__ import annotations

import gc
import os
import signal

from .process import close_descriptors, reset_signals

# What ends a session or a service: the watcher outlives it.
_OUTLIVED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


class Watcher:
    """Watches over a process group as long as it is open; leave it before the group's leader is waited for.

    It is there before the group is, which tells it its number: whoever is killed in between leaves nothing behind either.
    """

    def __init__(self):
        read_end, self._pipe = os.pipe()
        # A handler of ours must not run in the watcher: no signal is delivered until it has put its own.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self._pid = os.fork()
            if not self._pid:
                _watch(read_end)
        except BaseException:
            os.close(self._pipe)
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            os.close(read_end)

    def announce(self, group):
        """From here on, that group is watched over; for its leader itself, before it becomes another program."""
        os.write(self._pipe, b"%d" % group)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        try:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass  # Somebody ignores SIGCHLD: the kernel reaped it.
        os.close(self._pipe)


def _watch(pipe):
    """The watcher's whole life; never returns."""
    try:
        gc.freeze()
        os.setsid()
        reset_signals({number: signal.SIG_IGN for number in _OUTLIVED})
        close_descriptors({pipe})
        group = os.read(pipe, 100)
        while group and os.read(pipe, 1):
            pass  # Ends with the last that has the other end: our parent.
        if group:
            os.killpg(int(group), signal.SIGKILL)
    finally:
        os._exit(0)
