# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Verification and restore of what is at a remote, encrypted or not: the archive is never a file here, and nothing leaks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.archive.age import make_pair
from ansible_collections.appstate.backup.plugins.module_utils.catalog.remote import catalog_at
from ansible_collections.appstate.backup.plugins.module_utils.operations.copies import copy_to
from ansible_collections.appstate.backup.plugins.module_utils.operations.verify import LEVELS
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import (
    ArchiveError, ConfigurationError, IdentityError, RemoteError, SourceError)
from ansible_collections.appstate.backup.tests.unit.plugins.leftovers import held, nothing_left

LARGE = 6 << 20


class Offsite:
    """A host whose only backups are at a remote."""

    def __init__(self, host, encrypted):
        self.host = host
        host.fill()
        host.write("uploads/large.bin", os.urandom(LARGE))
        self.identity, recipient = make_pair() if encrypted else (None, None)
        os.mkdir(host.place("remote"))
        self.words = {"remotes": [{"name": "offsite", "remote": host.place("remote")}],
                      "encryption": {"recipients": [recipient]} if encrypted else None}
        self.app = host.app(**self.words)
        self.backup = host.backup(**self.words).backup
        assert copy_to(self.app, self.app.remote("offsite"), host.machine, self.backup).error is None
        self.archive = host.place("remote", "host", "notes", os.path.basename(self.backup.path))
        shutil.rmtree(os.path.join(host.destination, "notes"))
        host.write("data/settings.json", b"changed since")

    def chosen(self, **words):
        """What a restore or a verification is asked for."""
        return dict({"remote": catalog_at(self.app, "offsite", self.host.machine), "identity": self.identity}, **words)

    def verify(self, level, app=None, **words):
        return self.host.verify(level, app or self.app, **self.chosen(**words))

    def restore(self, **words):
        return self.host.restore(self.chosen(**words), **self.words)

    def flip(self, place):
        with open(self.archive, "r+b") as file:
            file.seek(place)
            byte = file.read(1)
            file.seek(place)
            file.write(bytes([byte[0] ^ 1]))


@pytest.fixture(params=[False, True], ids=["plain", "encrypted"])
def offsite(request, host):
    return Offsite(host, request.param)


@pytest.fixture
def sealed(host):
    return Offsite(host, True)


@pytest.mark.parametrize("level", LEVELS)
def test_a_good_backup_is_good_at_each_level(offsite, tree, level):
    before = tree(offsite.host.path)
    with nothing_left():
        found = offsite.verify(level)
    assert (found.ok, found.problems, found.level, found.notes) == (True, [], level, [])
    assert found.members == (None if level == "presence" else 9)
    assert tree(offsite.host.path) == before and offsite.host.left() == []


def test_damage_is_noticed_where_bytes_are_read(offsite):
    offsite.flip(LARGE // 2)
    assert offsite.verify("presence").ok
    for level in ("checksum", "content"):
        with nothing_left():
            assert not offsite.verify(level).ok
    with nothing_left(), pytest.raises(ArchiveError, match="app notes: "):
        offsite.restore().restore()
    assert offsite.host.left() == []


def test_what_shrinks_or_vanishes_in_between(offsite):
    selection = offsite.chosen()
    with nothing_left():
        os.truncate(offsite.archive, LARGE // 2)
        with pytest.raises((ArchiveError, SourceError)):
            offsite.verify("checksum", which=offsite.backup.id)
    assert selection["remote"].find(offsite.backup.id).problem


def test_what_is_sealed_can_be_looked_at_only_from_outside(sealed):
    found = sealed.verify("checksum", identity=None)
    assert found.ok and found.members is None and found.notes == [
        "it is encrypted and was not opened; with an identity its members are looked at, too"]
    assert sealed.verify("presence", identity=None).ok
    with nothing_left(), pytest.raises(IdentityError, match="is encrypted, and no identity was given"):
        sealed.verify("content", identity=None)
    with nothing_left(), pytest.raises(IdentityError, match="app notes: .*no identity was given"):
        sealed.restore(identity=None).restore()
    sealed.flip(LARGE // 2)
    found = sealed.verify("checksum", identity=None)
    assert [problem["problem"] for problem in found.problems] == ["the archive is not the one that was written (its digest differs)"]


def test_the_wrong_identity_is_not_the_backup_s_fault(sealed):
    wrong = make_pair()[0]
    for level in ("checksum", "content"):
        with nothing_left(), pytest.raises(IdentityError, match="the identity does not open it: it belongs to none of the recipients"):
            sealed.verify(level, identity=wrong)
    with pytest.raises(IdentityError, match="app notes: .*belongs to none of the recipients"):
        sealed.restore(identity=wrong).restore()
    assert sealed.host.left() == []


OPENED = {}


def _opened(event, arguments):
    if event == "open" and OPENED.get("active") and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR):
        if isinstance(arguments[0], (str, bytes)):  # What is open already has no path.
            OPENED["paths"].append(os.fsdecode(arguments[0]))


sys.addaudithook(_opened)


def test_the_key_in_escrow_is_proven_and_nothing_of_the_plain_text_gets_to_a_disk(sealed, monkeypatch, tmp_path):
    """Every file that this process opens for writing is looked at: they are what rclone and age have to say, and no more."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    real, kept = tempfile.TemporaryFile, []

    def temporary(*arguments, **words):
        made = real(*arguments, **words)
        kept.append(os.dup(made.fileno()))
        return made
    monkeypatch.setattr(tempfile, "TemporaryFile", temporary)
    OPENED.update(active=True, paths=[])
    found = sealed.verify("checksum")
    OPENED["active"] = False
    assert found.ok and found.members == 9
    written = [path for path in OPENED["paths"] if path != os.devnull and not path.startswith(str(tmp_path))]
    assert written == [] and os.listdir(str(tmp_path)) == [] and kept
    for descriptor in kept:
        content = os.pread(descriptor, 1 << 20, 0)
        os.close(descriptor)
        # The manifest, which is no secret, names the sources.
        assert b"large.bin" not in content and b"deep" not in content and b"note 1" not in content and len(content) < 10000


class Peak:
    """The most that is on disks of a host's places at a moment, deleted files that are still open among it."""

    def __init__(self, tops):
        self._tops = tops
        self.most = 0
        self._stop = False

    def __enter__(self):
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *unused):
        self._stop = True
        self._thread.join()
        # A busy machine may not have let the thread look since the last file came: what is there now counts, too.
        self._look()

    def _run(self):
        while not self._stop:
            self._look()
            time.sleep(0.002)

    def _look(self):
        self.most = max(self.most, sum(map(self._size, self._tops)) + self._deleted())

    @staticmethod
    def _size(top):
        done = subprocess.run(["du", "-s", "--block-size=1", top], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
        return int(done.stdout.split()[0]) if done.stdout else 0

    @staticmethod
    def _deleted():
        total = 0
        for name in os.listdir("/proc/self/fd"):
            try:
                if os.readlink("/proc/self/fd/" + name).endswith("(deleted)"):
                    total += os.stat("/proc/self/fd/" + name).st_blocks * 512
            except OSError:
                continue
        return total


def test_a_restore_to_an_empty_root_has_nothing_of_the_archive_on_disk(offsite, tree, monkeypatch):
    host = offsite.host
    os.mkdir(host.place("tmp"))
    monkeypatch.setattr(tempfile, "tempdir", host.place("tmp"))
    shutil.rmtree(host.root)
    os.mkdir(host.root)
    before = held()
    with Peak([host.root, host.destination, host.place("tmp"), host.state]) as peak:
        outcome = offsite.restore().restore()
    assert held() == before
    assert outcome.changed and host.notes() == 20 and os.path.getsize(host.at("uploads/large.bin")) == LARGE
    with open(host.at("data/settings.json"), "rb") as file:
        assert file.read() == b"{}"
    assert LARGE <= peak.most < LARGE + (2 << 20)
    assert os.listdir(host.place("tmp")) == [] and os.listdir(host.destination) == []
    assert offsite.identity is None or not said_anywhere(host.state, offsite.identity.split()[-1].encode())


def said_anywhere(top, secret):
    for folder, unused, names in os.walk(top):
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                if secret in file.read():
                    return True
    return False


def test_staging_ends_in_a_restore_and_a_validation_in_nothing(offsite, tree):
    before = tree(offsite.host.root)
    assert not offsite.restore().validate().changed
    assert tree(offsite.host.root) == before and offsite.host.left() == []
    offsite.restore().stage()
    assert offsite.restore().restore().changed
    with open(offsite.host.at("data/settings.json"), "rb") as file:
        assert file.read() == b"{}"
    offsite.host.restore(**offsite.words).roll_back()
    assert tree(offsite.host.root) == before


def test_some_paths_alone(offsite):
    offsite.restore(only=["data/settings.json"]).restore()
    with open(offsite.host.at("data/settings.json"), "rb") as file:
        assert file.read() == b"{}"


def test_choosing_at_a_remote(offsite):
    created = offsite.backup.manifest.content["created"]
    for words in ({"which": offsite.backup.id}, {"before": created}):
        assert offsite.verify("presence", **words).ok
    with pytest.raises(SourceError, match="has no backup 'x'. The newest are: %s" % offsite.backup.id):
        offsite.verify("presence", which="x")
    with pytest.raises(SourceError, match="at or before 2020-01-01T00:00:00Z"):
        offsite.verify("presence", before="2020-01-01T00:00:00Z")
    with pytest.raises(ConfigurationError, match="'archive' and 'remote' exclude one another"):
        offsite.verify("presence", archive="/x")
    os.unlink(offsite.archive)
    with pytest.raises(SourceError, match=r"no good backup \(1 that are not good\)"):
        offsite.verify("presence")
    with pytest.raises(ArchiveError, match="cannot be restored: the archive is missing"):
        offsite.verify("presence", which=offsite.backup.id)
    shutil.rmtree(offsite.host.place("remote"))
    with pytest.raises(RemoteError, match="does not exist"):
        offsite.verify("presence")


def test_an_encrypted_archive_by_its_path(sealed):
    alone = sealed.host.place("alone.age")
    shutil.copy(sealed.archive, alone)
    words = {"app": sealed.app, "archive": alone}
    assert sealed.host.verify("content", identity=sealed.identity, **words).ok
    assert sealed.host.verify("checksum", identity=sealed.identity, **words).ok
    assert sealed.host.verify("presence", **words).ok
    with pytest.raises(IdentityError, match="has no manifest beside it, so nothing can be said of it without an identity"):
        sealed.host.verify("checksum", **words)
    with pytest.raises(IdentityError, match="no identity was given"):
        sealed.host.verify("content", **words)
    sealed.host.restore({"archive": alone, "identity": sealed.identity}, **sealed.words).restore()
    assert sealed.host.notes() == 20
