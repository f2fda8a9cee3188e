# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Buckets of real endpoints as sources of real backups."""

from __future__ import annotations

import os
import subprocess
import threading
import time
import unicodedata

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.operations.backup import check_backup
from ansible_collections.appstate.backup.plugins.module_utils.remotes import attempts
from ansible_collections.appstate.backup.plugins.module_utils.sources.bucket import misfits
from ansible_collections.appstate.backup.plugins.module_utils.sources.objects import Found, Objects
from ansible_collections.appstate.backup.plugins.module_utils.sources.taking import Room, takers_of
from ansible_collections.appstate.backup.plugins.module_utils.system import files
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import (
    AppStateError, RemoteError, SourceError, SpaceError)
from ansible_collections.appstate.backup.tests.unit.plugins.object_store import SECRET, ObjectStore
from ansible_collections.appstate.backup.tests.unit.plugins.odd_bucket import OddBucket
from ansible_collections.appstate.backup.tests.unit.plugins.rclone_clients import TURN, choose

PATH = "buckets/club-blobs"
NAMES = ("packages/http-1.0.0.tar.gz", "packages/deep/er/and/deeper", "with space", " first", "last ", "a&b=c", "plus+", "per%41cent%", "#hash",
         "! exclamation", "- minus", "star*[x]{y}?", "it's \"quoted\"", "back\\slash", "tilde~", "ünï/cödé/日本", "new.appstate-x/y",
         unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é"), "Case", "case", "x" * 255, "empty")


# Debian's rclone 1.60, or the one beside the Python that runs the tests.
IN_TURN = pytest.mark.parametrize("client", [TURN], indirect=True)


@pytest.fixture(autouse=True)
def client(request, monkeypatch):
    """The rclone that is found first; it does not wait between two tries."""
    choose(monkeypatch, getattr(request, "param", "environment"))
    monkeypatch.setattr(attempts, "PAUSE", 0.01)


@pytest.fixture(name="store")
def fixture_store():
    """An endpoint with a bucket of objects."""
    with ObjectStore("club-blobs") as store:
        for name in NAMES:
            put(store, name, b"" if name == "empty" else b"content of " + name.encode())
        yield store


def put(store, name, content):
    path = store.path("club-blobs", name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)


def source(store, **words):
    return dict({"type": "bucket", "remote": "s3:club-blobs", "options": store.options()}, **words)


def taken_files(host, sources, path=PATH):
    """What a backup of these sources has below a path, by a restore to another root: from name to content."""
    target = host.place("elsewhere-%d" % len(os.listdir(host.path)))
    os.mkdir(target)
    host.restore({"target_root": target}, sources=sources).restore()
    top, found = os.path.join(target, path), {}
    for folder, unused, names in os.walk(top):
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                found[os.path.relpath(os.path.join(folder, name), top)] = file.read()
    return found


def record(taken):
    return taken.backup.manifest.sources[-1]


def refused(host, sources, kind=AppStateError):
    """The error that a backup ends with; it left nothing, and shows no secret."""
    with pytest.raises(kind) as caught:
        host.backup(sources=sources)
    assert all(not names for unused, unused, names in os.walk(host.destination)) and host.left() == []
    text = str(caught.value)
    assert SECRET not in text and "app notes: " in text, text
    return text


def meanwhile(monkeypatch, *deeds):
    """Does something after the first copying, and something else after the second."""
    left, fetch = list(deeds), Objects.fetch

    def fetching(self, names, directory):
        fetch(self, names, directory)
        if left:
            left.pop(0)()
    monkeypatch.setattr(Objects, "fetch", fetching)


@IN_TURN
class TestTaken:
    def test_every_object_is_there_to_the_byte(self, host, store):
        taken = host.backup(sources=[source(store)])
        assert taken.warnings == [] and taken.complete
        found = taken_files(host, [source(store)])
        assert found == {name: b"" if name == "empty" else b"content of " + name.encode() for name in NAMES}
        told = record(taken)
        assert (told["type"], told["path"], told["present"], told["remote"]) == ("bucket", PATH, True, "s3:club-blobs")
        assert told["objects"] == len(NAMES) and told["checked"] == "md5"
        assert told["bytes"] == sum(map(len, found.values())) and told["members"] > len(NAMES)
        assert SECRET not in str(taken.backup.manifest.content)

    def test_nobody_else_can_read_the_copies_nor_what_is_restored(self, host, store, monkeypatch):
        modes = []
        meanwhile(monkeypatch, lambda: modes.extend(
            os.stat(os.path.join(host.destination, name)).st_mode & 0o777 for name in os.listdir(host.destination) if ".scratch-" in name))
        host.backup(sources=[source(store)])
        assert modes == [0o700]
        target = host.place("elsewhere")
        os.mkdir(target)
        host.restore({"target_root": target}, sources=[source(store)]).restore()
        place = os.path.join(target, PATH, "packages")
        assert os.stat(place).st_mode & 0o777 == 0o700
        assert os.stat(os.path.join(place, "http-1.0.0.tar.gz")).st_mode & 0o777 == 0o600

    def test_a_prefix_and_what_is_left_out(self, host, store):
        put(store, "packages/.appstate-0123456789abcdef/new/x", b"of a restore")
        put(store, "packages/cache/deep/x", b"made again")
        put(store, "packages/x.part", b"half")
        described = source(store, remote="s3:club-blobs/packages", exclude=["cache", "*.part"])
        taken = host.backup(sources=[described])
        assert set(taken_files(host, [described], "buckets/packages")) == {"http-1.0.0.tar.gz", "deep/er/and/deeper"}
        assert record(taken)["excluded"] == 2 and taken.warnings == []

    def test_after_the_databases_and_before_files(self, host, store):
        host.fill()
        app = host.app(sources=[{"type": "files", "path": "uploads"}, source(store), {"type": "sqlite", "path": "data/notes.db"}])
        assert [type(taker).__name__ for taker in takers_of(Room(app, None))] == ["SqliteTaker", "BucketTaker", "FilesTaker"]

    def test_an_empty_bucket_is_there(self, host):
        with ObjectStore("club-blobs") as store:
            taken = host.backup(sources=[source(store)])
            assert record(taken)["present"] and record(taken)["objects"] == 0
            assert taken_files(host, [source(store)]) == {}

    def test_a_directory_of_the_host(self, host):
        place = host.place("objects")
        os.makedirs(os.path.join(place, "ünï cödé"))
        with open(os.path.join(place, "ünï cödé", "x y&z"), "wb") as file:
            file.write(b"x")
        described = {"type": "bucket", "remote": place}
        taken = host.backup(sources=[described])
        assert taken_files(host, [described], "buckets/objects") == {"ünï cödé/x y&z": b"x"}
        assert set(record(taken)["checked"].split(", ")) >= {"md5", "sha1"}

    def test_a_place_that_tells_no_hash(self, host, crypt):
        described, place = crypt
        taken = host.backup(sources=[described])
        assert taken_files(host, [described], "buckets/objects") == {"a": b"A", "deep/b": b"B"}
        assert record(taken)["checked"] == "size" and os.listdir(place) != ["a"]


@pytest.fixture(name="crypt")
def fixture_crypt(host):
    """Objects that rclone encrypts, as a configuration of the operator's says: ``(source, directory)``."""
    place = host.place("encrypted")
    os.mkdir(place)
    obscured = subprocess.run(["rclone", "obscure", SECRET], stdout=subprocess.PIPE, check=True).stdout.decode().strip()
    path = host.place("rclone.conf")
    with open(path, "w", encoding="utf-8") as file:
        file.write("[hidden]\ntype = crypt\nremote = %s\npassword = %s\n" % (place, obscured))
    for name, content in (("a", b"A"), ("deep/b", b"B")):
        subprocess.run(["rclone", "--config", path, "rcat", "hidden:objects/" + name], input=content, check=True)
    return {"type": "bucket", "remote": "hidden:objects", "config_file": path}, place


@IN_TURN
class TestMeanwhile:
    def test_what_changes_comes_and_goes_is_as_it_is_in_the_end(self, host, store, monkeypatch):
        def change():
            put(store, "with space", b"Content of with space")
            put(store, "packages/later", b"came later")
            os.unlink(store.path("club-blobs", "case"))
        meanwhile(monkeypatch, change)
        taken = host.backup(sources=[source(store)])
        found = taken_files(host, [source(store)])
        assert found["with space"] == b"Content of with space" and found["packages/later"] == b"came later" and "case" not in found
        assert taken.warnings == [PATH + "/case vanished while it was copied, and was left out"]
        assert taken.complete and record(taken)["objects"] == len(NAMES)

    def test_what_goes_on_changing_is_told(self, host, store, monkeypatch):
        meanwhile(monkeypatch, lambda: put(store, "a&b=c", b"one"), lambda: put(store, "a&b=c", b"two"))
        taken = host.backup(sources=[source(store)])
        assert taken.warnings == [PATH + "/a&b=c changed while it was copied"]
        assert taken_files(host, [source(store)])["a&b=c"] == b"one" and taken.complete

    def test_an_object_that_is_listed_and_cannot_be_had_any_more(self, host):
        with OddBucket({"a": b"A", "b": b"B"}) as bucket:
            bucket.before_get = lambda key: bucket.objects.pop("b", None) if key == "b" else None
            taken = host.backup(sources=[bucket.source(path="objects")])
            assert taken.warnings == ["objects/b vanished while it was copied, and was left out"]
            assert taken_files(host, [bucket.source(path="objects")], "objects") == {"a": b"A"}

    def test_a_file_becomes_a_directory(self, host, store, monkeypatch):
        def change():
            os.unlink(store.path("club-blobs", "case"))
            put(store, "case/inside", b"inside")
            os.unlink(store.path("club-blobs", "packages/deep/er/and/deeper"))
            os.removedirs(store.path("club-blobs", "packages/deep/er/and"))
            put(store, "packages/deep", b"a file")
        meanwhile(monkeypatch, change)
        host.backup(sources=[source(store)])
        found = taken_files(host, [source(store)])
        assert found["case/inside"] == b"inside" and found["packages/deep"] == b"a file"


@IN_TURN
class TestOdd:
    def test_no_object_that_cannot_be_a_file_is_lost_in_silence(self, host):
        good = {"a/b": b"AB", "ctl\x01\x7f": b"c", "new\nline": b"NL", "\u00e9": b"1", "e\u0301": b"2", "good": b"G", "full\uff0fwidth": b"F",
                "picture\u2401": b"P"}
        odd = {"a": b"A", "full/": b"FULL", "x//y": b"XY", "/lead": b"L", "n" * 256: b"long", "dot/./z": b"Z", "up/../w": b"W", ".": b"dot",
               "quotes\u201b\u201bx": b"QQ", "quote\u201bx": b"Q"}
        with OddBucket(dict(good, **dict(odd, **{"folder/": b""}))) as bucket:
            described = bucket.source(path="objects")
            taken = host.backup(sources=[described])
            found = taken_files(host, [described], "objects")
        assert sorted(found.values()) == sorted(good.values())
        said = "\n".join(taken.warnings)
        for name in ("a:", "full/:", "x//y:", "/lead:", "nnn", "dot/", "up/", "\uff0e:", "quotes", "quote\u201b"):
            assert "could not be read: objects/" + name in said
        assert not taken.complete and record(taken)["unreadable"] == len(odd) and record(taken)["objects"] == len(good)

    def test_what_cannot_be_a_file(self):
        deep = "/".join("d" * 200)
        told = misfits({"a": 1, "a/b": 1, "c": 1, "x" * 256: 1, "..": 1, deep: 1, "d/e": 1}, b"buckets/x")
        assert set(told) == {"a", "x" * 256, "..", deep}

    def test_hashes_tell_more_than_sizes(self):
        one, other, third = Found(1, {"md5": "a", "crc32": "x"}), Found(1, {"md5": "b"}), Found(1, {"sha1": "c"})
        assert not one.may_be(other) and one.may_be(third) and not one.must_be(third)
        assert one.must_be(Found(1, {"md5": "a", "crc32": "y"})) and not one.may_be(Found(2, {"md5": "a"}))


@IN_TURN
class TestRefused:
    def test_a_bucket_that_is_missing(self, host, store):
        text = refused(host, [source(store, remote="s3:no-such-bucket")], SourceError)
        assert "there is no bucket s3:no-such-bucket" in text and "required: false" in text
        taken = host.backup(sources=[source(store, remote="s3:no-such-bucket", required=False)])
        assert not record(taken)["present"]

    def test_one_that_goes_meanwhile_is_not_one_without_objects(self, host, store, monkeypatch):
        path = store.path("club-blobs")
        meanwhile(monkeypatch, lambda: os.rename(path, path + ".away"))
        try:
            assert "there is no bucket" in refused(host, [source(store, required=False)], SourceError)
        finally:
            os.rename(path + ".away", path)

    def test_a_directory_that_is_missing(self, host):
        assert "there is no bucket" in refused(host, [{"type": "bucket", "remote": host.place("nowhere")}], SourceError)

    def test_credentials_that_are_wrong(self, host, store):
        for wrong in ({"secret_access_key": "wrong0Canary0Wrong0Canary0Wrong0Canary01"}, {"access_key_id": "AKIAWRONGWRONGWRONG1"}):
            options = store.options(**wrong)
            text = refused(host, [source(store, options=options)], RemoteError)
            assert "credentials are not accepted" in text and "bucket s3:club-blobs" in text and "wrong0Canary" not in text

    def test_an_endpoint_that_is_not_there(self, host, store):
        store.stop()
        assert "cannot be reached" in refused(host, [source(store)], RemoteError)

    def test_an_endpoint_that_dies_in_the_middle(self, host, store):
        with open(store.path("club-blobs", "large"), "wb") as file:
            file.truncate(200 << 20)
        killer = threading.Thread(target=kill_when_copying, args=(host, store))
        killer.start()
        text = refused(host, [source(store)], RemoteError)
        killer.join()
        assert "cannot be reached, or the connection broke" in text and "tried 3 times" in text

    def test_no_room_for_the_copy(self, host, store, monkeypatch):
        monkeypatch.setattr(files, "free_bytes", lambda descriptor: 100)
        monkeypatch.setattr(Objects, "fetch", lambda *unused: pytest.fail("it was copied"))
        assert "not enough space for the copy of the bucket s3:club-blobs" in refused(host, [source(store)], SpaceError)

    def test_no_room_is_left_meanwhile(self, host, store, monkeypatch):
        def fetch(*unused):
            raise SpaceError("it has no space left (write x: no space left on device)")
        monkeypatch.setattr(Objects, "fetch", fetch)
        text = refused(host, [source(store)], SpaceError)
        assert host.destination in text and "no space left for the copy" in text

    def test_a_host_without_rclone(self, host, store, monkeypatch):
        monkeypatch.setenv("PATH", host.place("empty"))
        described = source(store)
        with pytest.raises(AppStateError, match="bucket s3:club-blobs needs rclone, which is not installed"):
            check_backup(host.app(sources=[described]), host.machine)


def kill_when_copying(host, store):
    """Stops the endpoint as soon as a part of the large object has come."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        for folder, unused, names in os.walk(host.destination):
            for name in names:
                if name.startswith("large") and os.stat(os.path.join(folder, name)).st_size > 1 << 20:
                    store.stop()
                    return


class TestLook:
    def test_a_check_tells_the_size_and_writes_nothing(self, host, store):
        size = sum(len(b"content of " + name.encode()) for name in NAMES if name != "empty")
        assert check_backup(host.app(sources=[source(store)]), host.machine) == size
        assert os.listdir(host.destination) == []

    def test_a_check_finds_what_a_backup_would(self, host, store):
        with pytest.raises(SourceError, match="there is no bucket s3:none"):
            check_backup(host.app(sources=[source(store, remote="s3:none")]), host.machine)
        assert check_backup(host.app(sources=[source(store, remote="s3:none", required=False)]), host.machine) == 0


def test_what_is_archived_is_what_the_bucket_says(host, store, monkeypatch):
    """A copy that is not right is noticed by its hash, and copied again."""
    def spoil():
        for folder, unused, names in os.walk(host.destination):
            if "with space" in names:
                with open(os.path.join(folder, "with space"), "r+b") as file:
                    file.write(b"C")
    meanwhile(monkeypatch, spoil)
    taken = host.backup(sources=[source(store)])
    assert taken_files(host, [source(store)])["with space"] == b"content of with space" and taken.warnings == []
