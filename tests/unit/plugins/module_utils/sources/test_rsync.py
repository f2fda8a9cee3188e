# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""rsync itself, called the way the engine calls it."""

from __future__ import annotations

import os
import subprocess
import threading
import time

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.sources import rsync
from ansible_collections.appstate.backup.plugins.module_utils.system import files
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import AppStateError, SourceError, SpaceError


class Places:
    """A source, and a directory for copies of it."""

    def __init__(self, path):
        self.path = str(path)
        self.open = []
        for name in ("source", "copies"):
            os.mkdir(self.at(name))
        self.source, self.copies = self.descriptor("source"), self.descriptor("copies")

    def at(self, *names):
        return os.path.join(self.path, *names)

    def descriptor(self, *names):
        self.open.append(os.open(self.at(*names), files.DIRECTORY))
        return self.open[-1]

    def write(self, name, content=b"content"):
        with open(os.path.join(os.fsencode(self.path), b"source", os.fsencode(name)), "wb") as file:
            file.write(content)

    def copy(self, name="first", earlier=None, patterns=()):
        return rsync.Rsync(self.source, patterns, True).copy(self.copies, name, earlier)

    def compare(self, earlier, patterns=()):
        call = rsync.Rsync(self.source, patterns, True).start_comparison(earlier)
        try:
            return call.listen(until_change=True)
        finally:
            call.end()


@pytest.fixture
def places(tmp_path):
    made = Places(tmp_path)
    yield made
    for descriptor in made.open:
        os.close(descriptor)


def test_a_copy_that_is_the_same_is_found_to_be(places):
    places.write("a")
    os.mkdir(places.at("source", "d"))
    os.symlink("../a", places.at("source", "d", "link"))
    assert places.copy().changed
    heard = places.compare(places.descriptor("copies", "first"))
    assert (heard.changed, heard.entries, heard.unsafe, heard.hidden) == (False, 4, [], {})


def test_any_difference_is_none(places):
    places.write("a")
    places.copy()
    copied = places.descriptor("copies", "first")
    places.write("b")
    assert places.compare(copied) is None
    os.unlink(places.at("source", "b"))
    assert places.compare(copied) is None  # The directory's time.
    os.utime(places.at("source"), ns=(1, os.stat(places.at("copies", "first")).st_mtime_ns))
    assert places.compare(copied).entries == 2


def test_what_it_leaves_out_is_told_by_its_real_name(places):
    os.mkfifo(os.path.join(os.fsencode(places.at("source")), b"odd \n\xff\\#101\xc3\xa9"))
    os.symlink("/etc/passwd", places.at("source", "out"))
    os.symlink("up/../../../x", places.at("source", "climbs"))
    places.write("secret")
    heard = places.copy(patterns=[b"/secret"])
    assert heard.specials == [b"odd \n\xff\\#101\xc3\xa9"]
    assert sorted(heard.unsafe) == [(b"climbs", b"up/../../../x"), (b"out", b"/etc/passwd")]
    assert heard.hidden == {b"/secret": 1}
    assert os.listdir(places.at("copies", "first")) == []
    compared = places.compare(places.descriptor("copies", "first"), [b"/secret"])
    assert (compared.specials, sorted(compared.unsafe), compared.hidden) == (heard.specials, sorted(heard.unsafe), heard.hidden)
    assert compared.entries == 1 + 2


def test_of_many_that_it_leaves_out_the_first_are_kept_and_all_are_counted(places, monkeypatch):
    monkeypatch.setattr(rsync, "MOST_TOLD", 3)
    for number in range(5):
        os.symlink("/x", places.at("source", "link%d" % number))
        os.mkfifo(places.at("source", "fifo%d" % number))
        places.write("%d.part" % number)
    heard = places.copy(patterns=[b"*.part"])
    assert (len(heard.unsafe), heard.unsafe_count, len(heard.specials), heard.special_count) == (3, 5, 3, 5)
    assert heard.hidden == {b"*.part": 5}


def test_what_did_not_change_is_linked(places):
    places.write("same")
    places.write("other")
    places.copy()
    places.write("other", b"changed")
    places.copy("second", places.descriptor("copies", "first"))
    assert os.path.samefile(places.at("copies", "first", "same"), places.at("copies", "second", "same"))
    assert open(places.at("copies", "first", "other"), "rb").read() == b"content"


def test_a_file_that_vanishes_is_no_failure(places):
    """rsync has listed it, and copies a large file first."""
    places.write("a")
    os.truncate(places.at("source", "a"), 256 << 20)
    places.write("b")

    def remove():
        _wait_for(lambda: _has_begun(places))
        os.unlink(places.at("source", "b"))

    thread = threading.Thread(target=remove)
    thread.start()
    heard = places.copy()
    thread.join()
    assert [os.path.basename(path) for path in heard.vanished] == [b"b"] and heard.unreadable == []
    assert os.listdir(places.at("copies", "first")) == ["a"]


def test_a_failure_says_what_rsync_says(places):
    with open(places.at("copies", "first"), "w"):
        pass
    with pytest.raises(AppStateError, match=r"rsync ended with status \d+: .*"):
        places.copy()


def test_a_full_destination_is_one(places):
    places.write("large", os.urandom(2 << 20))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", places.at("copies")], check=True)
    try:
        small = os.open(places.at("copies"), files.DIRECTORY)
        try:
            with pytest.raises(SpaceError, match="no space left for the copy that rsync makes.*Free some space"):
                rsync.Rsync(places.source, [], True).copy(small, "first")
        finally:
            os.close(small)
    finally:
        subprocess.run(["umount", places.at("copies")], check=True)


def test_variables_of_its_own_do_not_reach_it(places, monkeypatch):
    monkeypatch.setenv("RSYNC_PARTIAL_DIR", "/nowhere")
    monkeypatch.setenv("RSYNC_OLD_ARGS", "x")
    monkeypatch.setenv("RSYNC_RSH", "false")
    places.write("a")
    places.copy()
    assert os.listdir(places.at("copies", "first")) == ["a"]


def test_a_host_without_it_is_told_which_package_it_lacks(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SourceError, match="'method: rsync' needs rsync, and this host has none. Install the package rsync"):
        rsync.find_program()


def test_it_dies_with_the_run(places):
    """Else it would go on writing what the next run removes."""
    places.write("a")
    os.truncate(places.at("source", "a"), 64 << 30)
    before = _running(places)
    child = os.fork()
    if not child:
        try:
            places.copy()
        finally:
            os._exit(0)
    _wait_for(lambda: _has_begun(places))
    assert _running(places) != before
    os.kill(child, 9)
    os.waitpid(child, 0)
    _wait_for(lambda: _running(places) == before)
    assert _running(places) == before


def _wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.001)


def _has_begun(places):
    """Whether the first file is on its way."""
    return os.path.isdir(places.at("copies", "first")) and os.listdir(places.at("copies", "first"))


def _running(places):
    """Processes that have the source as their current directory, or the copies open."""
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink("/proc/%s/cwd" % pid).startswith(places.path):
                found.add(pid)
        except OSError:
            continue
    return found


@pytest.mark.parametrize("written, pattern", [
    ("cache", b"cache"), ("cache/", b"cache"), ("/cache", b"/cache"), ("a/b/", b"/a/b"), ("*.tmp", b"*.tmp"), ("a**b", b"a*b"),
    ("a/*.tmp", b"/a/**.tmp"), ("?x", b"?x"), ("[!a-c]x", b"[!a-c]x"), ("[^a]", b"[\\^a]"), ("[]a]", b"[\\]a]"), ("[a", b"\\[a"),
    ("a\\b", b"a\\b"), ("a\\*", b"a\\\\*"), ("[[:x]*", b"[\\[\\:x]*"), ("é*", "é*".encode()), ("/", None), ("", None)])
def test_patterns_are_those_of_a_source_of_files(written, pattern):
    assert rsync.pattern_of(written) == pattern


@pytest.mark.parametrize("path, pattern", [(b"a/b", b"/a/b"), (b"a*[b]?\\", b"/a\\*\\[b]\\?\\\\"), (b"a\\b", b"/a\\b")])
def test_a_path_is_a_pattern_for_itself_alone(path, pattern):
    assert rsync.literal(path) == pattern
