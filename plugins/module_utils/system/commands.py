# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Commands that an operator names: argv lists, never a shell, each with a time limit for it and all that it starts."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile

from .errors import AppStateError

# Of what a command says, the end is kept.
TAIL = 4000


class CommandError(AppStateError):
    """A command could not be started, ended with another exit status than 0, or took too long."""


def run_command(argv, seconds, environment=None):
    """Runs a command in a session of its own; returns the end of what it said.

    Raises:
        CommandError: names the command, how it ended, and the end of what it said.
    """
    with tempfile.TemporaryFile() as said:
        _run(argv, seconds, environment, said, said)
        return _tail(said)


def output_of(argv, seconds, most=65536):
    """Runs a command likewise; returns the beginning of its standard output alone, as text.

    Args:
        most: bytes that are returned.

    Raises:
        CommandError: names the command, how it ended, and the end of what it said on its standard error.
    """
    with tempfile.TemporaryFile() as answered, tempfile.TemporaryFile() as said:
        _run(argv, seconds, None, answered, said)
        answered.seek(0)
        return answered.read(most).decode("utf-8", "replace")


def _run(argv, seconds, environment, answered, said):
    """Runs a command with its standard output and error in two open files, which may be one."""
    try:
        # The engine is also used without Ansible, whose run_command knows no time limit.
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=answered,  # pylint: disable=ansible-bad-function
                                   stderr=said, start_new_session=True, env=dict(os.environ, **(environment or {})))
    except OSError as error:
        raise CommandError("the command %s could not be started: %s" % (argv[0], error.strerror))
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        _kill(process)
        raise CommandError("the command %s did not end within %g s and was killed%s" % (argv[0], seconds, _said(said)),
                           remedy="Give it more time, or find out what it waits for")
    except BaseException:
        _kill(process)
        raise
    if process.returncode:
        raise CommandError("the command %s ended with status %d%s" % (argv[0], process.returncode, _said(said)))


def _kill(process):
    """Kills the command and everything that it started and that stayed in its session's process group."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def _said(said):
    text = _tail(said).strip()
    return ": %s" % text if text else ""


def _tail(said):
    size = said.seek(0, os.SEEK_END)
    said.seek(max(0, size - TAIL))
    return said.read().decode("utf-8", "replace")
