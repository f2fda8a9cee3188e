# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run: the hooks, the backup, its copies, the guards, pruning, and the report to everybody who has to know how it ended.

A run by hand and a run by cron are this one function. A remote that fails does not keep the others from their copies, nor
costs the backup at the destination. Pruning only happens when everything before it went well.
"""

from __future__ import annotations

import os

from ..app import database_paths
from ..catalog import catalog, holds
from ..monitor import audit
from ..monitor.status import Status
from ..system import files
from ..system.commands import run_command
from ..system.errors import AppStateError, LockedError, SpaceError, refused
from ..system.locks import AppLock
from ..system.mounts import file_system_of, is_volatile_or_remote
from .backup import take_backup_locked
from .copies import Copied, copy_to, kept_text
from .prune import prune_locked, prune_remote_locked
from .report import Ran, Report


class AlarmError(AppStateError):
    """A backup was made, but something about it wants a person."""


class Interrupted(AppStateError):
    """Somebody, or a shutdown, ended the run."""


def run_backup(app, machine, on_bytes=None, accept_shrink=False, on_phase=None):
    """Runs all of it; whatever goes wrong is in the Ran that comes back.

    Args:
        on_bytes, on_phase: as ``backup.take_backup`` takes them.
        accept_shrink: takes what the databases hold now as right, where the guard had stopped pruning.
    """
    ran, status = Ran(), Status(machine.state_directory, app.name)
    report = Report(app.name, app.directory, app.settings, machine, status)
    report.begin(ran)
    run = _Run(app, machine, ran, status, accept_shrink)
    _locked(app.name, machine, report, ran, lambda: run.work(on_bytes, on_phase), run.alarm)
    return ran


def refuse_run(app_name, settings, machine, error):
    """A run that cannot begin, since what an app is to do cannot be read: as red as any other.

    Args:
        settings: what could be read of the app's Settings.
        error: why it cannot begin.
    """
    ran = Ran()
    ran.fail(error)
    report = Report(app_name, None, settings, machine, Status(machine.state_directory, app_name))
    _locked(app_name, machine, report, ran, lambda: None, lambda: None)
    return ran


def _locked(app_name, machine, report, ran, work, alarm):
    try:
        with AppLock(machine.lock_directory, app_name):
            work()
            report.end(ran)
    except LockedError as error:
        ran.fail(error)
        report.end_beside(ran)
    except (AppStateError, OSError) as error:
        # There is no lock to be had at all.
        ran.fail(_explained(error, app_name, machine.lock_directory))
        alarm()
        report.end(ran)


class _Run:
    """One run of one app, under its lock."""

    def __init__(self, app, machine, ran, status, accept_shrink):
        self._app = app
        self._settings = app.settings
        self._machine = machine
        self._ran = ran
        self._status = status
        self._accept_shrink = accept_shrink

    def work(self, on_bytes, on_phase):
        self._try(self._prepare_and_back_up, on_bytes, on_phase)
        for argv in self._settings.after:
            self._try(self._hook, argv)
        if self._ran.backup is not None:
            self._try(self._spread, on_bytes, on_phase or (lambda phase, total: None))
        if not self._ran.exit_code:
            self._try(self._prune)
            for remote in self._app.remotes:
                self._try(self._prune_remote, remote)
        if self._ran.exit_code:
            self.alarm()

    def alarm(self):
        """The operator's own commands for a run that failed."""
        for argv in self._settings.on_error:
            self._try(self._hook, argv)

    def _try(self, step, *arguments):
        """Does a step; whatever goes wrong with it turns the run red, and does not keep the next from its turn."""
        try:
            step(*arguments)
        except KeyboardInterrupt:
            self._ran.fail(Interrupted("the run was interrupted", app=self._app.name))
        except Exception as error:
            self._ran.fail(_explained(error, self._app.name, self._app.destination))

    def _hook(self, argv):
        outcome = "failed" if self._ran.exit_code else "ok"
        run_command(argv, self._settings.hook_timeout,
                    {"APPSTATE_APP": self._app.name, "APPSTATE_RESULT": outcome})

    def _prepare_and_back_up(self, on_bytes, on_phase):
        for argv in self._settings.before:
            self._hook(argv)
        refuse_destination(self._app)
        earlier = catalog.newest_good(self._app.directory, self._app.name)
        taken = take_backup_locked(self._app, self._machine, on_bytes, on_phase)
        self._ran.backup, self._ran.complete = taken.backup, taken.complete
        self._ran.warnings.extend(taken.warnings)
        if taken.problem is not None:
            self._ran.fail(taken.problem)
        self._try(self._guard_clock, earlier, taken.backup)
        self._try(self._guard_shrinking, earlier, taken.backup)

    def _spread(self, on_bytes, on_phase):
        """Copies the backup to each remote, then gives it its rolling name here, too."""
        backup, stem = self._ran.backup, self._free_stem()
        for remote in self._app.remotes:
            if isinstance(self._ran.error, Interrupted):
                self._ran.copies.append(Copied(remote.name, error=self._ran.error))
                continue
            on_phase("copy to %s" % remote.name, backup.manifest.archive["size"])
            self._try(self._copy, remote, backup, stem, on_bytes)
        if stem is not None:
            self._try(self._roll, backup, stem)

    def _free_stem(self):
        """The rolling name that the new backup gets; None where it keeps its own, since what has that name has to stay."""
        if self._app.rolling_name is None:
            return None
        if self._ran.exit_code:
            # What would be replaced can be the last that is good.
            self._ran.warnings.append("%s keeps its own name: nothing is replaced in a run that fails" % self._ran.backup.id)
            return None
        stem = self._app.rolling_name.stem(self._app.name, self._ran.backup.manifest.created)
        # What is on hold already is not even taken off the list for a look; a hold that comes later is seen where it is replaced.
        older = self._named(stem)
        if older is None or older.id not in holds.held_in(self._app.directory):
            return stem
        self._ran.warnings.append(kept_text(older, self._ran.backup))
        return None

    def _named(self, stem):
        """The backup here that has a rolling name now, or None."""
        return next((backup for backup in catalog.list_backups(self._app.directory, self._app.name) if backup.stem == stem), None)

    def _copy(self, remote, backup, stem, on_bytes):
        try:
            copied = copy_to(self._app, remote, self._machine, backup, stem, on_bytes)
        except KeyboardInterrupt:
            self._ran.copies.append(Copied(remote.name, error=Interrupted("the copy was interrupted", app=self._app.name)))
            raise
        self._ran.copies.append(copied)
        self._ran.warnings.extend(copied.warnings)
        if copied.error is not None:
            raise copied.error

    def _roll(self, backup, stem):
        directory = files.open_directory(self._app.directory)
        try:
            rolled = catalog.roll(directory, self._app.directory, backup, stem)
        finally:
            os.close(directory)
        if rolled is None:
            self._ran.warnings.append(kept_text(self._named(stem), backup))
        else:
            self._ran.backup = rolled

    def _prune(self):
        self._ran.pruned = prune_locked(self._app, self._machine)

    def _prune_remote(self, remote):
        pruned = prune_remote_locked(self._app, remote, self._machine)
        self._ran.pruned_remotes.append(pruned)

    def _guard_clock(self, earlier, taken):
        if earlier is not None and earlier.manifest.created > taken.manifest.created:
            raise AlarmError("the clock went backwards: the backup %s is older by its name than %s, which was there "
                             "before it; nothing was pruned" % (taken.id, earlier.id), path=self._app.directory,
                             remedy="Set the clock of this host; if it is right now, the other one was made while it was "
                                    "wrong: move its archive and its manifest elsewhere")

    def _guard_shrinking(self, earlier, taken):
        held = holdings(taken)
        reference = self._status.content.get("reference")
        if reference is None:
            reference = held if earlier is None else holdings(earlier)
        lost = shrunk(reference, held, self._app)
        # Until somebody accepts it, what was there before is what the next run is measured by.
        self._ran.reference = reference if lost and not self._accept_shrink else held
        if lost and self._accept_shrink:
            audit.record(self._machine.state_directory, self._machine.now(), self._app.name, "accept", "ok",
                         backup=taken.id, lost=lost)
        elif lost:
            raise AlarmError("%s; the backup was taken, and nothing was pruned" % "; ".join(lost),
                             remedy="If that is right, run appstate-backup run --accept-shrink %s" % self._app.name)


def _explained(error, app_name, path):
    if isinstance(error, AppStateError):
        return error.about(app_name)
    if isinstance(error, OSError):
        return refused(error, "the run failed", app_name, path)
    return AppStateError("the run failed by a defect of this program: %s: %s" % (type(error).__name__, error),
                         app=app_name)


def refuse_destination(app):
    """Raises AppStateError where the destination is in memory or on a network file system, and the app allows neither."""
    try:
        kind = file_system_of(app.destination)
    except OSError as error:
        raise AppStateError("the destination cannot be opened: %s" % error.strerror, app=app.name,
                            path=app.destination, remedy="Create that directory, or mount what belongs there")
    trouble = is_volatile_or_remote(kind)
    if trouble and not app.settings.allow_network_destination:
        place = "in memory" if trouble == "memory" else "on a network file system"
        raise SpaceError("the destination is %s (%s)" % (place, kind), app=app.name, path=app.destination,
                         remedy="Choose a local disk, or set allow_network_destination: true")


def holdings(backup):
    """What each database of a backup holds: path to ``rows`` and ``bytes``."""
    told = {}
    for record in backup.manifest.sources:
        if record.get("passport") is not None:
            told[record["path"]] = _holding(record["passport"], record["bytes"])
        for inside in record.get("databases") or ():
            told["%s/%s" % (record["path"], inside["path"])] = _holding(inside.get("passport"), 0)
    return told


def _holding(passport, size):
    tables = (passport or {}).get("tables") or {}
    return {"rows": sum(count for count in tables.values() if count), "bytes": size}


def shrunk(reference, now, app):
    """Texts for the databases of an app that lost at least as much as its guard allows."""
    texts, known = [], database_paths(app.sources)
    for path, before in sorted(reference.items()):
        if path not in known:
            continue  # Somebody took it out of the configuration.
        after = now.get(path, {"rows": 0, "bytes": 0})
        for key, what, most in (("rows", "rows", app.settings.shrink_rows), ("bytes", "size", app.settings.shrink_size)):
            lost = 100.0 * (before[key] - after[key]) / before[key] if before[key] else 0.0
            if lost >= most:
                texts.append("%s lost %.0f %% of its %s (%d, and %d before)" % (path, lost, what, after[key], before[key]))
    return texts
