# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Databases are found by what they begin with, on a real tree and over real mounts."""

from __future__ import annotations

import os
import sqlite3
import subprocess

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.app import parse_app
from ansible_collections.appstate.backup.plugins.module_utils.operations.coverage import find_databases
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import SourceError

ROOT = os.geteuid() == 0


def database(path):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE t (a)")
    connection.commit()
    connection.close()


def app(root, name="notes", **words):
    return parse_app(dict({"name": name, "root": str(root), "destination": str(root) + "-backups",
                           "sources": [{"type": "sqlite", "path": "data/notes.db"}]}, **words))


def find(*roots, apps=(), **words):
    return find_databases([str(root) for root in roots], list(apps), **words)


def paths(found, base):
    return [os.path.relpath(each["path"], base) for each in found.databases]


def test_a_database_is_found_by_its_header_whatever_it_is_called(tmp_path):
    names = ["data/notes.db", "data/no ending", "data/\u00fcml\u00e4ut.txt", ".hidden/places.sqlite", "deep/" * 20 + "x.jpg"]
    for name in names:
        database(str(tmp_path / name))
    database(os.path.join(os.fsencode(str(tmp_path)), b"latin-\xe4"))
    (tmp_path / "no.db").write_bytes(b"not a database at all" * 100)
    (tmp_path / "empty.db").write_bytes(b"")
    (tmp_path / "cut.db").write_bytes(b"SQLite format 3\0")
    found = find(tmp_path)
    assert sorted(paths(found, str(tmp_path))) == sorted(names + ["latin-\\xe4"])
    assert found.complete and found.unreadable == 0
    assert found.databases[0]["size"] == 8192 and found.databases[0]["app"] is None


def test_each_is_told_with_the_app_that_covers_it(tmp_path):
    for name in ("notes/data/notes.db", "notes/data/other.db", "wiki/data/notes.db", "wiki/files/as-file.db"):
        database(str(tmp_path / name))
    apps = [app(tmp_path / "notes"), app(tmp_path / "wiki", "wiki", sources=[{"type": "sqlite", "path": "data/notes.db"},
                                                                             {"type": "files", "path": "files"}])]
    found = find(tmp_path, apps=apps)
    assert {os.path.relpath(each["path"], str(tmp_path)): each["app"] for each in found.databases} == {
        "notes/data/notes.db": "notes", "notes/data/other.db": None, "wiki/data/notes.db": "wiki", "wiki/files/as-file.db": None}


def test_backups_caches_and_what_somebody_names_are_left_out(tmp_path):
    for name in ("notes/data/notes.db", "notes-backups/notes/copy.db", "notes-backups/elsewhere/kept.db", "home/.cache/x.db",
                 "home/node_modules/x.db", "home/Cache/x.db", "home/.git/x.db", "skipped/x.db", "skipped-not/x.db"):
        database(str(tmp_path / name))
    found = find(tmp_path, apps=[app(tmp_path / "notes")], skip=[str(tmp_path / "skipped") + "/"])
    assert paths(found, str(tmp_path)) == ["notes-backups/elsewhere/kept.db", "notes/data/notes.db", "skipped-not/x.db"]


def test_what_a_restore_set_aside_or_staged_is_no_databases_of_its_own(tmp_path):
    for name in ("data/notes.db", "data/notes.db.before-restore-20261119T030000Z", "uploads.before-restore-20261119T030000Z/x.db",
                 ".appstate-notes.restore-0123456789abcdef/x.db"):
        database(str(tmp_path / name))
    assert paths(find(tmp_path), str(tmp_path)) == ["data/notes.db"]


def test_links_are_not_followed(tmp_path):
    database(str(tmp_path / "real/notes.db"))
    (tmp_path / "walked").mkdir()
    os.symlink(tmp_path / "real", tmp_path / "walked" / "directory")
    os.symlink(tmp_path / "real" / "notes.db", tmp_path / "walked" / "file.db")
    os.symlink("loop", tmp_path / "walked" / "loop")
    os.mkfifo(tmp_path / "walked" / "fifo")
    assert find(tmp_path / "walked").databases == []


def test_hard_links_are_both_told(tmp_path):
    database(str(tmp_path / "a.db"))
    os.link(tmp_path / "a.db", tmp_path / "b.db")
    assert paths(find(tmp_path), str(tmp_path)) == ["a.db", "b.db"]


def test_the_walk_is_bounded(tmp_path):
    for number in range(20):
        database(str(tmp_path / ("%02d.db" % number)))
    found = find(tmp_path, most_entries=5)
    assert len(found.databases) == 5 and not found.complete
    found = find(tmp_path, seconds=0)
    assert found.databases == [] and not found.complete
    assert find(tmp_path, most_entries=20).complete


def test_a_tree_that_is_too_deep_ends_that_walk_and_not_the_others(tmp_path):
    deep = str(tmp_path / "a")
    os.mkdir(deep)
    here = os.open(deep, os.O_RDONLY)
    for unused in range(230):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    database(str(tmp_path / "b.db"))
    found = find(tmp_path)
    assert paths(found, str(tmp_path)) == ["b.db"]
    assert not found.complete
    subprocess.run(["rm", "-rf", deep], check=True)


def test_a_root_that_is_missing_is_an_error(tmp_path):
    with pytest.raises(SourceError) as caught:
        find(tmp_path / "missing")
    assert "missing" in str(caught.value)


def test_one_database_is_told_once_although_two_walks_come_by(tmp_path):
    database(str(tmp_path / "inner/x.db"))
    assert paths(find(tmp_path, tmp_path / "inner"), str(tmp_path)) == ["inner/x.db"]


def test_another_file_system_is_not_walked_unless_it_is_named(tmp_path):
    """As root a real mount is made; without, the memory file system that every Linux has is one already."""
    database(str(tmp_path / "x.db"))
    if ROOT:
        (tmp_path / "mounted").mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(tmp_path / "mounted")], check=True)
        try:
            database(str(tmp_path / "mounted" / "y.db"))
            assert paths(find(tmp_path), str(tmp_path)) == ["x.db"]
            assert paths(find(tmp_path, tmp_path / "mounted"), str(tmp_path)) == ["mounted/y.db", "x.db"]
        finally:
            subprocess.run(["umount", str(tmp_path / "mounted")], check=True)
    found = find("/dev", most_entries=100000)
    assert not [each for each in found.databases if each["path"].startswith("/dev/shm/")]


def test_what_cannot_be_read_is_counted_and_ends_nothing():
    """The kernel's own tree has directories that open and cannot be listed, and files that vanish or fail."""
    assert find("/proc", most_entries=20000).databases == []
