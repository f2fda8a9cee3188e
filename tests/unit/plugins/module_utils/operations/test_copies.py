# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copies of real backups to real remotes; what has arrived is looked at, and what went wrong leaves nothing half there."""

from __future__ import annotations

import os
import signal
import time

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.catalog.catalog import Backup
from ansible_collections.appstate.backup.plugins.module_utils.catalog.remote import RemoteCatalog
from ansible_collections.appstate.backup.plugins.module_utils.operations.copies import copy_to, reach
from ansible_collections.appstate.backup.plugins.module_utils.remote import Remote
from ansible_collections.appstate.backup.plugins.module_utils.remotes import attempts
from ansible_collections.appstate.backup.plugins.module_utils.remotes.rclone import Rclone
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import RemoteError
from ansible_collections.appstate.backup.tests.unit.plugins.leftovers import nothing_left
from ansible_collections.appstate.backup.tests.unit.plugins.object_store import SECRET, ObjectStore
from ansible_collections.appstate.backup.tests.unit.plugins.rclone_clients import choose

STRANGERS = {"notes-20200101T000000Z.tar.gz": b"an archive that has lost its manifest", "README": b"mine", "package.json": b"{}",
             "notes-2020.tar.zst": b"", "notes-20200102T000000Z.json": b"damaged"}


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    choose(monkeypatch)
    monkeypatch.setattr(attempts, "PAUSE", 0.01)


@pytest.fixture(scope="module")
def store():
    with ObjectStore() as made:
        yield made


class Away:
    """A host with a backup, and a remote that is a directory."""

    def __init__(self, host, **words):
        self.host = host
        host.fill()
        self.path = host.place("remote")
        if not os.path.isdir(self.path):
            os.mkdir(self.path)
        self.remote = Remote("offsite", self.path, **words)
        self.folder = os.path.join(self.path, "host", "notes")

    def copy(self, backup, stem=None, remote=None, on_bytes=None):
        return copy_to(self.host.app(), remote or self.remote, self.host.machine, backup, stem, on_bytes)

    def good(self):
        return [backup for backup in RemoteCatalog(self.remote, "notes", "host").list() if backup.problem is None]

    def files(self):
        """Names to contents."""
        found = {}
        for name in os.listdir(self.folder) if os.path.isdir(self.folder) else ():
            with open(os.path.join(self.folder, name), "rb") as file:
                found[name] = file.read()
        return found

    def add(self, files):
        os.makedirs(self.folder, exist_ok=True)
        for name, content in files.items():
            with open(os.path.join(self.folder, name), "wb") as file:
                file.write(content)

    def under_way(self):
        return os.listdir(self.host.place("state", "remotes"))


@pytest.fixture
def away(host):
    return Away(host)


def pair(backup):
    """What lies of a backup at the destination."""
    found = {}
    for path in (backup.path, os.path.join(os.path.dirname(backup.path), backup.stem + ".json")):
        with open(path, "rb") as file:
            found[os.path.basename(path)] = file.read()
    return found


def by_hash(monkeypatch):
    def no_download(*unused):
        raise AssertionError("nothing has to be read back")
    monkeypatch.setattr(Rclone, "download", no_download)


def by_reading(monkeypatch):
    """A remote that tells no hashes."""
    real = Rclone.stat

    def stat(self, path, hashes=True):
        found = real(self, path, hashes)
        return found and {"Size": found["Size"], "Hashes": {}}
    monkeypatch.setattr(Rclone, "stat", stat)


WAYS = [by_hash, by_reading]


@pytest.mark.parametrize("way", WAYS)
def test_a_copy_is_what_the_backup_is(away, monkeypatch, way):
    backup = away.host.backup().backup
    way(monkeypatch)
    with nothing_left():
        copied = away.copy(backup)
    assert copied.error is None and copied.to_dict() == {
        "remote": "offsite", "path": os.path.join(away.folder, os.path.basename(backup.path)), "size": os.path.getsize(backup.path),
        "seconds": copied.seconds, "problem": None}
    assert away.files() == pair(backup) and 0 < copied.seconds < 60 and away.under_way() == []


def test_a_copy_to_an_object_store(away, store):
    backup = away.host.backup().backup
    options = {name: "true" if value is True else value for name, value in store.options().items()}
    remote = Remote("s3", "s3:bucket/backups", options, host="elsewhere")
    reach(away.host.app(), remote, away.host.machine)
    copied = away.copy(backup, remote=remote)
    assert copied.error is None and copied.path == "s3:bucket/backups/elsewhere/notes/" + os.path.basename(backup.path)
    assert store.keys() == sorted("backups/elsewhere/notes/" + name for name in pair(backup))
    for name, content in pair(backup).items():
        with open(store.path("bucket", "backups", "elsewhere", "notes", name), "rb") as file:
            assert file.read() == content
    wrong = Remote("s3", "s3:bucket", dict(options, secret_access_key="wrong" * 8))
    failed = away.copy(backup, remote=wrong)
    assert "app notes: remote s3: the credentials are not accepted" in str(failed.error) and SECRET not in str(failed.error)
    with pytest.raises(RemoteError, match="the credentials are not accepted"):
        reach(away.host.app(), wrong, away.host.machine)


def flipping(name, content=None):
    """What arrives by a method of Rclone is something else."""
    real = getattr(Rclone, name)
    calls = []

    def call(self, *arguments, **words):
        real(self, *arguments, **words)
        path = self.place.at(arguments[1])
        calls.append(path)
        with open(path, "r+b") as file:
            data = file.read()
            file.seek(0)
            file.truncate()
            file.write(data[:-1] + bytes([data[-1] ^ 1]) if content is None else data + content)
    call.calls = calls
    return call


@pytest.mark.parametrize("way", WAYS)
def test_other_bytes_are_noticed_and_nothing_is_left(away, monkeypatch, way):
    away.add(STRANGERS)
    backup = away.host.backup().backup
    way(monkeypatch)
    put = flipping("put")
    monkeypatch.setattr(Rclone, "put", put)
    copied = away.copy(backup)
    assert "remote offsite: what has arrived is not what was sent: it has other content (its " in str(copied.error)
    assert str(copied.error).startswith("app notes: " + away.folder) and copied.path is None and copied.size is None
    assert away.files() == STRANGERS and away.under_way() == []
    assert len(put.calls) == 4  # It may be otherwise in a moment.


def test_other_sizes_and_another_manifest_are_noticed(away, monkeypatch):
    backup = away.host.backup().backup
    for name, content, expected in (("put", b"more", "it has %d bytes instead of %d" % (os.path.getsize(backup.path) + 4, os.path.getsize(backup.path))),
                                    ("put_bytes", None, "it has other content")):
        with monkeypatch.context() as patch:
            patch.setattr(Rclone, name, flipping(name, content))
            assert expected in str(away.copy(backup).error)
        assert away.files() == {} and away.under_way() == []
    with monkeypatch.context() as patch:
        patch.setattr(Rclone, "put", lambda *unused: None)
        assert "it has no bytes instead of" in str(away.copy(backup).error)


def test_a_remote_that_is_not_there_is_not_made(away):
    backup = away.host.backup().backup
    os.rmdir(away.path)
    copied = away.copy(backup)
    assert str(copied.error) == "app notes: remote offsite: %s does not exist. Create that bucket or directory first, or correct 'remote'." % away.path
    assert not os.path.exists(away.path)
    with pytest.raises(RemoteError, match="does not exist"):
        reach(away.host.app(), away.remote, away.host.machine)


def test_a_backup_that_is_gone(away):
    backup = away.host.backup().backup
    os.unlink(backup.path)
    assert away.copy(backup).error is not None and away.files() == {}


def failing(name, times, lasting=False):
    """A method of Rclone that fails some times after it has done its work."""
    real, left = getattr(Rclone, name), [times]

    def call(self, *arguments, **words):
        done = real(self, *arguments, **words)
        if left[0]:
            left[0] -= 1
            error = RemoteError("the connection broke")
            error.lasting = lasting
            raise error
        return done
    return call


@pytest.mark.parametrize("name", ["put", "put_bytes", "get_bytes", "stat", "listing"])
def test_what_breaks_is_tried_again(away, monkeypatch, name):
    backup = away.host.backup().backup
    monkeypatch.setattr(Rclone, name, failing(name, 3))
    assert away.copy(backup).error is None and away.files() == pair(backup)


@pytest.mark.parametrize("name", ["put", "put_bytes"])
def test_after_the_last_try_nothing_is_left(away, monkeypatch, name):
    away.add(STRANGERS)
    backup = away.host.backup().backup
    monkeypatch.setattr(Rclone, name, failing(name, 4))
    assert "the connection broke (tried 4 times)" in str(away.copy(backup).error)
    monkeypatch.setattr(Rclone, name, failing(name, 1, lasting=True))
    assert str(away.copy(backup).error).endswith("the connection broke.")
    assert away.files() == STRANGERS and away.under_way() == []


def test_what_cannot_be_taken_back_is_left_to_the_next_run(away, monkeypatch):
    away.add(STRANGERS)
    first = away.host.backup().backup
    with monkeypatch.context() as patch:
        patch.setattr(Rclone, "put_bytes", failing("put_bytes", 9))
        patch.setattr(Rclone, "delete", failing("delete", 9))
        assert away.copy(first).error is not None
    assert set(away.files()) > set(STRANGERS) and len(away.under_way()) == 1
    second = away.host.backup().backup
    assert away.copy(second).error is None
    assert away.files() == dict(STRANGERS, **pair(second)) and away.under_way() == []


def test_an_interruption_leaves_nothing(away):
    backup = away.host.backup().backup

    def interrupt(unused):
        raise KeyboardInterrupt
    real = Rclone.put
    try:
        Rclone.put = lambda self, source, path, on_bytes=None: (real(self, source, path), on_bytes(1))
        with pytest.raises(KeyboardInterrupt):
            away.copy(backup, on_bytes=interrupt)
    finally:
        Rclone.put = real
    assert away.files() == {} and away.under_way() == []


def test_a_kill_while_it_is_sent(away, tmp_path):
    """The real rclone, which has begun; it ends with us, and the next run removes what has come of it."""
    away.add(STRANGERS)
    away.host.write("uploads/large.bin", os.urandom(4 << 20))
    backup = away.host.backup().backup
    slow = Remote("offsite", away.path, bandwidth="2M")
    pid = os.fork()
    if not pid:
        away.copy(backup, remote=slow)
        os._exit(0)
    until = time.monotonic() + 20
    while set(away.files()) == set(STRANGERS) and time.monotonic() < until:
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    half = set(away.files()) - set(STRANGERS)
    assert len(half) == 1 and not half & set(pair(backup)) or half == {os.path.basename(backup.path)}
    assert away.good() == []
    time.sleep(0.2)  # It dies when we do, and may write until then.
    os.unlink(away.host.at("uploads/large.bin"))
    following = away.host.backup().backup
    assert away.copy(following).error is None
    assert away.files() == dict(STRANGERS, **pair(following)) and away.under_way() == []


def is_sound(away, backups):
    """Whether all that is listed as good is what was sent, each once; returns the ids."""
    listed, files = away.good(), away.files()
    ids = [backup.id for backup in listed]
    assert len(ids) == len(set(ids))
    for backup in listed:
        assert files[os.path.basename(backup.path)] == backups[backup.id]
    return ids


@pytest.mark.parametrize("stem", [None, "notes-03"])
def test_a_kill_at_any_step_of_a_copy(host, stepwise, stem):
    away = Away(host)
    away.add(STRANGERS)
    first, second, third = [host.backup().backup for unused in range(3)]
    archives = {}
    for backup in (first, second, third):
        with open(backup.path, "rb") as file:
            archives[backup.id] = file.read()
    assert away.copy(first, stem).error is None
    for point in stepwise.each(lambda: away.copy(second, stem)):
        found = is_sound(away, archives)
        assert first.id in found or (stem and second.id in found), point
        assert {name: content for name, content in away.files().items() if name in STRANGERS} == STRANGERS, point
        replaced = {backup.id for backup in away.good() if backup.stem == stem}
        assert away.copy(third, stem).error is None, point
        after = is_sound(away, archives)
        assert not replaced & set(after), point
        assert after[0] == third.id and away.under_way() == [], point
        if stem:
            assert set(away.files()) == set(STRANGERS) | {stem + ".json", stem + os.path.basename(first.path)[len(first.id):]} | \
                {name for each in after if each != third.id for name in away.files() if name.startswith(each)}, point
        else:
            assert set(after) == {third.id} | set(found), point
            assert len(away.files()) == len(STRANGERS) + 2 * len(after), point


def test_rolling_names_are_used_again(host, stepwise):
    away = Away(host)
    for stem in ("notes-03", "notes-04", "notes-03"):
        backup = away.host.backup().backup
        copied = away.copy(backup, stem)
        assert copied.error is None and os.path.basename(copied.path).startswith(stem + ".tar.")
    ids = {each.stem: each.id for each in away.good()}
    assert set(ids) == {"notes-03", "notes-04"} and ids["notes-03"] == backup.id and len(away.files()) == 4
    assert away.files()[os.path.basename(copied.path)] == pair(backup)[os.path.basename(backup.path)]


@pytest.mark.parametrize("name", ["notes-03.json", "notes-03.tar.gz", "notes-03.tar.zst.age"])
def test_a_rolling_name_that_somebody_else_has(away, name):
    away.add({name: b"{}"})
    backup = away.host.backup().backup
    copied = away.copy(backup, "notes-03")
    assert "so it is not replaced. Look at it, and move it elsewhere" in str(copied.error) and name in str(copied.error)
    assert away.files() == dict(pair(backup), **{name: b"{}"}) and away.under_way() == []


def test_a_rolling_name_that_another_app_has(away):
    backup = away.host.backup().backup
    other = Backup("x", backup.manifest.beside(dict(backup.manifest.archive, name="notes-03.tar.gz"), None), None)
    other.manifest.content.update(app="wiki", id="wiki-" + backup.id[-16:])
    away.add({"notes-03.json": other.manifest.to_bytes()})
    assert "is no manifest of this app" in str(away.copy(backup, "notes-03").error)
    assert away.files()["notes-03.json"] == other.manifest.to_bytes() and [each.id for each in away.good()] == [backup.id]


def test_where_nothing_may_be_deleted_nothing_is(host, monkeypatch):
    away = Away(host, delete=False)
    away.add(STRANGERS)

    def no(*unused):
        raise AssertionError("something was deleted")
    monkeypatch.setattr(Rclone, "delete", no)
    first, second = host.backup().backup, host.backup().backup
    for backup in (first, second):
        assert os.path.basename(away.copy(backup, "notes-03").path) == os.path.basename(backup.path)
    kept = dict(STRANGERS, **dict(pair(first), **pair(second)))
    assert away.files() == kept
    third = host.backup().backup
    with monkeypatch.context() as patch:
        patch.setattr(Rclone, "put_bytes", failing("put_bytes", 9))
        assert away.copy(third).error is not None
    assert set(away.files()) == set(kept) | set(pair(third))
    # Nor is anything replaced, whoever may have put it there.
    away.add({first.id + ".json": b"another one"})
    assert "is there already, and nothing is replaced where 'delete' is false" in str(away.copy(first).error)
    assert away.files()[first.id + ".json"] == b"another one"
