# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime
import os
import shutil

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.monitor.status import FAILED, OK, Status
from ansible_collections.appstate.backup.plugins.module_utils.operations.check import check


@pytest.fixture
def well(host):
    """A host whose application has a backup that is an hour old; a function that checks it."""
    host.fill()
    host.backup()
    os.mkdir(host.place("metrics"))
    host.time += datetime.timedelta(hours=1)

    def run(**words):
        told = {"allow_network_destination": True, "monitoring": {"max_age": "26h", "metrics_directory": host.place("metrics")}}
        return [str(error) for error in check(host.app(**dict(told, **words)), host.machine)]
    return run


def test_an_application_that_is_looked_after(well, host, tree):
    before = tree(host.path)
    assert well() == []
    assert tree(host.path) == before


def test_a_backup_is_overdue(well, host):
    host.time += datetime.timedelta(hours=24)
    assert well() == []
    host.time += datetime.timedelta(hours=2)
    message, = well()
    assert message.startswith("app notes: %s: the newest backup, notes-20261119T030001Z, is older than 26h" % host.app().directory)
    assert well(monitoring=None) == []


def test_a_backup_that_is_not_good_is_none(well, host):
    for name in os.listdir(host.app().directory):
        if name.endswith(".json"):
            os.unlink(os.path.join(host.app().directory, name))
    message, = well()
    assert "there is no good backup yet" in message and "appstate-backup run notes" in message


def test_the_last_run_failed(well, host):
    status = Status(host.state, "notes")
    status.write(state=FAILED, problem="disk full")
    message, = well()
    assert "the last run failed: disk full" in message
    status.write(state=OK)
    assert well() == []


@pytest.mark.parametrize("prepare, words, expected", [
    (lambda host: os.unlink(host.at("data/notes.db")), {}, "the database is missing"),
    (lambda host: shutil.rmtree(host.at("uploads")), {}, "the source is missing"),
    (lambda host: shutil.rmtree(host.root), {}, "the app's root cannot be opened"),
    (lambda host: os.rename(host.destination, host.destination + ".away"), {"monitoring": None}, "the destination cannot be opened"),
    (lambda host: os.rmdir(host.place("metrics")), {}, "metrics_directory"),
    (lambda host: None, {"allow_network_destination": False}, "in memory"),
    (lambda host: None, {"retention": {"keep_daily": 1, "timezone": "Mars/Base"}}, "Mars/Base"),
], ids=["database", "source", "root", "destination", "metrics", "memory", "zone"])
def test_a_path_or_a_place_is_wrong(well, host, prepare, words, expected):
    prepare(host)
    message, = well(**words)
    assert message.startswith("app notes: ") and expected in message


def test_all_that_is_wrong_is_told_at_once(well, host):
    os.unlink(host.at("data/notes.db"))
    os.rmdir(host.place("metrics"))
    host.time += datetime.timedelta(days=3)
    Status(host.state, "notes").write(state=FAILED, problem="disk full")
    assert len(well()) == 4
