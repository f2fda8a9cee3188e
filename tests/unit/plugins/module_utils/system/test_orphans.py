# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.system import commands
from ansible_collections.appstate.backup.plugins.module_utils.system.commands import stream_command
from ansible_collections.appstate.backup.plugins.module_utils.system.orphans import Watcher


def ends(pid):
    """Whether a process ends within some seconds; one that only waits to be reaped has ended."""
    for unused in range(200):
        try:
            with open("/proc/%d/stat" % pid) as file:
                if file.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.02)
    return False


def in_a_process(run):
    """Starts a process of its own that calls ``run``, and gives its pid."""
    pid = os.fork()
    if not pid:
        try:
            run()
        finally:
            os._exit(0)
    return pid


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_a_command_started_does_not_outlive_a_run_that_was_killed(tmp_path, number):
    pids = tmp_path / "pids"
    script = "sleep 300 & echo $! $$ > %s.new; mv %s.new %s; wait" % (pids, pids, pids)
    run = in_a_process(lambda: stream_command(["/bin/sh", "-c", script], 60))
    while not pids.exists():
        time.sleep(0.02)
    os.kill(run, number)
    os.waitpid(run, 0)
    assert all(ends(int(pid)) for pid in pids.read_text().split())


def test_a_watcher_that_was_told_of_nobody_kills_nobody():
    def run():
        Watcher()
        os.kill(os.getpid(), signal.SIGKILL)

    os.waitpid(in_a_process(run), 0)


def test_a_run_that_is_killed_right_after_the_command_began_leaves_nothing(tmp_path, monkeypatch):
    pids = tmp_path / "pids"
    script = "sleep 300 & echo $! $$ > %s.new; mv %s.new %s; wait" % (pids, pids, pids)
    monkeypatch.setattr(commands, "_Tail", lambda pipe: time.sleep(60))
    run = in_a_process(lambda: stream_command(["/bin/sh", "-c", script], 60))
    while not pids.exists():
        time.sleep(0.02)
    os.kill(run, signal.SIGKILL)
    os.waitpid(run, 0)
    assert all(ends(int(pid)) for pid in pids.read_text().split())


def test_a_group_that_nobody_left_alone_lives_on():
    process = subprocess.Popen(["sleep", "300"], start_new_session=True)
    try:
        with Watcher() as watcher:
            watcher.announce(process.pid)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def test_no_watcher_is_left_over():
    before = _children()
    stream_command(["true"], 10)
    assert _children() == before


def _children():
    with open("/proc/self/task/%d/children" % os.getpid()) as file:
        return file.read().split()
