# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run at a time: across processes, named, and never left behind by a process that died."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import textwrap
import threading

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.system.errors import AppStateError, LockedError
from ansible_collections.appstate.backup.plugins.module_utils.system.locks import AppLock

HOLD = """
import sys, time
sys.path[:0] = {path!r}
from ansible_collections.appstate.backup.plugins.module_utils.system.locks import AppLock
with AppLock({directory!r}, "notes"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def directory(tmp_path):
    """Where locks are; it need not exist."""
    return str(tmp_path / "run" / "locks")


@pytest.fixture
def holder(directory):
    """Another process that holds the lock."""
    script = textwrap.dedent(HOLD).format(path=sys.path, directory=directory)
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_holder_is_refused_and_told_of_the_first(directory, holder):
    with pytest.raises(LockedError) as caught:
        with AppLock(directory, "notes"):
            pass
    said = str(caught.value)
    assert "app notes" in said and "process %d" % holder.pid in said and os.path.join(directory, "notes.lock") in said
    assert caught.value.exit_code == 75
    with AppLock(directory, "other"):
        pass


def test_a_holder_that_has_not_said_yet_who_it_is_is_waited_for(directory, holder):
    path = os.path.join(directory, "notes.lock")
    os.truncate(path, 0)

    def say():
        with open(path, "w", encoding="ascii") as file:
            file.write("process 4711\n")

    saying = threading.Timer(0.1, say)
    saying.start()
    with pytest.raises(LockedError, match="process 4711"):
        with AppLock(directory, "notes"):
            pass
    saying.join()


def test_a_holder_that_never_says_who_it_is_is_not_waited_for_for_ever(directory, holder):
    os.truncate(os.path.join(directory, "notes.lock"), 0)
    with pytest.raises(LockedError, match="another run holds the lock. Wait"):
        with AppLock(directory, "notes"):
            pass


def test_a_lock_goes_when_its_holder_is_killed(directory, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with AppLock(directory, "notes"):
        with open(os.path.join(directory, "notes.lock")) as file:
            assert file.read() == "process %d\n" % os.getpid()


def test_a_lock_is_free_again_after_an_error(directory):
    for unused in range(2):
        with pytest.raises(KeyError):
            with AppLock(directory, "notes"):
                raise KeyError("x")
    assert os.path.getsize(os.path.join(directory, "notes.lock")) == 0


def test_one_process_does_not_lock_twice_either(directory):
    with AppLock(directory, "notes"):
        with pytest.raises(LockedError):
            with AppLock(directory, "notes"):
                pass
        with pytest.raises(LockedError):
            with AppLock(directory, "notes"):
                pass


def test_locks_are_private(directory):
    with AppLock(directory, "notes"):
        assert stat.S_IMODE(os.stat(directory).st_mode) == 0o700
        assert stat.S_IMODE(os.stat(os.path.join(directory, "notes.lock")).st_mode) == 0o600


def test_a_lock_that_is_a_link_is_not_followed(directory, tmp_path):
    os.makedirs(directory)
    (tmp_path / "precious").write_text("precious")
    os.symlink(str(tmp_path / "precious"), os.path.join(directory, "notes.lock"))
    with pytest.raises(OSError):
        with AppLock(directory, "notes"):
            pass
    assert (tmp_path / "precious").read_text() == "precious"


def test_a_directory_of_somebody_else_is_refused(tmp_path):
    if os.geteuid() != 0:
        path = "/"  # Root's, which is as good as ours; but nothing can be written there.
        with pytest.raises((OSError, AppStateError)):
            with AppLock(path, "notes"):
                pass
        return
    os.chown(str(tmp_path), 3001, 3001)
    with pytest.raises(AppStateError) as caught:
        with AppLock(str(tmp_path), "notes"):
            pass
    assert "3001" in str(caught.value)


def test_descriptors_are_given_back(directory):
    before = len(os.listdir("/proc/self/fd"))
    for unused in range(3):
        with AppLock(directory, "notes"):
            with pytest.raises(LockedError):
                AppLock(directory, "notes").__enter__()
    assert len(os.listdir("/proc/self/fd")) == before
