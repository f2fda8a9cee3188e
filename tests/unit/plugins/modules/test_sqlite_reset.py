# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module sqlite_reset, by its own main()."""

from __future__ import annotations

import os

import pytest

from ansible_collections.appstate.backup.tests.unit.plugins.live_databases import place  # noqa: F401  # pylint: disable=unused-import


@pytest.fixture
def path(place):
    """A database with a log that has the rest of it."""
    made = place.database("state.db")
    with open(made + "-wal", "wb") as stream:
        stream.write(b"\x37\x7f\x06\x82")
    return made


@pytest.mark.parametrize("check", [False, True])
def test_without_confirmation_it_only_says_what_it_would_remove(run, path, check):
    result = run.ok(path=path, check=check, diff=True)
    assert not result["changed"]
    assert (result["would_remove"], result["removed"]) == ([path, path + "-wal"], [])
    assert result["diff"]["before"] == result["diff"]["after"] == "%s\n%s-wal\n" % (path, path)
    assert os.path.exists(path) and os.path.exists(path + "-wal")


def test_check_mode_predicts_what_the_run_does(run, path):
    predicted = run.ok(path=path, confirm=True, check=True, diff=True)
    assert os.path.exists(path)
    done = run.ok(path=path, confirm=True, diff=True)
    assert predicted["changed"] and done["changed"] and predicted["diff"] == done["diff"]
    assert done["diff"] == {"before": "%s\n%s-wal\n" % (path, path), "after": ""}
    assert predicted["would_remove"] == done["removed"] == [path, path + "-wal"]
    assert (predicted["removed"], done["would_remove"]) == ([], [])
    assert os.listdir(os.path.dirname(path)) == []


@pytest.mark.parametrize("confirm", [False, True])
def test_on_nothing_nothing_happens(run, place, confirm):
    result = run.ok(path=os.path.join(place.path, "state.db"), confirm=confirm)
    assert not result["changed"] and result["would_remove"] == result["removed"] == []


@pytest.mark.parametrize("words", [{}, {"confirm": True}, {"confirm": True, "check": True}])
def test_what_is_no_database_is_refused(run, place, words):
    path = os.path.join(place.application, "server.key")
    with open(path, "w") as stream:
        stream.write("-----BEGIN PRIVATE KEY-----")
    result = run.failed(path=path, **words)
    assert result["msg"] == ("%s: is not a SQLite database. Check the path; nothing was removed. What is no database, "
                             "remove by hand." % path)
    assert os.path.exists(path)


def test_a_process_that_holds_it_is_named(run, place, path, capfd):
    os.unlink(path + "-wal")
    holder = place.process(path, "connection.execute('SELECT count(*) FROM accounts').fetchone()\nready()\ntime.sleep(60)")
    for check in (True, False):
        result = run.failed(path=path, confirm=True, check=check)
        assert result["exit_code"] == 75 and "process %d" % holder.pid in result["msg"]
    # Beside a controller, which a test is, ansible-core 2.19 shows warnings itself.
    warned = str(run.ok(path=path).get("warnings", "")) + capfd.readouterr().err
    assert "process %d" % holder.pid in warned
    assert os.path.exists(path)


def test_a_relative_path_is_refused(run):
    assert run.failed(path="state.db", confirm=True)["exit_code"] == 78


def test_the_result_is_what_is_documented(run, returned, path):
    result = run.ok(path=path, confirm=True)
    assert set(returned) == set(result) - {"changed", "diff", "warnings", "exceptions"}
