# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Child processes that do one dangerous thing, as somebody unprivileged, within limits.

A child is made by fork(2) without exec(3): the code may live in a zip file that only the parent can read. It runs one
function, whose answer comes back through a pipe as JSON, and it always ends by ``os._exit``. Where we are root it can
be shut into a directory (chroot) and become another user for good. Where we are not, it stays who we are.

The limits are the kernel's, so that they hold inside a C library that never returns to Python: RLIMIT_AS, RLIMIT_CPU
(setrlimit(2)) and ITIMER_REAL (setitimer(2)), whose SIGALRM has its default action and kills. The child also dies when
the thread that started it does (PR_SET_PDEATHSIG, prctl(2)): start children from the main thread.
"""

from __future__ import annotations

import gc
import json
import os
import pwd
import resource
import select
import signal
import time

from .errors import AppStateError, ChildError, from_dict
from .privileges import drop_capabilities, forbid_new_privileges
from .view import enter_view

try:
    import ctypes
    _LIBC = ctypes.CDLL(None, use_errno=True)
except (ImportError, OSError, TypeError):
    _LIBC = None

MEBIBYTE = 1 << 20
LARGEST_ANSWER = 64 * MEBIBYTE
# How long after its own alarm a child that has not died is killed by its parent.
GRACE_SECONDS = 2.0
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_OUT_OF_MEMORY = b'{"failure": "memory"}'


class Limits:
    """What a child may use.

    Attributes:
        memory_bytes: address space on top of what the process has mapped when it is forked. RLIMIT_AS counts
            mappings, not use; a Python process maps far more than it uses, so the limit is set relative to that.
        cpu_seconds: processor time.
        wall_seconds: time by the clock.
    """

    def __init__(self, memory_bytes=256 * MEBIBYTE, cpu_seconds=3600, wall_seconds=3600.0):
        self.memory_bytes = memory_bytes
        self.cpu_seconds = max(1, int(cpu_seconds))
        self.wall_seconds = float(wall_seconds)


class Identity:
    """Whom a child runs as: user id, group id, supplementary group ids."""

    def __init__(self, uid, gid, groups=()):
        self.uid = uid
        self.gid = gid
        self.groups = tuple(groups)

    def __eq__(self, other):
        return isinstance(other, Identity) and \
            (self.uid, self.gid, self.groups) == (other.uid, other.gid, other.groups)

    def __hash__(self):
        return hash((self.uid, self.gid, self.groups))

    def __repr__(self):
        return "Identity(uid=%d, gid=%d, groups=%r)" % (self.uid, self.gid, self.groups)


# The user that owns nothing: 65534 is nobody on every Linux system, also where no passwd file names it.
NOBODY = Identity(65534, 65534)


def identity_of(uid, gid):
    """The identity of a user, with the groups that user has on this system.

    ``gid`` becomes the group only where the user is a member of it; else it is the user's own primary group, so that
    a file handed to a privileged group lends nobody that group's rights. A user id without an account gets ``gid``.
    """
    try:
        account = pwd.getpwuid(uid)
    except KeyError:
        return Identity(uid, gid)
    groups = os.getgrouplist(account.pw_name, account.pw_gid)
    return Identity(uid, gid if gid in groups or uid == 0 else account.pw_gid, sorted(groups))


class Child:
    """A running child. Use it as a context manager, or call ``result`` or ``kill``, so that none is left over."""

    def __init__(self, pid, answer, limits):
        self.pid = pid
        self.overran = None  # "memory", "cpu" or "wall" once a limit ended it
        self._answer = answer
        self._limits = limits
        self._deadline = time.monotonic() + limits.wall_seconds + GRACE_SECONDS
        self._status = None
        self._outcome = None

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.kill()

    def result(self, timeout=None):
        """What the function returned.

        Args:
            timeout: seconds from now after which the child is killed; never longer than its own limit.
        Raises:
            AppStateError: what the function raised, as the same class with the same text.
            ChildError: it crashed, was killed, or overran a limit; the text says which.
        """
        if self._outcome is None:
            self._outcome = self._collect(timeout)
        if "error" in self._outcome:
            raise from_dict(self._outcome["error"])
        return self._outcome["value"]

    def kill(self):
        """Ends the child at once, if it has not ended, and leaves no zombie."""
        if self._status is None:
            try:
                os.kill(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self._reap(0)
        if self._answer is not None:
            os.close(self._answer)
            self._answer = None

    def _collect(self, timeout):
        if self._answer is None:
            return _failure("was killed before it answered")
        deadline = self._deadline if timeout is None else min(self._deadline, time.monotonic() + timeout)
        try:
            answer, complete = _read_until(self._answer, deadline)
            complete = complete and self._wait(deadline)
            if not complete:
                self.overran = "wall"
        finally:
            self.kill()
        if not complete:
            return _failure("did not end in time and was killed")
        return self._judge(answer)

    def _judge(self, answer):
        """The outcome that an answer and an exit status amount to; only a clean exit with a whole answer counts."""
        if self._status is not None and os.WIFSIGNALED(self._status):
            return _failure(self._killed_by(os.WTERMSIG(self._status)))
        told = _parse(answer)
        if told is None:
            return _failure("ended without an answer")
        if told.get("failure") == "memory":
            self.overran = "memory"
            return _failure("needed more than its limit of %d MiB of memory" % (self._limits.memory_bytes // MEBIBYTE))
        if "failure" in told:
            return _failure("failed: %s" % told["failure"])
        return told

    def _killed_by(self, number):
        if number == signal.SIGALRM:
            self.overran = "wall"
            return "was ended by its limit of %g s" % self._limits.wall_seconds
        if number == signal.SIGXCPU:
            self.overran = "cpu"
            return "was ended by its limit of %d s of processor time" % self._limits.cpu_seconds
        try:
            return "was killed by %s" % signal.Signals(number).name
        except ValueError:
            return "was killed by signal %d" % number

    def _wait(self, deadline):
        """Whether the child has ended, waiting until the deadline."""
        pause = 0.0005
        while not self._reap(os.WNOHANG):
            if time.monotonic() >= deadline:
                return False
            time.sleep(pause)
            pause = min(pause * 2, 0.05)
        return True

    def _reap(self, options):
        try:
            pid, status = os.waitpid(self.pid, options)
        except ChildProcessError:
            # Somebody ignores SIGCHLD: the kernel reaped it, and how it ended is not to be known.
            pid, status = self.pid, 0
        if pid == 0:
            return False
        self._status = status
        return True


def run_child(function, args=(), identity=None, root=None, limits=None, view=None):
    """``start_child`` and its ``result``."""
    with start_child(function, args, identity, root, limits, view) as child:
        return child.result()


def start_child(function, args=(), identity=None, root=None, limits=None, view=None):
    """Starts a child that calls ``function(*args)``.

    Args:
        function: what to run; what it returns must be fit for JSON.
        args: its arguments.
        identity: whom to become, for good; only where we are root. It has no capability then, root himself neither, and
            no program can give it one.
        root: a directory, by path or descriptor, that the child finds itself in; where we are root it sees nothing
            outside of it. What the function needs must have been imported before.
        limits: a ``Limits``.
        view: absolute paths of directories; where we are root the child sees these, each at its own path, and nothing
            else, whoever may pass the directories above them. It loses all capabilities likewise, so that a child that
            stays root is no more than the owner of root's files there. Needs mount namespaces.
    """
    limits = limits or Limits()
    read_end, write_end = os.pipe()
    # A handler of ours must not run in the child: no signal is delivered until it has put the defaults back.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    parent = os.getpid()
    try:
        pid = os.fork()
        if pid == 0:
            _child(parent, write_end, function, args, identity, root, limits, view)
    except BaseException:
        os.close(read_end)
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(write_end)
    return Child(pid, read_end, limits)


def _child(parent, answer, function, args, identity, root, limits, view):
    """The child's whole life; never returns."""
    try:
        # What the parent made is never finalised here: it may delete files or end processes.
        gc.freeze()
        reset_signals()
        answer = _only_descriptors(answer, root)
        _limit_memory(limits.memory_bytes)
        _confine(parent, identity, root, view)
        _limit_time(limits)
        _write(answer, _run(function, args))
    except MemoryError:
        _write(answer, _OUT_OF_MEMORY)
    except BaseException as error:  # pylint: disable=broad-exception-caught
        # Nothing may unwind into the parent's code.
        _write(answer, _told_failure(error))
    finally:
        os._exit(0)


def _run(function, args):
    try:
        return json.dumps({"value": function(*args)}).encode("ascii")
    except AppStateError as error:
        return json.dumps({"error": error.to_dict()}).encode("ascii")


def _told_failure(error):
    return json.dumps({"failure": "%s: %s" % (type(error).__name__, str(error)[:1000])}).encode("ascii")


def _parse(answer):
    """The answer as a dictionary with one of its three keys, or None: a child that was taken over may send anything."""
    try:
        told = json.loads(answer.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    if isinstance(told, dict) and len(told) == 1:
        if "value" in told or isinstance(told.get("failure"), str) or isinstance(told.get("error"), dict):
            return told
    return None


def _failure(text):
    return {"error": ChildError("the child process %s" % text).to_dict()}


def reset_signals(handled=()):
    """No signal is held back any more, and each does what it does by default, but those in a dictionary of handlers."""
    handlers = dict(handled)
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if number in (signal.SIGKILL, signal.SIGSTOP):
            continue
        try:
            signal.signal(number, handlers.get(number, signal.SIG_DFL))
        except (OSError, ValueError):
            continue
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _only_descriptors(answer, root):
    """Closes everything but the pipe (which becomes 3) and the root (4); 0, 1 and 2 are /dev/null."""
    keep = [answer]
    if isinstance(root, int):
        keep.append(root)
    high = [os.dup(descriptor) for descriptor in keep]
    while min(high) < 5:
        high = [os.dup(descriptor) for descriptor in keep]
    try:
        null = os.open(os.devnull, os.O_RDWR)
    except FileNotFoundError:
        null = os.dup(0)  # The child of a child that sees no devices: there it is that device already.
    for number in (0, 1, 2):
        os.dup2(null, number)
    for number, descriptor in enumerate(high, 3):
        os.dup2(descriptor, number, inheritable=False)
    close_descriptors(range(3 + len(high)))
    return 3


def close_descriptors(kept):
    """Closes all of this process's descriptors but those that are kept."""
    try:
        numbers = [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:
        numbers = range(min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 1 << 16))
    for number in numbers:
        if number not in kept:
            try:
                os.close(number)
            except OSError:
                continue


def _limit_memory(memory_bytes):
    mapped = _mapped_bytes()
    if mapped is not None:
        _lower(resource.RLIMIT_AS, mapped + memory_bytes)
    _lower(resource.RLIMIT_CORE, 0)


def _mapped_bytes():
    """Address space in use, from /proc/self/statm (proc(5)); None on a system without it."""
    try:
        with open("/proc/self/statm", "rb") as statm:
            return int(statm.read().split()[0]) * resource.getpagesize()
    except OSError:
        return None


def _limit_time(limits):
    # The soft limit sends SIGXCPU, whose default action kills; the hard one is for a child that would ignore it.
    _lower(resource.RLIMIT_CPU, limits.cpu_seconds, limits.cpu_seconds + 1)
    if limits.wall_seconds <= 0:
        os.kill(os.getpid(), signal.SIGALRM)
    signal.setitimer(signal.ITIMER_REAL, limits.wall_seconds)


def _lower(which, soft, hard=None):
    """Sets a limit of the process, never above what it has."""
    hard = soft if hard is None else hard
    ceiling = resource.getrlimit(which)[1]
    if ceiling != resource.RLIM_INFINITY:
        soft, hard = min(soft, ceiling), min(hard, ceiling)
    resource.setrlimit(which, (soft, hard))


def _confine(parent, identity, root, view):
    privileged = os.geteuid() == 0
    if privileged and view is not None:
        enter_view(view)
    if isinstance(root, int):
        root = 4
    if root is not None:
        os.chdir(root)
        if privileged:
            os.chroot(".")
            os.chdir("/")
        if root == 4:
            os.close(4)
    alone = identity is not None or view is not None
    if alone:
        forbid_new_privileges()
    if privileged and identity is not None:
        become(identity)
    if alone:
        # Also of a database that is root's: what root owns, its owner can read without any of root's rights.
        drop_capabilities()
    os.umask(0o077)
    _prctl(_PR_SET_DUMPABLE, 0)
    die_with_parent(parent)


def become(identity):
    """Makes this process somebody else for good."""
    os.setgroups(list(identity.groups))
    os.setresgid(identity.gid, identity.gid, identity.gid)
    os.setresuid(identity.uid, identity.uid, identity.uid)
    if os.getresuid() != (identity.uid,) * 3 or os.getresgid() != (identity.gid,) * 3:
        raise ChildError("could not become user id %d" % identity.uid)


def as_program(identity):
    """A function for ``preexec_fn`` of a program that is ``identity`` for good, where we are root, and ends with us.

    Start it from the main thread: it is killed when the thread that started it ends.
    """
    parent = os.getpid()

    def prepare():
        if identity is not None and os.geteuid() == 0:
            become(identity)
        os.umask(0o077)
        die_with_parent(parent)
    return prepare


def end_program(process):
    """Ends a program that subprocess has started, in the middle if need be; its pipes stay open, since a thread may use them."""
    if process.poll() is None:
        process.kill()
        process.wait()


def close_pipes(*pipes):
    """Closes pipes to and from a program that has ended; those that it never had may be among them."""
    for pipe in pipes:
        if pipe is not None:
            try:
                pipe.close()
            except BrokenPipeError:
                pass  # What was still to be written, nobody reads any more.


def die_with_parent(parent):
    """In a new child: from here on it is killed when its parent ends (prctl(2)); after any change of user, which clears
    that."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _prctl(option, value):
    if _LIBC is not None and hasattr(_LIBC, "prctl"):
        _LIBC.prctl(option, ctypes.c_ulong(value), 0, 0, 0)


def _write(descriptor, data):
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view):]


def _read_until(descriptor, deadline):
    """``(bytes, whether the other end was closed)``; stops at the deadline or when it becomes too much."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    parts, size = [], 0
    while size <= LARGEST_ANSWER:
        left = deadline - time.monotonic()
        if left <= 0:
            return b"", False
        if not poll.poll(min(left, 60.0) * 1000 + 1):
            continue
        part = os.read(descriptor, 1 << 16)
        if not part:
            return b"".join(parts), True
        parts.append(part)
        size += len(part)
    return b"", False
