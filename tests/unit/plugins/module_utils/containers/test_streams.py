# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Streams of a running command: whole, in time, and never waited for when nobody writes or reads any more."""

from __future__ import annotations

import os
import time

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.containers.streams import Stream
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import SourceError


def shell(script, seconds=20, **words):
    return Stream(["sh", "-c", script], seconds, **words)


def test_what_is_written_is_read_in_pieces_of_the_size_asked_for():
    with shell("printf 0123456789; echo said >&2") as stream:
        assert [stream.read(4), stream.read(4), stream.read(4), stream.read(4)] == [b"0123", b"4567", b"89", b""]
        assert stream.finish() == (0, "said")


def test_what_is_fed_arrives(tmp_path):
    with shell("cat > %s; echo done" % (tmp_path / "out"), feed=True) as stream:
        assert stream.write(b"x" * 3000000) and stream.finish() == (0, "done")
    assert os.path.getsize(tmp_path / "out") == 3000000


def test_one_that_reads_no_more_is_no_reason_to_wait():
    with shell("exec 0<&-; echo enough >&2; exit 7", feed=True) as stream:
        while stream.write(b"x" * 100000):
            pass
        assert stream.finish() == (7, "enough")


def test_what_nobody_reads_is_thrown_away_at_the_end():
    with shell("head -c 3000000 /dev/zero; exit 3") as stream:
        assert stream.finish() == (3, "")


@pytest.mark.parametrize("use", [lambda stream: stream.read(1), lambda stream: stream.finish()])
def test_one_that_takes_too_long_is_killed_with_what_it_started(tmp_path, use):
    ended = []
    began = time.monotonic()
    with pytest.raises(SourceError, match="did not end within 0.3 s and was killed: slow"):
        with shell("echo slow >&2; sleep 30 & echo $! > %s/pid; wait" % tmp_path, 0.3,
                   on_kill=lambda: ended.append(True)) as stream:
            use(stream)
    assert time.monotonic() - began < 10 and ended == [True]
    with pytest.raises(ProcessLookupError):
        for unused in range(100):
            os.kill(int((tmp_path / "pid").read_text()), 0)
            time.sleep(0.02)


def test_only_the_end_of_what_it_says_is_told():
    with shell("for n in $(seq 2000); do echo line $n >&2; done") as stream:
        status, said = stream.finish()
    assert len(said) <= 4000 and said.endswith("line 2000")


def test_a_program_that_is_missing():
    with pytest.raises(SourceError, match="nowhere/podman could not be started"):
        Stream(["/nowhere/podman"], 1)
