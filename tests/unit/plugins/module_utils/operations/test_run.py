# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs of a real application, with real hooks, and everybody who has to know how they ended."""

from __future__ import annotations

import datetime
import os
import sqlite3
import subprocess
import sys
import time

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.operations.run import holdings, refuse_run, shrunk
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import ConfigurationError
from ansible_collections.appstate.backup.plugins.module_utils.system.locks import AppLock


def test_a_run_tells_everybody_that_it_went_well(watched):
    assert watched.is_green(watched.run())
    assert watched.is_green(watched.run())
    watched.keeps_the_secret(watched.run())


def corrupt(watched):
    with open(watched.host.at("data/notes.db"), "r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096)


def remove_destination(watched):
    os.rename(watched.host.destination, watched.host.destination + ".away")


def file_for_destination(watched):
    remove_destination(watched)
    with open(watched.host.destination, "w", encoding="ascii"):
        pass


def file_for_own_directory(watched):
    os.rename(os.path.join(watched.host.destination, "notes"), watched.host.place("notes.away"))
    with open(os.path.join(watched.host.destination, "notes"), "w", encoding="ascii"):
        pass


WAYS = {
    "a database is corrupt": (corrupt, {}, "data/notes.db"),
    "a database is missing": (lambda watched: os.unlink(watched.host.at("data/notes.db")), {}, "is missing"),
    "the root is missing": (lambda watched: os.rename(watched.host.root, watched.host.root + ".away"), {}, "root cannot be opened"),
    "the destination is missing": (remove_destination, {}, "the destination cannot be opened"),
    "the destination is a file": (file_for_destination, {}, "Not a directory"),
    "the app's own directory is a file": (file_for_own_directory, {}, "Not a directory"),
    "the destination is in memory": (None, {"allow_network_destination": None, "destination": "/dev/shm"}, "in memory (tmpfs)"),
    "an assertion fails": (None, {"sources": [{"type": "sqlite", "path": "data/notes.db", "assertions": [
        {"sql": "SELECT count(*) FROM notes", "min": 1000}]}]}, "an assertion does not hold"),
    "a hook before fails": (None, {"hooks": {"before": [["sh", "-c", "echo no luck; exit 4"]]}}, "ended with status 4: no luck"),
    "a hook before hangs": (None, {"hooks": {"before": [["sleep", "300"]], "timeout": 0.3}}, "did not end within 0.3 s and was killed"),
    "a hook before does not exist": (None, {"hooks": {"before": [["/does/not/exist"]]}}, "could not be started"),
    "a hook after fails": (None, {"hooks": {"after": [["sh", "-c", "echo stuck; exit 5"]]}}, "ended with status 5: stuck"),
    "the time zone is unknown": (None, {"retention": {"keep_daily": 1, "timezone": "Mars/Base"}}, "Mars/Base"),
}
EXIT_CODES = {"the time zone is unknown": 78}


@pytest.mark.parametrize("way", sorted(WAYS))
def test_whatever_fails_turns_everything_red_and_loses_nothing(watched, way):
    prepare, words, problem = WAYS[way]
    watched.run()
    before = watched.backups()
    if prepare is not None:
        prepare(watched)
    ran = watched.run(retention=words.get("retention", {"keep_last": 1}), **{key: words[key] for key in words if key != "retention"})
    assert watched.is_red(ran, problem, EXIT_CODES.get(way, 1))
    assert ran.pruned is None
    for place in (os.path.join(watched.host.destination, "notes"), watched.host.destination + ".away/notes", watched.host.place("notes.away")):
        if os.path.isdir(place):
            assert {name + ".json" for name in before} <= set(os.listdir(place))
    if os.path.isdir(watched.host.destination):
        assert watched.host.left() == []


def test_a_full_destination(watched, small_disk):
    watched.words["destination"] = small_disk
    watched.host.write("uploads/large.bin", os.urandom(3000000))
    assert watched.is_red(watched.run(), "no space left" if os.geteuid() == 0 else "Permission denied")
    if os.geteuid() == 0:
        assert os.listdir(os.path.join(small_disk, "notes")) == []
    os.unlink(watched.host.at("uploads/large.bin"))
    assert (watched.run().exit_code == 0) is (os.geteuid() == 0)


def test_the_state_directory_cannot_be_written(watched):
    os.mkdir(watched.host.state)
    with open(watched.host.place("state", "status"), "w", encoding="ascii"):
        pass
    ran = watched.run()
    assert ran.exit_code == 1 and "could not be recorded" in ran.problem and ran.backup is not None
    assert watched.metrics()["last_run_success"] == 0
    assert watched.server.received[-1][1] == "/fail"


def test_the_directory_of_metrics_is_missing(watched):
    watched.run()
    os.rename(watched.host.place("metrics"), watched.host.place("metrics.away"))
    ran = watched.run()
    assert ran.exit_code == 1 and "metrics_directory" in ran.problem
    assert watched.status()["state"] == "failed" and watched.status()["problem"] == ran.problem
    assert watched.server.received[-1][1] == "/fail"


def test_locks_cannot_be_had(watched):
    watched.run()
    os.rename(watched.host.locks, watched.host.locks + ".away")
    with open(watched.host.locks, "w", encoding="ascii"):
        pass
    alarm = watched.host.place("alarm")
    assert watched.is_red(watched.run(hooks={"on_error": [["touch", alarm]]}), "%s: the run failed: Not a directory" % watched.host.locks)
    assert os.path.exists(alarm)


def test_another_run_holds_the_lock(watched):
    watched.run()
    status, metrics = watched.status(), watched.metrics()
    with AppLock(watched.host.locks, "notes"):
        ran = watched.run(hooks={"before": [["touch", watched.host.place("touched")]], "on_error": [["touch", watched.host.place("touched")]]})
    assert ran.exit_code == 75 and "process %d" % os.getpid() in ran.problem
    assert (watched.status(), watched.metrics()) == (status, metrics)
    assert not os.path.exists(watched.host.place("touched"))
    assert "holds the lock" in watched.audit()[-1]["result"]
    assert watched.server.received[-1][1] == "/fail"


def test_the_lock_of_a_dead_process_is_none(watched):
    script = ("import sys, os\nfrom ansible_collections.appstate.backup.plugins.module_utils.system.locks import AppLock\n"
              "AppLock(sys.argv[1], 'notes').__enter__()\nprint('locked', flush=True)\nos.kill(os.getpid(), 9)\n")
    done = subprocess.run([sys.executable, "-c", script, watched.host.locks], stdout=subprocess.PIPE, check=False,
                          env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)))
    assert done.stdout == b"locked\n" and os.path.getsize(os.path.join(watched.host.locks, "notes.lock")) > 0
    assert watched.is_green(watched.run())


def test_files_that_cannot_be_read(watched, monkeypatch):
    real = os.open

    def refuse(path, *arguments, **words):
        if path == b"b.bin":
            raise PermissionError(13, "Permission denied", path)
        return real(path, *arguments, **words)

    watched.run()
    monkeypatch.setattr(os, "open", refuse)  # Root may read everything.
    ran = watched.run(retention={"keep_last": 1})
    monkeypatch.undo()
    assert watched.is_red(ran, "not everything could be read", 3)
    assert ran.pruned is None and len(watched.backups()) == 2
    assert "uploads/deep/er/b.bin" in watched.status()["warnings"][0]
    assert watched.status()["backup"] == ran.backup.id


def test_a_run_that_went_well_prunes(watched):
    first = watched.run().backup.id
    ran = watched.run(retention={"keep_last": 1})
    assert watched.is_green(ran)
    assert ran.pruned.removed == [first] and watched.backups() == [ran.backup.id]
    assert watched.audit()[-1]["action"] == "prune" and watched.audit()[-1]["removed"] == [first]


def recorder(path):
    """A hook that writes down its own words and what it is told by its environment."""
    return ["sh", "-c", 'echo "$1 $APPSTATE_APP $APPSTATE_RESULT" >> "$0"', path]


@pytest.mark.parametrize("before, expected", [
    ([], ["one notes ok", "two notes ok", "after notes ok"]),
    ([["false"]], ["one notes ok", "two notes ok", "after notes failed", "error notes failed"]),
])
def test_hooks_run_in_order_and_are_told_how_it_goes(watched, before, expected):
    log = recorder(watched.host.place("log"))
    watched.run(hooks={"before": [log + ["one"], log + ["two"]] + before, "after": [log + ["after"]], "on_error": [log + ["error"]]})
    with open(watched.host.place("log"), encoding="ascii") as file:
        assert file.read().splitlines() == expected


def test_after_a_hook_before_failed_no_backup_is_taken_and_no_other_hook_before_is_run(watched):
    log = recorder(watched.host.place("log"))
    ran = watched.run(hooks={"before": [["false"], log + ["second"]]})
    assert ran.backup is None and watched.backups() == [] and not os.path.exists(watched.host.place("log"))


def test_all_hooks_after_run_whatever_becomes_of_one(watched):
    log = recorder(watched.host.place("log"))
    ran = watched.run(hooks={"after": [["false"], log + ["second"]], "on_error": [["false"], log + ["third"]]}, retention={"keep_last": 1})
    with open(watched.host.place("log"), encoding="ascii") as file:
        assert file.read().splitlines() == ["second notes failed", "third notes failed"]
    assert "command false" in ran.problem and len([text for text in ran.warnings if "command false" in text]) == 1
    assert ran.backup is not None and ran.pruned is None


def test_hooks_see_the_application_stopped_while_it_is_backed_up(watched):
    """Whatever a hook before did is in the backup, whatever a hook after does is not."""
    write = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('INSERT INTO notes (text) VALUES (1)'); c.commit()"
    hook = [sys.executable, "-c", write, watched.host.at("data/notes.db")]
    ran = watched.run(hooks={"before": [hook], "after": [hook, hook]})
    assert ran.backup.manifest.sources[0]["passport"]["tables"]["notes"] == 21
    assert watched.host.notes() == 23


def test_an_interruption_runs_the_hooks_after_and_is_red(watched):
    log = recorder(watched.host.place("log"))
    ran = watched.run(hooks={"before": [["sh", "-c", "kill -INT $PPID; sleep 60"]], "after": [log + ["after"]], "on_error": [log + ["error"]]})
    assert watched.is_red(ran, "the run was interrupted")
    with open(watched.host.place("log"), encoding="ascii") as file:
        assert file.read().splitlines() == ["after notes failed", "error notes failed"]


def delete_notes(watched, left=1):
    connection = sqlite3.connect(watched.host.at("data/notes.db"))
    with connection:
        connection.execute("DELETE FROM notes WHERE id > ?", (left,))
    connection.close()


def test_the_shrink_guard_keeps_alarming_until_somebody_accepts(watched):
    watched.words["retention"] = {"keep_last": 1}
    watched.run()
    kept = watched.backups()
    delete_notes(watched, 9)
    for number in (2, 3, 4):
        ran = watched.run()
        assert watched.is_red(ran, "data/notes.db lost 55 % of its rows (9, and 20 before)")
        assert "--accept-shrink notes" in ran.problem and ran.pruned is None
        assert len(watched.backups()) == number and kept[0] in watched.backups()
    ran = watched.run(accept_shrink=True)
    assert watched.is_green(ran) and watched.backups() == [ran.backup.id]
    accepted, = [line for line in watched.audit() if line["action"] == "accept"]
    assert accepted["lost"] == ["data/notes.db lost 55 % of its rows (9, and 20 before)"]
    assert watched.is_green(watched.run())


def test_the_guard_measures_by_an_earlier_backup_where_there_was_no_run_yet(watched):
    watched.host.backup()
    delete_notes(watched)
    for unused in range(2):
        assert watched.is_red(watched.run(), "lost 95 % of its rows")


def test_a_database_that_is_gone_lost_all(watched):
    sources = [dict(source, required=False) for source in watched.host.sources()]
    watched.run(sources=sources)
    os.unlink(watched.host.at("data/notes.db"))
    assert watched.is_red(watched.run(sources=sources), "lost 100 % of its rows")


def test_a_database_that_nobody_backs_up_any_more_lost_nothing(watched):
    watched.run()
    assert watched.is_green(watched.run(sources=watched.host.sources()[1:]))


@pytest.mark.parametrize("guard, left, alarmed", [({}, 11, False), ({}, 10, True), ({"rows": 96}, 1, False), ({"rows": 1}, 19, True)])
def test_the_share_that_may_be_lost(watched, guard, left, alarmed):
    watched.run()
    delete_notes(watched, left)
    assert (watched.run(shrink_guard=guard).exit_code == 1) is alarmed


def test_the_guard_also_looks_at_the_size(watched):
    assert shrunk({"data/notes.db": {"rows": 0, "bytes": 1000}}, {"data/notes.db": {"rows": 0, "bytes": 250}}, watched.app()) == [
        "data/notes.db lost 75 % of its size (250, and 1000 before)"]
    assert shrunk({"data/notes.db": {"rows": 0, "bytes": 1000}}, {"data/notes.db": {"rows": 0, "bytes": 251}}, watched.app()) == []


def test_what_databases_hold(watched):
    backup = watched.host.backup().backup
    assert holdings(backup) == {"data/notes.db": {"rows": 20, "bytes": 8192}}


def test_a_clock_that_went_backwards_alarms_until_it_is_past_the_newest(watched):
    watched.words["retention"] = {"keep_last": 1}
    watched.run()
    newest = watched.backups()[0]
    watched.host.time -= datetime.timedelta(hours=5)
    for number in (2, 3):
        ran = watched.run()
        assert watched.is_red(ran, "the clock went backwards") and newest in ran.problem
        assert watched.backups()[0] == newest and len(watched.backups()) == number
    watched.host.time += datetime.timedelta(hours=6)
    ran = watched.run()
    assert watched.is_green(ran) and watched.backups() == [ran.backup.id]


def test_a_ping_that_cannot_be_sent_never_fails_the_backup_and_is_reported(watched):
    watched.server.statuses = [500]
    ran = watched.run()
    assert ran.exit_code == 0 and ran.backup is not None
    assert watched.status()["state"] == "ok" and watched.status()["ping"] == "the ping of success could not be sent: HTTP status 500"
    assert watched.metrics()["ping_failed"] == 1 and watched.metrics()["last_run_success"] == 1
    assert "the ping of start could not be sent: HTTP status 500" in ran.warnings
    watched.keeps_the_secret(ran)
    watched.server.statuses = [200]
    assert watched.is_green(watched.run())
    assert watched.status()["ping"] is None and watched.metrics()["ping_failed"] == 0


@pytest.mark.parametrize("style, green, red", [("snitch", "s=0", "s=1"), ("uptime_kuma", "status=up", "status=down")])
def test_other_services_are_told_in_their_own_manner(watched, style, green, red):
    monitoring = {"ping": {"url": watched.server.url, "style": style}}
    watched.run(monitoring=monitoring)
    (unused, path, body), = watched.server.received
    assert green in path + body
    watched.run(monitoring=monitoring, hooks={"before": [["false"]]})
    (unused, path, body), = watched.server.received
    assert red in path + body and "false" in path + body


def test_nobody_need_be_told(watched):
    ran = watched.run(monitoring={"syslog": False})
    assert ran.exit_code == 0 and watched.server.received == [] and os.listdir(watched.host.place("metrics")) == []


def test_a_configuration_that_is_no_good_is_red_too(watched):
    watched.run()
    watched.server.received.clear()
    last = watched.metrics()["last_success_timestamp_seconds"]
    ran = refuse_run("notes", watched.app().settings, watched.host.machine, ConfigurationError("the app has an unknown key 'x'", app="notes"))
    assert watched.is_red(ran, "unknown key 'x'", 78)
    assert watched.metrics()["last_success_timestamp_seconds"] == last
    with AppLock(watched.host.locks, "notes"):
        status = watched.status()
        refuse_run("notes", watched.app().settings, watched.host.machine, ConfigurationError("another", app="notes"))
        assert watched.status() == status and "another" in watched.server.received[-1][2]


def test_a_defect_of_ours_is_red_too(watched, monkeypatch):
    def defect(*unused):
        raise RuntimeError("impossible")

    watched.run()
    log = recorder(watched.host.place("log"))
    monkeypatch.setattr("ansible_collections.appstate.backup.plugins.module_utils.operations.run.refuse_destination", defect)
    assert watched.is_red(watched.run(hooks={"on_error": [log + ["error"]]}), "RuntimeError: impossible")
    with open(watched.host.place("log"), encoding="ascii") as file:
        assert file.read() == "error notes failed\n"


def test_a_run_takes_the_time_that_its_parts_take(watched):
    began = time.monotonic()
    watched.run(hooks={"before": [["sleep", "0.3"]]})
    assert 0.3 < watched.status()["duration"] <= time.monotonic() - began
