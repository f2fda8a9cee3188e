# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Real children: what they may do, and how they end."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.system import process
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import (
    AppStateError, BusyError, ChildError)
from ansible_collections.appstate.backup.plugins.module_utils.system.process import (
    NOBODY, Identity, Limits, identity_of, run_child, start_child)

ROOT = os.geteuid() == 0
PACKAGE = "ansible_collections.appstate.backup.plugins.module_utils.system.process"


def is_gone(pid):
    """Whether neither a process nor a zombie has this id."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_child_returns_what_its_function_returns():
    assert run_child(lambda first, second: {"sum": first + second, "text": "\u00fc\udcff"}, (2, 3)) == {
        "sum": 5, "text": "\u00fc\udcff"}


def test_an_answer_may_be_larger_than_a_pipe():
    assert run_child(lambda: "x" * 3000000) == "x" * 3000000


def test_the_result_can_be_asked_for_twice():
    child = start_child(os.getpid)
    assert child.result() == child.pid
    assert child.result() == child.pid


def raise_busy():
    raise BusyError("is locked", app="notes", path=b"/x/\xff", remedy="Wait")


def test_an_error_of_ours_arrives_as_it_was():
    with pytest.raises(BusyError) as caught:
        run_child(raise_busy)
    assert str(caught.value) == "app notes: /x/\\xff: is locked. Wait."
    assert caught.value.exit_code == 75


def test_any_other_error_is_a_child_error_that_names_it():
    with pytest.raises(ChildError, match="failed: ZeroDivisionError: .*by zero"):
        run_child(lambda: 1 // 0)


def test_an_answer_that_is_no_json_is_a_child_error():
    with pytest.raises(ChildError, match="failed: TypeError"):
        run_child(lambda: b"bytes")


def test_leaving_python_is_a_child_error():
    with pytest.raises(ChildError, match="failed: SystemExit"):
        run_child(sys.exit)


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL, signal.SIGTERM, signal.SIGABRT])
def test_a_crash_is_named(number):
    with pytest.raises(ChildError, match="was killed by %s" % signal.Signals(number).name):
        run_child(lambda: os.kill(os.getpid(), number))


def test_an_end_without_an_answer_is_an_error():
    with pytest.raises(ChildError, match="ended without an answer"):
        run_child(lambda: os._exit(0))


@pytest.mark.parametrize("answer", [
    b"", b"[]", b"{}", b"{", b"null", b"\xff", b"[" * 100000, b'{"failure": 1}', b'{"error": "x"}',
    b'{"value": 1, "error": {}}'])
def test_an_answer_that_was_forged_is_an_error(answer):
    def forge():
        os.write(3, answer)
        os._exit(0)

    with pytest.raises(AppStateError):
        run_child(forge)


def endless_query():
    return sqlite3.connect(":memory:").execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n").fetchone()


def test_the_clock_ends_a_call_that_never_returns_to_python():
    child = start_child(endless_query, limits=Limits(wall_seconds=0.3))
    started = time.monotonic()
    with pytest.raises(ChildError, match=r"limit of 0\.3 s"):
        child.result()
    assert child.overran == "wall"
    assert time.monotonic() - started < 2
    assert is_gone(child.pid)


def test_the_clock_ends_a_child_that_nobody_waits_for():
    child = start_child(endless_query, limits=Limits(wall_seconds=0.2))
    time.sleep(0.6)
    assert os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None
    child.kill()


def test_a_child_that_blocks_its_alarm_is_killed_by_its_parent():
    def stubborn():
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
        time.sleep(60)

    child = start_child(stubborn, limits=Limits(wall_seconds=0.1))
    with pytest.raises(ChildError, match="did not end in time and was killed"):
        child.result()
    assert child.overran == "wall"
    assert is_gone(child.pid)


def test_a_child_that_answers_and_lingers_is_killed():
    def linger():
        os.close(3)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
        time.sleep(60)

    child = start_child(linger)
    with pytest.raises(ChildError, match="did not end in time"):
        child.result(timeout=0.2)
    assert is_gone(child.pid)


def test_processor_time_is_limited():
    child = start_child(endless_query, limits=Limits(cpu_seconds=1))
    with pytest.raises(ChildError, match="1 s of processor time"):
        child.result()
    assert child.overran == "cpu"


def test_memory_is_limited():
    child = start_child(lambda: len(bytearray(200 << 20)), limits=Limits(memory_bytes=100 << 20))
    with pytest.raises(ChildError, match="limit of 100 MiB of memory"):
        child.result()
    assert child.overran == "memory"


def test_the_memory_that_a_parent_has_does_not_count():
    held = bytearray(300 << 20)
    assert run_child(lambda: len(bytearray(50 << 20)), limits=Limits(memory_bytes=100 << 20)) == 50 << 20
    del held


def test_a_core_is_never_dumped():
    assert run_child(lambda: resource.getrlimit(resource.RLIMIT_CORE)) == [0, 0]


def test_a_killed_child_leaves_no_zombie_and_no_descriptor():
    before = os.listdir("/proc/self/fd")
    with start_child(time.sleep, (60,)) as child:
        assert not is_gone(child.pid)
    assert is_gone(child.pid)
    assert os.listdir("/proc/self/fd") == before
    with pytest.raises(ChildError, match="was killed before it answered"):
        child.result()


def test_an_interrupted_wait_ends_the_child():
    def interrupt(number, frame):
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        child = start_child(time.sleep, (60,))
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(KeyboardInterrupt):
            child.result()
    finally:
        signal.signal(signal.SIGALRM, previous)
    assert is_gone(child.pid)


def test_a_wait_goes_on_after_a_signal():
    previous = signal.signal(signal.SIGALRM, lambda number, frame: None)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
        assert run_child(lambda: time.sleep(0.4) or "done") == "done"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def test_it_works_where_sigchld_is_ignored():
    previous = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert run_child(lambda: 7) == 7
    finally:
        signal.signal(signal.SIGCHLD, previous)


def test_signals_are_those_of_a_fresh_process():
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGTERM, signal.SIGXCPU)}
    masked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    try:
        told = run_child(lambda: [int(signal.getsignal(signal.SIGTERM)), int(signal.getsignal(signal.SIGXCPU)),
                                  int(signal.getsignal(signal.SIGPIPE)),
                                  len(signal.pthread_sigmask(signal.SIG_BLOCK, []))])
        assert told == [0, 0, 0, 0]
        assert signal.SIGUSR1 in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, masked)
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_child_holds_only_its_pipe_and_the_null_device():
    with open(__file__, "rb") as kept:
        os.set_inheritable(kept.fileno(), True)
        held = run_child(lambda: {name: os.readlink("/proc/self/fd/" + name)
                                  for name in os.listdir("/proc/self/fd") if int(name) < 4 or name == str(kept.fileno())})
    assert [held[name] for name in "012"] == ["/dev/null"] * 3
    assert held["3"].startswith("pipe:")
    assert run_child(lambda: len(os.listdir("/proc/self/fd"))) == 5  # with the one that lists


def test_a_child_starts_in_its_root_by_path_and_by_descriptor(tmp_path):
    (tmp_path / "only").write_text("")
    descriptor = os.open(str(tmp_path), os.O_RDONLY)
    try:
        for root in (str(tmp_path), descriptor):
            told = run_child(lambda: [os.getcwd(), os.listdir("."), os.path.exists("/proc"),
                                      os.path.exists("/proc/self/fd/4")], root=root)
            assert told[1] == ["only"]
            assert told[0] == ("/" if ROOT else str(tmp_path))
            assert told[2] is not ROOT
        assert os.fstat(descriptor)
    finally:
        os.close(descriptor)


def test_a_child_becomes_who_it_shall_be_for_good():
    def describe():
        told = {"uid": os.getresuid(), "gid": os.getresgid(), "groups": os.getgroups(), "umask": os.umask(0)}
        for name, call in (("to root", lambda: os.setuid(0)), ("to a group", lambda: os.setgroups([0]))):
            try:
                call()
                told[name] = "allowed"
            except PermissionError:
                told[name] = "refused"
        return told

    told = run_child(describe, identity=Identity(12345, 12346, (12347,)))
    assert told["umask"] == 0o077
    if ROOT:
        assert told["uid"] == [12345] * 3
        assert told["gid"] == [12346] * 3
        assert told["groups"] == [12347]
    else:
        assert told["uid"] == [os.getuid()] * 3
    assert (told["to root"], told["to a group"]) == ("refused", "refused")


def test_memory_of_a_child_cannot_be_read_by_its_user():
    # PR_GET_DUMPABLE is 3.
    assert run_child(lambda: process._LIBC.prctl(3, 0, 0, 0, 0), identity=NOBODY) == 0


def test_a_child_can_start_a_child_of_its_own():
    assert run_child(lambda: run_child(lambda: "inner", limits=Limits(wall_seconds=5)), identity=NOBODY) == "inner"


def test_a_child_that_sees_no_devices_can_start_one_too(tmp_path):
    def inner():
        return [os.fstat(number).st_rdev for number in (0, 1, 2)]
    assert run_child(lambda: run_child(inner), root=str(tmp_path)) == [os.stat(os.devnull).st_rdev] * 3


def test_a_child_dies_with_its_parent(tmp_path):
    told = tmp_path / "pid"
    script = textwrap.dedent("""
        import sys, time
        sys.path[:] = %r
        from %s import start_child, NOBODY
        child = start_child(time.sleep, (60,), NOBODY)
        open(%r, "w").write(str(child.pid))
        time.sleep(60)
    """) % (sys.path, PACKAGE, str(told))
    parent = subprocess.Popen([sys.executable, "-c", script])
    try:
        pid = int(wait_for(told))
        assert not is_gone(pid)
    finally:
        parent.kill()
        parent.wait()
    deadline = time.monotonic() + 5
    while running(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not running(pid)


def wait_for(path):
    """The content of a file, once it has one."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if path.exists() and path.read_text():
            return path.read_text()
        time.sleep(0.02)
    raise TimeoutError(str(path))


def running(pid):
    """Whether a process that is not ours to reap still runs (a zombie does not)."""
    try:
        with open("/proc/%d/stat" % pid) as stat:
            return stat.read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_the_identity_of_a_user_has_that_users_groups():
    root = identity_of(0, 0)
    assert (root.uid, root.gid) == (0, 0)
    assert 0 in root.groups


def test_a_file_of_a_privileged_group_lends_nobody_that_group():
    # Every Debian, Fedora and Alpine has uid 1 with a group of its own, which is not group 0.
    daemon = identity_of(1, 0)
    assert daemon.gid != 0
    assert 0 not in daemon.groups


def test_a_user_without_an_account_has_the_group_it_is_given():
    assert identity_of(3999999, 3999998) == Identity(3999999, 3999998)
    assert len({identity_of(3999999, 1), Identity(3999999, 1)}) == 1
    assert "3999999" in repr(identity_of(3999999, 1))
