# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import stat
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.appstate.backup.plugins.module_utils.app import parse_app
from ansible_collections.appstate.backup.plugins.module_utils.archive.generation import name_of
from ansible_collections.appstate.backup.plugins.module_utils.catalog.catalog import list_backups
from ansible_collections.appstate.backup.plugins.module_utils.sources.files import FilesTaker
from ansible_collections.appstate.backup.plugins.module_utils.sources.mirror import MirrorTaker
from ansible_collections.appstate.backup.plugins.module_utils.sources.taking import Room, takers_of
from ansible_collections.appstate.backup.plugins.module_utils.system import files
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import ConfigurationError, SourceError, SpaceError

BLOBS = {"type": "files", "path": "blobs", "method": "rsync"}


class Lines:
    """Stands where the archive's writer does, for what a FilesTaker makes of the same source."""

    def __init__(self):
        self.lines = []

    def add(self, member):
        self.lines.append(member.line())

    def add_file(self, member, descriptor):
        member.digest = hashlib.blake2b(os.read(descriptor, 1 << 20), digest_size=32).hexdigest()
        self.add(member)


class Mirrored:
    """The app of a Host with a source of blobs, and its backups."""

    def __init__(self, host):
        self.host = host

    def write(self, name, content=b"content", mtime=1700000000123456789):
        return self.host.write("blobs/" + name, content, mtime=mtime)

    def backup(self, others=(), **words):
        taken = self.host.backup(sources=[dict(BLOBS, **words)] + list(others))
        return taken

    def record(self, taken):
        return next(source for source in taken.backup.manifest.sources if source["path"] == "blobs")

    def at(self, taken, *names):
        return os.path.join(self.host.destination, "notes", self.record(taken)["generation"], *names)

    def list(self, taken):
        with open(self.at(taken, "members.jsonl"), "rb") as file:
            return file.read().splitlines(True)

    def generations(self):
        return sorted(name for name in os.listdir(os.path.join(self.host.destination, "notes")) if name.endswith(".tree"))

    def content(self, taken, name):
        with open(self.at(taken, "files", name), "rb") as file:
            return file.read()


@pytest.fixture
def mirrored(host):
    made = Mirrored(host)
    host.directory("blobs")
    return made


def taken_as_files(root, others=(), **words):
    """``(lines, record, warnings)`` of a source that is taken into an archive."""
    app = parse_app({"name": "notes", "root": root, "destination": "/backups",
                     "sources": [dict({"type": "files", "path": "blobs"}, **words)] + list(others)})
    descriptor = os.open(root, files.DIRECTORY)
    try:
        room, seen = Room(app, descriptor), Lines()
        taker = FilesTaker(room, app.sources[0])
        taker.prepare()
        taker.write(seen)
        return seen.lines, taker.record(), room.all_warnings()
    finally:
        os.close(descriptor)


def fill_oddly(host):
    """What a source can have in it."""
    top = os.fsencode(host.at("blobs"))
    for name in (b"a", b"a.b/x", b"a-/x", b"\xff\n\\#101", "é".encode(), b"-rf", b" ", b"deep/er/still/file", b"cache/x"):
        path = os.path.join(top, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(name * 3)
    os.mkdir(os.path.join(top, b"empty"), 0o2711)
    os.chmod(os.path.join(top, b"a"), 0o4755)
    os.link(os.path.join(top, b"a"), os.path.join(top, b"same"))
    os.symlink(b"../deep/er", os.path.join(top, b"a.b/in"))
    os.symlink(b"dangling \xff", os.path.join(top, b"dangling"))
    os.symlink(b"../../etc", os.path.join(top, b"a.b/out"))
    os.symlink(b"/etc/passwd", os.path.join(top, b"absolute"))
    os.mkfifo(os.path.join(top, b"fifo"))
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.join(os.fsdecode(top), "socket"))
    for name in (b"gone.before-restore-20261119T030000Z/x", b"no.before-restore-20261119/x", b"inner.db", b"inner.db-wal"):
        path = os.path.join(top, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(b"x")
    if os.geteuid() == 0:
        os.chown(os.path.join(top, b"deep"), 3001, 0)
        os.chown(os.path.join(top, b"deep/er/still/file"), 1, 3002)


def test_it_takes_what_files_take(mirrored, host):
    fill_oddly(host)
    others = [{"type": "files", "path": "blobs/inner.db"}, {"type": "files", "path": "blobs/inner.db-wal"}]
    lines, record, warnings = taken_as_files(host.root, others, exclude=["/cache", "still"])
    taken = mirrored.backup(others, exclude=["/cache", "still"])
    assert mirrored.list(taken) == lines
    found = mirrored.record(taken)
    assert {key: found[key] for key in record} == record
    assert found["excluded"] == 2 and found["list"]["count"] == len(lines)
    assert sorted(taken.warnings) == sorted(warnings) and len(warnings) == 4
    assert stat.S_IMODE(os.stat(mirrored.at(taken)).st_mode) == 0o700


NAMES = st.text("ab.[]*?!^-\\é", min_size=1, max_size=3).filter(lambda name: name not in (".", ".."))
PATTERNS = st.text("ab.[]*!^-\\/é", min_size=1, max_size=4)


@settings(max_examples=60)
@given(paths=st.lists(st.lists(NAMES, min_size=1, max_size=3).map("/".join), max_size=6),
       patterns=st.lists(PATTERNS, max_size=2))
def test_patterns_leave_out_what_they_leave_out_of_files(tmp_path_factory, paths, patterns):
    """Sets stand for bytes here, so a set never meets a name that is not ASCII in these examples."""
    if any("[" in pattern for pattern in patterns):
        paths = [path.replace("é", "a") for path in paths]
        patterns = [pattern.replace("é", "a") for pattern in patterns]
    root = str(tmp_path_factory.mktemp("patterns"))
    os.mkdir(os.path.join(root, "blobs"))
    for path in paths:
        place = os.path.join(root, "blobs", path)
        try:
            os.makedirs(os.path.dirname(place), exist_ok=True)
            with open(place, "w"):
                pass
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            continue
    lines, record, unused = taken_as_files(root, exclude=patterns)
    found, told = mirror_of(root, exclude=patterns)
    assert (found, told["excluded"]) == (lines, record["excluded"])
    shutil.rmtree(root)


def mirror_of(root, **words):
    """``(lines, record)`` of a source that is taken by itself."""
    destination = root + ".backups"
    os.makedirs(os.path.join(destination, "notes"))
    app = parse_app({"name": "notes", "root": root, "destination": destination, "sources": [dict(BLOBS, **words)]})
    descriptor, directory = os.open(root, files.DIRECTORY), os.open(os.path.join(destination, "notes"), files.DIRECTORY)
    try:
        taker = MirrorTaker(Room(app, descriptor, directory, "notes-20261119T030000Z"), app.sources[0])
        taker.prepare()
        taker.write(None)
        record = taker.record()
        taker.publish()
        with open(os.path.join(destination, "notes", record["generation"], "members.jsonl"), "rb") as file:
            lines = file.read().splitlines(True)
        taker.close()
        return lines, record
    finally:
        os.close(descriptor)
        os.close(directory)
        shutil.rmtree(destination)


def test_the_method_says_who_takes_a_source(host):
    host.fill()
    app = host.app(sources=[BLOBS, {"type": "files", "path": "uploads"}, {"type": "sqlite", "path": "data/notes.db"}])
    assert [type(taker).__name__ for taker in takers_of(Room(app, None))] == ["SqliteTaker", "MirrorTaker", "FilesTaker"]
    with pytest.raises(ConfigurationError, match="method"):
        host.app(sources=[dict(BLOBS, method="copy")])


def test_where_nothing_changed_the_earlier_generation_is_this_one_too(mirrored, host, tree):
    fill_oddly(host)
    first = mirrored.backup(exclude=["cache"])
    before = tree(mirrored.at(first))
    second = mirrored.backup(exclude=["cache"])
    assert mirrored.record(second) == mirrored.record(first)
    assert mirrored.generations() == [name_of(first.backup.id, 1)]
    assert second.warnings == first.warnings
    assert tree(mirrored.at(first)) == before
    assert second.backup.id != first.backup.id


def change(host, how):
    path = host.at("blobs/b")
    if how == "content":
        host.write("blobs/b", b"longer than before")
    elif how == "time, by a nanosecond":
        os.utime(path, ns=(0, 1700000000123456790))
    elif how == "mode":
        os.chmod(path, 0o600)
    elif how == "owner":
        os.chown(path, 3005, -1)
    elif how == "added":
        host.write("blobs/new")
    elif how == "removed":
        os.unlink(path)
    elif how == "link":
        os.unlink(host.at("blobs/l"))
        os.symlink("a", host.at("blobs/l"))
    elif how == "directory for a file":
        os.unlink(path)
        os.mkdir(path)
    elif how == "mode of a directory":
        os.chmod(host.at("blobs"), 0o711)


@pytest.mark.parametrize("how", ["content", "time, by a nanosecond", "mode", "owner", "added", "removed", "link",
                                 "directory for a file", "mode of a directory"])
def test_whatever_changed_makes_a_new_generation(mirrored, host, how):
    mirrored.write("a")
    mirrored.write("b")
    os.symlink("b", host.at("blobs/l"))
    first = mirrored.backup()
    above = os.stat(host.at("blobs"))
    change(host, how)
    # What is in a directory shows by itself too, and not only by its time.
    os.utime(host.at("blobs"), ns=(above.st_atime_ns, above.st_mtime_ns))
    second = mirrored.backup()
    assert mirrored.record(second)["generation"] == name_of(second.backup.id, 1)
    assert mirrored.list(second) == taken_as_files(host.root)[0]
    assert os.path.samefile(mirrored.at(first, "files/a"), mirrored.at(second, "files/a"))
    for taken in (first, second):
        assert host.verify(app=host.app(sources=[BLOBS]), which=taken.backup.id).ok


def test_what_is_left_out_from_now_on_is_not_in_the_next(mirrored, host):
    mirrored.write("a")
    mirrored.write("b")
    mirrored.backup()
    second = mirrored.backup(exclude=["b"])
    assert os.listdir(mirrored.at(second, "files")) == ["a"]
    third = mirrored.backup()
    assert sorted(os.listdir(mirrored.at(third, "files"))) == ["a", "b"]


def test_what_did_not_change_is_not_read_again_and_keeps_its_digest(mirrored, host):
    for number in range(20):
        mirrored.write("%d" % number, b"%d" % number)
    first = mirrored.backup()
    mirrored.write("7", b"changed")
    second = mirrored.backup()
    before, after = mirrored.list(first), mirrored.list(second)
    differing = [json.loads(line)["path"] for line, other in zip(before, after) if line != other]
    assert differing == ["blobs/7"]
    assert after == taken_as_files(host.root)[0]
    assert mirrored.content(first, "7") == b"7" and mirrored.content(second, "7") == b"changed"


def test_an_earlier_generation_is_never_written_to(mirrored, host, tree):
    mirrored.write("a", b"first")
    mirrored.write("b", b"first")
    first = mirrored.backup()
    before = tree(mirrored.at(first))
    with open(host.at("blobs/a"), "r+b") as file:  # The same file in the source, not a new one.
        file.write(b"second")
    os.chmod(host.at("blobs/b"), 0o777)
    os.utime(host.at("blobs"))
    mirrored.backup()
    assert tree(mirrored.at(first)) == before


def test_damage_in_what_both_share_is_found_in_both(mirrored, host):
    mirrored.write("a", b"what it was")
    mirrored.write("b")
    first = mirrored.backup()
    path = mirrored.at(first, "files/a")
    with open(path, "r+b") as file:
        file.write(b"What it was")
    os.utime(path, ns=(0, 1700000000123456789))
    mirrored.write("b", b"changed")
    second = mirrored.backup()
    for taken in (first, second):
        found = host.verify(app=host.app(sources=[BLOBS]), which=taken.backup.id)
        assert found.problems == [{"member": "blobs/a",
                                   "problem": "has other content than was backed up (its digest differs)"}]


def test_what_rsync_does_not_see_is_not_taken(mirrored):
    """Documented: the same size and the same time to the nanosecond are the same file."""
    mirrored.write("a", b"one")
    first = mirrored.backup()
    mirrored.write("a", b"two")
    assert mirrored.record(mirrored.backup()) == mirrored.record(first)
    mirrored.write("a", b"two", mtime=1700000000123456788)
    assert mirrored.content(mirrored.backup(), "a") == b"two"


def test_a_list_that_is_damaged_is_not_built_upon(mirrored, host):
    mirrored.write("a")
    first = mirrored.backup()
    with open(mirrored.at(first, "members.jsonl"), "r+b") as file:
        file.write(b"[")
    second = mirrored.backup()
    assert [warning for warning in second.warnings if "so all of blobs is copied anew" in warning]
    assert not os.path.samefile(mirrored.at(first, "files/a"), mirrored.at(second, "files/a"))
    assert host.verify(app=host.app(sources=[BLOBS])).ok


def test_a_generation_of_a_backup_that_is_not_good_is_not_built_upon(mirrored):
    mirrored.write("a")
    first = mirrored.backup()
    os.unlink(first.backup.path)
    second = mirrored.backup()
    assert mirrored.record(second)["generation"] == name_of(second.backup.id, 1)
    # That manifest may still be put right, so its generation stays.
    assert mirrored.generations() == [name_of(first.backup.id, 1), name_of(second.backup.id, 1)]


def test_a_backup_that_fails_leaves_no_generation(mirrored, host):
    mirrored.write("a")
    host.write("x.db", b"SQLite format 3\0" + bytes(5000))
    with pytest.raises(Exception):
        mirrored.backup([{"type": "sqlite", "path": "x.db"}])
    assert os.listdir(os.path.join(host.destination, "notes")) == []


def test_a_destination_that_is_full_is_named_and_nothing_is_left(mirrored, host):
    mirrored.write("large", os.urandom(2 << 20))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=755", "tmpfs", host.destination], check=True)
    try:
        with pytest.raises(SpaceError, match="app notes: %s/notes: no space left for the copy that rsync makes" % host.destination):
            mirrored.backup()
        assert os.listdir(os.path.join(host.destination, "notes")) == []
    finally:
        subprocess.run(["umount", host.destination], check=True)


def test_a_source_that_is_missing(mirrored, host):
    os.rmdir(host.at("blobs"))
    with pytest.raises(SourceError, match="app notes: .*/blobs: the source is missing"):
        mirrored.backup()
    taken = mirrored.backup(required=False)
    assert mirrored.record(taken) == {"type": "files", "path": "blobs", "present": False}
    assert mirrored.generations() == []


def test_a_file_is_no_directory(mirrored, host):
    os.rmdir(host.at("blobs"))
    host.write("blobs")
    with pytest.raises(SourceError, match="app notes: .*/blobs: is no directory, .* Leave 'method' out"):
        mirrored.backup()


def test_a_link_on_the_way_is_refused(mirrored, host):
    os.rename(host.at("blobs"), host.at("real"))
    os.symlink("real", host.at("blobs"))
    with pytest.raises(SourceError, match="app notes: .*/blobs: is neither a file nor a directory"):
        mirrored.backup()


def test_a_host_without_rsync(mirrored, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SourceError, match="app notes: 'method: rsync' needs rsync.*Install the package rsync"):
        mirrored.backup()


def test_a_database_among_the_files_is_warned_of(mirrored, host):
    mirrored.write("x.db", b"SQLite format 3\0rest")
    assert mirrored.backup().warnings == [
        "blobs/x.db is a SQLite database taken as a plain file, which is not safe while it is in use; name it as a source of "
        "type sqlite"]


def test_what_cannot_be_read_makes_it_incomplete_each_time(mirrored, host):
    """As the application's own user, since root reads all."""
    mirrored.write("open")
    host.write("blobs/shut", mode=0)
    mirrored.write("closed/x")
    os.chmod(host.at("blobs/closed"), 0)
    for path in (host.destination, host.path):
        os.chmod(path, 0o777)
    report = host.place("report")
    child = os.fork()
    if not child:
        try:
            found = os.stat(host.root)
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(found.st_gid)
                os.setuid(found.st_uid)
            told = []
            for unused in range(2):
                taken = mirrored.backup()
                told.append([taken.complete, sorted(taken.warnings), mirrored.record(taken)["unreadable"],
                             [json.loads(line)["path"] for line in mirrored.list(taken)], os.listdir(mirrored.at(taken, "files"))])
            with open(report, "w") as file:
                json.dump(told, file)
        finally:
            os._exit(0)  # Whatever happened: this is no second run of all tests.
    os.waitpid(child, 0)
    with open(report) as file:
        told = json.load(file)
    assert told == [[False, ["could not be read: blobs/closed: Permission denied", "could not be read: blobs/shut: Permission denied"],
                     2, ["blobs", "blobs/open"], ["open"]]] * 2


def test_each_source_has_generations_of_its_own(mirrored, host):
    host.write("media/m")
    mirrored.write("a")
    others = [{"type": "files", "path": "media", "method": "rsync"}]
    first = mirrored.backup(others)
    host.write("media/n")
    second = mirrored.backup(others)
    assert mirrored.generations() == [name_of(first.backup.id, 1), name_of(first.backup.id, 2), name_of(second.backup.id, 2)]
    assert mirrored.record(second) == mirrored.record(first)
    assert all(backup.problem is None for backup in list_backups(os.path.join(host.destination, "notes"), "notes"))
