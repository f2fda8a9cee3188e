# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime
import os
import shutil

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.monitor.drills import Drills
from ansible_collections.appstate.backup.plugins.module_utils.monitor.status import FAILED, OK, Status
from ansible_collections.appstate.backup.plugins.module_utils.operations.check import check
from ansible_collections.appstate.backup.plugins.module_utils.system.times import format_time


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


def test_a_backup_from_the_future_is_no_new_one(well, host):
    remotes = [{"name": "offsite", "remote": host.place("remote")}]
    shutil.copytree(host.app().directory, host.place("remote", "host", "notes"))
    host.time -= datetime.timedelta(hours=1, minutes=9)
    assert well(remotes=remotes) == []
    host.time -= datetime.timedelta(days=3)
    here, there = well(remotes=remotes)
    assert "the newest backup, notes-20261119T030001Z, is from the future" in here and "See the clock" in here
    assert "the newest backup at remote offsite, notes-20261119T030001Z, is from the future" in there


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


def test_the_last_drill_failed_or_there_was_none(well, host, tree):
    scheduled = {"drill": {"schedule": {}}}
    message, = well(**scheduled)
    assert message.endswith("it is to be drilled on a schedule, and there was no drill yet. Run appstate-backup drill notes.")
    Drills(host.state, "notes").add({"drilled": "2026-11-19T03:00:00Z", "ok": False, "problem": "rto: too slow"})
    before = tree(host.path)
    message, = well(**scheduled)
    assert "the last drill failed: rto: too slow" in message and tree(host.path) == before
    assert well(drill={"scratch": host.place("scratch")}) == []
    Drills(host.state, "notes").add({"drilled": "2026-11-19T03:00:00Z", "ok": True, "problem": None})
    assert well(**scheduled) == []


@pytest.mark.parametrize("schedule, most_days", [
    ({"day": "*", "month": "*", "weekday": "*"}, 1), ({"weekday": "sun"}, 7), ({}, 31)])
def test_the_last_drill_of_a_schedule_was_too_long_ago(well, host, schedule, most_days):
    for days, hours, late in ((most_days, 23, False), (most_days + 1, 1, True)):
        drilled = format_time(host.machine.now() - datetime.timedelta(days=days, hours=hours))
        Drills(host.state, "notes").add({"drilled": drilled, "ok": True, "problem": None})
        troubles = well(drill={"schedule": schedule})
        assert [str(each) for each in troubles] == ([] if not late else [
            "app notes: it is to be drilled on a schedule, and the last drill was at %s. Run appstate-backup drill notes." % drilled])
        assert well(drill={}) == []


def test_the_last_drill_is_from_the_future(well, host):
    """Until its time has come nobody would see that there is no newer one."""
    for minutes, early in ((5, False), (60, True)):
        drilled = format_time(host.machine.now() + datetime.timedelta(minutes=minutes))
        Drills(host.state, "notes").add({"drilled": drilled, "ok": True, "problem": None})
        troubles = well(drill={"schedule": {}})
        assert [str(each) for each in troubles] == ([] if not early else [
            "app notes: it is to be drilled on a schedule, and the last drill, at %s, is from the future. See the clock of this host; once "
            "that is right, run appstate-backup drill notes." % drilled])


@pytest.mark.parametrize("prepare, words, expected", [
    (lambda host: os.unlink(host.at("data/notes.db")), {}, "the database is missing"),
    (lambda host: shutil.rmtree(host.at("uploads")), {}, "the source is missing"),
    (lambda host: shutil.rmtree(host.root), {}, "the app's root cannot be opened"),
    (lambda host: os.rename(host.destination, host.destination + ".away"), {"monitoring": None}, "the destination cannot be opened"),
    (lambda host: os.rmdir(host.place("metrics")), {}, "metrics_directory"),
    (lambda host: None, {"drill": {"monitoring": {"metrics_directory": "/nonexistent"}}}, "/nonexistent: the directory of metrics"),
    (lambda host: None, {"allow_network_destination": False}, "in memory"),
    (lambda host: None, {"retention": {"keep_daily": 1, "timezone": "Mars/Base"}}, "Mars/Base"),
], ids=["database", "source", "root", "destination", "metrics", "metrics of drills", "memory", "zone"])
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


def test_a_remote_that_is_looked_after(well, host, tree):
    remotes = [{"name": "offsite", "remote": host.place("remote")}]
    message, = well(remotes=remotes)
    assert message.startswith("app notes: remote offsite: %s does not exist" % host.place("remote"))
    os.mkdir(host.place("remote"))
    message, = well(remotes=remotes)
    assert "there is no good backup at remote offsite yet. Run appstate-backup run notes" in message
    assert well(remotes=remotes, monitoring=None) == []
    shutil.copytree(host.app().directory, host.place("remote", "host", "notes"))
    before = tree(host.path)
    assert well(remotes=remotes) == [] and tree(host.path) == before
    host.time += datetime.timedelta(hours=25)
    messages = well(remotes=remotes)
    assert len(messages) == 2 and "the newest backup at remote offsite, notes-20261119T030001Z, is older than 26h. See why copies fail" in messages[1]


def test_one_remote_does_not_hide_another(well, host):
    messages = well(remotes=[{"name": name, "remote": host.place(name)} for name in ("one", "two")])
    assert ["remote one" in messages[0], "remote two" in messages[1], len(messages)] == [True, True, 2]


def test_age_is_missing(well, host, monkeypatch):
    os.mkdir(host.place("bin"))
    monkeypatch.setenv("PATH", host.place("bin"))
    message, = well(encryption={"recipients": ["age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"]})
    assert "Install the package 'age'" in message
