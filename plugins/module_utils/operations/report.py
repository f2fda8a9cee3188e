# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a run ended, and everybody who has to know: metrics, status file, audit log, syslog, ping.

Silence is never success: whatever fails makes all of them, and the exit code, say so.
"""

from __future__ import annotations

import syslog
import time

from ..catalog import catalog
from ..monitor import audit, metrics, ping
from ..monitor.status import FAILED, OK
from ..system.errors import AppStateError
from ..system.times import format_time, parse_time

INCOMPLETE = 3
# The problem of a run that took a backup, but not of everything.
NOT_ALL_READ = "not everything could be read, see the warnings"


class Ran:
    """How a run ended.

    Attributes:
        backup: the Backup, or None.
        copies: list of ``copies.Copied``, one for each remote that was tried.
        pruned: ``prune.Pruned``, or None where nothing was pruned.
        pruned_remotes: the same for each remote that was pruned.
        warnings: texts.
        error: the AppStateError that made it red, or None.
        complete: False where something could not be read.
        ping_problem: why a ping could not be sent, or None.
        reference: what the databases are measured by in the next run (see ``run.holdings``), or None.
    """

    def __init__(self):
        self.backup = None
        self.copies = []
        self.pruned = None
        self.pruned_remotes = []
        self.warnings = []
        self.error = None
        self.complete = True
        self.ping_problem = None
        self.reference = None

    def fail(self, error):
        """Keeps the first error: what comes after it is often its consequence."""
        if self.error is None:
            self.error = error
        else:
            self.warnings.append(str(error))

    @property
    def exit_code(self):
        if self.error is not None:
            return self.error.exit_code
        return 0 if self.complete else INCOMPLETE

    @property
    def problem(self):
        """Why it is red, or None."""
        if self.error is not None:
            return str(self.error)
        return None if self.complete else NOT_ALL_READ

    @property
    def summary(self):
        """The run in a few lines: what a log, a ping and a mail say of it."""
        lines = [] if self.backup is None else ["backup %s" % self.backup.id]
        lines.extend("copied to %s" % copied.path for copied in self.copies if copied.error is None)
        if self.pruned is not None and self.pruned.changed:
            lines.append("pruned %s" % ", ".join(self.pruned.removed + self.pruned.asides))
        lines.extend("pruned at %s: %s" % (pruned.remote, ", ".join(pruned.removed))
                     for pruned in self.pruned_remotes if pruned.changed)
        lines.extend("warning: %s" % text for text in self.warnings)
        if self.problem is not None:
            lines.append("error: %s" % self.problem)
        return "\n".join(lines)


class Report:
    """Tells of one run of one app; what cannot be told makes the run red, except for a ping.

    Args:
        directory: where the app's backups are, or None where that is not known.
        settings: the app's Settings.
        status: the app's Status.
    """

    def __init__(self, app_name, directory, settings, machine, status):
        self._app_name = app_name
        self._directory = directory
        self._settings = settings
        self._machine = machine
        self._status = status
        self._begun = time.monotonic()
        self._good = None

    def begin(self, ran):
        """Somebody may be waiting for a run to start."""
        self._ping(ran, ping.START)

    def end(self, ran):
        """Tells everybody; the caller holds the app's lock."""
        self._good = self._list_good()
        self._tell(ran, self._write_metrics, self._write_status, self._write_audit, self._write_syslog)
        told = ran.exit_code
        self._ping(ran, ping.FAILURE if told else ping.SUCCESS)
        if ran.ping_problem is not None or self._status.content.get("state") != (FAILED if told else OK):
            # What came up while it was told belongs in there too.
            self._tell(ran, self._write_metrics, self._write_status)

    def end_beside(self, ran):
        """Tells of a run that found another one going on: status and metrics are that one's."""
        self._tell(ran, self._write_audit, self._write_syslog)
        self._ping(ran, ping.FAILURE)

    def _tell(self, ran, *steps):
        ended = self._machine.now()
        for step in steps:
            try:
                step(ran, ended)
            except (AppStateError, OSError) as error:
                ran.fail(AppStateError("the outcome of the run could not be recorded: %s" % error, app=self._app_name))

    def _ping(self, ran, event):
        """A ping that cannot be sent never fails the backup, and is itself reported."""
        if self._settings.ping is None:
            return
        problem = ping.send(self._settings.ping, event, ran.summary, time.monotonic() - self._begun)
        if problem is not None:
            ran.ping_problem = problem
            ran.warnings.append(problem)

    def _list_good(self):
        """The good backups, newest first, or None where they cannot be listed: the run has said why."""
        try:
            listed = None if self._directory is None else catalog.list_backups(self._directory, self._app_name)
        except AppStateError:
            return None
        return None if listed is None else [backup for backup in listed if backup.problem is None]

    def _kept(self):
        return None if self._good is None else len(self._good)

    def _write_metrics(self, ran, ended):
        if self._settings.metrics_directory is None:
            return
        success = ended.timestamp() if not ran.exit_code else _seconds(self._status.content.get("last_success"))
        values = {"last_run_success": int(not ran.exit_code), "last_run_timestamp_seconds": ended.timestamp(),
                  "last_success_timestamp_seconds": success, "kept": self._kept(),
                  "ping_failed": int(ran.ping_problem is not None)}
        if self._good:
            content, created = self._good[0].manifest.content, self._good[0].manifest.created
            values.update(newest_timestamp_seconds=created.timestamp(),
                          newest_age_seconds=(ended - created).total_seconds(),
                          duration_seconds=content["duration"], downtime_seconds=content.get("downtime"),
                          size_bytes=content["archive"]["size"],
                          verified_level=metrics.LEVELS.get((content["verified"] or {}).get("level"), 0))
        remotes = {copied.remote: {"remote_last_copy_success": int(copied.error is None), "remote_copy_seconds": copied.seconds}
                   for copied in ran.copies}
        metrics.write(self._settings.metrics_directory, self._app_name, values, remotes)

    def _write_status(self, ran, ended):
        changes = {"state": FAILED if ran.exit_code else OK, "ended": format_time(ended), "problem": ran.problem,
                   "warnings": ran.warnings, "ping": ran.ping_problem, "kept": self._kept(),
                   "duration": round(time.monotonic() - self._begun, 3)}
        if ran.backup is not None:
            changes.update(backup=ran.backup.id, size=ran.backup.manifest.archive["size"],
                           verified=ran.backup.manifest.content["verified"])
        if ran.copies:
            changes.update(remotes=self._told_remotes(ran, ended))
        if ran.reference is not None:
            changes.update(reference=ran.reference)
        if not ran.exit_code:
            changes.update(last_success=format_time(ended))
        self._status.write(**changes)

    def _told_remotes(self, ran, ended):
        """By the name of each remote, how its last copy ended, and when one last ended well."""
        told = {}
        for copied in ran.copies:
            before = (self._status.content.get("remotes") or {}).get(copied.remote) or {}
            well = copied.error is None
            told[copied.remote] = dict(copied.to_dict(), last_success=format_time(ended) if well else before.get("last_success"),
                                       backup=ran.backup.id if well else before.get("backup"))
        return told

    def _write_audit(self, ran, ended):
        audit.record(self._machine.state_directory, ended, self._app_name, "backup", ran.problem or "ok",
                     backup=None if ran.backup is None else ran.backup.id)
        for copied in ran.copies:
            audit.record(self._machine.state_directory, ended, self._app_name, "copy",
                         "ok" if copied.error is None else str(copied.error), backup=ran.backup.id, remote=copied.remote)
        for pruned in ran.pruned_remotes:
            if pruned.changed:
                audit.record(self._machine.state_directory, ended, self._app_name, "prune", "ok", removed=pruned.removed,
                             remote=pruned.remote)
        if ran.pruned is not None and ran.pruned.changed:
            audit.record(self._machine.state_directory, ended, self._app_name, "prune", "ok",
                         removed=ran.pruned.removed + ran.pruned.asides)

    def _write_syslog(self, ran, unused):
        if not self._settings.syslog:
            return
        syslog.openlog("appstate-backup", syslog.LOG_PID, syslog.LOG_USER)
        level = syslog.LOG_ERR if ran.exit_code else syslog.LOG_INFO
        for line in ("app %s: %s" % (self._app_name, ran.summary or "ok")).replace("\0", "").splitlines():
            syslog.syslog(level, line)
        syslog.closelog()


def _seconds(text):
    return None if text is None else parse_time(text).timestamp()
