# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module sqlite_snapshot, by its own main()."""

from __future__ import annotations

import json
import os

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.appstate.backup.plugins.modules import sqlite_snapshot
from ansible_collections.appstate.backup.tests.unit.plugins.live_databases import place  # noqa: F401  # pylint: disable=unused-import


@pytest.fixture
def run(capsys):
    """A function that runs the module with arguments, and gives its result."""
    def run_with(**arguments):
        with patch_module_args(arguments), pytest.raises(SystemExit):
            sqlite_snapshot.main()
        return json.loads(capsys.readouterr().out)
    return run_with


@pytest.fixture
def kept(place):
    """A directory for snapshots that everybody may pass."""
    path = os.path.join(place.path, "kept")
    os.mkdir(path)
    return path


def test_check_mode_predicts_what_the_run_does(place, kept, run):
    path, target = place.database(), os.path.join(kept, "a.db")
    predicted = run(src=path, dest=target, _ansible_check_mode=True, _ansible_diff=True)
    assert os.listdir(kept) == []
    taken = run(src=path, dest=target, _ansible_diff=True)
    assert (predicted["changed"], taken["changed"]) == (True, True)
    assert predicted["diff"] == taken["diff"] == {
        "before": {"path": target, "state": "absent"},
        "after": {"path": target, "state": "file", "content": "a new snapshot"}}
    assert set(predicted["snapshot"]) == set(taken["snapshot"])
    assert predicted["snapshot"]["path"] == taken["snapshot"]["path"] == target
    assert predicted["snapshot"]["passport"] is None
    assert taken["snapshot"]["passport"]["tables"]["accounts"] == 100
    assert taken["snapshot"]["size"] == os.path.getsize(target)


def test_a_second_run_to_the_same_file_fails_and_leaves_it(place, kept, run):
    path, target = place.database(), os.path.join(kept, "a.db")
    run(src=path, dest=target)
    before = open(target, "rb").read()
    for check_mode in (True, False):
        result = run(src=path, dest=target, _ansible_check_mode=check_mode)
        assert result["failed"]
        assert result["msg"].startswith(target + ": exists already.")
        assert result["exit_code"] == 78
    assert open(target, "rb").read() == before
    assert run(src=path, dest=target, force=True, _ansible_diff=True)["diff"]["before"]["state"] == "file"


@pytest.mark.parametrize("arguments, mode", [({}, 0o600), ({"mode": "0640"}, 0o640), ({"mode": "u=rw,o=r"}, 0o604)])
def test_the_copy_gets_its_permissions(place, kept, run, arguments, mode):
    taken = run(src=place.database(), dest=kept, **arguments)
    assert os.stat(taken["snapshot"]["path"]).st_mode & 0o777 == mode


def test_the_copy_gets_its_owner(place, kept, run):
    taken = run(src=place.database(), dest=kept, owner=str(place.owner))
    assert os.stat(taken["snapshot"]["path"]).st_uid == place.owner


def test_a_directory_gets_a_name_with_the_time(place, kept, run):
    taken = run(src=place.database("a.b.sqlite"), dest=kept, method="vacuum", integrity="quick")
    name = os.path.basename(taken["snapshot"]["path"])
    assert name.startswith("a.b-20") and name.endswith("Z.db") and len(name) == len("a.b-20261119T030000Z.db")
    assert (taken["snapshot"]["method"], taken["snapshot"]["integrity"]["level"]) == ("vacuum", "quick")


def test_a_locked_database_fails_as_busy_at_the_deadline(place, kept, run):
    path = place.database(journal="delete")
    place.process(path, "connection.execute('BEGIN EXCLUSIVE')\nready()\ntime.sleep(60)")
    result = run(src=path, dest=kept, deadline=0.2)
    assert result["failed"]
    assert (result["exit_code"], result["error"]["class"]) == (75, "BusyError")
    assert os.listdir(kept) == []
