# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What all tests of plugins may ask for: a host with an application, and kills at each of its steps."""

from __future__ import annotations

import os
import signal
import tempfile
import traceback

import pytest

from ansible_collections.appstate.backup.tests.unit.plugins.host import FAST, Host, tree as tree_of
from ansible_collections.appstate.backup.tests.unit.plugins.postgres_server import (  # pylint: disable=unused-import
    postgres, postgres_server)  # noqa: F401


@pytest.fixture(autouse=True)
def _signals_of_a_terminal():
    """What a shell runs in the background inherits an ignored SIGINT, and under nohup an ignored SIGHUP."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def host():
    """An empty ``Host``; pytest's own directories cannot be passed by other users."""
    made = Host(tempfile.mkdtemp(prefix="appstate-test-", dir=FAST))
    os.chmod(made.path, 0o711)
    yield made
    made.close()


@pytest.fixture
def tree():
    """The function ``tree(path)`` that gives a state to compare."""
    return tree_of


# What changes a file system or the fate of a file; a kill before any of them is a kill at any moment.
STEPS = ("rename", "mkdir", "unlink", "rmdir", "fsync", "open", "symlink", "write", "fchown", "fchmod", "utime", "ftruncate")


def _kill_at(point, run):
    """Runs ``run`` in a child that is killed before its ``point``-th step; returns whether it was (else it ended).

    A step is a call out of STEPS; of ``open`` only those that create. Children that the run itself starts are not
    counted.
    """
    child = os.fork()
    if not child:
        try:
            _count_steps(point)
            run()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    unused, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0, "the run failed; see its traceback"
    return False


def _count_steps(point):
    process, done = os.getpid(), [0]

    def counting(real, counts):
        def call(*arguments, **words):
            if counts(arguments) and os.getpid() == process:
                done[0] += 1
                if done[0] == point:
                    os.kill(process, signal.SIGKILL)
            return real(*arguments, **words)
        return call

    for name in STEPS:
        creates = (lambda arguments: len(arguments) > 1 and arguments[1] & os.O_CREAT) if name == "open" else lambda unused: True
        setattr(os, name, counting(getattr(os, name), creates))


@pytest.fixture
def kill_at():
    """The function ``kill_at(point, run)``: a real kill before a step, in a child process."""
    return _kill_at
