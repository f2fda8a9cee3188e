# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A command of an engine that runs while we read what it writes, or write what it reads: no byte waits on disk."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import subprocess
import tempfile
import time

from ..system.errors import SourceError

PIPE_SIZE = 1 << 20
READ_SIZE = 1 << 18
# Of what a command says, the end is kept.
TAIL = 4000


class Stream:
    """A running command; exactly one of its input and output is ours.

    Args:
        argv: the command.
        seconds: for all of it.
        feed: whether we write; otherwise we read.
        on_kill: called when it had to be killed, to end what it started elsewhere.
    """

    def __init__(self, argv, seconds, feed=False, on_kill=None):
        self._argv = argv
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds
        self._on_kill = on_kill
        self._said = tempfile.TemporaryFile()
        self._buffer, self._at = b"", 0
        own = subprocess.PIPE
        try:
            self._process = subprocess.Popen(  # pylint: disable=ansible-bad-function
                argv, stdin=own if feed else subprocess.DEVNULL, stdout=self._said if feed else own, stderr=self._said,
                start_new_session=True)
        except OSError as error:
            self._said.close()
            raise SourceError("%s could not be started: %s" % (argv[0], error.strerror))
        self._pipe = self._process.stdin if feed else self._process.stdout
        self._poll = select.poll()
        self._poll.register(self._pipe, select.POLLOUT if feed else select.POLLIN)
        os.set_blocking(self._pipe.fileno(), False)
        _widen(self._pipe)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.kill()

    def read(self, count):
        """At most ``count`` bytes; b"" at the end."""
        if self._at == len(self._buffer):
            self._buffer, self._at = self._fill(), 0
        piece = self._buffer[self._at:self._at + count]
        self._at += len(piece)
        return piece

    def _fill(self):
        while True:
            self._wait()
            try:
                return os.read(self._pipe.fileno(), READ_SIZE)
            except BlockingIOError:
                continue

    def write(self, data):
        """Writes all of it; returns False where the command reads no more."""
        view = memoryview(data)
        while view:
            self._wait()
            try:
                view = view[os.write(self._pipe.fileno(), view):]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                return False
        return True

    def _wait(self):
        left = self._deadline - time.monotonic()
        if left <= 0 or not self._poll.poll(left * 1000 + 1):
            self._overran()

    def finish(self):
        """Waits for the command's end; ``(exit status, the end of what it said)``. What is left to read is lost."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        else:
            while self._fill():
                pass
        try:
            self._process.wait(max(0.1, self._deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._overran()
        return self._process.returncode, self.said()

    def said(self):
        """The end of what the command said."""
        size = self._said.seek(0, os.SEEK_END)
        self._said.seek(max(0, size - TAIL))
        return self._said.read().decode("utf-8", "replace").strip()

    def _overran(self):
        said = self.said()
        self.kill()
        raise SourceError("%s did not end within %g s and was killed%s"
                          % (os.path.basename(self._argv[0]), self._seconds, ": " + said if said else ""),
                          remedy="Give the source a longer 'timeout', or find out what it waits for")

    def kill(self):
        """Ends the command, where it has not ended, and lets go of everything."""
        if self._process.poll() is None:
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self._process.wait()
            if self._on_kill is not None:
                self._on_kill()
        for each in (self._process.stdin, self._process.stdout, self._said):
            if each is not None:
                each.close()


def _widen(pipe):
    """A wider pipe where the system has F_SETPIPE_SZ (Linux; the constant's name is there from Python 3.10 on)."""
    try:
        fcntl.fcntl(pipe.fileno(), getattr(fcntl, "F_SETPIPE_SZ", 1031), PIPE_SIZE)
    except OSError:
        pass
