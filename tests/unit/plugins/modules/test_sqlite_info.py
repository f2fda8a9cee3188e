# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module sqlite_info, by its own main()."""

from __future__ import annotations

import json
import os

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.appstate.backup.plugins.modules import sqlite_info
from ansible_collections.appstate.backup.tests.unit.plugins.live_databases import place  # noqa: F401  # pylint: disable=unused-import


@pytest.fixture
def run(capsys):
    """A function that runs the module with arguments, and gives its result."""
    def run_with(**arguments):
        with patch_module_args(arguments), pytest.raises(SystemExit):
            sqlite_info.main()
        return json.loads(capsys.readouterr().out)
    return run_with


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_a_live_database_is_described(place, run, journal):
    path = place.database(journal=journal)
    writer = place.transfers(path)
    result = run(path=path, integrity="full", row_counts=True)
    place.stop(path, writer)
    database = result["database"]
    assert result["changed"] is False
    assert set(database) == {"path", "size", "wal_size", "page_size", "page_count", "encoding", "journal_mode", "user_version",
                             "application_id", "schema_digest", "tables", "foreign_keys", "integrity"}
    assert (database["path"], database["journal_mode"], database["application_id"]) == (path, journal, 1234)
    assert database["tables"]["accounts"] == 100
    assert database["integrity"] == {"level": "full", "ok": True, "messages": []}


def test_nothing_is_counted_or_checked_unasked(place, run):
    database = run(path=place.database())["database"]
    assert database["tables"] is None
    assert database["integrity"] == {"level": "none", "ok": None, "messages": []}


def test_damage_is_a_result_that_tells_what_the_header_says(place, run):
    path = place.database(journal="delete", statements=["CREATE TABLE notes (a)"])
    with open(path, "r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096)
    database = run(path=path, integrity="quick", row_counts=True)["database"]
    assert database["integrity"]["ok"] is False
    assert database["integrity"]["messages"]
    assert (database["tables"], database["schema_digest"], database["user_version"]) == (None, None, 7)


def test_a_missing_database_fails_with_its_path_and_is_not_made(place, run):
    path = os.path.join(place.application, "missing.db")
    result = run(path=path)
    assert result["failed"]
    assert result["msg"].startswith(path + ": is missing.")
    assert (result["exit_code"], result["error"]["class"]) == (1, "SourceError")
    assert os.listdir(place.application) == []


def test_a_relative_path_is_one_of_the_working_directory(place, run, monkeypatch):
    path = place.database()
    monkeypatch.chdir(place.application)
    assert run(path="notes.db")["database"]["path"] == path
