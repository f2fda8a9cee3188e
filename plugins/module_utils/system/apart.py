# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A program in a place of its own: it sees other files at some path, no network but itself, and no socket of the host.

Namespaces (namespaces(7)) for mounts, network, System V IPC and processes. ``/run`` is empty in there, since sockets that
are files, those of databases and of container engines, are found by their path and not by a network. When its first
process ends, the kernel ends all others of it, whatever they made of themselves.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import signal
import socket
import struct
import subprocess
import time

from .commands import CommandError, environment_for
from .errors import ChildError
from .files import as_bytes
from .orphans import Watcher
from .process import as_program, become, close_descriptors, die_with_parent, reset_signals

_CLONE_NEWNS, _CLONE_NEWIPC, _CLONE_NEWPID, _CLONE_NEWNET = 0x00020000, 0x08000000, 0x20000000, 0x40000000
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_BIND, _MS_REC, _MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
_SIOCSIFFLAGS = 0x8914  # netdevice(7)
_IFF_UP = 1
# How long a program may take to end when it is asked to.
GRACE = 5.0


class Apart:
    """A running program; a context manager that ends it, and all that it started.

    Attributes:
        process: the ``subprocess.Popen``.
        network: process id whose network it is in, or None where that is the host's.
    """

    def __init__(self, process, network, watcher=None):
        self.process = process
        self.network = network
        self._watcher = watcher

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        """Asks it to end, and then ends it: what it leaves open is nobody's."""
        if self._watcher is not None:
            self._watcher.__exit__()
        self._signal(signal.SIGTERM)
        until = time.monotonic() + GRACE
        while self.process.poll() is None and time.monotonic() < until:
            time.sleep(0.02)
        self._signal(signal.SIGKILL)
        self.process.wait()

    def _signal(self, number):
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass


def start_beside(argv, output, environment=None, identity=None, directory="/"):
    """Starts a program as it is, in a session of its own; ``output`` is a file for what it says.

    Raises:
        CommandError: it could not be started.
    """
    watcher, become_it = Watcher(), as_program(identity)

    def prepare():
        become_it()
        watcher.announce(os.getpid())

    try:
        return Apart(_started(argv, output, environment, identity, directory, prepare), None, watcher)
    except BaseException:
        watcher.__exit__()
        raise


def start_apart(argv, output, shown, environment=None, identity=None, directory="/"):
    """Starts a program in a place of its own; only root can.

    Args:
        argv: list of texts.
        output: open file for what it says.
        shown: dictionary of absolute paths that are there to the directories that are to be seen at them.
        environment: variables beside those of the account that it runs as.
        identity: whom it runs as, a ``process.Identity``.
        directory: where it runs, as it sees it.
    Raises:
        CommandError: it could not be started, or this host knows no namespaces.
    """
    libc, parent = ctypes.CDLL(None, use_errno=True), os.getpid()

    def prepare():
        try:
            die_with_parent(parent)
            _leave(libc, shown)
            if identity is not None:
                become(identity)
        except Exception as error:
            os.write(2, ("%s\n" % error).encode("utf-8", "replace"))
            raise
    process = _started(argv, output, environment, identity, directory, prepare)
    return Apart(process, process.pid)


def _started(argv, output, environment, identity, directory, prepare):
    def settle():
        prepare()
        os.chdir(directory)

    try:
        return subprocess.Popen(  # pylint: disable=ansible-bad-function,subprocess-popen-preexec-fn
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            env=environment_for(environment, identity), preexec_fn=settle)
    except OSError as error:
        raise CommandError("the command %s could not be started: %s" % (argv[0], error.strerror))
    except subprocess.SubprocessError:
        output.seek(0)
        raise CommandError("the command %s could not be started: %s" % (
            argv[0], output.read(1000).decode("utf-8", "replace").strip() or "its directory %s cannot be entered" % directory))


def _leave(libc, shown):
    """Moves this new child into its own place; what returns is a child of its first process."""
    _checked(libc.unshare(_CLONE_NEWNS | _CLONE_NEWIPC | _CLONE_NEWPID | _CLONE_NEWNET))
    _mount(libc, None, b"/", None, _MS_REC | _MS_PRIVATE)
    for place, directory in shown.items():
        _mount(libc, as_bytes(directory), as_bytes(place), None, _MS_BIND)
    if os.path.isdir("/run"):
        _mount(libc, b"tmpfs", b"/run", b"tmpfs", _MS_NOSUID | _MS_NODEV, b"mode=1777,size=64m")
    _raise_loopback()
    read_end, write_end = os.pipe()
    first = os.fork()
    if first:
        _wait_for(first, write_end)
    os.close(write_end)
    _die_with_holder(read_end)
    _mount(libc, b"proc", b"/proc", b"proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)
    program = os.fork()
    if program:
        _wait_for(program)


def _die_with_holder(read_end):
    """As ``die_with_parent``; but across the boundary a parent has no number, so that it holds the other end of a pipe."""
    die_with_parent(0)
    if select.select([read_end], [], [], 0)[0]:
        os._exit(1)  # It ended before that.
    os.close(read_end)


def _wait_for(pid, held=-1):
    """Waits for one child, buries all that are left to us meanwhile, and ends as that one has ended; never returns.

    Args:
        held: descriptor that stays open until then.
    """
    try:
        reset_signals({signal.SIGTERM: lambda *unused: _ask_to_end(pid)})
        # Whoever started us waits until nobody has the other end of a pipe any more.
        close_descriptors({0, 1, 2, held})
        ended, status = 0, 0
        while ended != pid:
            ended, status = os.wait()
        os._exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))
    finally:
        os._exit(127)


def _ask_to_end(pid):
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        pass  # It has just ended, and what it ended with is about to be told.


def _raise_loopback():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", _IFF_UP))


def enter_network(pid):
    """Moves this process, which is root and has no threads, into the network that another one is in (setns(2))."""
    descriptor = os.open("/proc/%d/ns/net" % pid, os.O_RDONLY)
    try:
        _checked(ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET))
    finally:
        os.close(descriptor)


def _mount(libc, source, target, kind, flags, options=None):
    _checked(libc.mount(source, target, kind, ctypes.c_ulong(flags), options))


def _checked(status):
    if status != 0:
        raise ChildError("this host does not let it have a place of its own: %s" % os.strerror(ctypes.get_errno()))
