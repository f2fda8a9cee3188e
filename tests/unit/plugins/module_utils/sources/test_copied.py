# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copies that are not what the source is: somebody led rsync elsewhere, or a file changed while it was copied."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.archive.generation import name_of
from ansible_collections.appstate.backup.plugins.module_utils.catalog.generations import GrowingGeneration
from ansible_collections.appstate.backup.plugins.module_utils.sources.copied import CopiedTree
from ansible_collections.appstate.backup.plugins.module_utils.sources.taking import Room
from ansible_collections.appstate.backup.plugins.module_utils.system import files

ID = "notes-20261119T030000Z"


class Copied:
    """A source of a Host, and a generation whose files are a copy of it that the test can change."""

    def __init__(self, host):
        self._host = host
        self.descriptors = []
        host.write("blobs/a", b"a")
        host.write("blobs/deep/b", b"b")
        host.write("blobs/deep/c", b"c")
        self._root = self._open(host.root)
        self._source = self._open(host.at("blobs"))
        self._growing = GrowingGeneration(self._open(host.destination), name_of(ID, 1))
        self.path = host.place("backups", ".%s.partial" % self._growing.name, "files")
        shutil.copytree(host.at("blobs"), self.path, symlinks=True)
        for folder, folders, names in os.walk(self.path):
            for name in folders + names:
                found = os.lstat(os.path.join(host.at("blobs"), os.path.relpath(folder, self.path), name))
                os.chown(os.path.join(folder, name), found.st_uid, found.st_gid)
        self.room = None

    def _open(self, path):
        self.descriptors.append(os.open(path, files.DIRECTORY))
        return self.descriptors[-1]

    def at(self, *names):
        return os.path.join(self.path, *names)

    def write(self, name, content):
        """Changes the copy behind the back of everybody: size and time stay."""
        found = os.stat(self.at(name)) if os.path.exists(self.at(name)) else None
        with open(self.at(name), "wb") as file:
            file.write(content)
        if found is not None:
            os.utime(self.at(name), ns=(found.st_atime_ns, found.st_mtime_ns))

    def settle(self):
        """The members of the list, by path."""
        self.room = Room(self._host.app(), self._root)
        tree = CopiedTree(self.room, b"blobs", self._source, self._growing.descriptor, None)
        tree.settle()
        with open(os.path.join(os.path.dirname(self.path), "members.jsonl"), "rb") as file:
            content = file.read()
        assert tree.list["count"] == tree.counts["members"] == content.count(b"\n") and tree.list["bytes"] == len(content)
        return {told["path"]: told for told in map(json.loads, content.splitlines())}

    def close(self):
        self._growing.close()
        for descriptor in self.descriptors:
            os.close(descriptor)


@pytest.fixture
def copied(host):
    made = Copied(host)
    yield made
    made.close()


def test_what_the_source_has_stays(copied, host, tree):
    before = tree(copied.path)
    assert list(copied.settle()) == ["blobs", "blobs/a", "blobs/deep", "blobs/deep/b", "blobs/deep/c"]
    assert tree(copied.path) == before == tree(host.at("blobs"))
    assert copied.room.all_warnings() == []


def test_content_from_elsewhere_is_replaced_by_the_sources(copied, host, tree):
    copied.write("deep/b", b"!")
    times = os.stat(copied.at("deep")).st_mtime_ns
    members = copied.settle()
    assert members["blobs/deep/b"]["digest"] != members["blobs/a"]["digest"]
    assert tree(copied.path) == tree(host.at("blobs"))
    assert os.stat(copied.at("deep")).st_mtime_ns == times


def test_what_the_source_does_not_have_is_removed(copied, host, tree):
    times = [os.stat(copied.at(name)).st_mtime_ns for name in (".", "deep")]
    copied.write("deep/shadow", b"secret")
    os.makedirs(copied.at("home", "keys"))
    copied.write("home/keys/id", b"secret")
    for name, time in zip((".", "deep"), times):
        os.utime(copied.at(name), ns=(time, time))
    assert list(copied.settle()) == ["blobs", "blobs/a", "blobs/deep", "blobs/deep/b", "blobs/deep/c"]
    assert tree(copied.path) == tree(host.at("blobs"))
    assert [os.stat(copied.at(name)).st_mtime_ns for name in (".", "deep")] == times


@pytest.mark.parametrize("target", ["elsewhere", "."])
def test_a_directory_that_became_a_link_is_not_gone_through(copied, host, target):
    os.rename(host.at("blobs/deep"), host.place("elsewhere"))
    os.symlink(host.place(target), host.at("blobs/deep"))
    assert list(copied.settle()) == ["blobs", "blobs/a"]
    assert os.listdir(copied.path) == ["a"]


def test_a_file_that_became_something_else_is_left_out(copied, host):
    for name in ("a", "deep/b", "deep/c"):
        os.unlink(host.at("blobs", name))
    os.symlink("/etc/passwd", host.at("blobs/a"))
    os.mkfifo(host.at("blobs/deep/b"))
    os.mkdir(host.at("blobs/deep/c"))
    assert list(copied.settle()) == ["blobs", "blobs/deep"]


def test_a_file_that_changed_meanwhile_is_as_it_is_now(copied, host, tree):
    host.write("blobs/a", b"longer", mode=0o600, mtime=1)
    host.write("blobs/deep/b", b"", mtime=2)
    members = copied.settle()
    assert (members["blobs/a"]["size"], members["blobs/a"]["mode"], members["blobs/a"]["mtime"]) == (6, "0600", 1)
    assert tree(copied.path) == tree(host.at("blobs"))


def test_whole_seconds_are_as_good_a_time_where_there_is_no_finer(copied):
    os.utime(copied.at("a"), ns=(0, 1700000000000000000))
    before = os.stat(copied.at("a")).st_ino
    assert copied.settle()["blobs/a"]["mtime"] == 1700000000000000000
    assert os.stat(copied.at("a")).st_ino == before


def test_a_link_that_leads_out_is_removed_and_told(copied):
    os.symlink("../../etc", copied.at("deep", "out"))
    os.symlink("names/../../up", copied.at("climbs"))
    os.symlink("../a", copied.at("deep", "in"))
    members = copied.settle()
    assert "blobs/deep/in" in members and "blobs/deep/out" not in members and "blobs/climbs" not in members
    assert copied.room.warnings == [
        "blobs/climbs is a symbolic link that leads out of the source (to names/../../up), and was left out",
        "blobs/deep/out is a symbolic link that leads out of the source (to ../../etc), and was left out"]
    assert not os.path.lexists(copied.at("climbs"))
