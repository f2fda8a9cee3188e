# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.system.commands import (
    TAIL, CommandError, output_of, run_as, run_command, stream_command)
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import ConfigurationError


def shell(script):
    return ["/bin/sh", "-c", script]


def test_it_returns_what_the_command_said_on_either_stream():
    assert run_command(shell("echo out; echo err >&2"), 10) == "out\nerr\n"


def test_standard_output_can_be_had_alone():
    assert output_of(shell("echo 12; echo 2026 a warning >&2"), 10) == "12\n"
    assert len(output_of([sys.executable, "-c", "print('x' * 100000)"], 20)) == 65536
    with pytest.raises(CommandError) as caught:
        output_of(shell("echo 12; echo no such schema >&2; exit 3"), 10)
    assert str(caught.value) == "the command /bin/sh ended with status 3: no such schema."


def test_no_shell_looks_at_the_words():
    assert run_command(["echo", "$HOME", "a b", ";", "*"], 10) == "$HOME a b ; *\n"


def test_the_environment_is_extended(monkeypatch):
    monkeypatch.setenv("KEPT", "kept")
    assert run_command(shell("echo $KEPT $ADDED"), 10, {"ADDED": "added"}) == "kept added\n"


def test_it_has_no_input():
    assert run_command(["cat"], 10) == ""


def test_a_status_is_told_with_the_end_of_what_was_said():
    with pytest.raises(CommandError) as caught:
        run_command(shell("echo first; echo last words; exit 9"), 10)
    assert str(caught.value) == "the command /bin/sh ended with status 9: first\nlast words."
    assert caught.value.exit_code == 1


def test_of_much_that_is_said_only_the_end_is_kept():
    said = run_command([sys.executable, "-c", "print('x' * 100000, 'end')"], 20)
    assert len(said) <= TAIL and said.endswith("x end\n")


def test_a_signal_is_told():
    with pytest.raises(CommandError) as caught:
        run_command(shell("kill -9 $$"), 10)
    assert "status -9" in str(caught.value)


@pytest.mark.parametrize("argv", [["/does/not/exist"], ["no-such-program-anywhere"], ["/etc/passwd"]])
def test_a_command_that_cannot_be_started_is_told_by_name(argv):
    with pytest.raises(CommandError) as caught:
        run_command(argv, 10)
    assert argv[0] in str(caught.value) and "could not be started" in str(caught.value)


def gone(pid):
    """Whether a process ends within some seconds."""
    for unused in range(100):
        try:
            os.kill(pid, 0)
            with open("/proc/%d/stat" % pid) as file:
                if file.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.05)
    return False


def test_one_that_hangs_is_killed_with_all_that_it_started(tmp_path):
    pids = tmp_path / "pids"
    began = time.monotonic()
    with pytest.raises(CommandError) as caught:
        run_command(shell("trap '' TERM; sleep 300 & echo $! $$ > %s; echo waiting; wait" % pids), 0.5)
    assert time.monotonic() - began < 30
    assert "did not end within 0.5 s and was killed: waiting" in str(caught.value)
    assert all(gone(int(pid)) for pid in pids.read_text().split())


def interrupt_after(pids):
    """Interrupts this process once a file has a whole line."""
    while not (pids.exists() and pids.read_text().endswith("\n")):
        time.sleep(0.02)
    time.sleep(0.5)  # By then the command has not only begun, but is also waited for.
    os.kill(os.getpid(), signal.SIGINT)


def test_an_interruption_kills_it_too(tmp_path):
    pids = tmp_path / "pids"

    thread = threading.Thread(target=interrupt_after, args=(pids,))
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run_command(shell("echo $$ > %s; sleep 300" % pids), 60)
    thread.join()
    assert gone(int(pids.read_text()))


def test_a_stream_goes_past_us_and_stderr_is_returned(tmp_path):
    given, taken = tmp_path / "given", tmp_path / "taken"
    given.write_bytes(b"skipped" + bytes(range(256)) * 4096)
    with given.open("rb", 0) as stdin, taken.open("wb", 0) as stdout:
        stdin.seek(7)
        assert stream_command(shell("cat; echo said >&2"), 10, stdin, stdout) == "said\n"
    assert taken.read_bytes() == bytes(range(256)) * 4096


def test_of_a_flood_on_stderr_the_end_is_kept():
    said = stream_command(shell("yes complaint | head -c 20000000 >&2; echo the end >&2"), 20)
    assert len(said) <= TAIL and said.endswith("the end\n")


def test_a_streaming_command_that_fails_is_told_with_what_it_said():
    with pytest.raises(CommandError) as caught:
        stream_command(shell("echo no such database >&2; exit 3"), 10)
    assert str(caught.value) == "the command /bin/sh ended with status 3: no such database."


@pytest.mark.parametrize("argv", [["/does/not/exist"], ["no-such-program-anywhere"], ["/etc/passwd"]])
def test_a_streaming_command_that_cannot_be_started_is_told_by_name(argv):
    with pytest.raises(CommandError) as caught:
        stream_command(argv, 10)
    assert argv[0] in str(caught.value) and "could not be started" in str(caught.value)


def test_a_streaming_command_that_hangs_is_killed_with_all_that_it_started(tmp_path):
    pids = tmp_path / "pids"
    with pytest.raises(CommandError) as caught:
        stream_command(shell("exec 2>&1; trap '' TERM; sleep 300 & echo $! $$ > %s; exec 2>&-; wait" % pids), 0.5)
    assert "did not end within 0.5 s and was killed" in str(caught.value)
    assert all(gone(int(pid)) for pid in pids.read_text().split())


def test_nobody_writes_to_the_stream_after_the_command_has_ended(tmp_path):
    pids = tmp_path / "pids"
    with (tmp_path / "taken").open("wb", 0) as stdout:
        stream_command(shell("(sleep 300; echo late) & echo $! > %s" % pids), 10, stdout=stdout)
    assert gone(int(pids.read_text()))


def test_a_streaming_command_runs_where_and_with_what_it_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("KEPT", "kept")
    taken = tmp_path / "taken"
    with taken.open("wb", 0) as stdout:
        stream_command(shell("pwd; echo $KEPT $ADDED"), 10, stdout=stdout, environment={"ADDED": "added"},
                       directory=str(tmp_path))
    assert taken.read_text() == "%s\nkept added\n" % tmp_path


def test_it_runs_as_another_account_that_gets_nothing_of_our_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "of root")
    taken = tmp_path / "taken"
    with taken.open("wb", 0) as stdout:
        stream_command(shell("id -un; id -gn; echo $HOME $USER $LOGNAME [$SECRET]"), 10, stdout=stdout,
                       identity=run_as("daemon"))
    assert taken.read_text() == "daemon\ndaemon\n/usr/sbin daemon daemon []\n"


def test_an_account_that_does_not_exist_is_refused():
    assert run_as(None) is None
    with pytest.raises(ConfigurationError) as caught:
        run_as("no-such-account")
    assert "no-such-account" in str(caught.value)


def test_an_interruption_kills_a_streaming_command_too(tmp_path):
    pids = tmp_path / "pids"
    thread = threading.Thread(target=interrupt_after, args=(pids,))
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        stream_command(shell("echo $$ > %s; sleep 300" % pids), 60)
    thread.join()
    assert gone(int(pids.read_text()))
