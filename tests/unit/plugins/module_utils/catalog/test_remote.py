# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Catalogs at a real object store and in a directory, with all that may lie there."""

from __future__ import annotations

import datetime
import os
import shutil
import time

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.catalog.remote import RemoteCatalog, catalog_at, host_of
from ansible_collections.appstate.backup.plugins.module_utils.remote import Remote
from ansible_collections.appstate.backup.plugins.module_utils.remotes import rclone
from ansible_collections.appstate.backup.plugins.module_utils.remotes.rclone import Rclone
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import ConfigurationError, RemoteError
from ansible_collections.appstate.backup.tests.unit.plugins.leftovers import nothing_left
from ansible_collections.appstate.backup.tests.unit.plugins.module_utils.catalog.test_catalog import BEGIN, manifest
from ansible_collections.appstate.backup.tests.unit.plugins.object_store import ObjectStore


@pytest.fixture(scope="module")
def store():
    with ObjectStore() as made:
        yield made


class There:
    """A catalog, and the directory that its files are in."""

    def __init__(self, remote, top):
        self.catalog = RemoteCatalog(remote, "notes", "host")
        self.top = top
        self.folder = os.path.join(top, "host", "notes")

    def write(self, name, content=b""):
        os.makedirs(self.folder, exist_ok=True)
        with open(os.path.join(self.folder, name), "wb") as file:
            file.write(content)

    def publish(self, minutes, content=b"archive", stem=None, **changes):
        """A backup that was begun some minutes after the first; its files are called after its id, or have a rolling name."""
        described = manifest(BEGIN + datetime.timedelta(minutes=minutes), len(content), **changes)
        name = (stem or described.id) + ".tar.gz"
        described = described.beside(dict(described.archive, name=name), None)
        self.write(name, content)
        self.write((stem or described.id) + ".json", described.to_bytes())
        return described.id

    def good(self):
        return [backup.id for backup in self.catalog.list() if backup.problem is None]

    def problems(self):
        return {backup.stem: backup.problem for backup in self.catalog.list() if backup.problem is not None}


@pytest.fixture(params=["s3", "directory"])
def there(request, store, tmp_path, monkeypatch):
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    if request.param == "directory":
        return There(Remote("offsite", str(tmp_path)), str(tmp_path))
    shutil.rmtree(store.path("bucket"))
    store.make("bucket")
    time.sleep(0.05)
    options = {name: "true" if value is True else value for name, value in store.options().items()}
    return There(Remote("offsite", "s3:bucket", options), store.path("bucket"))


def test_what_is_there_is_listed_newest_first(there):
    with nothing_left():
        assert there.catalog.list() == [] and list(there.catalog.good()) == [] and there.catalog.names() == {}
        assert there.catalog.find("notes-20261119T030000Z") is None
    ids = [there.publish(minutes) for minutes in (5, 0, 90000)]
    with nothing_left():
        listed = there.catalog.list()
    assert [backup.id for backup in listed] == [backup.id for backup in there.catalog.good()] == [ids[2], ids[0], ids[1]]
    assert listed[0].path == there.catalog.place + "/" + ids[2] + ".tar.gz"
    assert listed[0].to_dict(BEGIN)["good"] is True and listed[0].to_dict(BEGIN)["size"] == 7
    assert there.catalog.names() == {name + ending: os.path.getsize(os.path.join(there.folder, name + ending))
                                     for name in ids for ending in (".json", ".tar.gz")}


def test_what_is_wrong_is_listed_last_and_says_why(there):
    good = there.publish(0)
    shorter, missing, tampered, foreign, empty, newer = [there.publish(minutes) for minutes in range(1, 7)]
    there.write(shorter + ".tar.gz", b"arc")
    os.unlink(os.path.join(there.folder, missing + ".tar.gz"))
    with open(os.path.join(there.folder, tampered + ".json"), "rb") as file:
        whole = file.read()
    there.write(tampered + ".json", whole.replace(b'"duration": 1.5', b'"duration": 1.6'))
    with open(os.path.join(there.folder, good + ".json"), "rb") as file:
        there.write(foreign + ".json", file.read())
    there.write(empty + ".json")
    there.publish(6, format=2)
    there.publish(8, app="wiki")
    there.publish(9, sources=[{"type": "files", "path": "x", "present": True, "bytes": 1, "generation": good + ".1.tree",
                               "list": {"count": 0, "bytes": 0, "digest": "0" * 64}}])
    there.write("notes-20200101T000000Z.tar.zst.age", b"its manifest was lost")
    there.write("notes-03.tar.gz", b"likewise")
    assert there.good() == [good] == [backup.id for backup in there.catalog.good()]
    problems = there.problems()
    assert problems.pop(shorter) == "the archive has 3 bytes, and the manifest says 7"
    assert problems.pop(missing) == "the archive is missing"
    assert "damaged" in problems.pop(tampered) and "no JSON" in problems.pop(empty)
    assert problems.pop(foreign) == "the manifest is that of " + good
    assert "format 2" in problems.pop(newer)
    assert problems.pop("wiki-20261119T030800Z") == "is a backup of the app wiki"
    assert problems.pop("notes-20261119T030900Z") == "its generations stand beside the archive, and not at a remote"
    assert problems == {"notes-20200101T000000Z": "its manifest is missing", "notes-03": "its manifest is missing"}
    assert there.catalog.find(shorter).problem and there.catalog.find("notes-20200101T000000Z") is None


def test_files_of_others_are_none(there):
    for name in ("README", "package.json", "notes.txt", ".hidden.json", "x" * 220 + ".json", "notes-20261119T030000Z.json.bak"):
        there.write(name, b"{}")
    os.mkdir(os.path.join(there.folder, "notes-20261119T030000Z.json"))
    there.write("notes-20261119T030000Z.json/inside.json", b"{}")
    assert there.catalog.list() == []
    id = there.publish(9)
    assert there.good() == [id] and there.problems() == {}


def test_a_file_that_is_much_too_large_for_a_manifest_is_not_fetched(there):
    id = there.publish(0)
    large = os.path.join(there.folder, there.publish(1) + ".json")
    os.truncate(large, 17 << 20)
    begun = time.monotonic()
    assert there.good() == [id] and len(there.problems()) == 1
    assert time.monotonic() - begun < 20


def test_rolling_names(there):
    first = there.publish(0, stem="notes-03")
    second = there.publish(60, stem="notes-04")
    third = there.publish(120)
    there.publish(60)  # The first name of the second, which a killed run has left.
    assert there.good() == [third, second, first] == [backup.id for backup in there.catalog.good()]
    assert [backup.stem for backup in there.catalog.list()] == [third, "notes-04", "notes-03"]
    assert there.catalog.find(first).stem == "notes-03" and there.catalog.find("notes-03") is None
    names = there.catalog.names()
    assert there.catalog.second(second, names).stem == "notes-04" and there.catalog.second(third, names) is None
    assert there.catalog.at_stem("notes-03", names).id == first and there.catalog.at_stem("notes-05", names) is None


def test_removing_takes_off_the_list_first(there, monkeypatch):
    ids = [there.publish(minutes) for minutes in (0, 1)]
    backup = there.catalog.find(ids[0])
    gone = []
    real = Rclone.delete
    monkeypatch.setattr(Rclone, "delete", lambda self, path: (gone.append(path), real(self, path)))
    there.catalog.remove(backup)
    assert gone == ["host/notes/%s.json" % ids[0], "host/notes/%s.tar.gz" % ids[0]]
    assert there.good() == [ids[1]] and there.problems() == {}
    there.catalog.remove(backup)


def test_an_archive_is_read_from_there(there):
    id = there.publish(0, b"x" * 100000)
    with nothing_left():
        download = there.catalog.download(there.catalog.find(id))
        with os.fdopen(os.dup(download.fileno()), "rb") as stream:
            assert stream.read() == b"x" * 100000
        assert download.complaint() is None
        download.close()


def test_hundreds_are_listed_quickly_and_no_archive_is_read(store, monkeypatch):
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    options = {name: "true" if value is True else value for name, value in store.options().items()}
    store.make("many")
    there = There(Remote("offsite", "s3:many", options), store.path("many"))
    for minutes in range(300):
        there.publish(minutes)
    calls = []
    real = rclone.Call.__init__
    monkeypatch.setattr(rclone.Call, "__init__", lambda self, *arguments, **words: (calls.append(arguments[2]), real(self, *arguments, **words))[1])
    begun = time.monotonic()
    assert len(there.good()) == 300
    assert time.monotonic() - begun < 30 and [words[0] for words in calls] == ["lsjson", "copy"]
    assert next(there.catalog.good()).id == "notes-20261119T075900Z"
    assert [words[0] for words in calls[2:]] == ["lsjson", "cat"]
    del calls[:]
    assert there.catalog.find("notes-20261119T030000Z").problem is None and [words[0] for words in calls] == ["lsjson", "cat"]


def test_a_remote_that_is_not_there(tmp_path):
    gone = RemoteCatalog(Remote("offsite", str(tmp_path / "disk")), "notes", "host")
    for step in (gone.names, gone.list, lambda: next(gone.good()), lambda: gone.find("x")):
        with pytest.raises(RemoteError, match="remote offsite: .*/disk does not exist"):
            step()


def test_whose_backups_are_meant(host):
    app = host.app(remotes=[{"name": "offsite", "remote": host.path}, {"name": "named", "remote": host.path, "host": "web1"}])
    assert catalog_at(app, "offsite", host.machine).place == host.path + "/host/notes"
    assert catalog_at(app, "named", host.machine).place == host.path + "/web1/notes"
    assert catalog_at(app, "named", host.machine, "web2").place == host.path + "/web2/notes"
    assert host_of(app.remote("offsite"), host.machine) == "host"
    for name in ("..", "a/b", "", "-x", "a b"):
        with pytest.raises(ConfigurationError, match="app notes: .* is no name of a host. Name the host that made the backups"):
            catalog_at(app, "offsite", host.machine, name)
    with pytest.raises(ConfigurationError, match="has no remote 'x'"):
        catalog_at(app, "x", host.machine)
