# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime
import json
import os
import shutil
import time

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.archive.manifest import FORMAT, Manifest
from ansible_collections.appstate.backup.plugins.module_utils.system.times import stamp
from ansible_collections.appstate.backup.plugins.module_utils.catalog import catalog
from ansible_collections.appstate.backup.plugins.module_utils.system import copying, files
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import (
    AppStateError, ArchiveError, ConfigurationError, SourceError)
from ansible_collections.appstate.backup.tests.unit.plugins.no_links import cannot_link

BEGIN = datetime.datetime(2026, 11, 19, 3, 0, 0, tzinfo=datetime.timezone.utc)
DIGEST = "0" * 64


def manifest(created, size, app="notes", **changes):
    """The manifest of a backup, as it lies beside an archive."""
    id = "%s-%s" % (app, stamp(created))
    content = {
        "format": FORMAT, "id": id, "app": app, "host": "host", "created": created.strftime("%Y-%m-%dT%H:%M:%SZ"), "duration": 1.5,
        "kind": "full", "app_version": None, "sources": [], "members": {"count": 0, "bytes": 0, "digest": DIGEST},
        "verified": None, "warnings": []}
    content.update(changes)
    return Manifest(content).beside({"name": id + ".tar.gz", "size": size, "digest": DIGEST}, None)


class Store:
    """An app's directory of backups."""

    def __init__(self, path):
        self.path = str(path)
        self.descriptor = os.open(self.path, files.DIRECTORY)

    def publish(self, minutes, content=b"archive", app="notes"):
        """Publishes a backup that was begun some minutes after the first."""
        created = BEGIN + datetime.timedelta(minutes=minutes)
        described = manifest(created, len(content), app)
        with catalog.Publication(self.descriptor, described.id, ".tar.gz") as publication:
            os.write(publication.descriptor, content)
            publication.publish(described)
        return described.id

    def list(self):
        return catalog.list_backups(self.path, "notes")

    def good(self):
        return [backup.id for backup in self.list() if backup.problem is None]

    def problems(self):
        return {backup.id: backup.problem for backup in self.list()}

    def choose(self, *words, **named):
        return catalog.choose(self.list(), "notes", self.path, *words, **named).id

    def write(self, name, content=b""):
        with open(os.path.join(self.path, name), "wb") as file:
            file.write(content)

    def names(self):
        return sorted(os.listdir(self.path))


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path)
    yield made
    os.close(made.descriptor)


def test_what_is_published_is_listed_newest_first(store):
    ids = [store.publish(minutes) for minutes in (5, 0, 90000)]
    assert store.good() == [ids[2], ids[0], ids[1]]
    backup = store.list()[0]
    assert backup.path == os.path.join(store.path, ids[2] + ".tar.gz")
    told = backup.to_dict(backup.manifest.created + datetime.timedelta(seconds=90))
    assert (told["age_seconds"], told["good"], told["problem"], told["size"], told["host"]) == (90, True, None, 7, "host")
    assert all(os.stat(os.path.join(store.path, name)).st_mode & 0o777 == 0o600 for name in store.names())


def test_nothing_and_no_directory_hold_no_backups(store):
    assert store.list() == []
    assert catalog.list_backups(os.path.join(store.path, "none"), "notes") == []


def test_a_directory_that_cannot_be_listed(store):
    store.write("file")
    with pytest.raises(AppStateError, match="cannot be listed"):
        catalog.list_backups(os.path.join(store.path, "file"), "notes")


def test_what_is_wrong_is_listed_last_and_says_why(store):
    good = store.publish(0)
    shorter, missing, broken, foreign = [store.publish(minutes) for minutes in (1, 2, 3, 4)]
    os.truncate(os.path.join(store.path, shorter + ".tar.gz"), 3)
    os.unlink(os.path.join(store.path, missing + ".tar.gz"))
    store.write(broken + ".json", b"{}")
    with open(os.path.join(store.path, good + ".json"), "rb") as file:
        store.write(foreign + ".json", file.read())
    assert store.good() == [good] and store.list()[0].id == good
    problems = store.problems()
    assert problems[shorter] == "the archive has 3 bytes, and the manifest says 7"
    assert problems[missing] == "the archive is missing"
    assert "no format number" in problems[broken]
    assert problems[foreign] == "the manifest is that of %s" % good
    told = [backup.to_dict(BEGIN) for backup in store.list()]
    json.dumps(told)
    assert [item["good"] for item in told] == [True, False, False, False, False]


def test_one_flipped_byte_anywhere_in_a_manifest_is_seen(store):
    id = store.publish(0)
    with open(os.path.join(store.path, id + ".json"), "rb") as file:
        content = file.read()
    for place in range(len(content)):
        store.write(id + ".json", content[:place] + bytes([content[place] ^ 1]) + content[place + 1:])
        assert store.good() == [], (place, content[place - 10:place + 10])


def test_a_newer_format_is_told_from_damage(store):
    newer = manifest(BEGIN, 7, format=FORMAT + 1)
    store.write(newer.id + ".tar.gz", b"archive")
    store.write(newer.id + ".json", newer.to_bytes())
    assert "format %d" % (FORMAT + 1) in store.problems()[newer.id]


def test_files_that_others_made_are_no_backups(store):
    good = store.publish(0)
    name = "notes-20261119T040000Z"
    for other in ("package.json", "notes.json", name + ".json.bak", name + ".tar.gz", ".json", "x" * 250 + ".json"):
        store.write(other, b'{"format": 1}')
    os.mkdir(os.path.join(store.path, "notes-20261119T050000Z.json"))
    os.mkfifo(os.path.join(store.path, "notes-20261119T060000Z.json"))
    os.symlink(good + ".json", os.path.join(store.path, "notes-20261119T070000Z.json"))
    store.write("notes-20261119T080000Z.json", b"[" * 100000)
    store.write("notes-20261119T090000Z.json", b"\xff\xfe")
    with open(os.fsencode(store.path) + b"/notes-\xff.json", "wb"):
        pass
    assert store.good() == [good] and len(store.list()) == 6
    assert all(backup.problem for backup in store.list()[1:])


def test_a_backup_of_another_app_is_not_restored_by_chance(store):
    good = store.publish(0)
    other = store.publish(10, app="other")
    assert store.choose() == good
    assert store.problems()[other] == "is a backup of the app other"


def test_an_archive_that_is_a_link_or_a_directory_is_not_good(store):
    id = store.publish(0)
    path = os.path.join(store.path, id + ".tar.gz")
    os.rename(path, path + ".real")
    os.symlink(path + ".real", path)
    assert store.good() == []


def test_choosing(store):
    ids = [store.publish(minutes) for minutes in (0, 60, 120)]
    assert store.choose() == ids[2]
    assert store.choose(ids[0]) == ids[0]
    assert store.choose(before="2026-11-19T04:00:00Z") == ids[1]
    assert store.choose(before="2026-11-19T03:59:59Z") == ids[0]
    assert store.choose(before="2026-11-19T05:30:00+01:30") == ids[1]
    assert store.choose(before="2030-01-01T00:00:00z") == ids[2]
    os.unlink(os.path.join(store.path, ids[2] + ".tar.gz"))
    assert store.choose() == ids[1]


def test_what_cannot_be_chosen(store):
    with pytest.raises(SourceError, match="app notes: .*no good backup.*backup_info"):
        store.choose()
    with pytest.raises(SourceError, match="no backup 'notes-x'. It has none at all"):
        store.choose("notes-x")
    id = store.publish(0)
    with pytest.raises(SourceError, match="no backup 'x'. The newest are: %s" % id):
        store.choose("x")
    with pytest.raises(SourceError, match="at or before 2020-01-01T00:00:00Z"):
        store.choose(before="2020-01-01T00:00:00Z")
    os.unlink(os.path.join(store.path, id + ".tar.gz"))
    with pytest.raises(SourceError, match=r"no good backup \(1 that are not good\)"):
        store.choose()
    with pytest.raises(ArchiveError, match="cannot be restored: the archive is missing. Choose another"):
        store.choose(id)


@pytest.mark.parametrize("text", ["yesterday", "", "2026-11-19", "2026-11-19T03:00:00", "2026-13-19T03:00:00Z", "Z"])
def test_times_that_are_none(store, text):
    store.publish(0)
    with pytest.raises(ConfigurationError, match="app notes: .*is no time. Write it as RFC 3339"):
        store.choose(before=text)


def test_a_bare_path_finds_its_manifest(store):
    id = store.publish(0)
    backup = catalog.backup_beside(os.path.join(store.path, id + ".tar.gz"))
    assert backup.id == id and backup.problem is None
    store.write("old.tgz")
    store.write("notes-20261119T040000Z.tar.gz")
    for name in ("old.tgz", "notes-20261119T040000Z.tar.gz", id + ".json"):
        assert catalog.backup_beside(os.path.join(store.path, name)) is None


def test_leaving_without_publishing_removes_what_there_is(store):
    with pytest.raises(ZeroDivisionError):
        with catalog.Publication(store.descriptor, "notes-20261119T030000Z", ".tar.gz"):
            raise ZeroDivisionError
    assert store.names() == []


def test_a_failure_between_the_two_renames_leaves_nothing(store, monkeypatch):
    real = os.rename

    def fail_at_the_manifest(source, target, **words):
        if target.endswith(".json"):
            raise OSError(5, "Input/output error")
        return real(source, target, **words)

    monkeypatch.setattr(os, "rename", fail_at_the_manifest)
    with pytest.raises(OSError):
        store.publish(0)
    assert store.names() == []


def test_a_kill_at_any_step_of_publishing_is_never_good_and_is_reaped(store, kill_at):
    old = store.publish(0)
    others = ["notes-20261119T100000Z.tar.gz", "other-20261119T100000Z.tar.gz", ".other-20261119T100000Z.tar.gz.partial"]
    for name in others:
        store.write(name, b"not ours to remove")
    kept = store.names()
    point = 1
    while kill_at(point, lambda: store.publish(60)):
        assert store.good() in ([old], ["notes-20261119T040000Z", old]), point
        if store.good() == [old]:
            assert all(backup.id == old for backup in store.list()), point
            catalog.reap_partials(store.descriptor, "notes")
            assert store.names() == kept, point
        else:
            catalog.reap_partials(store.descriptor, "notes")
            assert store.good() == ["notes-20261119T040000Z", old], point
            for ending in (".json", ".tar.gz"):
                os.unlink(os.path.join(store.path, "notes-20261119T040000Z" + ending))
        point += 1
    assert point > 7


def test_a_kill_while_a_backup_on_hold_is_put_back_loses_it_at_no_step(store, kill_at):
    id = store.publish(0)
    store.write(id + ".hold")
    point = 1
    while kill_at(point, lambda: catalog.remove(store.descriptor, backup_of(store, id), lambda: True)):
        catalog.reap_partials(store.descriptor, "notes")
        assert store.good() == [id], point
        point += 1
    assert point > 2 and store.good() == [id]


def test_a_kill_while_a_backup_is_removed_leaves_none_of_it(store, kill_at):
    point, is_killed = 1, True
    while is_killed:
        id = store.publish(0)
        is_killed = kill_at(point, lambda: catalog.remove(store.descriptor, backup_of(store, id)))
        # A hold that comes too late keeps nothing whose archive has gone.
        if is_killed and not store.good() and id + ".tar.gz" not in store.names():
            store.write(id + ".hold")
        catalog.reap_partials(store.descriptor, "notes")
        assert all(backup.problem is None for backup in store.list()), point
        for name in store.names():
            os.unlink(os.path.join(store.path, name))
        point += 1
    assert point > 3


def test_an_id_is_free_until_any_file_has_it(store):
    assert catalog.is_free(store.descriptor, "notes-20261119T030000Z")
    for ending in (".tar.zst", ".tar.gz", ".json"):
        store.write("notes-20261119T030000Z" + ending)
        assert not catalog.is_free(store.descriptor, "notes-20261119T030000Z")
        os.unlink(os.path.join(store.path, "notes-20261119T030000Z" + ending))


def test_thousands_are_listed_quickly(store):
    for minutes in range(1200):
        described = manifest(BEGIN + datetime.timedelta(minutes=minutes), 7)
        store.write(described.id + ".json", described.to_bytes())
        store.write(described.id + ".tar.gz", b"archive")
    started = time.process_time()
    assert len(store.good()) == 1200
    assert time.process_time() - started < 3


def backup_of(store, id):
    return next(backup for backup in store.list() if backup.id == id)


def roll(store, id, stem="notes-03"):
    return catalog.roll(store.descriptor, store.path, backup_of(store, id), stem)


def content_of(store, name):
    with open(os.path.join(store.path, name), "rb") as file:
        return file.read()


@pytest.mark.parametrize("prepare", [lambda monkeypatch: None, cannot_link])
def test_a_rolling_name_is_used_again(store, monkeypatch, prepare):
    prepare(monkeypatch)
    for minutes in (0, 60, 120):
        id = store.publish(minutes, b"archive %d" % minutes)
        rolled = roll(store, id)
        assert (rolled.id, rolled.stem, rolled.path, rolled.problem) == (id, "notes-03", os.path.join(store.path, "notes-03.tar.gz"), None)
        assert store.names() == ["notes-03.json", "notes-03.tar.gz"] and store.good() == [id]
        assert content_of(store, "notes-03.tar.gz") == b"archive %d" % minutes
        assert os.stat(rolled.path).st_mode & 0o777 == 0o600 and os.stat(rolled.path).st_nlink == 1
        assert backup_of(store, id).to_dict(BEGIN)["path"] == rolled.path
        assert catalog.backup_beside(rolled.path).id == id and store.choose(id) == id


def test_one_name_replaces_that_of_another_compression(store):
    roll(store, store.publish(0))
    described = manifest(BEGIN + datetime.timedelta(minutes=9), 5)
    described = described.beside(dict(described.archive, name=described.id + ".tar.zst.age"), None)
    with catalog.Publication(store.descriptor, described.id, ".tar.zst.age") as publication:
        os.write(publication.descriptor, b"other")
        publication.publish(described)
    roll(store, described.id)
    assert store.names() == ["notes-03.json", "notes-03.tar.zst.age"] and store.good() == [described.id]


@pytest.mark.parametrize("prepare", [lambda monkeypatch: None, cannot_link])
def test_a_kill_at_any_step_of_rolling(store, monkeypatch, kill_at, tmp_path_factory, prepare):
    prepare(monkeypatch)
    strangers = ["notes-04.tar.gz", "notes-20261119T100000Z.tar.gz", "package.json", ".other-03.json.partial"]
    for name in strangers:
        store.write(name, b"not ours to remove")
    old = roll(store, store.publish(0, b"old")).id
    new = store.publish(60, b"new one")
    saved = str(tmp_path_factory.mktemp("saved") / "x")
    shutil.copytree(store.path, saved)
    point = 1
    while kill_at(point, lambda: roll(store, new)):
        good = store.good()
        assert good.count(new) == 1 and set(good) <= {old, new}, point
        assert os.path.getsize(backup_of(store, new).path) == 7
        catalog.reap_partials(store.descriptor, "notes")
        assert store.good().count(new) == 1, point
        for name in store.names():
            assert name in strangers or name in ("notes-03.json", "notes-03.tar.gz", new + ".json", new + ".tar.gz", ".notes-03.json.partial"), point
        if backup_of(store, new).stem == new:
            roll(store, new)
        assert store.good() == [new] and content_of(store, "notes-03.tar.gz") == b"new one", point
        assert store.names() == sorted(strangers + ["notes-03.json", "notes-03.tar.gz"]), point
        for name in store.names():
            os.unlink(os.path.join(store.path, name))
        for name in os.listdir(saved):
            shutil.copy(os.path.join(saved, name), store.path)
        point += 1
    assert point > 9


def other_app(store):
    described = manifest(BEGIN, 7, "wiki")
    store.write("notes-03.json", described.beside(dict(described.archive, name="notes-03.tar.gz"), None).to_bytes())
    store.write("notes-03.tar.gz", b"archive")


@pytest.mark.parametrize("prepare, name", [
    (lambda store: store.write("notes-03.json", b"{}"), "notes-03.json"), (lambda store: store.write("notes-03.tar.gz", b"mine"), "notes-03.tar.gz"),
    (lambda store: os.mkdir(os.path.join(store.path, "notes-03.json")), "notes-03.json"),
    (lambda store: os.symlink("/etc/passwd", os.path.join(store.path, "notes-03.tar.gz")), "notes-03.tar.gz"),
    (other_app, "notes-03.json")], ids=["manifest", "archive", "directory", "link", "app"])
def test_what_somebody_else_has_put_there_is_not_replaced(store, prepare, name):
    prepare(store)
    before = store.names()
    id = store.publish(0)
    with pytest.raises((AppStateError, OSError), match="not replaced. Look at it, and move it elsewhere; the backup is called %s meanwhile" % id) as caught:
        roll(store, id)
    assert caught.value.path == os.path.join(store.path, name)
    assert store.names() == sorted(before + [id + ".json", id + ".tar.gz"]) and store.good() == [id]


def test_a_copy_that_fails_leaves_the_backup_as_it_was(store, monkeypatch):
    cannot_link(monkeypatch)

    def full(source, target):
        os.write(target, b"half")
        raise OSError(28, "No space left on device")
    monkeypatch.setattr(copying, "copy_descriptor", full)
    id = store.publish(0)
    with pytest.raises(OSError):
        roll(store, id)
    assert store.names() == [id + ".json", id + ".tar.gz"] and store.good() == [id]


def test_a_first_name_that_a_killed_run_has_left_is_listed_once_and_reaped(store):
    id = store.publish(0)
    names = {name: content_of(store, name) for name in store.names()}
    roll(store, id)
    for name, content in names.items():
        store.write(name, content)
    assert store.good() == [id] and backup_of(store, id).stem == "notes-03"
    catalog.reap_partials(store.descriptor, "wiki")
    assert len(store.names()) == 4
    catalog.reap_partials(store.descriptor, "notes")
    assert store.names() == ["notes-03.json", "notes-03.tar.gz"] and store.good() == [id]


def test_a_rolling_name_that_lost_its_archive_does_not_take_the_first_name_along(store):
    id = store.publish(0)
    names = {name: content_of(store, name) for name in store.names()}
    roll(store, id)
    for name, content in names.items():
        store.write(name, content)
    os.unlink(os.path.join(store.path, "notes-03.tar.gz"))
    assert store.good() == [id]
    catalog.reap_partials(store.descriptor, "notes")
    assert store.good() == [id] and backup_of(store, id).stem == id
