# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files by directory descriptors: no link is followed that somebody else may have put there."""

from __future__ import annotations

import os
import stat
import threading
from unittest import mock

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.system import files, privileges
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import (
    AppStateError, ChildError, SourceError, SpaceError)
from ansible_collections.appstate.backup.plugins.module_utils.system.process import Identity, run_child
from ansible_collections.appstate.backup.plugins.module_utils.system.view import enter_full_disk
from ansible_collections.appstate.backup.tests.unit.plugins.exchanging import exchange_made, is_as_planted, plant_directory

ROOT = os.geteuid() == 0
OTHER = 3001


@pytest.fixture
def top(tmp_path):
    """An open directory, and its path."""
    path = tmp_path / "top"
    path.mkdir(mode=0o755)
    descriptor = os.open(str(path), files.DIRECTORY)
    yield descriptor, path
    os.close(descriptor)


def same(descriptor, path):
    """Whether a descriptor is that of a path; it is closed."""
    try:
        one, other = os.fstat(descriptor), os.stat(str(path))
        return (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
    finally:
        os.close(descriptor)


def test_a_directory_is_opened_through_links_that_can_be_trusted(top):
    unused, path = top
    (path / "real" / "inner").mkdir(parents=True)
    os.symlink("real", str(path / "relative"))
    os.symlink(str(path / "real"), str(path / "absolute"))
    os.symlink("../top/relative/inner/..", str(path / "winding"))
    for name in ("real", "relative", "absolute", "winding", "relative/inner/..", "./real/.", "real//inner/../"):
        assert same(files.open_directory(str(path / "x").replace("x", name)), path / "real"), name
    assert same(files.open_directory("/"), "/")
    assert same(files.open_directory(os.fsencode(str(path / "relative"))), path / "real")


def test_what_is_no_directory_is_not_opened(top):
    unused, path = top
    (path / "f").write_bytes(b"")
    os.symlink("f", str(path / "link"))
    os.symlink("loop", str(path / "loop"))
    os.symlink("missing", str(path / "dangling"))
    before = len(os.listdir("/proc/self/fd"))
    for name in ("f", "f/x", "link", "loop", "dangling", "missing", "missing/x"):
        with pytest.raises(OSError):
            files.open_directory(str(path / name))
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("directory, link, good", [
    ((0o755, 0), 0, True), ((0o775, 0), 0, False), ((0o757, 0), 0, False), ((0o1777, 0), 0, True),
    ((0o1777, 0), OTHER, False), ((0o755, 0), OTHER, False), ((0o755, OTHER), 0, False), ((0o755, OTHER), OTHER, False)])
def test_a_link_that_somebody_else_may_swap_is_refused(top, directory, link, good):
    unused, path = top
    (path / "app").mkdir()
    (path / "real").mkdir()
    os.symlink("../real", str(path / "app" / "link"))
    if ROOT:
        os.chown(str(path / "app" / "link"), link, link, follow_symlinks=False)
        os.chown(str(path / "app"), directory[1], directory[1])
    elif OTHER in (directory[1], link):
        return
    os.chmod(str(path / "app"), directory[0])
    if good:
        assert same(files.open_directory(str(path / "app" / "link")), path / "real")
        return
    with pytest.raises(AppStateError) as caught:
        files.open_directory(str(path / "app" / "link"))
    assert "swapped by an unprivileged user" in str(caught.value)


def test_nothing_below_a_directory_is_opened_through_a_link(top, tmp_path):
    directory, path = top
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_bytes(b"secret")
    (path / "d").mkdir()
    (path / "d" / "f").write_bytes(b"f")
    os.symlink("../outside", str(path / "out"))
    os.symlink("d", str(path / "in"))
    os.symlink("f", str(path / "d" / "l"))
    assert same(files.open_beneath(directory, b"d/f"), path / "d" / "f")
    assert same(files.open_beneath(directory, "d", files.DIRECTORY), path / "d")
    for name in ("out/secret", "in/f", "d/l", "out", "in"):
        with pytest.raises(OSError):
            files.open_beneath(directory, name)
    for name in ("", ".", "..", "d/..", "../outside/secret", "d/../../outside/secret", "/etc/passwd", "d/", "d//f", "./d"):
        with pytest.raises(AppStateError):
            files.open_beneath(directory, name)


def test_opening_a_pipe_does_not_wait(top):
    directory, path = top
    os.mkfifo(str(path / "fifo"))
    os.close(files.open_beneath(directory, "fifo"))
    with pytest.raises(SourceError):
        files.read_file(directory, "fifo", 100)


def test_directories_are_made_where_they_are_missing(top):
    directory, path = top
    (path / "a").mkdir(mode=0o711)
    uid, gid = (OTHER, OTHER) if ROOT else (-1, -1)
    assert files.make_parents(directory, "a/b/c/f", 0o750, uid, gid) == [b"a/b", b"a/b/c"]
    assert files.make_parents(directory, "a/b/c/f", 0o700) == [] and files.make_parents(directory, b"f") == []
    for name in ("a/b", "a/b/c"):
        found = os.stat(str(path / name))
        assert stat.S_IMODE(found.st_mode) == 0o750 and (not ROOT or (found.st_uid, found.st_gid) == (OTHER, OTHER))
    assert stat.S_IMODE(os.stat(str(path / "a")).st_mode) == 0o711 and not (path / "a/b/c/f").exists()


def test_no_directory_is_made_elsewhere(top, tmp_path):
    directory, path = top
    (tmp_path / "outside").mkdir()
    os.symlink("../outside", str(path / "out"))
    (path / "f").write_bytes(b"")
    before = len(os.listdir("/proc/self/fd"))
    for name in ("out/new/f", "f/new/f"):
        with pytest.raises(OSError):
            files.make_parents(directory, name)
    for name in ("../outside/new/f", "a/../../outside/new/f", "/outside/f", "a//f", "./a/f"):
        with pytest.raises(AppStateError):
            files.make_parents(directory, name)
    assert os.listdir(str(tmp_path / "outside")) == [] and sorted(os.listdir(str(path))) == ["f", "out"]
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("mode, umask", [(0o755, 0o022), (0o2775, 0), (0o2755, 0o077)])
def test_a_directory_is_made_private_and_empty(top, mode, umask):
    directory, path = top
    path.chmod(mode)
    before = os.umask(umask)
    try:
        made = files.make_directory(directory, b"d")
    finally:
        os.umask(before)
    found = os.fstat(made)
    assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (os.geteuid(), 0o700 | mode & stat.S_ISGID) and not os.get_inheritable(made)
    assert same(made, path / "d")
    with pytest.raises(FileExistsError):
        files.make_directory(directory, "d")


def plant_link(path):
    os.symlink("elsewhere", path)


def plant_full(path):
    os.mkdir(path, 0o700)
    os.mkdir(path + "/something")


@pytest.mark.parametrize("plant, error", [(plant_directory, AppStateError), (plant_full, AppStateError), (plant_link, OSError)])
def test_a_directory_that_is_not_the_one_that_was_made_is_refused(top, monkeypatch, plant, error):
    directory, path = top
    (path / "elsewhere").mkdir(mode=0o700)
    before = len(os.listdir("/proc/self/fd"))
    exchanged = exchange_made(monkeypatch, plant)
    with pytest.raises(error) as told:
        files.make_directory(directory, b"d")
    assert exchanged == [str(path / "d")] and len(os.listdir("/proc/self/fd")) == before
    assert error is OSError or told.value.path == str(path / "d") and told.value.remedy


def test_a_wider_directory_of_our_own_is_shut_before_it_is_looked_into(top, monkeypatch):
    """Whoever may write in one that root made can move it there; and some file systems have one mode for all."""
    directory, path = top

    def plant(place):
        os.mkdir(place)
        os.chmod(place, 0o2777)

    listed, listdir = [], os.listdir
    monkeypatch.setattr(os, "listdir", lambda of: listed.append(stat.S_IMODE(os.fstat(of).st_mode)) or listdir(of))
    exchange_made(monkeypatch, plant)
    os.close(files.make_directory(directory, b"d"))
    assert listed[-1] == 0o2700 and stat.S_IMODE((path / "d").stat().st_mode) == 0o2700


def test_a_directory_that_has_something_in_it_keeps_its_mode(top, monkeypatch):
    directory, path = top

    def plant(place):
        plant_full(place)
        os.chmod(place, 0o755)

    exchange_made(monkeypatch, plant)
    with pytest.raises(AppStateError, match="not the directory that was made"):
        files.make_directory(directory, b"d")
    assert stat.S_IMODE((path / "d").stat().st_mode) == 0o755


def open_made_on_another_file_system(path):
    """What a child says of a directory on which somebody has mounted what tells an owner and a mode as it likes."""
    os.mkdir(path + "/d", 0o700)
    enter_full_disk(path + "/d")
    directory = os.open(path, files.DIRECTORY)
    try:
        files.open_made(directory, b"d")
    except AppStateError as error:
        return error.message
    return None


def test_another_file_system_is_not_what_was_made(top):
    unused, path = top
    if not ROOT:
        pytest.fail("a file system of one's own needs root")
    assert "not the directory that was made" in run_child(open_made_on_another_file_system, (str(path),))


def test_parents_are_made_in_none_that_was_put_there_meanwhile(top, monkeypatch):
    directory, path = top
    before = len(os.listdir("/proc/self/fd"))
    exchanged = exchange_made(monkeypatch, plant_directory, "b")
    with pytest.raises(AppStateError, match="not the directory that was made"):
        files.make_parents(directory, "a/b/c/f", 0o755, *((OTHER + 1, OTHER + 1) if ROOT else (-1, -1)))
    assert exchanged == [str(path / "a" / "b")] and is_as_planted(exchanged[0])
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_directory_is_reached_by_its_descriptor_whatever_its_name(top):
    directory, path = top
    (path / "f").write_bytes(b"found")
    by = files.by_descriptor(directory)
    os.rename(str(path), str(path) + ".moved")
    path.mkdir()
    with open(os.path.join(by, "f")) as file:
        assert file.read() == "found"
    os.close(os.open(by, files.DIRECTORY))


def test_a_file_is_looked_up_without_following(top):
    directory, path = top
    (path / "d").mkdir()
    (path / "d" / "f").write_bytes(b"123")
    os.symlink("nowhere", str(path / "dangling"))
    os.symlink("d", str(path / "l"))
    assert files.lookup(directory, "d/f").st_size == 3
    assert stat.S_ISLNK(files.lookup(directory, "dangling").st_mode)
    assert files.lookup(directory, "missing") is None and files.lookup(directory, "missing/f") is None
    assert files.exists_at(directory, "dangling") and not files.exists_at(directory, "missing")
    for name in ("l/f", "d/f/x"):
        with pytest.raises(OSError):
            files.lookup(directory, name)


def test_a_file_is_read_up_to_a_size(top):
    directory, path = top
    (path / "f").write_bytes(b"x" * 1000)
    os.symlink("f", str(path / "l"))
    (path / "d").mkdir()
    assert files.read_file(directory, "f", 1000) == b"x" * 1000
    with pytest.raises(AppStateError):
        files.read_file(directory, "f", 999)
    with pytest.raises(OSError):
        files.read_file(directory, "l", 1000)
    with pytest.raises(SourceError):
        files.read_file(directory, "d", 1000)
    assert files.read_file(directory, "f", 10 ** 9) == b"x" * 1000


def test_all_is_written_though_the_system_takes_less():
    reading, writing = os.pipe()
    data = os.urandom(1 << 20)
    got = []
    thread = threading.Thread(target=lambda: got.append(read_to_the_end(reading)))
    thread.start()
    files.write_all(writing, data)
    os.close(writing)
    thread.join()
    os.close(reading)
    assert got == [data]


def read_to_the_end(descriptor):
    """All of a pipe."""
    return b"".join(iter(lambda: os.read(descriptor, 65536), b""))


def test_a_file_is_published_whole(top):
    directory, path = top
    files.write_atomically(directory, "f", b"one")
    first = os.stat(str(path / "f")).st_ino
    files.write_atomically(directory, b"f", b"two", 0o640)
    assert (path / "f").read_bytes() == b"two" and os.listdir(str(path)) == ["f"]
    assert os.stat(str(path / "f")).st_ino != first
    os.symlink("f", str(path / "l"))
    files.write_atomically(directory, "l", b"three")
    assert (path / "f").read_bytes() == b"two" and not os.path.islink(str(path / "l"))


def test_a_file_that_cannot_be_published_leaves_the_old_one(top):
    directory, path = top
    (path / "f").write_bytes(b"old")
    with pytest.raises(TypeError):
        files.write_atomically(directory, "f", "text and no bytes")
    (path / "d").mkdir()
    (path / "d" / "x").write_bytes(b"")
    with pytest.raises(OSError):
        files.write_atomically(directory, "d", b"new")
    assert (path / "f").read_bytes() == b"old" and sorted(os.listdir(str(path))) == ["d", "f"]


def test_removing_is_forgiving(top):
    directory, path = top
    (path / "f").write_bytes(b"")
    (path / "d" / "e").mkdir(parents=True)
    files.remove_if_there(directory, "f")
    files.remove_if_there(directory, "f")
    files.remove_if_empty(directory, "d")
    assert (path / "d").is_dir()
    for name in ("d/e", "d/e", "missing/x", "d"):
        files.remove_if_empty(directory, name)
    assert os.listdir(str(path)) == []


def test_a_private_directory_is_made_private_and_its_parents_are_not(tmp_path):
    for name in ("a/b/private", "a/b/slash/"):
        path = os.path.join(str(tmp_path), name)
        before = os.umask(0o022)
        try:
            os.close(files.private_directory(path))
            os.close(files.private_directory(path))
        finally:
            os.umask(before)
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o700
    assert stat.S_IMODE(os.stat(str(tmp_path / "a")).st_mode) == 0o755


def test_a_private_directory_is_no_link_and_belongs_to_us(tmp_path):
    (tmp_path / "real").mkdir()
    os.symlink("real", str(tmp_path / "link"))
    with pytest.raises(OSError):
        files.private_directory(str(tmp_path / "link"))
    if ROOT:
        os.chown(str(tmp_path / "real"), OTHER, OTHER)
        with pytest.raises(AppStateError) as caught:
            files.private_directory(str(tmp_path / "real"))
        assert str(OTHER) in str(caught.value)


def test_owner_and_mode_are_given_together(top):
    directory, path = top
    (path / "f").write_bytes(b"")
    descriptor = os.open(str(path / "f"), os.O_RDONLY)
    files.give(descriptor, *((OTHER, OTHER + 1) if ROOT else (-1, -1)), 0o4751)
    found = os.fstat(descriptor)
    assert stat.S_IMODE(found.st_mode) == 0o4751
    assert not ROOT or (found.st_uid, found.st_gid) == (OTHER, OTHER + 1)
    files.give(descriptor, -1, -1, 0o600)
    assert os.fstat(descriptor).st_uid == found.st_uid
    os.close(descriptor)


@pytest.mark.skipif(not ROOT, reason="only root can become another user")
def test_a_directory_on_the_way_need_not_be_listed(host):
    os.mkdir(host.place("app", "way"), 0o711)
    os.mkdir(host.place("app", "way", "inner"), 0o755)
    os.mkdir(host.place("app", "way", "closed"), 0o711)

    def names(*path):
        return os.listdir(files.open_directory(host.place(*path)))

    assert run_child(names, ("app", "way", "inner"), Identity(OTHER, OTHER)) == []
    for path in (("app", "way"), ("app", "way", "closed")):
        with pytest.raises(ChildError, match="Permission denied"):
            run_child(names, path, Identity(OTHER, OTHER))


@pytest.mark.skipif(not ROOT, reason="only root can give to others")
def test_a_set_group_id_bit_is_given_or_refused_aloud(top):
    descriptor, path = top

    def give_without():
        del privileges.NEEDED["fsetid"]
        privileges.keep_needed()
        with pytest.raises(PermissionError, match="set-group-id"):
            files.give(os.open(str(path), files.DIRECTORY), OTHER, OTHER + 1, 0o2770)

    run_child(give_without)
    files.give(descriptor, OTHER, OTHER + 1, 0o2770)
    assert os.fstat(descriptor).st_mode & 0o7777 == 0o2770


def test_space_is_asked_for_beforehand(top):
    directory, path = top
    free = files.free_bytes(directory)
    assert free > 0
    files.need_space(directory, 1, str(path), "testing")
    with pytest.raises(SpaceError) as caught:
        files.need_space(directory, 1 << 60, str(path), "testing")
    assert "not enough space for testing: 1048576.0 TiB needed" in str(caught.value) and str(path) in str(caught.value)


def test_inodes_are_asked_for_beforehand_where_a_file_system_has_a_number_of_them(top, monkeypatch):
    directory, path = top
    for all_of_them, free in ((100, 5), (0, float("inf"))):
        monkeypatch.setattr(os, "fstatvfs", lambda unused, figures=(all_of_them, 5): mock.Mock(f_files=figures[0], f_ffree=figures[1]))
        assert files.free_inodes(directory) == free
        files.need_inodes(directory, 5, str(path), "testing")
    monkeypatch.setattr(files, "free_inodes", lambda unused: 5)
    with pytest.raises(SpaceError, match="not enough inodes for testing: 6 needed, 5 free"):
        files.need_inodes(directory, 6, str(path), "testing")


@pytest.mark.parametrize("size, text", [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"),
                                        (10 ** 7, "9.5 MiB"), (1 << 30, "1.0 GiB"), (1 << 50, "1024.0 TiB")])
def test_sizes_are_told_in_binary_units(size, text):
    assert files.readable(size) == text


def test_mounts_are_told_apart(top):
    directory, path = top
    (path / "d").mkdir()
    below = os.open(str(path / "d"), files.PLACE)
    elsewhere = os.open("/proc", files.DIRECTORY)
    assert files.mount_of(below) == files.mount_of(directory) != files.mount_of(elsewhere)
    os.close(below)
    os.close(elsewhere)


def test_a_growing_file_is_written_out_and_stays_as_it_is(tmp_path):
    with open(str(tmp_path / "f"), "wb") as file:
        out = files.WriteOut(file.fileno())
        for unused in range(5):
            file.write(b"x" * (4 << 20))
            file.flush()
            out.wrote(4 << 20)
    assert (tmp_path / "f").read_bytes() == b"x" * (20 << 20)
    reading, writing = os.pipe()
    files.WriteOut(writing).wrote(1 << 30)  # No file at all: nothing is raised.
    os.close(reading)
    os.close(writing)


def test_paths_are_bytes():
    assert files.as_bytes("é") == "é".encode() and files.as_bytes(b"\xff") == b"\xff"
    assert files.as_bytes("\udcff") == b"\xff"
