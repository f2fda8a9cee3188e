# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Archives of old shell recipes, made here as those recipes make them, and restored."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.operations.plan import Plan, Target
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import (
    AppStateError, ArchiveError, ConfigurationError, RestoreError)


def tar(archive, *words, **options):
    """Runs GNU tar."""
    subprocess.run(["tar", "caf", archive, *words], check=True, stderr=subprocess.DEVNULL, **options)
    return archive


def restored(host, archive, **words):
    """Verifies and restores an archive; what the restore says."""
    assert host.verify(archive=archive).problems == []
    return host.restore({"archive": archive}, **words).restore().to_dict()


@pytest.fixture
def old(host):
    """A host whose state was archived by a recipe (each test's own) before it was damaged."""
    host.fill("delete")
    return host


@pytest.mark.parametrize("ending", [".tar", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst"])
def test_database_uploads_and_settings_in_any_compression(old, tree, ending):
    archive = tar(old.place("old" + ending), "-C", old.root, "data/notes.db", "uploads", "data/settings.json")
    before = tree(old.root)
    old.damage()
    told = restored(old, archive)
    after = {path: found for path, found in tree(old.root).items() if b".before-restore-" not in path}
    # This tar format keeps no fractions of seconds.
    assert {path: found[:4] for path, found in after.items()} == {path: found[:4] for path, found in before.items()}
    assert told["warnings"] == []


def test_a_transform_that_failed_to_match_leaves_the_database_elsewhere(old):
    snapshot = "/tmp/appstate-test-notes.db.snapshot.%d" % os.getpid()
    shutil.copy(old.at("data/notes.db"), snapshot)
    try:
        archive = tar(old.place("old.tgz"), "-C", old.root, "--transform", "s|%s|data/notes.db|" % snapshot, snapshot,
                      "uploads", "data/settings.json")
    finally:
        os.unlink(snapshot)
    old.damage()
    told = restored(old, archive)
    assert old.notes() == 20
    assert told["warnings"] == ["%s in the archive is taken as data/notes.db" % snapshot.lstrip("/")]


def test_a_cold_copy_with_its_wal(host):
    host.fill()
    host.crash(count=5)
    assert os.path.getsize(host.at("data/notes.db-wal")) > 0
    archive = tar(host.place("cold.tgz"), "-C", host.root, "data/notes.db", "data/notes.db-wal", "data/notes.db-shm", "uploads",
                  "data/settings.json")
    host.add_notes(50)
    told = restored(host, archive)
    assert host.notes() == 25
    assert not os.path.exists(host.at("data/notes.db-wal"))
    assert told["warnings"] == []


def test_a_wal_goes_along_with_a_database_that_lies_elsewhere(host):
    host.fill()
    host.crash(count=5)
    shutil.copytree(host.at("data"), host.place("copied"))
    archive = tar(host.place("cold.tgz"), "-C", host.path, "copied/notes.db", "copied/notes.db-wal", "copied/notes.db-shm")
    host.add_notes(50)
    told = restored(host, archive)
    assert host.notes() == 25
    assert "copied/notes.db in the archive is taken as data/notes.db" in told["warnings"]
    assert not any("belong to no source" in warning for warning in told["warnings"])


def test_a_hot_journal_is_rolled_back(host):
    host.fill("delete")
    script = ("import os, sqlite3, sys\n"
              "c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
              "c.execute('PRAGMA cache_size=2')\nc.execute('BEGIN IMMEDIATE')\n"
              "c.execute('WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<2000)"
              " INSERT INTO notes(text) SELECT hex(randomblob(200)) FROM n')\nos.kill(os.getpid(), 9)\n")
    subprocess.run(["python3", "-c", script, host.at("data/notes.db")], check=False)
    assert os.path.getsize(host.at("data/notes.db-journal")) > 512
    archive = tar(host.place("cold.tgz"), "-C", host.root, "data/notes.db", "data/notes.db-journal")
    restored(host, archive)
    assert host.notes() == 20


@pytest.mark.parametrize("squeeze", [False, True])
def test_a_bare_database(old, squeeze):
    archive = old.place("notes.db.gz" if squeeze else "copy.db")
    with open(old.at("data/notes.db"), "rb") as source, (gzip.open if squeeze else open)(archive, "wb") as target:
        shutil.copyfileobj(source, target)
    old.damage()
    told = restored(old, archive)
    assert old.notes() == 20
    assert told["restored"] == [old.at("data/notes.db")]
    assert "uploads is not in the archive, so it stays as it is" in told["warnings"]


@pytest.mark.parametrize("there", [True, False])
def test_a_bare_database_belongs_to_whom_the_one_before_did(old, there):
    archive = old.place("copy.db")
    shutil.copyfile(old.at("data/notes.db"), archive)
    os.chmod(old.at("data/notes.db"), 0o640)
    owner = (4242, 4243) if os.geteuid() == 0 else (os.getuid(), os.getgid())
    os.chown(old.at("data/notes.db") if there else old.root, *owner)
    if not there:
        os.remove(old.at("data/notes.db"))
    restored(old, archive)
    found = os.stat(old.at("data/notes.db"))
    assert (found.st_uid, found.st_gid) == owner and found.st_mode & 0o777 == (0o640 if there else 0o600)


@pytest.mark.parametrize("tail", [0, 1, 2])
def test_paths_with_the_root_or_the_end_of_it_in_front(old, tail):
    top = old.root
    for unused in range(tail):
        top = os.path.dirname(top)
    if tail == 2:
        top = "/"
    prefix = os.path.relpath(old.root, top)
    archive = tar(old.place("old.tgz"), "-C", top, prefix)
    old.damage()
    told = restored(old, archive)
    assert old.notes() == 20 and not os.path.exists(old.at("uploads/new.bin"))
    assert told["warnings"] == []


def test_hard_links_become_files_of_their_own(old):
    os.link(old.at("uploads/a.bin"), old.at("uploads/z.bin"))
    archive = tar(old.place("old.tgz"), "-C", old.root, "data", "uploads")
    old.damage()
    restored(old, archive)
    assert os.stat(old.at("uploads/z.bin")).st_nlink == 1
    with open(old.at("uploads/z.bin"), "rb") as file:
        assert file.read() == b"a" * 3000


def test_a_list_of_files_without_their_directories(old):
    archive = tar(old.place("old.tgz"), "-C", old.root, "data/notes.db", "uploads/a.bin", "uploads/deep/er/b.bin")
    old.damage()
    restored(old, archive)
    for path in ("uploads", "uploads/deep", "uploads/deep/er"):
        found = os.stat(old.at(path))
        assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == \
            (os.stat(old.root).st_uid, os.stat(old.root).st_gid, 0o755)
    restored_again = old.restore({"archive": archive, "force": True}, directory_mode="0710")
    restored_again.restore()
    assert os.stat(old.at("uploads/deep")).st_mode & 0o7777 == 0o710


def test_a_database_inside_a_source_of_files_is_a_database_first(host):
    host.fill()
    host.crash(count=5)
    sources = [{"type": "files", "path": "data"}, {"type": "sqlite", "path": "data/notes.db"}]
    archive = tar(host.place("cold.tgz"), "-C", host.root, "data")
    host.add_notes(50)
    host.restore({"archive": archive}, sources=sources).restore()
    assert host.notes() == 25
    assert sorted(os.listdir(host.at("data"))) == ["notes.db", "settings.json"]


def test_two_databases_of_which_either_may_be_meant(old, tree):
    shutil.copy(old.at("data/notes.db"), old.place("one.db"))
    shutil.copy(old.at("data/notes.db"), old.place("two.db"))
    archive = tar(old.place("old.tgz"), "-C", old.path, "one.db", "two.db")
    before = tree(old.root)
    with pytest.raises(RestoreError, match="app notes: the archive has one.db, two.db, and it cannot be told which one is data/notes.db"):
        old.restore({"archive": archive}).restore()
    assert tree(old.root) == before and old.left() == []


def test_one_database_for_two_sources(old):
    sources = old.sources() + [{"type": "sqlite", "path": "data/more.db"}]
    archive = old.place("copy.db")
    shutil.copy(old.at("data/notes.db"), archive)
    with pytest.raises(RestoreError, match="cannot be told"):
        old.restore({"archive": archive}, sources=sources).restore()


def test_an_archive_of_something_else(old, tree):
    os.mkdir(old.place("else"))
    with open(old.place("else", "file"), "w") as file:
        file.write("else")
    archive = tar(old.place("old.tgz"), "-C", old.path, "else")
    before = tree(old.root)
    with pytest.raises(RestoreError, match="app notes: the archive has no database for data/notes.db. List it"):
        old.restore({"archive": archive}).restore()
    with pytest.raises(RestoreError, match="app notes: nothing in the archive belongs to a source of the app"):
        old.restore({"archive": archive}, sources=[{"type": "files", "path": "uploads"}]).restore()
    assert tree(old.root) == before and old.left() == []


def test_files_that_belong_to_no_source_are_counted(old):
    old.write("elsewhere/one")
    old.write("elsewhere/two")
    archive = tar(old.place("old.tgz"), "-C", old.root, ".")
    told = restored(old, archive)
    assert told["warnings"] == ["the archive has 2 more files that belong to no source, and are not restored"]


def test_one_file_twice_is_refused(old, tree):
    archive = tar(old.place("old.tar"), "-C", old.root, "data/notes.db")
    subprocess.run(["tar", "rf", archive, "-C", old.path, "app/data/notes.db"], check=True)
    before = tree(old.root)
    with pytest.raises(ArchiveError, match="two members have the same path"):
        old.restore({"archive": archive}).restore()
    assert tree(old.root) == before and old.left() == []


@pytest.mark.parametrize("words, name", [
    (["--transform", "s|^|../../|", "-P"], "'..'"), (["--transform", "s|^|/etc/|", "-P"], "absolute")])
def test_members_that_lead_out_are_refused(old, tree, words, name):
    archive = tar(old.place("old.tar"), *words, "-C", old.root, "data/notes.db")
    before = tree(old.path)
    with pytest.raises(ArchiveError, match="app notes: .*%s" % name):
        old.restore({"archive": archive}).restore()
    after = tree(old.path)
    assert {path: after[path] for path in before if path.startswith(b"app")} == \
        {path: found for path, found in before.items() if path.startswith(b"app")}


def test_links_out_devices_and_cuts_are_refused(old, tree):
    os.symlink("/etc/passwd", old.at("uploads/out"))
    out = tar(old.place("out.tar"), "-C", old.root, "data/notes.db", "uploads")
    os.unlink(old.at("uploads/out"))
    os.mkfifo(old.at("uploads/fifo"))
    fifo = tar(old.place("fifo.tar"), "-C", old.root, "data/notes.db", "uploads")
    os.unlink(old.at("uploads/fifo"))
    cut = tar(old.place("cut.tgz"), "-C", old.root, "data/notes.db", "uploads")
    os.truncate(cut, os.path.getsize(cut) - 20)
    before = tree(old.root)
    for archive, reason in ((out, "leads out of the tree"), (fifo, "a FIFO"), (cut, "decompressed|cut short")):
        with pytest.raises(ArchiveError, match=reason):
            old.restore({"archive": archive}).restore()
        assert not old.verify(archive=archive).ok
    assert tree(old.root) == before and old.left() == []


def test_a_file_that_is_no_archive(old):
    with pytest.raises(AppStateError, match="app notes: "):
        old.restore({"archive": old.write("data/text", b"some text\n" * 200)}).restore()
    with pytest.raises(AppStateError, match="app notes: .*%s" % old.place("none.tgz")):
        old.restore({"archive": old.place("none.tgz")}).restore()


def test_ways_to_choose_exclude_one_another(old):
    with pytest.raises(ConfigurationError, match="app notes: .*exclude one another"):
        old.restore({"archive": "/x.tgz", "which": "notes-20261119T030000Z"}).restore()


def test_a_plan_for_some_members_alone():
    plan = Plan([Target("data", "files"), Target("data/sub/x.db", "sqlite"), Target("gone", "files", present=False)])

    def paths(*only):
        return [(target.path, target.type) for target in plan.narrowed(only, "notes").targets]

    assert paths() == [("data", "files"), ("data/sub/x.db", "sqlite"), ("gone", "files")]
    assert paths("data") == [("data", "files"), ("data/sub/x.db", "sqlite")]
    assert paths("data/sub") == [("data/sub/x.db", "sqlite"), ("data/sub", "files")]
    assert paths("data/sub/x.db") == [("data/sub/x.db", "sqlite")]
    assert paths("data//other/", "./data/other") == [("data/other", "files")]
    assert paths("gone") == [("gone", "files")]
    for nothing in ("datax", "gone/inside", "dat", ""):
        with pytest.raises(RestoreError, match="app notes: the backup has nothing at .* It has: data, data/sub/x.db, gone"):
            paths(nothing)
    assert [target.path for target in plan.outermost()] == ["data", "gone"]
