# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How apps stand, told from what runs, copies and drills have left on the host."""

from __future__ import annotations

import datetime
import json
import os

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.monitor.drills import Drills
from ansible_collections.appstate.backup.plugins.module_utils.monitor.status import Status
from ansible_collections.appstate.backup.plugins.module_utils.operations import standing
from ansible_collections.appstate.backup.plugins.module_utils.operations.run import run_backup
from ansible_collections.appstate.backup.plugins.module_utils.operations.standing import standings


def stand(host, **words):
    told, = standings([host.described(**words)], host.machine)
    json.dumps(told, allow_nan=False)
    return told


def record(number=0, **words):
    told = {"app": "notes", "drilled": "2026-11-%02dT03:00:00Z" % (number % 28 + 1), "ok": True, "problem": None,
            "cases": [{"check": "checksum", "about": "", "outcome": "passed", "seconds": 0.1, "message": ""},
                      {"check": "boot", "about": "", "outcome": "skipped", "seconds": 0, "message": "there is no boot"}]}
    return dict(told, **words)


def test_an_app_that_was_never_backed_up(host):
    told = stand(host)
    assert (told["name"], told["destination"], told["problems"]) == ("notes", host.destination, [])
    assert told["objectives"] == {"rpo_seconds": None, "rto_seconds": None} and told["max_age_seconds"] is None
    assert told["counts"] == {"all": 0, "good": 0} and told["backups"] == [] and told["age_seconds"] is None
    assert told["run"]["state"] == "never" and told["run"]["warnings"] == [] and told["drills"] == [] and told["has_drill"] is False


def test_backups_with_sizes_and_rows_newest_first(host):
    host.fill()
    first = host.backup().backup
    host.add_notes(5)
    second = host.backup().backup
    host.time += datetime.timedelta(hours=2)
    told = stand(host)
    assert [backup["id"] for backup in told["backups"]] == [second.id, first.id]
    assert [backup["rows"] for backup in told["backups"]] == [{"data/notes.db": 25}, {"data/notes.db": 20}]
    assert [backup["rows_total"] for backup in told["backups"]] == [25, 20]
    newest = told["backups"][0]
    assert newest["size"] == os.path.getsize(second.path) and newest["created"] == second.manifest.content["created"]
    assert (newest["good"], newest["problem"], newest["verified"], newest["incomplete"]) == (True, None, "content", False)
    assert told["counts"] == {"all": 2, "good": 2} and 7200 <= told["age_seconds"] < 7220


def test_an_app_without_a_database_has_no_row_count(host):
    host.fill()
    host.backup(sources=[{"type": "files", "path": "uploads"}])
    backup, = stand(host)["backups"]
    assert backup["rows"] == {} and backup["rows_total"] is None


def test_a_backup_that_is_not_good_stands_among_the_others_in_time(host):
    host.fill()
    first, second, third = host.backup().backup, host.backup().backup, host.backup().backup
    os.unlink(second.path)
    os.unlink(os.path.join(host.app().directory, third.id + ".json"))
    with open(os.path.join(host.app().directory, third.id + ".json"), "w", encoding="ascii") as file:
        file.write("{")
    told = stand(host)
    assert [(backup["id"], backup["good"]) for backup in told["backups"]] == [(third.id, False), (second.id, False), (first.id, True)]
    assert "no JSON" in told["backups"][0]["problem"] and told["backups"][0]["created"] is told["backups"][0]["size"] is None
    assert told["backups"][1]["problem"] == "the archive is missing" and told["backups"][1]["rows_total"] == 20
    assert told["counts"] == {"all": 3, "good": 1} and told["age_seconds"] is not None


def test_of_many_backups_the_newest_are_told_and_all_are_counted(host, monkeypatch):
    host.fill()
    backups = [host.backup().backup for unused in range(4)]
    monkeypatch.setattr(standing, "MOST_BACKUPS", 2)
    told = stand(host)
    assert [backup["id"] for backup in told["backups"]] == [backups[3].id, backups[2].id]
    assert told["counts"] == {"all": 4, "good": 4}


def test_what_is_wanted_of_it(host):
    told = stand(host, objectives={"rpo": "26h", "rto": "10m"}, monitoring={"max_age": "1m2d"}, drill={})
    assert told["objectives"] == {"rpo_seconds": 93600, "rto_seconds": 600} and told["has_drill"] is True
    assert told["drill_within_seconds"] is None
    assert stand(host, drill={"schedule": {"weekday": "sun"}})["drill_within_seconds"] == 8 * 86400
    # The month before 19 November 2026 has 31 days.
    assert told["max_age_seconds"] == 33 * 86400


def test_the_last_run_and_its_copies(host):
    host.fill()
    for name in ("one", "two"):
        os.mkdir(host.place(name))
    remotes = [{"name": name, "remote": host.place(name), "host": "web1", "attempts": 1} for name in ("one", "two")]
    assert run_backup(host.app(remotes=remotes, monitoring={"syslog": False}), host.machine).exit_code == 0
    told = stand(host, remotes=remotes + [{"name": "three", "remote": host.place("three")}])
    assert (told["run"]["state"], told["run"]["problem"], told["run"]["ping"]) == ("ok", None, None)
    assert told["run"]["ended"] == told["run"]["last_success"] and told["run"]["duration"] > 0
    one, two, three = told["remotes"]
    assert (one["name"], one["copied"], one["problem"], one["backup"]) == ("one", True, None, told["backups"][0]["id"])
    assert one["size"] == two["size"] == told["backups"][0]["size"] and one["last_success"] == told["run"]["ended"]
    assert three == {"name": "three", "copied": False, "path": None, "backup": None, "last_success": None, "size": None,
                     "seconds": None, "problem": None}

    os.rename(host.place("two"), host.place("away"))
    assert run_backup(host.app(remotes=remotes, monitoring={"syslog": False}), host.machine).exit_code == 1
    told = stand(host, remotes=remotes)
    assert told["run"]["state"] == "failed" and "remote two" in told["run"]["problem"] and told["run"]["last_success"] == one["last_success"]
    assert told["remotes"][0]["problem"] is None and "remote two" in told["remotes"][1]["problem"]
    assert told["remotes"][1]["backup"] == one["backup"]


def test_a_run_that_could_not_read_everything_is_told_from_one_that_failed(host, monkeypatch):
    real = os.open

    def refuse(path, *arguments, **words):
        if path == b"b.bin":
            raise PermissionError(13, "Permission denied", path)
        return real(path, *arguments, **words)

    host.fill()
    monkeypatch.setattr(os, "open", refuse)  # Root may read everything.
    assert run_backup(host.app(monitoring={"syslog": False}), host.machine).exit_code == 3
    monkeypatch.undo()
    told = stand(host)
    assert told["run"]["state"] == "incomplete" and told["backups"][0]["incomplete"] is True and told["backups"][0]["good"] is True
    assert "uploads/deep/er/b.bin" in told["run"]["warnings"][0]
    Status(host.state, "notes").write(state="failed", problem="the disk is full")
    assert stand(host)["run"]["state"] == "failed"


def test_drills_newest_first_and_of_the_older_ones_what_did_not_pass(host):
    for number in range(3):
        Drills(host.state, "notes").add(record(number))
    told = stand(host)["drills"]
    assert [drill["drilled"][:10] for drill in told] == ["2026-11-03", "2026-11-02", "2026-11-01"]
    assert [[case["check"] for case in drill["cases"]] for drill in told] == [["checksum", "boot"], ["boot"], ["boot"]]


def test_of_many_drills_the_newest_are_told(host, monkeypatch):
    monkeypatch.setattr(standing, "MOST_DRILLS", 2)
    for number in range(4):
        Drills(host.state, "notes").add(record(number))
    assert [drill["drilled"][:10] for drill in stand(host)["drills"]] == ["2026-11-04", "2026-11-03"]


@pytest.mark.parametrize("told, name, said", [
    ({"name": "wiki", "root": "/srv"}, "wiki", "app wiki: "), ({"root": "/srv"}, None, "the app needs 'name'"),
    ({"name": 5}, None, "5"), ({"name": "wiki", "retension": 1}, "wiki", "unknown key 'retension'")])
def test_an_app_that_is_described_wrongly_does_not_keep_the_others_from_being_told(host, told, name, said):
    host.fill()
    host.backup()
    wrong, right = standings([told, host.described()], host.machine)
    assert wrong["name"] == name and said in wrong["problems"][0] and wrong["run"] is None and wrong["backups"] == []
    assert set(wrong) == set(right) and right["problems"] == [] and right["counts"]["good"] == 1


def test_two_apps_of_one_name(host):
    told = standings([host.described(), host.described(), {}, {}], host.machine)
    assert [len(app["problems"]) for app in told] == [0, 1, 1, 1]
    assert "two apps of this host have that name" in told[1]["problems"][0]


def test_backups_that_cannot_be_listed(host):
    with open(host.place("backups", "notes"), "w", encoding="ascii"):
        pass
    Drills(host.state, "notes").add(record())
    told = stand(host)
    assert "the backups cannot be listed" in told["problems"][0] and "app notes" in told["problems"][0]
    assert told["run"]["state"] == "never" and len(told["drills"]) == 1


def test_nothing_is_changed_and_no_remote_is_asked(host, tree):
    host.fill()
    host.backup()
    before = tree(host.path)
    told = stand(host, remotes=[{"name": "nowhere", "remote": "nowhere:backups", "options": {"type": "sftp", "host": "nowhere.invalid"}}])
    assert told["problems"] == [] and told["remotes"][0]["copied"] is False
    assert tree(host.path) == before
