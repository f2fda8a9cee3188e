# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run: the hooks, the backup, the guards, pruning, and everybody who has to know how it ended.

A run by hand and a run by cron are this one function. Silence is never success: whatever fails makes the status file,
the metrics, the ping and the exit code say so, and pruning only happens when everything before it went well.
"""

from __future__ import annotations

import syslog
import time

from ..catalog import catalog
from ..monitor import audit, metrics, ping
from ..monitor.status import FAILED, OK, Status
from ..system.commands import run_command
from ..system.errors import AppStateError, LockedError, SpaceError
from ..system.locks import AppLock
from ..system.mounts import file_system_of, is_volatile_or_remote
from ..system.times import format_time, parse_time
from .backup import take_backup_locked
from .prune import prune_locked

INCOMPLETE = 3


class AlarmError(AppStateError):
    """A backup was made, but something about it wants a person."""


class Ran:
    """How a run ended.

    Attributes:
        backup: the Backup, or None.
        pruned: ``prune.Pruned``, or None where nothing was pruned.
        warnings: texts.
        error: the AppStateError that made it red, or None.
        complete: False where something could not be read.
        ping_problem: why a ping could not be sent, or None.
    """

    def __init__(self):
        self.backup = None
        self.pruned = None
        self.warnings = []
        self.error = None
        self.complete = True
        self.ping_problem = None

    @property
    def exit_code(self):
        if self.error is not None:
            return self.error.exit_code
        return 0 if self.complete else INCOMPLETE


def run_backup(app, machine, on_bytes=None, accept_shrink=False):
    """Runs all of it; whatever goes wrong is in the result.

    Args:
        accept_shrink: takes what the databases hold now as right, where the guard had stopped pruning.
    """
    return _Run(app, machine, on_bytes, accept_shrink).run()


class _Run:
    """One run of one app."""

    def __init__(self, app, machine, on_bytes, accept_shrink):
        self._app = app
        self._settings = app.settings
        self._machine = machine
        self._on_bytes = on_bytes
        self._accept_shrink = accept_shrink
        self._begun = time.monotonic()
        self._status = Status(machine.state_directory, app.name)
        self._ran = Ran()

    def run(self):
        self._ping(ping.START)
        try:
            with AppLock(self._machine.lock_directory, self._app.name):
                self._work()
                self._tell(self._write_status, self._write_metrics, self._write_audit, self._write_syslog)
                self._ping(ping.FAILURE if self._ran.exit_code else ping.SUCCESS)
                if self._ran.ping_problem is not None:
                    self._tell(self._write_status, self._write_metrics)
        except LockedError as error:
            # Status and metrics are those of the run that goes on.
            self._fail(error)
            self._tell(self._write_audit, self._write_syslog)
            self._ping(ping.FAILURE)
        return self._ran

    def _work(self):
        try:
            self._hooked()
        except AppStateError as error:
            self._fail(error.about(self._app.name))
        except OSError as error:
            self._fail(AppStateError("the run failed: %s" % error.strerror, app=self._app.name, path=error.filename))

    def _fail(self, error):
        """Keeps the first error: what comes after it is often its consequence."""
        if self._ran.error is None:
            self._ran.error = error
        else:
            self._ran.warnings.append(str(error))

    def _hooked(self):
        try:
            try:
                self._hooks(self._settings.before)
                self._back_up()
            except AppStateError as error:
                self._fail(error.about(self._app.name))
        finally:
            if self._ran.error is not None:
                self._hooks_whatever_happens(self._settings.on_error)
            self._hooks_whatever_happens(self._settings.after)
        if self._ran.error is None and self._ran.complete:
            self._ran.pruned = prune_locked(self._app, self._machine)

    def _hooks(self, commands):
        outcome = "failed" if self._ran.error is not None else "ok"
        for argv in commands:
            run_command(argv, self._settings.hook_timeout,
                        {"APPSTATE_APP": self._app.name, "APPSTATE_RESULT": outcome})

    def _hooks_whatever_happens(self, commands):
        for argv in commands:
            try:
                self._hooks([argv])
            except AppStateError as error:
                self._fail(error.about(self._app.name))

    def _back_up(self):
        refuse_destination(self._app)
        newest = catalog.newest_good(self._app.directory)
        taken = take_backup_locked(self._app, self._machine, self._on_bytes)
        self._ran.backup, self._ran.complete = taken.backup, taken.complete
        self._ran.warnings.extend(taken.warnings)
        self._guard_clock(newest, taken.backup)
        self._guard_shrinking(newest, taken.backup)

    def _guard_clock(self, earlier, taken):
        if earlier is not None and earlier.manifest.created > taken.manifest.created:
            raise AlarmError("the clock went backwards: the backup %s is older by its name than %s, which was there "
                             "before it; nothing was pruned" % (taken.id, earlier.id),
                             remedy="Set the clock of this host; when it is right, delete or rename nothing by hand")

    def _guard_shrinking(self, earlier, taken):
        reference = self._status.content.get("reference")
        if reference is None and earlier is not None:
            reference = holdings(earlier)
        if reference is None or self._accept_shrink:
            return
        lost = shrunk(reference, holdings(taken), self._settings)
        if lost:
            raise AlarmError("%s; the backup was taken, and nothing was pruned" % "; ".join(lost),
                             remedy="If that is right, run appstate-backup run --accept-shrink %s" % self._app.name)

    def _tell(self, *steps):
        ended = self._machine.now()
        for step in steps:
            try:
                step(ended)
            except (AppStateError, OSError) as error:
                self._fail(AppStateError("the outcome of the run could not be recorded: %s" % error,
                                         app=self._app.name))

    def _ping(self, event):
        """A ping that cannot be sent never fails the backup, and is itself reported."""
        if self._settings.ping is None:
            return
        problem = ping.send(self._settings.ping, event, self.summary(), time.monotonic() - self._begun)
        if problem is not None:
            self._ran.ping_problem = problem
            self._ran.warnings.append(problem)

    def summary(self):
        """The run in a few lines: what a log, a ping and a mail say of it."""
        lines = []
        if self._ran.backup is not None:
            lines.append("backup %s" % self._ran.backup.id)
        if self._ran.pruned is not None and self._ran.pruned.removed:
            lines.append("pruned %s" % ", ".join(self._ran.pruned.removed))
        lines.extend("warning: %s" % text for text in self._ran.warnings)
        if self._ran.error is not None:
            lines.append("error: %s" % self._ran.error)
        return "\n".join(lines)

    def _write_status(self, ended):
        ran, changes = self._ran, {"state": FAILED if self._ran.exit_code else OK, "ended": format_time(ended)}
        changes.update(problem=None if ran.error is None else str(ran.error), warnings=ran.warnings,
                       ping=ran.ping_problem, duration=round(time.monotonic() - self._begun, 3),
                       kept=len([each for each in catalog.list_backups(self._app.directory) if each.problem is None]))
        if ran.backup is not None:
            changes.update(backup=ran.backup.id, size=ran.backup.manifest.archive["size"],
                           verified=ran.backup.manifest.content["verified"])
        if not ran.exit_code:
            changes.update(last_success=format_time(ended), reference=holdings(ran.backup))
        self._status.write(**changes)

    def _write_metrics(self, ended):
        if self._settings.metrics_directory is None:
            return
        newest, status = catalog.newest_good(self._app.directory), self._status.content
        values = {"last_run_success": int(self._ran.exit_code == 0), "last_run_timestamp_seconds": ended.timestamp(),
                  "last_success_timestamp_seconds": _seconds(status.get("last_success")), "kept": status["kept"],
                  "ping_failed": int(self._ran.ping_problem is not None)}
        if newest is not None:
            content = newest.manifest.content
            values.update(newest_timestamp_seconds=newest.manifest.created.timestamp(),
                          newest_age_seconds=(ended - newest.manifest.created).total_seconds(),
                          duration_seconds=content["duration"], size_bytes=content["archive"]["size"],
                          verified_level=metrics.LEVELS.get((content["verified"] or {}).get("level"), 0))
        metrics.write(self._settings.metrics_directory, self._app.name, values)

    def _write_audit(self, ended):
        result = "ok" if self._ran.error is None else str(self._ran.error)
        audit.record(self._machine.state_directory, ended, self._app.name, "backup", result,
                     backup=None if self._ran.backup is None else self._ran.backup.id)
        if self._ran.pruned is not None and self._ran.pruned.changed:
            audit.record(self._machine.state_directory, ended, self._app.name, "prune", "ok",
                         removed=self._ran.pruned.removed + self._ran.pruned.asides)

    def _write_syslog(self, ended):
        if not self._settings.syslog:
            return
        syslog.openlog("appstate-backup", syslog.LOG_PID, syslog.LOG_USER)
        level = syslog.LOG_ERR if self._ran.exit_code else syslog.LOG_INFO
        for line in ("app %s: %s" % (self._app.name, self.summary() or "ok")).splitlines():
            syslog.syslog(level, line)
        syslog.closelog()


def refuse_destination(app):
    """Raises AppStateError where the destination is in memory or on a network file system, and the app allows neither."""
    try:
        kind = file_system_of(app.destination)
    except OSError as error:
        raise AppStateError("the destination cannot be looked at: %s" % error.strerror, app=app.name,
                            path=app.destination, remedy="Create that directory, or mount what belongs there")
    trouble = is_volatile_or_remote(kind)
    if trouble and not app.settings.allow_network_destination:
        raise SpaceError("the destination is %s (%s)" % ("in memory" if trouble == "memory" else
                                                        "on a network file system", kind),
                         app=app.name, path=app.destination,
                         remedy="Choose a local disk, or set allow_network_destination: true")


def holdings(backup):
    """What each database of a backup holds: path to ``rows`` (None where unknown) and ``bytes``."""
    told = {}
    for source in backup.manifest.sources:
        if source["type"] == "sqlite" and source["present"]:
            tables = (source.get("passport") or {}).get("tables") or {}
            told[source["path"]] = {"rows": sum(count for count in tables.values() if count), "bytes": source["bytes"]}
    return told


def shrunk(reference, now, settings):
    """Texts for the databases that lost at least as much as the app's guard allows."""
    texts = []
    for path, before in sorted(reference.items()):
        after = now.get(path, {"rows": 0, "bytes": 0})
        for key, what, most in (("rows", "rows", settings.shrink_rows), ("bytes", "bytes", settings.shrink_size)):
            lost = 100.0 * (before[key] - after[key]) / before[key] if before[key] else 0.0
            if lost >= most:
                texts.append("%s lost %.0f %% of its %s (%d, and %d before)" % (path, lost, what, after[key], before[key]))
    return texts


def _seconds(text):
    return None if text is None else parse_time(text).timestamp()
