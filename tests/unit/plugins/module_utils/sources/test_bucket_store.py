# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Buckets of real endpoints are restored whole, put back whole, and are wholly the one or the other after every kill."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tarfile
import time
import traceback

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.remotes import attempts, rclone
from ansible_collections.appstate.backup.plugins.module_utils.sources.bucket_store import BucketStore
from ansible_collections.appstate.backup.plugins.module_utils.sources.objects import Objects
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import AppStateError, RemoteError, RestoreError
from ansible_collections.appstate.backup.tests.unit.plugins.form import sampled
from ansible_collections.appstate.backup.tests.unit.plugins.object_store import SECRET, ObjectStore, server
from ansible_collections.appstate.backup.tests.unit.plugins.odd_bucket import OddBucket
from ansible_collections.appstate.backup.tests.unit.plugins.rclone_clients import TURN, choose

STRIDE = sampled(7, 2)
OLD = {"a": b"old a", "same": b"same", "size": b"12345", "deep/er/b": b"old b", "turns": b"a file", "falls/in": b"a directory's",
       "ünï cödé/a&b=c +%41": b"odd", "gone later": b"gone"}
LIVE = {"a": b"live a", "same": b"same", "size": b"54321", "new/c": b"new c", "turns/into": b"a directory", "falls": b"a file"}


# Debian's rclone 1.60, or the one beside the Python that runs the tests.
IN_TURN = pytest.mark.parametrize("client", [TURN], indirect=True)


@pytest.fixture(autouse=True)
def client(request, monkeypatch):
    """The rclone that is found first; it does not wait between two tries."""
    choose(monkeypatch, getattr(request, "param", "environment"))
    monkeypatch.setattr(attempts, "PAUSE", 0.01)


class Directory:
    """A directory of the host as a bucket."""

    def __init__(self, host):
        self.top = host.place("objects")
        os.mkdir(self.top)

    def source(self, **words):
        return dict({"type": "bucket", "path": "blobs", "remote": self.top}, **words)

    def fill(self, objects):
        shutil.rmtree(self.top)
        os.mkdir(self.top)
        for name, content in objects.items():
            self.put(name, content)

    def put(self, name, content):
        path = os.path.join(self.top, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)

    def read(self):
        found = {}
        for folder, unused, names in os.walk(self.top):
            for name in names:
                path = os.path.join(folder, name)
                with open(path, "rb") as file:
                    found[os.path.relpath(path, self.top)] = file.read()
        return found


class Bucket(Directory):
    """A bucket of an S3 endpoint, with one beside the prefix that belongs to somebody else."""

    def __init__(self, store):
        self.store = store
        self.top = store.path("club-blobs", "prefix")
        os.makedirs(self.top)

    def source(self, **words):
        return dict({"type": "bucket", "path": "blobs", "remote": "s3:club-blobs/prefix", "options": self.store.options()}, **words)


class Webdav(Directory):
    """A directory behind a WebDAV server, which tells no hash of anything."""

    def __init__(self, host):
        super().__init__(host)
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            self._port = listening.getsockname()[1]
        self._process = subprocess.Popen([server(), "serve", "webdav", host.place("objects"), "--addr=127.0.0.1:%d" % self._port,
                                          "--dir-cache-time=10ms", "--config=/dev/null"], stderr=subprocess.DEVNULL)
        self.top = os.path.join(self.top, "top")
        os.mkdir(self.top)
        until = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self._port), 1).close()
                break
            except OSError:
                assert time.monotonic() < until, "the WebDAV server did not come up"
                time.sleep(0.05)

    def source(self, **words):
        options = {"type": "webdav", "vendor": "other", "url": "http://127.0.0.1:%d" % self._port}
        return dict({"type": "bucket", "path": "blobs", "remote": "dav:top", "options": options}, **words)

    def stop(self):
        self._process.kill()
        self._process.wait()


@pytest.fixture(name="place", params=["bucket", "directory", "webdav"])
def fixture_place(request, host):
    """Each kind of place in turn."""
    if request.param == "bucket":
        with ObjectStore("club-blobs") as store:
            yield Bucket(store)
    elif request.param == "directory":
        yield Directory(host)
    else:
        made = Webdav(host)
        yield made
        made.stop()


@pytest.fixture(name="bucket")
def fixture_bucket():
    """A bucket alone."""
    with ObjectStore("club-blobs") as store:
        yield Bucket(store)


def backed_up(host, place, **words):
    """An app with files and a bucket, both of which have changed since its backup; its words."""
    host.fill("delete")
    place.fill(OLD)
    sources = {"sources": host.sources() + [place.source(**words)]}
    host.backup(**sources)
    host.damage()
    place.fill(LIVE)
    return sources


def ours(place):
    """What a restore has there."""
    return [name for name in place.read() if name.startswith(".appstate-")]


def live(place):
    return {name: content for name, content in place.read().items() if not name.startswith(".appstate-")}


class TestRestore:
    @IN_TURN
    def test_there_and_back_and_there_for_good(self, host, place, tree):
        words = backed_up(host, place)
        damaged = tree(host.root)
        outcome = host.restore(**words).restore().to_dict()
        assert live(place) == OLD and host.notes() == 20
        assert any(text.startswith("bucket ") for text in outcome["restored"]) and SECRET not in str(outcome)
        assert any("/.appstate-" in text and text.endswith("/old") for text in outcome["moved_aside"])
        assert host.restore(**words).roll_back().changed
        assert place.read() == LIVE and tree(host.root) == damaged
        host.restore(**words).restore()
        assert host.restore(**words).commit().changed
        assert place.read() == OLD and host.left() == [] and not os.path.exists(host.at("blobs"))

    def test_staging_changes_nothing_live_and_can_be_given_up(self, host, bucket):
        words = backed_up(host, bucket)
        host.restore(**words).stage()
        assert live(bucket) == LIVE and len(ours(bucket)) == len(OLD)
        assert host.restore(**words).roll_back().changed and bucket.read() == LIVE

    def test_a_rollback_takes_back_what_came_after(self, host, bucket):
        words = backed_up(host, bucket)
        host.restore(**words).restore()
        bucket.put("a", b"written after")
        bucket.put("after", b"written after")
        host.restore(**words).roll_back()
        assert bucket.read() == LIVE

    def test_an_empty_backup_empties_it_and_a_rollback_fills_it(self, host, bucket):
        words = {"sources": [bucket.source()]}
        host.backup(**words)
        bucket.fill(LIVE)
        host.restore(**words).restore()
        assert live(bucket) == {}
        host.restore(**words).roll_back()
        assert bucket.read() == LIVE

    def test_into_an_empty_bucket_and_out_of_it_again(self, host, bucket):
        words = backed_up(host, bucket)
        bucket.fill({})
        host.restore(**words).restore()
        assert live(bucket) == OLD
        host.restore(**words).roll_back()
        assert bucket.read() == {}

    def test_what_is_beside_the_prefix_is_not_its_own(self, host, bucket):
        words = backed_up(host, bucket)
        other = bucket.store.path("club-blobs", "other")
        with open(other, "wb") as file:
            file.write(b"another's")
        host.restore(**words).restore()
        host.restore(**words).commit()
        assert os.path.exists(other) and set(os.listdir(os.path.dirname(other))) == {"other", "prefix"}

    def test_a_backup_of_a_restored_bucket_has_nothing_of_the_restore(self, host, bucket):
        words = backed_up(host, bucket)
        host.restore(**words).restore()
        assert host.backup(**words).backup.manifest.sources[1]["objects"] == len(OLD)

    def test_another_root_gets_files_and_touches_no_bucket(self, host, bucket):
        words = backed_up(host, bucket)
        target = host.place("elsewhere")
        os.mkdir(target)
        host.restore({"target_root": target}, **words).restore()
        with open(os.path.join(target, "blobs/deep/er/b"), "rb") as file:
            assert file.read() == b"old b"
        assert bucket.read() == LIVE

    def test_what_an_old_recipe_synchronized_and_packed(self, host, bucket, tmp_path):
        for name, content in (("blobs/a", b"of the tar"), ("blobs/deep/b", b"deep")):
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        os.symlink("a", str(tmp_path / "blobs/link"))
        with tarfile.open(str(tmp_path / "blobs.tar.gz"), "w:gz") as archive:
            archive.add(str(tmp_path / "blobs"), "blobs")
        bucket.fill(LIVE)
        outcome = host.restore({"archive": str(tmp_path / "blobs.tar.gz")}, sources=[bucket.source()]).restore()
        assert live(bucket) == {"a": b"of the tar", "deep/b": b"deep"}
        assert any("blobs/link cannot be an object" in text for text in outcome.to_dict()["warnings"])

    def test_a_prediction_tells_of_it_and_touches_nothing(self, host, bucket):
        words = backed_up(host, bucket)
        told = host.restore(**words).predict("restored", False).to_dict()
        assert "bucket s3:club-blobs/prefix" in told["restored"] and bucket.read() == LIVE


@IN_TURN
class TestLeftAlone:
    def test_what_is_excluded(self, host, bucket):
        words = backed_up(host, bucket, exclude=["gone later", "cache"])
        bucket.put("cache/x", b"live cache")
        host.restore(**words).restore()
        assert live(bucket) == dict({name: content for name, content in OLD.items() if name != "gone later"}, **{"cache/x": b"live cache"})
        bucket.put("cache/x", b"newer cache")
        host.restore(**words).roll_back()
        assert bucket.read() == dict(LIVE, **{"cache/x": b"newer cache"})

    def test_what_no_backup_can_have(self, host):
        odd = {"b": b"B", "b/c": b"BC", "full/": b"FULL", "n" * 256: b"N"}
        with OddBucket(dict(odd, a=b"old")) as bucket:
            words = {"sources": [bucket.source()]}
            host.backup(**words)
            bucket.objects.update(a=b"live", d=b"new")
            before = dict(bucket.objects)
            outcome = host.restore(**words).restore().to_dict()
            assert any("has 3 objects whose name no file can have (the first is b)" in text for text in outcome["warnings"])
            after = {key: content for key, content in bucket.objects.items() if not key.startswith(".appstate-")}
            assert after == dict(odd, a=b"old")
            bucket.objects["b"] = b"changed"
            host.restore(**words).roll_back()
            assert bucket.objects == before
            host.restore(**words).restore()
            host.restore(**words).commit()
            assert bucket.objects == dict(odd, a=b"old")


class TestRefused:
    def test_a_bucket_that_is_missing(self, host, bucket):
        words = backed_up(host, bucket)
        shutil.rmtree(bucket.store.path("club-blobs"))
        with pytest.raises(RemoteError, match="club-blobs/prefix does not exist.*Create that bucket"):
            host.restore(**words).restore()
        assert host.notes() == 23
        bucket.store.make("club-blobs")
        host.restore(**words).restore()
        assert live(bucket) == OLD

    def test_credentials_that_are_wrong_and_then_right(self, host, bucket, tree):
        words = backed_up(host, bucket)
        damaged = tree(host.root)
        right = dict(words["sources"][-1])
        words["sources"][-1]["options"] = bucket.store.options(secret_access_key="wrong0Canary0Wrong0Canary0Wrong0Canary01")
        with pytest.raises(RemoteError, match="credentials are not accepted") as caught:
            host.restore(**words).restore()
        assert "wrong0Canary" not in str(caught.value)
        words["sources"][-1] = right
        assert bucket.read() == LIVE
        host.restore(**words).roll_back()
        assert tree(host.root) == damaged and host.left() == []

    def test_an_endpoint_that_dies_and_comes_back(self, host, bucket, tree, monkeypatch):
        words = backed_up(host, bucket)
        damaged, copy = tree(host.root), Objects.copy

        def dying(self, path, to, names):
            if not to:
                bucket.store.stop()
            copy(self, path, to, names)
        monkeypatch.setattr(Objects, "copy", dying)
        with pytest.raises(RemoteError, match="cannot be reached"):
            host.restore(**words).restore()
        monkeypatch.setattr(Objects, "copy", copy)
        bucket.store.start()
        host.restore(**words).roll_back()
        assert bucket.read() == LIVE and tree(host.root) == damaged and host.left() == []

    @pytest.mark.parametrize("kept, told", [("new", "0 of the 8"), ("old", "0 of the 6")])
    def test_a_listing_that_lacks_what_was_kept(self, host, bucket, tree, monkeypatch, kept, told):
        """An endpoint that lists too little is believed in nothing: else all live objects would go for what it does not list."""
        words = backed_up(host, bucket)
        damaged, listed = tree(host.root), Objects.listed
        if kept == "old":
            host.restore(**words).restore()
        before = bucket.read()

        def lacking(self, path="", hashes=True):
            is_swap = kept == "old" or any(name.endswith("/complete") for name in bucket.read())
            return None if path.endswith("/" + kept) and is_swap else listed(self, path, hashes)
        monkeypatch.setattr(Objects, "listed", lacking)
        late = host.restore(**words)
        with pytest.raises(RestoreError, match="the bucket s3:club-blobs/prefix lists %s objects" % told):
            {"new": late.restore, "old": late.roll_back}[kept]()
        assert live(bucket) == {"new": LIVE, "old": OLD}[kept]
        assert kept == "new" or bucket.read() == before
        monkeypatch.setattr(Objects, "listed", listed)
        host.restore(**words).roll_back()
        assert bucket.read() == LIVE and tree(host.root) == damaged and host.left() == []

    def test_somebody_who_writes_meanwhile(self, host, bucket, tree, monkeypatch):
        words = backed_up(host, bucket)
        damaged, copy = tree(host.root), Objects.copy

        def written(self, path, to, names):
            copy(self, path, to, names)
            bucket.put("meanwhile", b"written")
        monkeypatch.setattr(Objects, "copy", written)
        with pytest.raises(RestoreError, match="1 object in the bucket s3:club-blobs/prefix is not what should be there, the first is "
                                               "meanwhile. Something still writes there"):
            host.restore(**words).restore()
        assert bucket.read() == dict(LIVE, meanwhile=b"written") and tree(host.root) == damaged

    def test_what_was_sent_and_is_not_what_it_should_be(self, host, place, monkeypatch):
        words = backed_up(host, place)
        send = Objects.send

        def spoiling(self, directory, path):
            send(self, directory, path)
            self.rclone.put_bytes(b"54321", path + "/size")
        monkeypatch.setattr(Objects, "send", spoiling)
        with pytest.raises(AppStateError, match="not what should be there, the first is size|1 differences found"):
            host.restore(**words).restore()
        assert place.read() == LIVE

    def test_old_state_is_not_discarded(self, host, bucket):
        words = backed_up(host, bucket)
        app = host.app(**words)
        host.restore(**words).restore()
        token = ours(bucket)[0].partition("/")[0][len(".appstate-"):]
        store = BucketStore(app, app.sources[-1], None)
        with pytest.raises(RestoreError, match="still holds old state"):
            store.discard({"token": token, "force": False})
        host.restore(**words).roll_back()
        assert bucket.read() == LIVE

    def test_a_single_file_is_no_bucket(self, host, bucket, tmp_path):
        (tmp_path / "blobs").write_bytes(b"x")
        with tarfile.open(str(tmp_path / "x.tar"), "w") as archive:
            archive.add(str(tmp_path / "blobs"), "blobs")
        with pytest.raises(RestoreError, match="cannot take the place of a bucket"):
            host.restore({"archive": str(tmp_path / "x.tar")}, sources=[bucket.source()]).restore()


def killed_in_call(number, run):
    """Runs ``run`` in a child that is killed while its call of rclone of that number, counted from 1, is at work; returns whether
    it was (else it ended)."""
    child = os.fork()
    if not child:
        try:
            begin, begun = rclone.Call.__init__, [0]

            def beginning(self, *arguments, **words):
                begin(self, *arguments, **words)
                begun[0] += 1
                if begun[0] == number:
                    # Another moment of its work each time.
                    time.sleep(number % 4 * 0.02)
                    os.kill(os.getpid(), signal.SIGKILL)
            rclone.Call.__init__ = beginning
            run()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    unused, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    assert os.WEXITSTATUS(status) == 0, "the run failed; see its traceback"
    return False


class TestKilled:
    def test_a_killed_restore_is_rolled_back_whole(self, host, bucket, tree):
        words = backed_up(host, bucket)
        damaged, number = tree(host.root), 1
        while killed_in_call(number, host.restore(**words).restore):
            host.restore(**words).roll_back()
            assert bucket.read() == LIVE, number
            assert tree(host.root) == damaged and host.left() == [], number
            number += STRIDE
        assert live(bucket) == OLD and number > 12

    @pytest.mark.parametrize("ending, after", [("roll_back", LIVE), ("commit", OLD)])
    def test_a_killed_ending_is_gone_on_with(self, host, bucket, ending, after):
        words = backed_up(host, bucket)
        number, killed = 1, True
        while killed:
            host.restore({"force": True}, **words).restore()
            killed = killed_in_call(number, getattr(host.restore(**words), ending))
            getattr(host.restore(**words), ending)()
            assert bucket.read() == after and host.left() == [], number
            bucket.fill(LIVE)
            number += STRIDE
        assert number > 4

    def test_a_rollback_after_a_kill_is_killed_too(self, host, bucket):
        words = backed_up(host, bucket)
        number = 1
        while True:
            # Within the copying of new state over the old one.
            assert killed_in_call(14, host.restore(**words).restore)
            killed = killed_in_call(number, host.restore(**words).roll_back)
            host.restore(**words).roll_back()
            assert bucket.read() == LIVE, number
            if not killed:
                break
            number += STRIDE
        assert number > 4

    def test_between_two_steps_of_ours(self, host, bucket, tree, kill_at):
        words = backed_up(host, bucket)
        damaged, point = tree(host.root), 1
        while kill_at(point, host.restore(**words).restore):
            host.restore(**words).roll_back()
            assert bucket.read() == LIVE and tree(host.root) == damaged and host.left() == [], point
            point += 13 * STRIDE
        assert live(bucket) == OLD
