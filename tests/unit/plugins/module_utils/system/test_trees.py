# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Walking and deleting trees: nothing is followed, nothing that cannot be read ends the walk."""

from __future__ import annotations

import os
import resource
import shutil
import stat
import subprocess
import tempfile

import pytest
from hypothesis import HealthCheck, given, settings, strategies

from ansible_collections.appstate.backup.plugins.module_utils.system import files, process, trees
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import AppStateError


@pytest.fixture
def top(tmp_path):
    """An open directory, and its path."""
    path = tmp_path / "top"
    path.mkdir()
    descriptor = os.open(str(path), files.DIRECTORY)
    yield descriptor, path
    os.close(descriptor)


def paths(directory, **words):
    """The paths of a walk, in its order."""
    return [entry.path for entry in trees.descend(directory, **words)]


def test_a_walk_is_in_byte_order_directories_before_their_content(top):
    directory, path = top
    for name in (b"b", b"a", b"\xff", b"B", b"a-", b"a/z", b"a/y", b"a.b"):
        full = os.path.join(os.fsencode(str(path)), name)
        if name == b"a":
            os.mkdir(full)
        else:
            os.makedirs(os.path.dirname(full), exist_ok=True)
            open(full, "wb").close()
    assert paths(directory) == [b"B", b"a", b"a/y", b"a/z", b"a-", b"a.b", b"b", b"\xff"]
    assert paths(directory, prefix=b"data/x")[:3] == [b"data/x/B", b"data/x/a", b"data/x/a/y"]


def test_an_entry_tells_where_it_is(top):
    directory, path = top
    (path / "d").mkdir()
    (path / "d" / "f").write_bytes(b"content")
    for entry in trees.descend(directory):
        found = os.stat(entry.name, dir_fd=entry.directory, follow_symlinks=False)
        assert (found.st_ino, found.st_size) == (entry.stat.st_ino, entry.stat.st_size)


def test_links_are_told_and_never_followed(top, tmp_path):
    directory, path = top
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_bytes(b"")
    os.symlink("../outside", str(path / "out"))
    os.symlink(".", str(path / "self"))
    found = list(trees.descend(directory))
    assert [entry.path for entry in found] == [b"out", b"self"]
    assert all(stat.S_ISLNK(entry.stat.st_mode) for entry in found)


def test_what_is_skipped_is_skipped_with_all_below_it(top):
    directory, path = top
    (path / "d" / "e").mkdir(parents=True)
    (path / "d" / "e" / "f").write_bytes(b"")
    (path / "g").write_bytes(b"")
    asked = []
    assert paths(directory, skip=lambda name, found: asked.append(name) or name == b"d/e") == [b"d", b"g"]
    assert asked == [b"d", b"d/e", b"g"]


def test_what_vanishes_meanwhile_is_no_part_of_the_tree(top):
    directory, path = top
    for name in ("a", "b", "c"):
        (path / name).mkdir()
        (path / name / "f").write_bytes(b"")
    walk = trees.descend(directory)
    assert next(walk).path == b"a"
    trees.remove_tree(directory, "b")
    trees.remove_tree(directory, "a")
    assert [entry.path for entry in walk] == [b"c", b"c/f"]


def test_a_directory_that_becomes_a_link_is_not_entered(top, tmp_path):
    directory, path = top
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_bytes(b"")
    (path / "a").mkdir()
    (path / "b").mkdir()

    def swap(name, found):
        if name == b"b":
            os.rmdir(str(path / "b"))
            os.symlink("../outside", str(path / "b"))
        return False

    told = []
    found = [entry.path for entry in trees.descend(directory, skip=swap, on_error=lambda name, error: told.append(name))]
    assert found == [b"a"] and told == [b"b"]


def test_descriptors_are_given_back_when_a_walk_ends_early(top):
    directory, path = top
    (path / "a" / "b" / "c").mkdir(parents=True)
    before = len(os.listdir("/proc/self/fd"))
    walk = trees.descend(directory)
    for unused in range(3):
        next(walk)
    assert len(os.listdir("/proc/self/fd")) == before + 3
    walk.close()
    assert len(os.listdir("/proc/self/fd")) == before


def nested(path, depth):
    """Makes directories in each other, deeper than any path can tell."""
    current = os.open(str(path), files.DIRECTORY)
    for unused in range(depth):
        os.mkdir("d", dir_fd=current)
        inner = os.open("d", files.DIRECTORY, dir_fd=current)
        os.close(current)
        current = inner
    os.close(os.open("f", files.CREATE, 0o600, dir_fd=current))
    os.close(current)


def test_a_tree_is_walked_to_a_depth_and_then_refused(top):
    directory, path = top
    nested(path, trees.MAXIMUM_DEPTH)
    assert len(paths(directory)) == trees.MAXIMUM_DEPTH + 1
    trees.remove_tree(directory, "d")
    nested(path, trees.MAXIMUM_DEPTH + 1)
    with pytest.raises(AppStateError) as caught:
        paths(directory)
    assert "nested" in str(caught.value)


@pytest.mark.parametrize("depth", [1, 50, 51, 300, 1200])
def test_a_tree_of_any_depth_is_deleted(top, depth):
    """Whoever owns a tree may nest it deeper than the stack and the limit on open files go."""
    directory, path = top
    nested(path, depth)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 200, limits[1]))
    try:
        assert trees.remove_tree(directory, "d")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        left = os.listdir(str(path))
        subprocess.run(["rm", "-rf", str(path / "d")], check=True)  # Nothing of Python's could.
    assert left == []


def test_what_is_deleted_is_told(top):
    directory, path = top
    assert trees.remove_tree(directory, "missing") is False
    (path / "f").write_bytes(b"")
    os.symlink("f", str(path / "l"))
    os.symlink("nowhere", str(path / "dangling"))
    os.mkfifo(str(path / "fifo"))
    for name in ("f", "l", b"dangling", b"fifo"):
        assert trees.remove_tree(directory, name) is True
    assert os.listdir(str(path)) == []


def test_deleting_follows_no_link(top, tmp_path):
    directory, path = top
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "precious").write_bytes(b"x")
    (path / "d" / "e").mkdir(parents=True)
    os.symlink("../../outside", str(path / "d" / "l"))
    os.symlink(str(tmp_path / "outside"), str(path / "d" / "e" / "absolute"))
    os.symlink("../outside", str(path / "l"))
    os.mkfifo(str(path / "d" / "fifo"))
    assert trees.remove_tree(directory, "d") and trees.remove_tree(directory, "l")
    assert (tmp_path / "outside" / "precious").read_bytes() == b"x"
    assert os.listdir(str(path)) == []


def unprivileged(function, *words):
    """Runs a function in a child that is nobody, where we are root."""
    return process.run_child(function, words, identity=process.NOBODY if os.geteuid() == 0 else None)


@pytest.fixture
def theirs(tmp_path_factory):
    """A directory of an unprivileged user that it can reach."""
    path = tempfile.mkdtemp(prefix="appstate-test-")
    os.chmod(path, 0o755)
    inside = os.path.join(path, "theirs")
    os.mkdir(inside, 0o700)
    if os.geteuid() == 0:
        os.chown(inside, process.NOBODY.uid, process.NOBODY.gid)
    yield inside
    if os.geteuid() != 0:
        for top, folders, unused in os.walk(path):
            for folder in folders:
                os.chmod(os.path.join(top, folder), 0o700)
    shutil.rmtree(path)


def test_what_cannot_be_read_is_told_and_the_walk_goes_on(theirs):
    def walk():
        for name, mode in (("a", 0o700), ("b", 0o000), ("c", 0o400), ("d", 0o700)):
            os.mkdir(os.path.join(theirs, name))
            open(os.path.join(theirs, name, "f"), "w").close()
            os.chmod(os.path.join(theirs, name), mode)
        told = []
        directory = os.open(theirs, files.DIRECTORY)
        found = [entry.path.decode() for entry in
                 trees.descend(directory, on_error=lambda path, error: told.append(path.decode()))]
        try:
            list(trees.descend(directory))
            raised = False
        except OSError:
            raised = True
        return found, told, raised

    assert unprivileged(walk) == [["a", "a/f", "c", "d", "d/f"], ["b", "c/f"], True]


def test_read_only_directories_of_ours_are_deleted(theirs):
    def remove():
        os.makedirs(os.path.join(theirs, "a", "b", "c"))
        open(os.path.join(theirs, "a", "b", "f"), "w").close()
        for name, mode in (("a/b/c", 0o000), ("a/b", 0o555), ("a", 0o500)):
            os.chmod(os.path.join(theirs, name), mode)
        directory = os.open(theirs, files.DIRECTORY)
        trees.remove_tree(directory, "a")
        return os.listdir(theirs)

    assert unprivileged(remove) == []


NAMES = strategies.sampled_from((b"a", b"b", b"\xff", b"x\n"))
TREES = strategies.recursive(strategies.sampled_from(("file", "link", "fifo")),
                             lambda inner: strategies.dictionaries(NAMES, inner, max_size=4), max_leaves=12)


def build(path, node):
    """Makes what was drawn."""
    if isinstance(node, dict):
        os.mkdir(path)
        for name, inner in node.items():
            build(os.path.join(path, name), inner)
    elif node == "file":
        open(path, "wb").close()
    elif node == "link":
        os.symlink("/", path)
    else:
        os.mkfifo(path)


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(strategies.dictionaries(NAMES, TREES, max_size=4))
def test_any_tree_is_walked_and_deleted(tmp_path_factory, node):
    place = os.fsencode(str(tmp_path_factory.mktemp("walk")))
    build(os.path.join(place, b"top"), node)
    directory = os.open(place, files.DIRECTORY)
    found = paths(directory)
    inner = os.path.join(place, b"")
    expected = [os.path.join(top, name)[len(inner):] for top, folders, names in os.walk(place) for name in folders + names]
    assert sorted(found) == sorted(expected)
    assert trees.remove_tree(directory, b"top")
    assert os.listdir(place) == []
    os.close(directory)


def test_a_file_system_is_synchronized(top):
    trees.sync_tree(top[0])


def test_what_cannot_be_synchronized_is_an_error():
    reader, writer = os.pipe()
    os.close(reader)
    os.close(writer)
    with pytest.raises(OSError):
        trees.sync_tree(writer)
