# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keeps an app stopped for as long as a cold backup reads its state, and starts it again whatever happens.

Stopping and starting is left to a guardian, which lives on where the run is killed, also by SIGKILL, and which then starts
the app by itself and writes that into the audit log and to syslog. It shares the app's lock, so that no other run begins
before the app is up.
"""

from __future__ import annotations

import os
import shutil
import syslog
import time

from ..monitor import audit
from ..sources.sqlite import paths_of
from ..system import files
from ..system.commands import run_command
from ..system.errors import AppStateError, ChildError
from ..system.guardian import Guardian
from ..system.holders import lasting_holders
from . import service


class NotRunningError(AppStateError):
    """An app that was stopped for its backup does not run, or is not well, afterwards."""


class Stopped:
    """An app while, and after, it is stopped; a context manager that does nothing to an app that is backed up live, or
    whose service does not run: somebody has stopped that, and will start it.

    An app that cannot be started again is an error of the ``with`` statement only where something else went wrong in it,
    and ``problem`` otherwise: a backup that is good should still be published.

    Attributes:
        seconds: from the beginning of its stop to the end of its start; None before that, and for an app that is not
            stopped.
        problem: why it does not run, a NotRunningError, or None.
    """

    def __init__(self, app, machine, on_phase):
        self._app = app
        self._machine = machine
        self._on_phase = on_phase
        self._guardian = None
        self._begun = None
        self.seconds = None
        self.problem = None

    def __enter__(self):
        if self._app.mode != "cold" or service.is_down(self._app):
            return self
        self._guardian = Guardian(self._stop, self._start, self._orphaned, _locks(self._app, self._machine))
        with_guardian = self._guardian.__enter__()
        try:
            self._on_phase("stopping the app", None)
            self._begun = time.monotonic()
            with_guardian.take_first()
        except BaseException as error:
            self._end(error)
            raise
        return self

    def __exit__(self, unused, error, traceback):
        if self._guardian is not None:
            self._end(error)

    def still_held(self, root):
        """A text about a process that has one of the app's databases open although the app is stopped, or None.

        Args:
            root: descriptor of the app's root.
        """
        if self._guardian is None:
            return None
        holders = lasting_holders(lambda: _places(self._app, root))
        return None if not holders else (
            "%s is still held open by %s although the app was stopped: files may be of another moment than databases; let the "
            "command that stops the app wait until it has ended" % (holders[0].path, holders[0]))

    def probe(self):
        """Asks an app that was started again whether it is well; what it says otherwise is the ``problem``."""
        if self.seconds is None or self.problem is not None:
            return
        try:
            service.probe(self._app)
        except AppStateError as error:
            self.problem = NotRunningError(
                "the app was stopped for the backup and started again, but %s" % _clause(error),
                app=self._app.name, remedy="The backup is good; look into the log of the app")

    def _end(self, error):
        """Starts the app; with an error on its way, that one tells of what came of the start, too."""
        try:
            self._on_phase("starting the app", None)
            self._start_by_guardian()
            self.seconds = round(time.monotonic() - self._begun, 3) if self._begun is not None else None
        except AppStateError as trouble:
            self.problem = self._not_started(trouble)
        finally:
            guardian, self._guardian = self._guardian, None
            guardian.__exit__(None, None, None)
        if error is None or self.problem is None:
            return
        if isinstance(error, AppStateError):
            error.message += "; and %s" % self.problem.message
            error.remedy = self.problem.remedy
        else:
            raise self.problem

    def _start_by_guardian(self):
        try:
            self._guardian.take_last()
        except ChildError:
            # Somebody killed the guardian, of all processes.
            service.start(self._app)

    def _not_started(self, error):
        start = self._app.service.get("start")
        return NotRunningError(
            "THE APP DOES NOT RUN: it was stopped for the backup and could not be started again: %s" % _clause(error),
            app=self._app.name, remedy="Start it by hand: %s" % (
                " ".join(start) if start else "the service %s" % self._app.service["name"]))

    def _stop(self):
        self._begun = time.monotonic()
        service.stop(self._app)

    def _start(self):
        _be_nice_no_more()
        service.start(self._app)

    def _orphaned(self, error):
        """In the guardian: nobody else is left to tell."""
        seconds = round(time.monotonic() - self._begun, 3)
        result = "ok" if error is None else str(self._not_started(error))
        syslog.openlog("appstate-backup", syslog.LOG_PID, syslog.LOG_USER)
        syslog.syslog(syslog.LOG_ERR, "app %s: the run was killed while the app was stopped for its backup; %s" % (
            self._app.name, "it was started again" if error is None else result))
        audit.record(self._machine.state_directory, self._machine.now(), self._app.name, "start", result, downtime=seconds)


def _clause(error):
    """What an error says, to go on with in a sentence of an app that is named already."""
    return error.message if error.path is None else "%s: %s" % (error.path, error.message)


def _places(app, root):
    """Device and inode of each database of the app and what lies beside it, with the path."""
    places = {}
    for source in app.sources:
        for path in paths_of(source) if source.type == "sqlite" else []:
            found = files.lookup(root, path)
            if found is not None:
                places[found.st_dev, found.st_ino] = os.path.join(app.root, path)
    return places


def _locks(app, machine):
    """Descriptors of this process that hold the app's lock: it is held for as long as one of them, or a copy, is open."""
    try:
        wanted = os.stat(os.path.join(machine.lock_directory, app.name + ".lock"))
    except OSError:
        return []
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            held = os.fstat(int(name))
        except OSError:
            continue  # That of the listing itself.
        if (held.st_dev, held.st_ino) == (wanted.st_dev, wanted.st_ino):
            found.append(int(name))
    return found


def _be_nice_no_more():
    """A backup runs at a low priority, and writes what only its owner can read: an app that is started from it, by a
    command and not by a service manager, would take that over for good."""
    os.umask(0o022)
    try:
        os.setpriority(os.PRIO_PROCESS, 0, 0)
        if shutil.which("ionice"):
            run_command(["ionice", "-c", "0", "-p", str(os.getpid())], 10)
    except (OSError, AppStateError):
        pass  # Only root may.
