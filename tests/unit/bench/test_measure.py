# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmark measures children too, space that is taken on the way only, and tells why a command failed."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from measure import CommandFailed, measure

MEGABYTE = 1_000_000
IN_CHILD = """
import os, time
if os.fork() == 0:
    data = os.urandom(40_000_000)
    time.sleep(0.4)
    os._exit(0)
os.wait()
"""
ON_THE_WAY = """
import os, tempfile, time
path = os.path.join(%r, "snapshot.db")
with open(path, "wb") as file, tempfile.TemporaryFile() as unlinked:
    file.write(os.urandom(3_000_000)); file.flush()
    unlinked.write(os.urandom(2_000_000)); unlinked.flush()
    time.sleep(0.4)
os.unlink(path)
"""


def test_the_memory_of_a_child_counts(tmp_path):
    figures = measure([sys.executable, "-c", IN_CHILD], tmp_path)
    assert 40 * MEGABYTE < figures.memory < 90 * MEGABYTE
    assert 0.4 < figures.seconds and figures.cpu_seconds < figures.seconds + 1


def test_space_on_the_way_counts_deleted_files_too(tmp_path):
    place, temporary = tmp_path / "place", tmp_path / "temporary"
    place.mkdir()
    temporary.mkdir()
    (place / "kept").write_bytes(b"x" * MEGABYTE)
    (place / "backup.tar.zst").write_bytes(b"x" * MEGABYTE)
    figures = measure([sys.executable, "-c", ON_THE_WAY % str(place)], temporary, place)
    assert 5 * MEGABYTE <= figures.scratch < 5.1 * MEGABYTE


def test_archives_on_the_way_count_where_they_are_asked_for(tmp_path):
    place, temporary = tmp_path / "place", tmp_path / "temporary"
    place.mkdir()
    temporary.mkdir()
    (place / "kept").write_bytes(b"x" * MEGABYTE)
    way = (ON_THE_WAY % str(place)).replace("snapshot.db", "backup.tar.zst")
    for archives, least in ((False, 2), (True, 5)):
        figures = measure([sys.executable, "-c", way], temporary, place, archives=archives)
        assert least * MEGABYTE <= figures.scratch < (least + 0.1) * MEGABYTE


def test_a_command_that_fails_says_why(tmp_path):
    with pytest.raises(CommandFailed, match="ended with 3(?s:.*)no disk"):
        measure(["sh", "-c", "echo no disk >&2; exit 3"], tmp_path)


def test_a_command_that_takes_too_long_is_ended_with_its_children(tmp_path):
    began = time.monotonic()
    with pytest.raises(subprocess.TimeoutExpired):
        measure(["sh", "-c", "sleep 60; true"], tmp_path, timeout=0.3)
    assert time.monotonic() - began < 30
