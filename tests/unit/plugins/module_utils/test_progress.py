# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import io

import pytest

from ansible_collections.appstate.backup.plugins.module_utils import progress


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets."""
    time = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: time[0])
    return time


def last(stream):
    return stream.getvalue().rpartition("\r\x1b[K")[2]


def test_nothing_is_shown_on_anything_but_a_terminal():
    stream = io.StringIO()
    shown = progress.Progress(stream, "notes")
    shown.begin("archive", 100)
    shown.add(50)
    shown.end()
    assert stream.getvalue() == ""


def test_the_line_tells_phase_bytes_rate_and_time_left(clock):
    stream = Terminal()
    shown = progress.Progress(stream, "notes")
    shown.begin("snapshots")
    assert last(stream) == "notes: snapshots"
    shown.begin("archive", 4 * 1024 * 1024)
    assert last(stream) == "notes: archive"
    clock[0] += 2
    shown.add(1024 * 1024)
    assert last(stream) == "notes: archive 1.0 MiB, 512.0 KiB/s, 6 s left"
    clock[0] += 2
    shown.add(5 * 1024 * 1024)
    assert last(stream) == "notes: archive 6.0 MiB, 1.5 MiB/s"
    shown.end()
    assert last(stream) == ""


def test_it_is_written_some_times_a_second(clock):
    stream = Terminal()
    shown = progress.Progress(stream, "notes")
    shown.begin("archive", None)
    for unused in range(1000):
        clock[0] += 0.001
        shown.add(1000)
    assert 4 <= stream.getvalue().count("\r") <= 6


def test_a_total_that_is_not_known_or_is_nothing(clock):
    stream = Terminal()
    shown = progress.Progress(stream, "notes")
    for total in (None, 0):
        shown.begin("archive", total)
        clock[0] += 1
        shown.add(1024)
        assert last(stream) == "notes: archive 1.0 KiB, 1.0 KiB/s"
