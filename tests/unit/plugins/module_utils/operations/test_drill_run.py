# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who hears of a drill, and what: all of them the same, green or red, and none a secret."""

from __future__ import annotations

import json
import os
import re
import signal
import syslog
import threading

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.monitor import ping
from ansible_collections.appstate.backup.plugins.module_utils.monitor.drills import Drills
from ansible_collections.appstate.backup.plugins.module_utils.operations import drill as drill_file
from ansible_collections.appstate.backup.plugins.module_utils.operations import drill_run
from ansible_collections.appstate.backup.plugins.module_utils.operations.drill import DrillRequest
from ansible_collections.appstate.backup.plugins.module_utils.operations.drill_run import disprove, run_drill, summary_of
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import AppStateError, ConfigurationError, LockedError
from ansible_collections.appstate.backup.plugins.module_utils.system.locks import AppLock
from ansible_collections.appstate.backup.plugins.module_utils.system.times import format_time, parse_time
from ansible_collections.appstate.backup.tests.unit.plugins.leftovers import children
from ansible_collections.appstate.backup.tests.unit.plugins.pings import keeps_the_secret

BAD = {"sources": [{"type": "sqlite", "path": "data/notes.db", "assertions": [{"sql": "SELECT count(*) FROM notes", "min": 1000}]}]}


class Drilled:
    """An application whose drills somebody watches in every way there is."""

    def __init__(self, host, server):
        self.host = host
        self.server = server
        os.mkdir(host.place("metrics"))
        host.fill()
        self.backup = host.backup().backup

    def app(self, drill=None, **words):
        monitoring = {"ping": {"url": self.server.url, "attempts": 1, "timeout": 5}, "metrics_directory": self.host.place("metrics"),
                      "syslog": False}
        return self.host.app(drill=dict({"monitoring": monitoring}, **(drill or {})), **words)

    def run(self, request=None, **words):
        self.server.received.clear()
        before = children()
        done = run_drill(self.app(**words), self.host.machine, request or DrillRequest())
        assert self.host.left() == [] and children() == before
        return done

    def records(self):
        return Drills(self.host.state, "notes").records

    def metrics(self):
        with open(self.host.place("metrics", "appstate_backup_notes.drill.prom"), encoding="ascii") as file:
            found = re.findall(r'^appstate_backup_drill_(\w+)\{app="notes"\} (.*)$', file.read(), re.MULTILINE)
        return {name: float(value) for name, value in found}

    def audit(self):
        with open(self.host.place("state", "audit.jsonl"), encoding="ascii") as file:
            return [told for told in map(json.loads, file) if told["action"] == "drill"]

    def is_green(self, done):
        """Whether all say that it went well."""
        assert (done.ok, done.problem) == (True, None), done.problem
        assert self.records()[-1] == done.to_dict() and self.records()[-1]["cases"][-1]["check"] == "ping"
        metrics = self.metrics()
        assert (metrics["last_success"], metrics["checks_failed"], metrics["ping_failed"]) == (1, 0, 0)
        assert metrics["last_timestamp_seconds"] == metrics["last_success_timestamp_seconds"] == done.drilled.timestamp()
        assert metrics["rpo_seconds"] == done.rpo and metrics["rto_seconds"] == done.rto and metrics["restored_bytes"] == done.bytes
        line = self.audit()[-1]
        assert (line["app"], line["result"], line["backup"], line["rpo_seconds"]) == ("notes", "ok", done.backup["id"], done.rpo)
        assert [path for unused, path, unused in self.server.received] == ["/start", ""]
        assert re.match(r"drill of %s: \d+ checks, all well\Z" % done.backup["id"], self.server.received[-1][2])
        self.keeps_the_secret(done)
        return True

    def is_red(self, done, words, sent=("/start", "/fail")):
        """Whether all say that it failed, and why."""
        assert not done.ok and words in done.problem, done.problem
        assert self.records()[-1] == done.to_dict() and self.records()[-1]["problem"] == done.problem
        metrics = self.metrics()
        assert metrics["last_success"] == 0 and metrics["checks_failed"] == len(done.failed)
        assert metrics["last_timestamp_seconds"] == done.drilled.timestamp() != metrics.get("last_success_timestamp_seconds")
        assert self.audit()[-1]["result"] == done.problem
        assert [path for unused, path, unused in self.server.received] == list(sent)
        assert "FAILED" in self.server.received[-1][2] and words in self.server.received[-1][2]
        self.keeps_the_secret(done)
        return True

    def keeps_the_secret(self, done):
        said = [summary_of(done), json.dumps(done.to_dict())]
        assert keeps_the_secret(said, self.host.state, self.host.destination, self.host.place("metrics"))


@pytest.fixture
def drilled(host, receiver, monkeypatch):
    monkeypatch.setattr(ping, "PAUSE", 0.01)
    return Drilled(host, receiver())


def test_a_good_drill_is_told_to_everybody(drilled):
    done = drilled.run(objectives={"rpo": "1h", "rto": "5m"})
    assert drilled.is_green(done)
    assert drilled.metrics()["rpo_objective_seconds"] == 3600 and drilled.metrics()["rto_objective_seconds"] == 300
    assert drilled.is_green(drilled.run()) and len(drilled.records()) == 2
    assert "rto_objective_seconds" not in drilled.metrics()


def test_a_bad_one_too_and_the_last_good_one_is_remembered(drilled):
    good = drilled.run()
    done = drilled.run(**BAD)
    assert drilled.is_red(done, "an assertion does not hold")
    assert drilled.metrics()["last_success_timestamp_seconds"] == good.drilled.timestamp()
    assert "SELECT count(*) FROM notes" in drilled.server.received[-1][2] and drilled.backup.id in drilled.server.received[-1][2]
    assert drilled.is_green(drilled.run())


def test_what_only_the_controller_can_ask_makes_a_drill_red_afterwards(drilled):
    """An expression over the answer of the app: everybody heard that all was well."""
    earlier, done = drilled.run(), drilled.run()
    drilled.server.received.clear()
    told = disprove(drilled.app(), drilled.host.machine, format_time(done.drilled), "status == 'ok'", "it is not true of the answer")
    assert drilled.is_red(told, "it is not true of the answer", ["/fail"])
    case = next(case for case in told.cases if case.about == "status == 'ok'")
    assert (case.check, case.outcome) == ("health", "failed") and len(told.cases) == len(done.cases) + 2
    assert [record["ok"] for record in drilled.records()] == [True, False]
    assert drilled.metrics()["last_success_timestamp_seconds"] == earlier.drilled.timestamp()
    before = dict(done.to_dict(), ok=False, problem=told.problem, cases=None)
    assert dict(drilled.records()[-1], cases=None) == before


def test_a_drill_that_nobody_remembers_cannot_be_disproved(drilled):
    drilled.run()
    with pytest.raises(AppStateError, match="there was no drill at 2026-11-19T00:00:00Z"):
        disprove(drilled.app(), drilled.host.machine, "2026-11-19T00:00:00Z", "x", "y")
    assert [record["ok"] for record in drilled.records()] == [True]


def test_before_the_first_good_one_there_is_no_time_of_it(drilled):
    assert drilled.is_red(drilled.run(**BAD), "an assertion does not hold")
    assert "last_success_timestamp_seconds" not in drilled.metrics()


def test_several_failures_are_all_named(drilled):
    assert drilled.is_red(drilled.run(objectives={"rpo": 0.001, "rto": "5m"}, **BAD), "an assertion does not hold")
    assert drilled.metrics()["checks_failed"] == 3
    said = drilled.server.received[-1][2].splitlines()
    assert [line.partition(":")[0].partition(" (")[0] for line in said[1:]] == ["rpo", "assertion", "rto"]


def test_a_request_that_is_an_error_is_told_as_a_failure(drilled):
    done = drilled.run(ConfigurationError("'within' is given, and not which=random", remedy="Leave it out"))
    assert drilled.is_red(done, "choose: 'within' is given, and not which=random. Leave it out.")
    assert done.to_dict()["backup"] is None and drilled.audit()[-1]["backup"] is None
    assert [case.check for case in done.cases] == ["choose", "ping"]


@pytest.mark.parametrize("statuses, event", [((500, 200), "start"), ((200, 500), "success")])
def test_a_ping_that_cannot_be_sent_fails_the_drill(drilled, statuses, event):
    drilled.server.statuses[:] = statuses
    done = drilled.run()
    assert [(case.check, case.message) for case in done.failed] == [("ping", "the ping of %s could not be sent: HTTP status 500" % event)]
    assert drilled.records()[-1] == done.to_dict() and drilled.records()[-1]["ok"] is False
    metrics = drilled.metrics()
    assert (metrics["ping_failed"], metrics["last_success"], metrics["checks_failed"]) == (1, 0, 1)
    assert "last_success_timestamp_seconds" not in metrics
    drilled.keeps_the_secret(done)
    drilled.server.statuses[:] = [200]
    assert drilled.is_green(drilled.run())


def test_nobody_there_to_be_pinged(drilled):
    drilled.server.shutdown()
    drilled.server.server_close()
    done = drilled.run(**BAD)
    assert [case.check for case in done.failed] == ["assertion", "ping"] and "failure could not be sent: Connection refused" in done.failed[1].message
    assert drilled.metrics()["ping_failed"] == 1 and drilled.records()[-1] == done.to_dict()
    drilled.keeps_the_secret(done)


def test_without_a_ping_there_is_no_such_case(drilled):
    done = drilled.run(drill={"monitoring": {"metrics_directory": drilled.host.place("metrics"), "syslog": False}})
    assert done.ok and drilled.server.received == [] and "ping" not in [case.check for case in done.cases]
    assert drilled.metrics()["ping_failed"] == 0 and drilled.records() == [done.to_dict()]


def test_metrics_that_cannot_be_written_fail_the_drill_once(drilled):
    os.rmdir(drilled.host.place("metrics"))
    done = drilled.run()
    (failure,) = done.failed
    assert failure.check == "record" and failure.message.startswith("the outcome of the drill could not be recorded: ") and "metrics" in failure.message
    assert drilled.records()[-1] == done.to_dict() and drilled.server.received[-1][1] == "/fail"
    assert drilled.audit()[-1]["result"] == done.problem


@pytest.mark.parametrize("pinged", [True, False])
def test_a_record_that_cannot_be_written_fails_the_drill_once_and_metrics_say_so(drilled, pinged):
    os.mkdir(drilled.host.state, 0o700)
    with open(drilled.host.place("state", "drills"), "wb"):
        pass
    monitoring = {"metrics_directory": drilled.host.place("metrics"), "syslog": False}
    done = drilled.run(drill=None if pinged else {"monitoring": monitoring})
    assert [case.check for case in done.failed] == ["record"] and drilled.host.state in done.problem
    assert drilled.metrics()["last_success"] == 0 and drilled.metrics()["checks_failed"] == 1
    assert [path for unused, path, unused in drilled.server.received] == (["/start", "/fail"] if pinged else [])
    assert drilled.audit()[-1]["result"] == done.problem


def test_a_state_directory_that_is_none_is_told_by_all_others(drilled):
    with open(drilled.host.state, "wb"):
        pass
    done = drilled.run()
    assert {case.check for case in done.failed} == {"record"}
    assert drilled.metrics()["last_success"] == 0 and drilled.server.received[-1][1] == "/fail"
    os.unlink(drilled.host.state)
    assert drilled.is_green(drilled.run())


def test_without_a_lock_to_be_had_it_fails_and_says_so(drilled):
    os.rename(drilled.host.locks, drilled.host.place("away"))
    with open(drilled.host.locks, "wb"):
        pass
    assert drilled.is_red(drilled.run(), "choose: %s: " % drilled.host.locks)


def test_a_destination_that_cannot_be_read_is_told(drilled):
    os.rename(drilled.host.destination, drilled.host.place("away"))
    assert drilled.is_red(drilled.run(), drilled.host.destination)
    with open(drilled.host.destination, "wb"):
        pass
    assert drilled.is_red(drilled.run(), drilled.host.destination)
    os.unlink(drilled.host.destination)
    os.symlink("destination", drilled.host.destination)
    assert drilled.is_red(drilled.run(), drilled.host.destination)


def test_whatever_breaks_in_a_drill_is_told(drilled, monkeypatch):
    def broken(*unused):
        raise ValueError("odd")

    with monkeypatch.context() as patched:
        patched.setattr(drill_file._DrillStaging, "_judge_version", broken)
        done = drilled.run()
    assert drilled.is_red(done, "restore: failed by a defect of this program: ValueError: odd")
    assert drilled.is_green(drilled.run())


def test_an_interruption_is_told_too(drilled, monkeypatch):
    monkeypatch.setattr(drill_file._DrillStaging, "_judge_version", lambda unused: os.kill(os.getpid(), signal.SIGINT))
    done = drilled.run()
    assert drilled.is_red(done, "restore: the drill was interrupted") and done.interrupted


def test_an_interruption_after_something_failed_is_told_as_well(drilled, monkeypatch):
    monkeypatch.setattr(drill_file._DrillStaging, "_found", lambda *unused: os.kill(os.getpid(), signal.SIGINT))
    done = drilled.run(objectives={"rpo": 0.001})
    assert drilled.is_red(done, "the drill was interrupted") and [case.check for case in done.failed] == ["rpo", "restore"]


def test_names_that_are_no_text_are_told_all_the_same(drilled, monkeypatch):
    said = []
    monkeypatch.setattr(drill_run.syslog, "syslog", lambda unused, text: said.append(text.encode("utf-8")))
    drilled.host.write(os.fsdecode(b"odd/\xff"))
    odd = {"sources": [{"type": "files", "path": "odd"}]}
    drilled.host.backup(**odd)
    monkeypatch.setattr(drill_file.Ownership, "ids", lambda self, owner="", group="", uid=-1, gid=-1: (-1 if uid != -1 else 65534, -1))
    done = drilled.run(drill={"monitoring": {}}, owner="nobody", **odd)
    assert os.geteuid() != 0 or "odd/\\xff" in done.problem and b"odd/\\xff" in said[-1]


def test_syslog_hears_of_it_line_by_line_unless_it_should_not(drilled, monkeypatch):
    said = []
    monkeypatch.setattr(syslog, "syslog", lambda priority, text: said.append((priority, text)))
    drilled.run(drill={"monitoring": {}})
    ((priority, text),) = said
    assert priority == syslog.LOG_INFO and re.match(r"app notes: drill of %s: \d+ checks, all well\Z" % drilled.backup.id, text)
    del said[:]
    drilled.run(drill={"monitoring": {}}, **BAD)
    assert [priority for priority, unused in said] == [syslog.LOG_ERR] * 2
    assert all(text.startswith("app notes: ") and "\n" not in text for unused, text in said) and "assertion" in said[1][1]
    del said[:]
    drilled.run()
    assert said == []


def beside(lock, work):
    """What ``work`` gives while another process holds a lock."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        with lock:
            os.write(writer, b"x")
            signal.pause()
    os.read(reader, 1)
    try:
        return work()
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(reader)
        os.close(writer)


def test_of_two_at_a_time_the_second_is_turned_away_and_nothing_is_told_twice(drilled):
    def second():
        with pytest.raises(LockedError) as caught:
            run_drill(drilled.app(), drilled.host.machine, DrillRequest())
        return caught.value

    error = beside(AppLock(drilled.host.locks, "notes", "drill"), second)
    assert error.exit_code == 75 and "another drill holds the lock (process " in str(error) and str(error).startswith("app notes: ")
    assert drilled.server.received == [] and drilled.records() == [] and os.listdir(drilled.host.place("metrics")) == []
    assert drilled.is_green(drilled.run())


def test_beside_a_backup_that_is_running(drilled):
    assert drilled.is_green(beside(AppLock(drilled.host.locks, "notes"), drilled.run))


def test_a_drill_at_a_time_for_each_app_and_not_for_all(drilled):
    assert drilled.is_green(beside(AppLock(drilled.host.locks, "wiki", "drill"), drilled.run))


def test_two_at_a_time_for_real(drilled, monkeypatch):
    """The second comes while the first is in the middle."""
    begun, ended, outcome = threading.Event(), threading.Event(), []

    def wait(unused):
        begun.set()
        ended.wait(20)

    monkeypatch.setattr(drill_file._DrillStaging, "_judge_version", wait)
    thread = threading.Thread(target=lambda: outcome.append(run_drill(drilled.app(), drilled.host.machine, DrillRequest())))
    thread.start()
    begun.wait(20)
    pid = os.fork()
    if not pid:
        try:
            run_drill(drilled.app(), drilled.host.machine, DrillRequest())
        except LockedError:
            os._exit(75)
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    ended.set()
    thread.join()
    assert os.WEXITSTATUS(status) == 75
    assert drilled.is_green(outcome[0]) and len(drilled.records()) == 1 and len(drilled.audit()) == 1


def test_the_time_of_the_last_good_one_is_that_of_the_record(drilled):
    for unused in range(2):
        drilled.run()
    drilled.run(**BAD)
    assert drilled.metrics()["last_success_timestamp_seconds"] == parse_time(drilled.records()[1]["drilled"]).timestamp()
    assert [each["ok"] for each in drilled.records()] == [True, True, False]


def test_the_order_of_what_is_told(drilled, monkeypatch):
    """Whoever is woken by the ping finds the rest written already."""
    seen, real = [], drill_run.ping.send
    monkeypatch.setattr(drill_run.ping, "send", lambda made, event, text: seen.append((event, len(drilled.records()))) or real(made, event, text))
    drilled.run()
    assert seen == [("start", 0), ("success", 1)]
