# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import subprocess

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.system.mounts import file_system_of, is_volatile_or_remote


@pytest.mark.parametrize("path", ["/", "/proc", "/dev/shm", "/sys", "/tmp"])
def test_it_is_what_the_system_says(path):
    said = subprocess.run(["findmnt", "--noheadings", "--output", "FSTYPE", "--target", path], stdout=subprocess.PIPE,
                          universal_newlines=True, check=True).stdout.split()
    assert file_system_of(path) == said[-1]


def test_a_directory_has_the_kind_of_what_holds_it(tmp_path):
    inner = tmp_path / "a b"
    inner.mkdir()
    assert file_system_of(str(inner)) == file_system_of(str(tmp_path)) != ""


def test_a_place_that_is_missing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        file_system_of(str(tmp_path / "missing"))


@pytest.mark.parametrize("kind, told", [
    ("tmpfs", "memory"), ("ramfs", "memory"), ("nfs4", "network"), ("cifs", "network"), ("fuse.sshfs", "network"), ("fuse.rclone", "network"),
    ("ext4", None), ("xfs", None), ("btrfs", None), ("zfs", None), ("overlay", None), ("fuse.mergerfs", None), ("", None),
])
def test_which_are_no_place_for_backups(kind, told):
    assert is_volatile_or_remote(kind) == told


def test_memory_is_told_as_memory():
    assert os.path.isdir("/dev/shm")
    assert is_volatile_or_remote(file_system_of("/dev/shm")) == "memory"
