# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restores of a database that lies inside a source of files."""

from __future__ import annotations

import os


def nested(host):
    """An app whose files hold its database."""
    host.fill()
    host.write("data/sub/inner.txt")
    host.database("data/sub/more.db", 7, "delete")
    return [{"type": "files", "path": "data"}, {"type": "sqlite", "path": "data/notes.db"},
            {"type": "sqlite", "path": "data/sub/more.db"}]


def test_a_database_inside_a_files_source(host, tree):
    host.directory("data")
    sources = nested(host)
    os.utime(host.at("data/sub"), ns=(1600000000000000001, 1600000000000000001))
    taken = host.backup(sources=sources)
    assert taken.warnings == []
    host.damage()
    host.crash()
    before = tree(host.root)
    told = host.restore(sources=sources).restore().to_dict()
    assert told["restored"] == [host.at("data")]
    assert (host.notes(), host.notes("data/sub/more.db")) == (20, 7)
    assert os.path.exists(host.at("data/settings.json"))
    assert not os.path.exists(host.at("data/notes.db-wal"))
    host.restore(sources=sources).roll_back()
    assert tree(host.root) == before


def test_the_time_of_a_directory_that_holds_a_database(host):
    sources = nested(host)
    os.utime(host.at("data/sub"), ns=(1600000000000000001, 1600000000000000001))
    host.backup(sources=sources)
    host.restore(sources=sources).restore()
    assert os.stat(host.at("data/sub")).st_mtime_ns == 1600000000000000001


def test_only_a_directory_that_holds_files_and_a_database(host):
    sources = nested(host)
    host.backup(sources=sources)
    host.add_notes(2, "data/sub/more.db")
    host.write("data/sub/inner.txt", b"other")
    host.restore({"only": ["data/sub"]}, sources=sources).restore()
    assert host.notes("data/sub/more.db") == 7
    with open(host.at("data/sub/inner.txt"), "rb") as file:
        assert file.read() == b"content"


def test_the_database_of_an_excluded_directory_can_be_reached_after_a_restore(host):
    sources = nested(host)
    sources[0]["exclude"] = ["sub"]
    host.backup(sources=sources)
    found = os.stat(host.at("data/sub"))
    host.restore(sources=sources).restore()
    assert host.notes("data/sub/more.db") == 7
    made = os.stat(host.at("data/sub"))
    assert (made.st_uid, made.st_gid) == (found.st_uid, found.st_gid)
    assert made.st_mode & 0o500 == 0o500
