# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Faults delivered by the kernel at one system call of one process: strace(1) attaches to a forked run and injects them.

strace counts each system call by its name and by process, so a point is (process, name, number). Process 0 is the run
itself, process 1 the first child that it forks, and so on: the chosen one waits until strace has hold of it.
"""

from __future__ import annotations

import collections
import json
import os
import re
import signal
import socket
import subprocess
import time
import traceback

from row import Bad

SECONDS = 30
# What a strace line looks like that tells of a call.
CALL = re.compile(r"^(\w+)\(")


class Ended:
    """How a forked run ended.

    Attributes:
        signal: the signal that killed it, or None.
        told: what the run returned, as JSON; None where it was killed.
        error: None, or the dictionary of the exception that it raised: ``class``, ``known`` (an AppStateError), ``text``,
            ``app``, ``path``, ``exit_code``, ``trace``.
        happened: whether the fault that was to be injected came; its call may not have been made this time.
    """

    happened = True

    def __init__(self, status, told):
        self.signal = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        self.told = told.get("told")
        self.error = told.get("error")


def run_forked(run, options=(), process=0, prepare=None):
    """Runs ``run`` in a fork, under strace with these options where there are any.

    Args:
        process: which of its processes strace is attached to.
        prepare: called in the fork before anything is traced.
    Returns:
        Ended; no process of the run is left.
    """
    answer, theirs = socket.socketpair()
    waiting, waits = os.pipe()
    pid = os.fork()
    if not pid:
        answer.close()
        os.close(waiting)
        _child(run, theirs, waits, process if options else None, prepare)
    theirs.close()
    os.close(waits)
    tracer = None
    try:
        if options:
            tracer = _attach(waiting, options)
        told = _read_all(answer, pid)
        status = os.waitpid(pid, 0)[1]
    finally:
        answer.close()
        os.close(waiting)
        if tracer is not None:
            tracer.wait()
    reap()
    return Ended(status, json.loads(told) if told else {})


def _attach(waiting, options):
    """strace at the process that says through a pipe that it waits; None where there was no such process."""
    told = os.read(waiting, 16)
    if not told:
        return None
    pid = int(told)
    while _state(pid) != "T":
        time.sleep(0.0002)
    tracer = subprocess.Popen(["strace", "-q", "-p", str(pid)] + list(options), stdin=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    while tracer.poll() is None:
        with open("/proc/%d/status" % pid, encoding="ascii") as file:
            if "TracerPid:\t0\n" not in file.read():
                break
        time.sleep(0.0005)
    os.kill(pid, signal.SIGCONT)
    return tracer


def _child(run, answer, waits, process, prepare):
    """The fork: does what is to be done, tells how that went (by a call that is no write), and never returns."""
    real_fork, forked, itself = os.fork, [0], os.getpid()

    def wait_for_strace():
        os.write(waits, b"%d" % os.getpid())
        os.kill(os.getpid(), signal.SIGSTOP)

    def fork():
        forked[0] += os.getpid() == itself  # Not what its children fork.
        chosen = forked[0] == process and os.getpid() == itself
        pid = real_fork()
        if not pid and chosen:
            wait_for_strace()
        return pid

    try:
        if prepare is not None:
            prepare()
        os.fork = fork
        if process == 0:
            wait_for_strace()
        told = {"told": run()}
    except BaseException as error:
        told = {"error": _told_of(error)}
    try:
        answer.sendall(json.dumps(told).encode("ascii"))
    finally:
        os._exit(0)


def _told_of(error):
    return {"class": type(error).__name__, "known": hasattr(error, "exit_code") and hasattr(error, "remedy"), "text": str(error),
            "app": getattr(error, "app", None), "path": getattr(error, "path", None),
            "exit_code": getattr(error, "exit_code", None), "trace": traceback.format_exc(limit=-4)}


def _read_all(answer, pid):
    """All that the run tells, until it has ended; one that takes too long is ended."""
    parts, deadline = [], time.monotonic() + SECONDS
    answer.setblocking(False)
    while time.monotonic() < deadline:
        over = _state(pid) == "Z"  # Children that it left may still hold the other end.
        try:
            part = answer.recv(65536)
        except BlockingIOError:
            if over:
                return b"".join(parts)
            time.sleep(0.0005)
            continue
        if not part:
            return b"".join(parts)
        parts.append(part)
    os.kill(pid, signal.SIGKILL)
    raise Bad("the run took longer than %d s" % SECONDS)


def _state(pid):
    """The letter that proc(5) has for what a process does: T for stopped, Z for ended."""
    with open("/proc/%d/stat" % pid, encoding="ascii") as file:
        return file.read().rpartition(")")[2].split()[0]


def reap():
    """Waits until no process of the run is left; here we are process 1, which inherits all of them."""
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                if time.monotonic() > deadline:
                    raise Bad("processes of the run live on")
                time.sleep(0.0005)
        except ChildProcessError:
            return


def count_calls(run, log, process=0, calls="all"):
    """How often one process of a run makes each system call: a Counter by name."""
    ended = run_forked(run, ["-o", log, "-e", "trace=" + calls], process)
    if ended.error is not None:
        raise Bad("the run fails without any fault: %s" % ended.error["text"])
    return collections.Counter(match.group(1) for match in map(CALL.match, _taken(log).splitlines()) if match)


def _taken(log):
    """What strace wrote into a file, which is removed; there is none where its process was never forked."""
    try:
        with open(log, encoding="utf-8", errors="replace") as file:
            said = file.read()
        os.unlink(log)
        return said
    except FileNotFoundError:
        return ""


def inject(run, point, fault, log):
    """Runs with one fault, as ``signal=KILL`` or ``error=EIO``, at a point ``(process, name, number)``.

    ``log`` is a file for what strace writes down.
    """
    process, name, number = point
    options = ["-o", log, "-e", "trace=" + name, "-e", "inject=%s:%s:when=%d" % (name, fault, number)]
    ended = run_forked(run, options, process)
    said = _taken(log)
    ended.happened = "(INJECTED)" in said or "+++ killed by SIGKILL" in said
    return ended


def run_with_short_writes(run, number):
    """Runs; from the given call of write(2) on, each writes half of what it was given, as POSIX allows."""
    def prepare():
        real, made = os.write, [0]

        def write(descriptor, data):
            made[0] += 1
            return real(descriptor, data if made[0] < number or len(data) < 2 else memoryview(data)[:len(data) // 2])
        os.write = write
    return run_forked(run, prepare=prepare)
