# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import ast
import hashlib
import os
import socket
import sqlite3

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.app import parse_app
from ansible_collections.appstate.backup.plugins.module_utils.sources.files import FilesTaker
from ansible_collections.appstate.backup.plugins.module_utils.sources.taking import Room
from ansible_collections.appstate.backup.plugins.module_utils.system import files
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import SourceError


class Seen:
    """Stands where the archive's writer does: keeps the members and the content that it reads of files."""

    def __init__(self, before_file=None):
        self.members = {}
        self.content = {}
        self._before_file = before_file

    def add(self, member):
        assert member.path not in self.members
        self.members[member.path] = member

    def add_file(self, member, descriptor):
        self.add(member)
        self.content[member.path] = os.read(descriptor, 1 << 20)
        member.digest = hashlib.blake2b(self.content[member.path], digest_size=32).hexdigest()
        return "grew while it was read" if member.path.endswith(b"grows") else None

    @property
    def paths(self):
        return [os.fsdecode(path) for path in self.members]


class Root:
    """An app's root with one source of files, and what a taker makes of it."""

    def __init__(self, path):
        self.path = str(path)

    def write(self, name, content=b"content"):
        path = os.path.join(os.fsencode(self.path), os.fsencode(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)

    def take(self, source="files", others=(), prepared=None, **words):
        """``(Seen, record, Room)`` of one source; ``prepared`` is called between the look and the reading."""
        app = parse_app({"name": "notes", "root": self.path, "destination": "/backups",
                         "sources": [dict({"type": "files", "path": source}, **words)] + list(others)})
        descriptor = os.open(self.path, files.DIRECTORY)
        try:
            room, seen = Room(app, descriptor), Seen()
            taker = FilesTaker(room, app.sources[0])
            taker.prepare()
            if prepared:
                prepared()
            taker.write(seen)
            taker.finish()
            taker.close()
            return seen, taker.record(), room
        finally:
            os.close(descriptor)


@pytest.fixture
def root(tmp_path):
    return Root(tmp_path)


def test_a_tree_comes_in_walking_order(root):
    for name in ("files/b", "files/a/x", "files/a/deep/y", "files/c/z", "beside"):
        root.write(name)
    os.mkdir(os.path.join(root.path, "files", "empty"))
    seen, record, room = root.take()
    assert seen.paths == ["files", "files/a", "files/a/deep", "files/a/deep/y", "files/a/x", "files/b", "files/c", "files/c/z",
                          "files/empty"]
    assert record == {"type": "files", "path": "files", "present": True, "members": 9, "bytes": 28, "excluded": 0, "unreadable": 0}
    assert room.all_warnings() == []


def test_what_is_known_of_a_member(root):
    root.write("files/x", b"12345")
    path = os.path.join(root.path, "files", "x")
    os.chmod(path, 0o4751)
    os.utime(path, ns=(1, 1600000000123456789))
    member = root.take()[0].members[b"files/x"]
    found = os.stat(path)
    assert (member.type, member.size, member.mode, member.mtime) == ("file", 5, 0o4751, 1600000000123456789)
    assert (member.uid, member.gid) == (found.st_uid, found.st_gid)


def test_one_file_is_a_source_too(root):
    root.write("config/settings.json")
    seen, record, unused = root.take("config/settings.json")
    assert seen.paths == ["config/settings.json"] and record["members"] == 1


def test_names_that_are_not_utf8(root):
    root.write(b"files/\xff\n")
    seen, record, room = root.take()
    assert list(seen.members) == [b"files", b"files/\xff\n"] and record["members"] == 2


@pytest.mark.parametrize("exclude, left", [
    (["*.part"], ["files", "files/a", "files/a/keep", "files/cache", "files/cache/one", "files/cache/a", "files/cache/a/two"]),
    (["cache"], ["files", "files/a", "files/a/keep", "files/a/x.part", "files/y.part"]),
    (["cache/"], ["files", "files/a", "files/a/keep", "files/a/x.part", "files/y.part"]),
    (["cache/*"], ["files", "files/a", "files/a/keep", "files/a/x.part", "files/cache", "files/y.part"]),
    (["cache/a"], ["files", "files/a", "files/a/keep", "files/a/x.part", "files/cache", "files/cache/one", "files/y.part"]),
    (["/a/*.part"], ["files", "files/a", "files/a/keep", "files/cache", "files/cache/a", "files/cache/a/two", "files/cache/one",
                     "files/y.part"]),
    (["a"], ["files", "files/cache", "files/cache/one", "files/y.part"]),
    (["?.part", "[ct]*", "keep"], ["files", "files/a"]),
    (["nothing"], None),
])
def test_excludes(root, exclude, left):
    for name in ("files/a/keep", "files/a/x.part", "files/y.part", "files/cache/one", "files/cache/a/two"):
        root.write(name)
    everything = sorted(root.take()[0].paths)
    seen, record, unused = root.take(exclude=exclude)
    assert sorted(seen.paths) == (everything if left is None else sorted(left))
    assert (record["excluded"] == 0) == (left is None)


def test_an_exclude_never_takes_the_source_itself(root):
    root.write("files/files/x")
    assert root.take(exclude=["files"])[0].paths == ["files"]


def test_other_sources_inside_are_left_to_them(root):
    for name in ("files/notes.db", "files/notes.db-wal", "files/notes.db-shm", "files/notes.db-journal", "files/notes.db-other",
                 "files/sub/x", "files/sub2/y", "files/notes.db2"):
        root.write(name)
    others = [{"type": "sqlite", "path": "files/notes.db"}, {"type": "files", "path": "files/sub"}]
    seen, record, room = root.take(others=others)
    assert seen.paths == ["files", "files/notes.db-other", "files/notes.db2", "files/sub2", "files/sub2/y"]
    assert record["excluded"] == 0


def test_what_a_restore_set_aside_is_no_state(root):
    for name in ("files/x", "files/notes.db.before-restore-20261119T030000Z", "files/sub.before-restore-20261119T030000Z/y",
                 "files/notes.before-restore-day"):
        root.write(name)
    assert root.take()[0].paths == ["files", "files/notes.before-restore-day", "files/x"]


def test_links_inside_are_kept_and_links_out_are_named(root):
    root.write("files/deep/x")
    for name, target in (("in", "deep/x"), ("deep/up", "../deep/x"), ("dangling", "none"), ("out", "/etc/passwd"),
                         ("climb", "../../etc"), ("deep/beside", "../../beside"), ("hidden", "deep/../../x"), ("loop", "loop")):
        os.symlink(target, os.path.join(root.path, "files", name))
    seen, record, room = root.take()
    assert sorted(path for path, member in seen.members.items() if member.type == "link") == [
        b"files/dangling", b"files/deep/up", b"files/in", b"files/loop"]
    assert seen.members[b"files/deep/up"].target == b"../deep/x"
    for name, target in (("out", "/etc/passwd"), ("climb", "../../etc"), ("deep/beside", "../../beside"),
                         ("hidden", "deep/../../x")):
        assert "files/%s is a symbolic link that leads out of the source (to %s), and was left out" % (name, target) \
            in room.all_warnings()
    assert len(room.all_warnings()) == 4


def test_directories_behind_links_are_not_entered(root):
    root.write("elsewhere/secret")
    os.makedirs(os.path.join(root.path, "files"))
    os.symlink("../elsewhere", os.path.join(root.path, "files", "elsewhere"))
    assert root.take()[0].paths == ["files"]


def test_sockets_and_fifos_are_named_and_never_opened(root):
    root.write("files/x")
    os.mkfifo(os.path.join(root.path, "files", "fifo"))
    listening = socket.socket(socket.AF_UNIX)
    try:
        descriptor = os.open(root.path, os.O_RDONLY)
        listening.bind("/proc/self/fd/%d/files/socket" % descriptor)
        os.close(descriptor)
        seen, record, room = root.take()
    finally:
        listening.close()
    assert seen.paths == ["files", "files/x"]
    assert [text.split(" ")[0] for text in room.all_warnings()] == ["files/fifo", "files/socket"]


def test_a_live_database_among_files_is_pointed_out(root):
    os.mkdir(os.path.join(root.path, "files"))
    connection = sqlite3.connect(os.path.join(root.path, "files", "x.db"))
    connection.execute("CREATE TABLE t (a)")
    connection.close()
    seen, record, room = root.take()
    assert seen.paths == ["files", "files/x.db"]
    assert room.all_warnings() == ["files/x.db is a SQLite database taken as a plain file, which is not safe while it is in use; "
                                   "name it as a source of type sqlite"]


def test_what_changes_while_it_is_read_is_told(root):
    root.write("files/grows")
    assert root.take()[2].all_warnings() == ["files/grows grew while it was read"]


def test_what_vanishes_is_left_out(root):
    for number in range(5):
        root.write("files/%d/x" % number)

    class Vanishing(Seen):
        def add(self, member):
            super().add(member)
            if member.path == b"files/1":
                for name in ("1/x", "3/x", "3"):
                    place = os.path.join(root.path, "files", name)
                    (os.rmdir if os.path.isdir(place) else os.unlink)(place)

    app = parse_app({"name": "notes", "root": root.path, "destination": "/b", "sources": [{"type": "files", "path": "files"}]})
    descriptor = os.open(root.path, files.DIRECTORY)
    try:
        seen, room = Vanishing(), Room(app, descriptor)
        taker = FilesTaker(room, app.sources[0])
        taker.prepare()
        taker.write(seen)
    finally:
        os.close(descriptor)
    assert [path for path in seen.paths if path.endswith("x")] == ["files/0/x", "files/2/x", "files/4/x"]
    assert room.all_warnings() == []


def test_a_source_that_is_missing(root):
    with pytest.raises(SourceError, match="app notes: .*/files: the source is missing. .*required: false"):
        root.take()
    seen, record, room = root.take(required=False)
    assert seen.paths == [] and record["present"] is False


def test_a_source_that_is_a_link_or_lies_behind_one(root):
    root.write("real/x")
    os.symlink("real", os.path.join(root.path, "files"))
    with pytest.raises(SourceError, match="app notes: .*/files: is neither a file nor a directory"):
        root.take()
    with pytest.raises(SourceError, match="app notes: .*/files/x: cannot be reached.*symbolic link"):
        root.take("files/x")


def test_a_source_that_is_a_fifo(root):
    os.mkfifo(os.path.join(root.path, "files"))
    with pytest.raises(SourceError, match="is neither a file nor a directory"):
        root.take()


def test_a_source_that_vanishes_between_the_look_and_the_reading(root):
    root.write("files")
    with pytest.raises(SourceError, match="app notes: .*/files: cannot be read"):
        root.take(prepared=lambda: os.unlink(os.path.join(root.path, "files")))


def test_a_source_that_is_swapped_for_a_link_after_the_look(root):
    root.write("files/x")
    root.write("elsewhere/secret")

    def swap():
        os.rename(os.path.join(root.path, "files"), os.path.join(root.path, "files.old"))
        os.symlink("elsewhere", os.path.join(root.path, "files"))

    with pytest.raises(SourceError, match="cannot be read"):
        root.take(prepared=swap)


def test_what_cannot_be_read_is_counted_and_named(host):
    """Root can read all, so a child of another user takes this source."""
    host.write("files/open")
    host.write("files/shut", mode=0o000)
    host.write("files/closed/x")
    os.chmod(host.at("files/closed"), 0o000)
    os.chmod(host.path, 0o755)
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(os.stat(host.root).st_gid)
            os.setuid(os.stat(host.root).st_uid)
        seen, record, room = Root(host.root).take()
        os.write(writer, repr((seen.paths, record, room.all_warnings())).encode())
        os._exit(0)
    os.close(writer)
    paths, record, warnings = ast.literal_eval(os.read(reader, 10000).decode())
    os.close(reader)
    os.waitpid(child, 0)
    assert paths == ["files", "files/open"]
    assert record["unreadable"] == 2
    assert warnings == ["could not be read: files/closed: Permission denied", "could not be read: files/shut: Permission denied"]


def test_a_tree_that_is_too_deep_is_an_error_with_its_name(root):
    path = os.path.join(root.path, "files")
    os.mkdir(path)
    descriptor = os.open(path, os.O_RDONLY)
    for unused in range(210):
        os.mkdir("d", dir_fd=descriptor)
        inner = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(descriptor)
    with pytest.raises(Exception, match="nested more than 200 directories deep"):
        root.take()
