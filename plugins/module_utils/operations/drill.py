# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A drill: a restore into scratch space with every check of a real one, measured, and gone again afterwards.

Live state is neither written nor locked: a backup can be taken meanwhile. What a drill finds is a list of cases, so that a
report can say of each check whether it was made and how it ended.
"""

from __future__ import annotations

import os
import secrets
import stat
import time

from ..catalog import catalog
from ..description import Reader
from ..sources.sqlite import FALLBACK
from ..system import files
from ..system.accounts import Ownership
from ..system.commands import run_as
from ..system.errors import AppStateError, ArchiveError, ConfigurationError, DataTooNewError, IdentityError, SourceError, printable
from ..system.process import identity_of
from ..system.scratch import Scratch, reap
from ..system.times import CLOCKS_DIFFER, format_time, parse_time
from .boot import boot_of
from .places import TREE, placed_members
from .references import lacking_text
from .rehearsal import rehearse
from .selection import select
from .staging import Staging, default_directory

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"
OBJECTIVES = ("rpo", "rto")
LATEST, RANDOM = "latest", "random"
# Below its scratch directory, where the state is staged.
STAGING = "staging"
# Without a health to ask for, an application that runs for as many seconds is taken to have started.
SETTLED = 2.0


class Case:
    """One check of a drill.

    Attributes:
        check: its name: choose, checksum, restore, integrity, passport, foreign_keys, assertion, references, version,
            rehearsal, ownership, boot, health, rpo, rto, ping or record.
        about: what was checked: a database's path, an assertion's SQL; may be empty.
        outcome: PASSED, FAILED or SKIPPED.
        seconds: how long it took.
        message: why it failed or was skipped; else empty.
    """

    def __init__(self, check, about, outcome, seconds, message=""):
        self.check = check
        self.about = about
        self.outcome = outcome
        self.seconds = seconds
        self.message = message

    def to_dict(self):
        return {"check": self.check, "about": self.about, "outcome": self.outcome, "seconds": round(self.seconds, 3),
                "message": self.message}


class Drill:
    """What a drill found.

    Attributes:
        cases: list of Cases, in the order they were made.
        drilled: when it was begun, an aware datetime.
        backup: what results say of the backup that was restored, or None.
        rpo, restored, healthy: seconds: age of the newest good backup; until all was restored and checked; until the app was
            well; None where it is not known.
        bytes: of the restored files, or None.
        warnings: texts.
        answer: what the app answered when it was well, where that is JSON; else None.
        interrupted: whether somebody, or a shutdown, ended it.
    """

    def __init__(self, app, machine, which, remote):
        self._app = app
        self._hostname = machine.hostname
        self._which = which
        self._remote = remote
        self._clock = time.monotonic()
        self.cases = []
        self.drilled = machine.now()
        self.backup = self.rpo = self.restored = self.healthy = self.bytes = self.answer = None
        self.warnings = []
        self.interrupted = False

    @classmethod
    def of_record(cls, app, machine, record):
        """A Drill of this app that was told already, out of what ``to_dict`` gave."""
        found = cls(app, machine, record["which"], record["remote"])
        found.drilled, found.backup, found.bytes = parse_time(record["drilled"]), record["backup"], record["bytes"]
        found.rpo, found.restored, found.healthy = (record[name + "_seconds"] for name in ("rpo", "restored", "healthy"))
        found.warnings, found.cases = record["warnings"], [Case(**case) for case in record["cases"]]
        return found

    def add(self, check, problem=None, about="", skipped=None):
        """Adds a case, which took the time since the one before: it failed by ``problem``, or was skipped for a reason."""
        now = time.monotonic()
        outcome = FAILED if problem is not None else SKIPPED if skipped is not None else PASSED
        self.cases.append(Case(check, about, outcome, now - self._clock, problem or skipped or ""))
        self._clock = now

    @property
    def failed(self):
        """The cases that failed."""
        return [case for case in self.cases if case.outcome == FAILED]

    @property
    def ok(self):
        return not self.failed

    @property
    def problem(self):
        """The first failure, as a text that names the app; or None. A missed objective may follow from another one."""
        failed = sorted(self.failed, key=lambda case: case.check in OBJECTIVES)
        return "app %s: drill: %s: %s" % (self._app.name, failed[0].check, failed[0].message) if failed else None

    @property
    def rto(self):
        """Seconds until the app was back: well where it was started, else restored; None where it was not."""
        return self.healthy if self._app.drilling.boot is not None else self.restored

    def to_dict(self):
        """The record of it, for results and for ``monitor.drills``."""
        objectives = self._app.objectives
        return {"app": self._app.name, "host": self._hostname, "drilled": format_time(self.drilled), "ok": self.ok,
                "problem": self.problem, "backup": self.backup, "remote": self._remote, "which": self._which,
                "rpo_seconds": _rounded(self.rpo), "restored_seconds": _rounded(self.restored),
                "healthy_seconds": _rounded(self.healthy), "rto_seconds": _rounded(self.rto), "bytes": self.bytes,
                "objectives": {"rpo_seconds": objectives.rpo, "rto_seconds": objectives.rto},
                "warnings": self.warnings, "cases": [case.to_dict() for case in self.cases]}


class DrillRequest:
    """What is to be drilled.

    Attributes:
        which: LATEST, RANDOM or a backup's id.
        within: the time before now that RANDOM chooses from, as ``30d``, or None for all.
        archive: path of one archive instead, or None.
        remote: the ``RemoteCatalog`` to choose from; None is the destination.
        identity: secret keys that open what is encrypted, or None.

    Raises:
        ConfigurationError: these exclude one another, or ``within`` is no time.
    """

    def __init__(self, which=LATEST, within=None, archive=None, remote=None, identity=None):
        if within is not None and which != RANDOM:
            raise ConfigurationError("'within' is given, and not which=random", remedy="Leave it out, or choose at random")
        if archive is not None and (which != LATEST or remote is not None):
            raise ConfigurationError("'archive' excludes both 'which' and 'remote'", remedy="Give the one or the others")
        self.which = which
        self.within = None if within is None else Reader(None).duration({"within": within}, "within", "the drill")
        self.archive = archive
        self.remote = remote
        self.identity = identity


def drill(app, machine, request, on_bytes=None):
    """Drills; whatever goes wrong is in the Drill that comes back.

    Args:
        on_bytes: called with the number of bytes that were read.
    """
    return _Drilling(app, machine, request, on_bytes).run()


def chosen(app, machine, request):
    """The Selected (not entered yet) that a request asks for.

    Raises:
        AppStateError: as ``selection.select``; or nothing good was taken within the window.
    """
    which = _random(app, machine, request) if request.which == RANDOM else request.which
    return select(app, which, None, request.archive, request.remote, request.identity)


def scratch_parents(app):
    """Where there may be room for what is restored of an app, the best place first."""
    place = app.drilling.scratch
    return [place] if place is not None else [each for each in (app.destination, FALLBACK) if each is not None]


def _random(app, machine, request):
    listed = request.remote.list() if request.remote is not None else catalog.list_backups(app.directory, app.name)
    since = None if request.within is None else request.within.before(machine.now())
    good = [backup.id for backup in listed if backup.problem is None and (since is None or backup.manifest.created >= since)]
    if not good:
        raise SourceError("there is no good backup%s to choose from" % ("" if since is None else " of the last %s" % request.within),
                          app=app.name, path=request.remote.place if request.remote is not None else app.directory,
                          remedy="See why backups fail, or choose from a longer time")
    return secrets.choice(good)


class _Drilling:
    """One drill."""

    def __init__(self, app, machine, request, on_bytes):
        self._app = app
        self._machine = machine
        self._request = request
        self._on_bytes = on_bytes
        self._begun = time.monotonic()
        self._drill = Drill(app, machine, request.which, None if request.remote is None else request.remote.remote.name)

    def run(self):
        self._measure_rpo()
        try:
            with chosen(self._app, self._machine, self._request) as selected:
                self._drill.backup = selected.to_dict(self._machine.now())
                self._drill.add("choose")
                with self._scratch() as scratch:
                    self._restore_and_start(selected, scratch)
        except AppStateError as error:
            if self._restored_well:
                self._fail(error)  # Else there is a case that tells of it.
        except KeyboardInterrupt:
            self._drill.interrupted = True
            self._fail(AppStateError("the drill was interrupted"))
        except Exception as error:  # pylint: disable=broad-exception-caught
            # One that breaks is as red as any other.
            self._fail(explained(error))
        self._skip_unreached()
        self._judge("rto", self._drill.rto, self._app.objectives.rto, "the app was back after")
        return self._drill

    def _fail(self, error):
        """An error ends a drill; it is told as the check that it came in the way of."""
        reached, starts = {case.check for case in self._drill.cases}, self._app.drilling.boot is not None
        if "choose" not in reached:
            check = "choose"
        elif "restore" in reached and starts:
            check = "health" if "boot" in reached else "boot"
        else:
            check = "checksum" if "checksum" not in reached and isinstance(error, (ArchiveError, IdentityError)) else "restore"
        self._drill.add(check, told_of(error))

    def _skip_unreached(self):
        """What the app asks for and the drill did not get to is told, and not left out."""
        asked = ["checksum", "restore"] + (["boot", "health"] if self._app.drilling.boot is not None else [])
        reached = {case.check for case in self._drill.cases}
        for check in asked:
            if check not in reached and not (check == "health" and self._health is None):
                self._drill.add(check, skipped="not reached")

    def _measure_rpo(self):
        """How old the newest good backup is, whichever is drilled."""
        try:
            newest = self._newest()
        except (AppStateError, OSError) as error:
            self._drill.add("rpo", told_of(explained(error)))
            return
        if newest is not None:
            self._drill.rpo = (self._machine.now() - newest.manifest.created).total_seconds()
            if self._drill.rpo < -CLOCKS_DIFFER:
                self._drill.add("rpo", "the newest good backup is from the future, by %s: see the clock of the host" % _shown(-self._drill.rpo))
                return
        if self._request.archive is None:
            self._judge("rpo", self._drill.rpo, self._app.objectives.rpo, "the newest good backup is as old as")

    def _newest(self):
        if self._request.archive is not None:
            return None
        if self._request.remote is not None:
            return next(self._request.remote.good(), None)
        return catalog.newest_good(self._app.directory, self._app.name)

    def _judge(self, check, measured, objective, what):
        if objective is None:
            return
        if measured is None:
            self._drill.add(check, "the objective is %s, and there is nothing to measure" % _shown(objective))
        else:
            self._drill.add(check, None if measured <= objective else "%s %s, and the objective is %s" % (
                what, _shown(measured), _shown(objective)))

    def _scratch(self):
        parents = scratch_parents(self._app)
        name = self._app.name + ".drill"
        reap(parents, name)
        return Scratch(parents, name, self._beside())

    def _beside(self):
        """Whoever has to reach the restored state where it really is, since it is not shown anywhere else; or None."""
        boot = self._app.drilling.boot
        if os.geteuid() != 0 or boot is None or boot.argv is None or boot.image is not None or boot.isolated:
            return None
        if boot.run_as is not None:
            return run_as(boot.run_as)
        live = os.stat(self._app.root) if os.path.isdir(self._app.root) else os.stat("/")
        return identity_of(*self._ownership()[0].ids(uid=live.st_uid, gid=live.st_gid))

    def _restore_and_start(self, selected, scratch):
        directory = scratch.directory()
        root = self._restore(selected, directory)
        if self._app.drilling.boot is not None and self._restored_well:
            self._start(root)

    @property
    def _restored_well(self):
        """Whether nothing failed so far but that there is no newer backup: how good this one is, is another question."""
        return all(case.check == "rpo" for case in self._drill.failed)

    def _restore(self, selected, directory):
        """Restores into a directory; returns the path of what would be the app's root."""
        ownership, unowned = self._ownership()
        parent = files.open_directory(directory)
        try:
            staging = _DrillStaging(self._app, parent, directory, self._drill, selected.manifest)
            staging.fill(selected, (), ownership, self._on_bytes)
            self._drill.warnings.extend(staging.warnings)
            tree = os.path.join(directory, STAGING, os.fsdecode(TREE))
            self._settle_root(tree, staging.live_root(), directory, ownership)
        finally:
            os.close(parent)
        self._drill.restored = time.monotonic() - self._begun
        self._drill.add("restore")
        self._check_ownership(tree, ownership, unowned)
        return tree

    def _ownership(self):
        """``(Ownership, why the app's own cannot be had here or None)``: a drill elsewhere than on the app's own host goes on."""
        app = self._app
        try:
            return Ownership(app.owner, app.group, app.file_mode, app.directory_mode), None
        except ConfigurationError as error:
            return Ownership(None, None, app.file_mode, app.directory_mode), error.message

    def _settle_root(self, tree, live, directory, ownership):
        """The restored root belongs to whom the live one does, and can be reached."""
        mode, uid, gid = default_directory(live, ownership)
        descriptor = files.open_directory(tree)
        try:
            files.give(descriptor, uid, gid, mode)
        finally:
            os.close(descriptor)
        for path in (directory, os.path.dirname(tree)):
            os.chmod(path, 0o711)

    def _check_ownership(self, tree, ownership, unowned):
        """Whether the app could use what was restored."""
        uid, gid = ownership.ids()
        self._drill.bytes, strangers = 0, []
        for path, found in _below(tree):
            self._drill.bytes += found.st_size if stat.S_ISREG(found.st_mode) else 0
            if (uid not in (-1, found.st_uid) or gid not in (-1, found.st_gid)) and len(strangers) < 5:
                strangers.append(printable(os.path.relpath(path, tree)))
        if os.geteuid() != 0:
            self._drill.add("ownership", skipped="only root can give files to others")
        elif unowned is not None:
            self._drill.add("ownership", skipped=unowned)
        elif strangers:
            self._drill.add("ownership", "was not given to the owner of the app: %s" % ", ".join(strangers))
        elif ownership.unknown and os.path.isdir(self._app.root):
            self._drill.add("ownership", "has files of %s, which this host does not know; say 'owner' and 'group' of the app"
                            % ", ".join(sorted(ownership.unknown)))
        else:
            self._drill.add("ownership")

    @property
    def _health(self):
        return self._app.drilling.health or self._app.health

    def _start(self, root):
        # A command runs as whom the restored root was given to, which is the app's owner, or that of the live root.
        owner = os.stat(root)
        identity = identity_of(owner.st_uid, owner.st_gid) if os.geteuid() == 0 else None
        try:
            with boot_of(self._app, root, identity) as booted:
                self._drill.add("boot")
                self._ask(booted)
        except AppStateError as error:
            reached = any(case.check == "boot" for case in self._drill.cases)
            self._drill.add("health" if reached else "boot", told_of(error))

    def _ask(self, booted):
        if self._health is None:
            booted.settle(SETTLED)
        else:
            self._drill.answer = booted.well(self._health)["json"]
        self._drill.healthy = time.monotonic() - self._begun
        if self._health is not None:
            self._drill.add("health")
            if self._health.get("expression") is not None:
                self._drill.add("health", None, self._health["expression"], "an expression is asked by the playbook alone: a host needs "
                                "no jmespath")


class _DrillStaging(Staging):
    """The staging of a real restore, which also says what it proved."""

    def __init__(self, app, root, root_path, told, manifest):
        super().__init__(app, root, root_path, STAGING)
        self._drill = told
        self._manifest = manifest

    def _has_untold(self, plan, contents):
        """Elsewhere than at the live root, where they are already, all directories above a source are made."""
        return True

    def live_root(self):
        try:
            return os.stat(self._app.root)
        except OSError:
            return super().live_root()

    def _whole(self):
        self._drill.add("checksum")

    def _found(self, check, findings):
        for finding in findings:
            about = "%s: %s" % (check.path, finding.about) if finding.about else check.path
            self._drill.add(finding.check, finding.problem, about)

    def _proven(self, check, directory):
        tried = rehearse(self._app, check, directory, self._manifest, self._inquiry)
        if tried is not None:
            self._drill.add("rehearsal", tried.problem, check.path, tried.note)

    def _judge_version(self):
        version = self._app.version
        if version is None or version.sql is None:
            return
        if self._inquiry.guard.found is None:
            self._drill.add("version", None, version.source, "it could not be read: nobody was there to ask")
            return
        try:
            self._warn(self._inquiry.guard.judge())
            self._drill.add("version", None, version.source)
        except DataTooNewError as error:
            self._drill.add("version", error.message, version.source)
        except ConfigurationError as error:
            # The application need not be installed where a drill is done.
            self._drill.add("version", None, version.source, error.message)

    def _compare_references(self, plan, lines):
        references = self._inquiry.references
        if not references.asked:
            if self._has_references():
                self._drill.add("references", skipped="they could not be read: nobody was there to ask")
            return
        lacking = references.compare(placed_members(plan, lines))[0]
        problems = references.failures + [lacking_text(finding) for finding in lacking]
        self._drill.add("references", "; ".join(problems) or None)

    def _has_references(self):
        return any(getattr(each, "references", ()) for source in self._app.sources
                   for each in (source,) + tuple(getattr(source, "databases", ())))


def explained(error, place=None):
    """An AppStateError for whatever was raised; ``place`` is the path that it is about, where that is known."""
    if isinstance(error, AppStateError):
        return error
    if isinstance(error, OSError):
        return AppStateError(error.strerror or str(error), path=place or error.filename)
    return AppStateError("failed by a defect of this program: %s: %s" % (type(error).__name__, error))


def told_of(error):
    """What a case says of an AppStateError: of the app, the drill says so itself."""
    error.app = None
    return str(error)


def _below(top):
    """Yields ``(path, stat)`` of all that lies below a directory; nobody else can change what is there."""
    for folder, folders, names in os.walk(top):
        for name in folders + names:
            path = os.path.join(folder, name)
            yield path, os.lstat(path)


def _rounded(seconds):
    return None if seconds is None else round(seconds, 3)


def _shown(seconds):
    """A time span for a person."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return "%.1f %s" % (seconds / size, unit)
    return "%.1f s" % seconds
