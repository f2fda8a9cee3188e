# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the alarm rings: copies of a real backup are broken one by one, and each has to turn a drill red.

An alarm that was never heard may be dead. A drill that is green every night tells nothing unless it would be red where
something is wrong, by the check that is there for it. So first an untouched copy has to be green, and then each of the
faults has to be found, by the very code that drills every night. Nothing else is touched: not the backup, not the app, nor
what its drills have said.
"""

from __future__ import annotations

import os
import time

from ..drilling import Drilling, Objectives
from ..system.errors import AppStateError, ChildError
from ..system.machine import Machine
from ..system.process import Limits, run_child
from ..system.scratch import Scratch, reap
from ..system.times import format_time
from ..system.trees import remove_tree
from ..system.view import enter_full_disk
from .backup_copy import BackupCopy
from .drill import FAILED, PASSED, DrillRequest, chosen, scratch_parents
from .drill_run import run_drill
from .faults import FAULTS, NotPossible, Workbench, varied

SEEN, MISSED, SKIPPED = "seen", "missed", "skipped"
# Of the child that drills where the disk is full: it opens no database itself.
CHILD_MEMORY = 1 << 30


class Outcome:
    """What became of one fault.

    Attributes:
        fault: its name.
        expected: the check that is meant to find it.
        red: the checks that failed.
        outcome: SEEN where the expected one is among them, MISSED where not; SKIPPED where the fault could not be made.
        seconds: how long it took.
        message: what that check said, or why it was not seen or not tried.
    """

    def __init__(self, fault, expected, red, outcome, seconds, message):
        self.fault = fault
        self.expected = expected
        self.red = red
        self.outcome = outcome
        self.seconds = seconds
        self.message = message

    def to_dict(self):
        return {"fault": self.fault, "expected": self.expected, "red": self.red, "outcome": self.outcome,
                "seconds": round(self.seconds, 3), "message": self.message}


class SelfTest:
    """What a self-test found.

    Attributes:
        backup: what results say of the backup that was copied.
        untouched: why a drill of the untouched copy was red, or None.
        outcomes: list of Outcomes, one for each fault.
    """

    def __init__(self, app, machine, backup):
        self._app = app
        self._hostname = machine.hostname
        self._tested = machine.now()
        self.backup = backup
        self.untouched = None
        self.outcomes = []

    @property
    def missed(self):
        """The faults that were not seen."""
        return [outcome for outcome in self.outcomes if outcome.outcome == MISSED]

    @property
    def ok(self):
        return self.untouched is None and not self.missed

    @property
    def problem(self):
        """What is wrong with the alarm, as a text that names the app; or None."""
        if self.untouched is not None:
            return "app %s: self-test: the untouched copy is not green: %s" % (self._app.name, self.untouched)
        if self.missed:
            return "app %s: self-test: not seen: %s" % (self._app.name, "; ".join(
                "%s (%s)" % (outcome.fault, outcome.message) for outcome in self.missed))
        return None

    def to_dict(self):
        return {"app": self._app.name, "host": self._hostname, "tested": format_time(self._tested), "ok": self.ok,
                "problem": self.problem, "backup": self.backup, "untouched": self.untouched is None,
                "faults": [outcome.to_dict() for outcome in self.outcomes]}


def self_test(app, machine, request):
    """Breaks copies of the backup that a DrillRequest chooses; returns the SelfTest.

    Raises:
        AppStateError: there is no such backup, it is not what was backed up, or there is no room for a copy.
    """
    try:
        with chosen(app, machine, request) as selected:
            return _tested(app, machine, selected)
    except AppStateError as error:
        raise error.about(app.name)
    except OSError as error:
        raise AppStateError("the self-test failed: %s" % error.strerror, app=app.name, path=error.filename)


def _tested(app, machine, selected):
    found = SelfTest(app, machine, selected.to_dict(machine.now()))
    parents, name = scratch_parents(app), app.name + ".selftest"
    reap(parents, name)
    with Scratch(parents, name) as room:
        room.seal()
        with BackupCopy(selected, room) as backup:
            _Testing(app, machine, backup, room, found).run()
    return found


class _Testing:
    """One self-test, in a room of its own."""

    def __init__(self, app, machine, backup, room, found):
        # What an app asks of its backups, starts, and tells to others, is no part of what is tested here.
        self._app = varied(app, destination=None, objectives=Objectives())
        self._machine = Machine(machine.hostname, machine.now, room.directory(), room.directory())
        self._backup = backup
        self._room = room
        self._found = found
        self._rehearsed = False
        self._begun = 0.0

    def run(self):
        self._found.untouched = self._drill_untouched()
        for fault in FAULTS:
            if self._found.untouched is None:
                self._try(fault)
            else:
                self._tell(fault, SKIPPED, "the untouched copy is not green")

    def _drill_untouched(self):
        """Why it is red, or None."""
        with _Place(self._room) as place, self._workbench(place) as bench:
            bench.publish()
            cases = self._drill(bench)
        self._rehearsed = any(case["check"] == "rehearsal" and case["outcome"] == PASSED for case in cases)
        return next(("%s: %s" % (case["check"], case["message"]) for case in cases if case["outcome"] == FAILED), None)

    def _workbench(self, place):
        app = varied(self._app, drilling=Drilling(scratch=place.directory(), syslog=False))
        return Workbench(app, self._backup, place.directory, self._rehearsed)

    def _try(self, fault):
        self._begun = time.monotonic()
        try:
            with _Place(self._room) as place, self._workbench(place) as bench:
                fault.make(bench)
                cases = self._drill(bench)
        except NotPossible as reason:
            self._tell(fault, SKIPPED, str(reason))
        except AppStateError as error:
            self._tell(fault, MISSED, "could not be tried: %s" % error)
        except OSError as error:
            self._tell(fault, MISSED, "could not be tried: %s: %s" % (error.filename, error.strerror))
        else:
            self._judge(fault, [case for case in cases if case["outcome"] == FAILED])

    def _drill(self, bench):
        """The cases of a drill of what lies on a workbench."""
        request = DrillRequest(archive=bench.archive)
        if not bench.disk_is_full:
            return _cases(bench.app, self._machine, request)
        cases = run_child(_cases_on_full_disk, (bench.app, self._machine, request), limits=Limits(CHILD_MEMORY))
        if isinstance(cases, str):
            raise NotPossible(cases)
        return cases

    def _judge(self, fault, failed):
        by = next((case for case in failed if case["check"] == fault.check and fault.words in case["message"]), None)
        red = sorted({case["check"] for case in failed})
        if by is not None:
            self._tell(fault, SEEN, by["message"], red)
        elif failed:
            self._tell(fault, MISSED, "was found, and not by %s as it has to be: %s: %s" % (
                fault.check, failed[0]["check"], failed[0]["message"]), red)
        else:
            self._tell(fault, MISSED, "%s did not find it: the drill was green" % fault.check)

    def _tell(self, fault, outcome, message, red=()):
        seconds = time.monotonic() - self._begun if self._begun else 0.0
        self._found.outcomes.append(Outcome(fault.name, fault.check, list(red), outcome, seconds, message))


class _Place:
    """Directories in a Scratch that go when they are left: there is one broken copy at a time."""

    def __init__(self, room):
        self._room = room
        self._names = []

    def __enter__(self):
        return self

    def directory(self):
        """The path of a new one."""
        path = self._room.directory()
        self._names.append(os.path.basename(path).encode())
        return path

    def __exit__(self, *unused):
        for name in self._names:
            remove_tree(self._room.descriptor, name)


def _cases(app, machine, request):
    done = run_drill(app, machine, request)
    if done.interrupted:
        raise KeyboardInterrupt()  # Who ends a drill means all of it.
    return [case.to_dict() for case in done.cases]


def _cases_on_full_disk(app, machine, request):
    """The same in a child where the drill's scratch directory is full, or why this host does not let it have that."""
    try:
        enter_full_disk(app.drilling.scratch)
    except ChildError as error:
        return error.message
    return _cases(app, machine, request)
