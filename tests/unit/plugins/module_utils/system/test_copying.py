# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copies of files, whole and by every way that the file system offers."""

from __future__ import annotations

import os

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.system.copying import copy_file, link_or_copy
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import SourceError
from ansible_collections.appstate.backup.tests.unit.plugins.no_links import cannot_link


@pytest.mark.parametrize("size", [0, 1, 4095, (1 << 20) + 1, 20 << 20])
def test_a_copy_is_the_file(tmp_path, size):
    content = os.urandom(size)
    (tmp_path / "a").write_bytes(content)
    assert copy_file(str(tmp_path / "a"), str(tmp_path / "b")) in ("reflink", "copy")
    assert (tmp_path / "b").read_bytes() == content
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o600


def test_a_copy_between_file_systems_is_the_file(tmp_path):
    content = os.urandom(100000)
    target = "/dev/shm/appstate-copy-%d" % os.getpid()
    (tmp_path / "a").write_bytes(content)
    try:
        assert copy_file(str(tmp_path / "a"), target) == "copy"
        with open(target, "rb") as copied:
            assert copied.read() == content
    finally:
        os.unlink(target)


def test_a_copy_never_replaces_or_follows_anything(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "there").write_bytes(b"kept")
    (tmp_path / "link").symlink_to("there")
    for name in ("there", "link"):
        with pytest.raises(FileExistsError):
            copy_file(str(tmp_path / "a"), str(tmp_path / name))
    assert (tmp_path / "there").read_bytes() == b"kept"
    with pytest.raises(OSError):
        copy_file(str(tmp_path / "link"), str(tmp_path / "b"))


def test_a_pipe_is_refused_without_waiting_for_it(tmp_path):
    os.mkfifo(str(tmp_path / "pipe"))
    with pytest.raises(SourceError, match="not a regular file"):
        copy_file(str(tmp_path / "pipe"), str(tmp_path / "b"))
    assert not (tmp_path / "b").exists()


def named_twice(tmp_path):
    directory = os.open(str(tmp_path), os.O_RDONLY)
    try:
        link_or_copy(directory, "a", directory, "b")
    finally:
        os.close(directory)
    return (tmp_path / "a").stat(), (tmp_path / "b").stat()


def test_a_second_name_is_of_the_same_file(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    first, second = named_twice(tmp_path)
    assert first.st_ino == second.st_ino


def test_where_there_are_no_second_names_a_copy_has_all_that_the_file_has(tmp_path, monkeypatch):
    cannot_link(monkeypatch)
    (tmp_path / "a").write_bytes(b"x" * 5000)
    (tmp_path / "a").chmod(0o640)
    os.utime(str(tmp_path / "a"), ns=(3, 5))
    if os.geteuid() == 0:
        os.chown(str(tmp_path / "a"), 3001, 3002)
    first, second = named_twice(tmp_path)
    assert first.st_ino != second.st_ino and (tmp_path / "b").read_bytes() == b"x" * 5000
    assert all(getattr(first, what) == getattr(second, what) for what in ("st_mode", "st_uid", "st_gid", "st_mtime_ns"))


def test_neither_replaces_anything(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "b").write_bytes(b"kept")
    for prepare in (lambda monkeypatch: None, cannot_link):
        prepare(monkeypatch)
        with pytest.raises(FileExistsError):
            named_twice(tmp_path)
        assert (tmp_path / "b").read_bytes() == b"kept"


def test_a_pipe_has_no_copy(tmp_path, monkeypatch):
    cannot_link(monkeypatch)
    os.mkfifo(str(tmp_path / "a"))
    with pytest.raises(SourceError, match="not a regular file"):
        named_twice(tmp_path)
    assert not (tmp_path / "b").exists()
