# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Commands that an operator names: argv lists, never a shell, each with a time limit for it and all that it starts."""

from __future__ import annotations

import os
import pwd
import select
import signal
import subprocess
import tempfile
import time

from .accounts import find_user
from .errors import AppStateError, ConfigurationError
from .orphans import Watcher
from .process import die_with_parent, identity_of

# Of what a command says, the end is kept.
TAIL = 4000


class CommandError(AppStateError):
    """A command could not be started, ended with another exit status than 0, or took too long.

    Attributes:
        status: the exit status, or None where there was none.
    """

    status = None


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
        error = CommandError("the command %s ended with status %d%s" % (argv[0], process.returncode, _said(said)))
        error.status = process.returncode
        raise error


def stream_command(argv, seconds, stdin=None, stdout=None, environment=None, identity=None, directory="/"):
    """Runs a command whose input or output is a stream of bytes; returns the end of what it said on stderr.

    Its output goes from the command to the descriptor without passing through here. What it started in its own
    session is killed when it has ended, so nobody writes to the descriptor after this returns; and when this process has
    ended, however that was.

    Args:
        argv: list of texts; nothing secret is among them, since every user of the host can read them.
        seconds: after which it is killed with all that it started.
        stdin: descriptor it reads from, from where that stands; None is an empty input.
        stdout: descriptor it writes to; None throws its output away.
        environment: variables beside those of this process; a secret may be here.
        identity: ``process.Identity`` to run as, see ``run_as``; it then gets HOME, USER and LOGNAME of that account,
            and of our own environment only what says nothing about us (PATH, language, time zone).
        directory: where it runs.
    Raises:
        CommandError: names the command, how it ended, and the end of what it said.
    """
    read_end, write_end = os.pipe()
    try:
        with Watcher() as watcher:
            try:
                process = _started(argv, stdin, stdout, write_end, environment_for(environment, identity), identity, directory, watcher)
            finally:
                os.close(write_end)
            tail = _Tail(read_end)
            try:
                ended = tail.follow(process.pid, seconds)
            except BaseException:
                _kill(process)
                raise
        _kill(process)
        said = tail.text()
    finally:
        os.close(read_end)
    if not ended:
        raise CommandError("the command %s did not end within %g s and was killed%s" % (argv[0], seconds, _after(said)),
                           remedy="Give it more time, or find out what it waits for")
    if process.returncode:
        raise CommandError("the command %s ended with status %d%s" % (argv[0], process.returncode, _after(said)))
    return said


def run_as(account):
    """The Identity of the account, by name or number, that a command is to run as; None where none is named.

    Raises:
        ConfigurationError: there is no such account, or we are neither root nor that account.
    """
    if account is None:
        return None
    uid = find_user(account)
    if os.geteuid() not in (0, uid):
        raise ConfigurationError("cannot run a command as %s: only root can" % account,
                                 remedy="Run the backup as root (become: true), or as that account without 'run_as'")
    try:
        return identity_of(uid, pwd.getpwuid(uid).pw_gid)
    except KeyError:
        return identity_of(uid, uid)


# What a command that runs as somebody else gets of our environment.
_PLAIN = ("PATH", "LANG", "LANGUAGE", "TZ")


def environment_for(added, identity):
    """The variables of a command: ours, or for somebody else what says nothing about us; and those that are added."""
    if identity is None:
        return dict(os.environ, **(added or {}))
    ours = {name: value for name, value in os.environ.items() if name in _PLAIN or name.startswith("LC_")}
    try:
        account = pwd.getpwuid(identity.uid)
        ours.update(HOME=account.pw_dir, USER=account.pw_name, LOGNAME=account.pw_name)
    except KeyError:
        ours.update(HOME="/")
    return dict(ours, **(added or {}))


def _started(argv, stdin, stdout, stderr, environment, identity, directory, watcher):
    parent = os.getpid()

    def become():
        if identity is not None and os.geteuid() == 0:
            os.setgroups(list(identity.groups))
            os.setresgid(identity.gid, identity.gid, identity.gid)
            os.setresuid(identity.uid, identity.uid, identity.uid)
        # What is killed in the middle is undone by the next run, and a command that goes on would undo that.
        die_with_parent(parent)
        watcher.announce(os.getpid())

    try:
        # Popen's own user= is younger than Python 3.8.
        return subprocess.Popen(  # pylint: disable=ansible-bad-function,subprocess-popen-preexec-fn
            argv, stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=subprocess.DEVNULL if stdout is None else stdout, stderr=stderr, start_new_session=True,
            env=environment, cwd=directory, preexec_fn=become)
    except OSError as error:
        raise CommandError("the command %s could not be started: %s" % (argv[0], error.strerror))
    except subprocess.SubprocessError:
        raise CommandError("the command %s could not be started as user id %d" % (argv[0], identity.uid))


class _Tail:
    """Keeps the end of what comes through a pipe, however much that is."""

    def __init__(self, pipe):
        os.set_blocking(pipe, False)
        self._pipe = pipe
        self._kept = b""
        self._poll = select.poll()
        self._poll.register(pipe, select.POLLIN)
        self._open = True

    def follow(self, pid, seconds):
        """Reads until a child has ended, which stays to be waited for; False where it did not in time."""
        deadline, pause = time.monotonic() + seconds, 0.001
        while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            pause = min(2 * pause, 0.05, left)
            if self._open and self._poll.poll(pause * 1000 + 1):
                self._read()
            elif not self._open:
                time.sleep(pause)
        return True

    def text(self):
        """The end of all that came."""
        while self._open and self._poll.poll(0):
            self._read()
        return self._kept[-TAIL:].decode("utf-8", "replace")

    def _read(self):
        try:
            piece = os.read(self._pipe, 1 << 16)
        except BlockingIOError:
            return
        self._open = bool(piece)
        self._kept = (self._kept + piece)[-TAIL:]


def _kill(process):
    """Kills the command and everything that it started and that stayed in its session's process group."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def _said(said):
    return _after(_tail(said))


def _after(text):
    text = text.strip()
    return ": %s" % text if text else ""


def _tail(said):
    size = said.seek(0, os.SEEK_END)
    said.seek(max(0, size - TAIL))
    return said.read().decode("utf-8", "replace")
