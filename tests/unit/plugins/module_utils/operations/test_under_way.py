# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The record of what is half there at a remote."""

from __future__ import annotations

import json
import os

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.catalog.remote import RemoteCatalog
from ansible_collections.appstate.backup.plugins.module_utils.operations.copies import copy_to
from ansible_collections.appstate.backup.plugins.module_utils.operations.under_way import UnderWay
from ansible_collections.appstate.backup.plugins.module_utils.remote import Remote


@pytest.fixture
def record(host):
    """A function that reads the record anew."""
    return lambda app="notes", remote="offsite": UnderWay(host.machine, app, remote)


def content(host, name="notes.offsite.json"):
    with open(host.place("state", "remotes", name), encoding="ascii") as file:
        return json.load(file)


def test_what_is_begun_is_known_to_the_next_run_until_it_has_ended(host, record):
    first = record()
    first.begin("a")
    first.begin("b")
    assert content(host) == ["a", "b"]
    second = record()
    second.begin("c")
    second.end("a")
    assert content(host) == ["b", "c"]
    assert os.stat(host.place("state", "remotes", "notes.offsite.json")).st_mode & 0o777 == 0o600
    second.end("b")
    second.end("c")
    assert os.listdir(host.place("state", "remotes")) == []
    second.end("never begun")


def test_to_look_makes_nothing(host, record, tree):
    before = tree(host.path)
    record()
    assert tree(host.path) == before


def test_no_two_apps_share_a_record(host, record):
    """An app a with a remote b-c, and an app a-b with a remote c."""
    record("a", "b-c").begin("one")
    record("a-b", "c").begin("two")
    record("a", "b-c").end("one")
    assert os.listdir(host.place("state", "remotes")) == ["a-b.c.json"]


@pytest.mark.parametrize("damage", [b"", b"{}", b"[1, null]", b"\xff", b"[" * 100000, b"[\"a\"" + b" " * (2 << 20) + b"]"])
def test_a_record_that_is_damaged_is_none(host, record, damage):
    record().begin("a")
    with open(host.place("state", "remotes", "notes.offsite.json"), "wb") as file:
        file.write(damage)
    after = record()
    after.begin("b")
    assert content(host) == ["b"]


def test_only_what_is_half_there_is_removed(host, stepwise, record):
    os.mkdir(host.place("remote"))
    host.fill()
    app, remote = host.app(), Remote("offsite", host.place("remote"))
    whole = host.backup().backup
    assert copy_to(app, remote, host.machine, whole).error is None
    catalog = RemoteCatalog(remote, "notes", "host")
    folder = host.place("remote", "host", "notes")
    kept = set(os.listdir(folder))
    strangers = {"notes-20200101T000000Z.tar.gz", "half.txt", "half.tar.gz.partial.txt", "halfway.tar.gz", "half.tar.gz.d", "other.tar.gz.x.partial"}
    for name in strangers | {"half.tar.gz", "half.tar.zst.age", "half.tar.zst.1234abcd.partial"}:
        with open(os.path.join(folder, name), "wb"):
            pass
    record().settle(catalog)
    assert len(os.listdir(folder)) == len(kept | strangers) + 3
    record().begin("half")
    record().begin(whole.stem)
    record().begin("never-there")
    record().settle(catalog)
    assert set(os.listdir(folder)) == kept | strangers
    assert os.listdir(host.place("state", "remotes")) == []


def test_nothing_is_asked_where_nothing_is_under_way(record):
    record().settle(None)
