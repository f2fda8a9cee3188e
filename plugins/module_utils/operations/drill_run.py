# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A drill, and everybody who has to know how it ended: record, metrics, audit log, syslog, and a ping of its own.

A drill by hand and a drill by cron are this one function. Nothing is made by a drill but its alarm: so one that cannot tell
of itself has failed.
"""

from __future__ import annotations

import syslog

from ..monitor import audit, metrics, ping
from ..monitor.drills import Drills
from ..system.errors import AppStateError, LockedError
from ..system.locks import AppLock
from ..system.times import format_time, parse_time
from .drill import FAILED, Drill, drill, explained, told_of


def run_drill(app, machine, request, on_bytes=None):
    """Drills and tells; returns the Drill.

    Args:
        request: the DrillRequest, or the AppStateError that stands in its way.

    Raises:
        LockedError: another drill of the app is under way; its outcome is told by itself.
    """
    try:
        with AppLock(machine.lock_directory, app.name, "drill"):
            return _Telling(app, machine).run(request, on_bytes)
    except LockedError:
        raise
    except (AppStateError, OSError) as error:
        # There is no lock to be had at all.
        return _Telling(app, machine).run(explained(error, machine.lock_directory), None)


def disprove(app, machine, drilled, about, problem):
    """A drill that was told as good was none after all: its health, asked by who knows more than this host, has failed.

    Args:
        drilled: when that drill was begun, as its record says.
        about, problem: what was asked, which takes the place of a case that this host has skipped, and why it has failed.

    Returns:
        The Drill, once everybody has been told.

    Raises:
        LockedError: another drill of the app is under way.
        AppStateError: nobody remembers that drill.
    """
    with AppLock(machine.lock_directory, app.name, "drill"):
        return _Telling(app, machine).disprove(drilled, about, problem)


class _Telling:
    """One drill of one app, under its own lock."""

    def __init__(self, app, machine):
        self._app = app
        self._machine = machine
        self._told = Drills(machine.state_directory, app.name)

    def run(self, request, on_bytes):
        problem = self._ping(ping.START, "")
        if isinstance(request, AppStateError):
            done = Drill(self._app, self._machine, "", None)
            done.add("choose", told_of(request))
        else:
            done = drill(self._app, self._machine, request, on_bytes)
        return self._tell_all(done, problem)

    def disprove(self, drilled, about, problem):
        record = next((each for each in self._told.records if each["drilled"] == drilled), None)
        if record is None:
            raise AppStateError("there was no drill at %s" % drilled, app=self._app.name, path=self._machine.state_directory,
                                remedy="See whether this host remembers its drills in another directory")
        done = Drill.of_record(self._app, self._machine, record)
        done.cases = [case for case in done.cases if (case.check, case.about) != ("health", about)]
        done.add("health", problem, about)
        return self._tell_all(done)

    def _tell_all(self, done, problem=None):
        """Tells everybody; ``problem`` is why the ping of the beginning was not sent."""
        found = len(done.cases)
        self._tell(done, self._write_metrics, self._write_record, self._write_audit, self._write_syslog)
        if self._app.drilling.ping is not None:
            done.add("ping", self._ping(ping.SUCCESS if done.ok else ping.FAILURE, summary_of(done)) or problem)
        if len(done.cases) > found:
            # What came up while it was told belongs in there, too.
            self._tell(done, self._write_metrics, self._write_record)
        return done

    def _ping(self, event, text):
        """Why it could not be sent, or None."""
        return None if self._app.drilling.ping is None else ping.send(self._app.drilling.ping, event, text)

    def _tell(self, done, *steps):
        for step in steps:
            try:
                step(done)
            except (AppStateError, OSError) as error:
                place = self._app.drilling.metrics_directory if step == self._write_metrics else self._machine.state_directory
                problem = "the outcome of the drill could not be recorded: %s" % explained(error, place)
                if problem not in [case.message for case in done.failed]:
                    done.add("record", problem)

    def _write_metrics(self, done):
        place = self._app.drilling.metrics_directory
        if place is None:
            return
        begun = done.drilled.timestamp()
        # Its own record may have been written already, before it was known how it ended.
        good = [each["drilled"] for each in self._told.records if each.get("ok") and each["drilled"] != format_time(done.drilled)]
        pinged = [case for case in done.cases if case.check == "ping"]
        metrics.write_drill(place, self._app.name, {
            "drill_last_success": int(done.ok), "drill_last_timestamp_seconds": begun,
            "drill_last_success_timestamp_seconds": begun if done.ok else (parse_time(good[-1]).timestamp() if good else None),
            "drill_checks_failed": len(done.failed), "drill_rpo_seconds": done.rpo, "drill_rto_seconds": done.rto,
            "drill_rpo_objective_seconds": self._app.objectives.rpo, "drill_rto_objective_seconds": self._app.objectives.rto,
            "drill_restored_bytes": done.bytes, "drill_ping_failed": int(any(case.outcome == FAILED for case in pinged))})

    def _write_record(self, done):
        self._told.add(done.to_dict())

    def _write_audit(self, done):
        audit.record(self._machine.state_directory, self._machine.now(), self._app.name, "drill", done.problem or "ok",
                     backup=None if done.backup is None else done.backup["id"], rpo_seconds=done.rpo, rto_seconds=done.rto)

    def _write_syslog(self, done):
        if not self._app.drilling.syslog:
            return
        syslog.openlog("appstate-backup", syslog.LOG_PID, syslog.LOG_USER)
        for line in summary_of(done).replace("\0", "").splitlines():
            syslog.syslog(syslog.LOG_INFO if done.ok else syslog.LOG_ERR, "app %s: %s" % (self._app.name, line))
        syslog.closelog()


def summary_of(done):
    """A drill in a few lines: what a log, a ping and a mail say of it."""
    lines = ["drill of %s: %s" % ("no backup" if done.backup is None else done.backup["id"],
                                  "%d checks, all well" % len(done.cases) if done.ok else "FAILED")]
    lines.extend("%s%s: %s" % (case.check, " (%s)" % case.about if case.about else "", case.message) for case in done.failed)
    return "\n".join(lines)
