# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import os

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.system.errors import ChildError
from ansible_collections.appstate.backup.plugins.module_utils.system.process import Identity, run_child
from ansible_collections.appstate.backup.plugins.module_utils.system.view import enter_full_disk

APPLICATION = Identity(3001, 3002)


def look(paths):
    """What a child can make of some paths."""
    return {path: sorted(os.listdir(path)) if os.path.isdir(path) else None for path in paths}


def write_on_full_disk(directory):
    """What a child can write to a disk that is full: the error's number, or None."""
    enter_full_disk(directory)
    os.mkdir(directory + "/made")
    descriptor = os.open(directory + "/made/file", os.O_WRONLY | os.O_CREAT)
    try:
        for unused in range(3):
            os.write(descriptor, b"x" * 4096)
    except OSError as error:
        return error.errno
    return None


@pytest.fixture
def places(tmp_path):
    """Two directories of the application's, below one that it may not pass."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    for name in ("volume", "copies"):
        (closed / name).mkdir()
        (closed / name / "file").write_text("content", encoding="utf-8")
        os.chown(closed / name, 3001, 3002)
    return str(closed / "volume"), str(closed / "copies")


@pytest.fixture
def as_root():
    if os.geteuid() != 0:
        pytest.fail("a view of its own needs root")


@pytest.mark.usefixtures("as_root")
class TestView:
    def test_the_child_reaches_what_it_was_given_and_nothing_else(self, places):
        seen = run_child(look, (places + (os.path.dirname(places[0]), "/etc", "/"),), APPLICATION, view=places)
        assert seen[places[0]] == seen[places[1]] == ["file"]
        assert seen[os.path.dirname(places[0])] == ["copies", "volume"]
        assert seen["/etc"] is None and seen["/"] == [places[0].split("/")[1]]

    def test_without_it_the_same_user_reaches_neither(self, places):
        assert run_child(look, (places,), APPLICATION) == dict.fromkeys(places)

    def test_what_it_changes_is_the_real_thing(self, places):
        run_child(os.unlink, (places[0] + "/file",), APPLICATION, view=places)
        assert not os.listdir(places[0])

    def test_nothing_of_it_is_left_for_others(self, places):
        with open("/proc/self/mountinfo", encoding="utf-8") as before:
            mounts = before.read()
            run_child(look, (places,), APPLICATION, view=places)
            before.seek(0)
            assert before.read() == mounts

    def test_root_is_left_no_power_over_what_others_own(self, places):
        os.chmod(places[0], 0o700)
        with pytest.raises(ChildError, match="PermissionError"):
            run_child(os.listdir, (places[0],), Identity(0, 0), view=places)

    def test_a_directory_that_is_missing_ends_the_child(self, places):
        with pytest.raises(ChildError, match="FileNotFoundError"):
            run_child(look, (places,), APPLICATION, view=(places[0], "/nowhere"))

    def test_a_disk_is_full_for_the_child_alone(self, tmp_path):
        (tmp_path / "file").write_text("content", encoding="utf-8")
        with open("/proc/self/mountinfo", encoding="utf-8") as before:
            mounts = before.read()
            assert run_child(write_on_full_disk, (str(tmp_path),)) == errno.ENOSPC
            before.seek(0)
            assert before.read() == mounts
        assert os.listdir(tmp_path) == ["file"]
