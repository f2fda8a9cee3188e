# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``appstate-backup``: the engine on a host, for cron, for timers, and for whoever is logged in at three in the morning.

All of it is imported at once: the file that this runs from may be replaced by a newer version meanwhile.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from functools import lru_cache

from . import configuration
from .archive.age import read_identity
from .catalog import catalog, holds
from .catalog.remote import catalog_at
from .command_line import parser
from .monitor import audit
from .operations import service
from .operations.access import refuse_access
from .operations.check import check, require_programs
from .operations.drill import LATEST, RANDOM, DrillRequest
from .operations.drill_run import run_drill, summary_of
from .operations.hold import hold, release
from .operations.prune import prune_recorded
from .operations.report import INCOMPLETE
from .operations.request import Request
from .operations.restore import Restore
from .operations.run import Interrupted, refuse_run, run_backup
from .operations.selection import select
from .operations.verify import verify
from .progress import Progress
from .system.errors import AppStateError, ConfigurationError, RestoreError, refused
from .system.files import readable
from .system.machine import this_machine
from .system.zones import require_zone


def main(arguments=None):
    """Runs the command; returns its exit status."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:  # nohup ignores the second.
            signal.signal(number, _interrupt)
    options = parser().parse_args(arguments)
    try:
        return ACTIONS[options.action](options, this_machine(options.state_directory, options.lock_directory))
    except AppStateError as error:
        return _failed(options, error)
    except KeyboardInterrupt:
        _complain("interrupted")
        return 1
    except BrokenPipeError:
        # Whoever read our output has had enough; the interpreter would complain once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _failed(options, refused(error, "%s failed" % options.action))


def _interrupt(*unused):
    """A shutdown is told of, and ended by, the same steps as Ctrl-C: hooks, alarms, nothing half done left."""
    raise KeyboardInterrupt


def _apps(options):
    return [configuration.read_app(options.config, name)
            for name in configuration.app_names(options.config, options.apps)]


def _app(options):
    name, = configuration.app_names(options.config, [options.app])
    return configuration.read_app(options.config, name)


def _failed(options, error):
    if options.json:
        _print(json.dumps({"error": error.to_dict(), "exit_code": error.exit_code}, sort_keys=True))
    _complain(error if error.event is None else "%s event=%s" % (error, error.event))
    return error.exit_code


def _complain(text):
    """A problem on standard error; in a log, and not on a terminal, with the time in front."""
    when = "" if sys.stderr.isatty() else time.strftime("%Y-%m-%dT%H:%M:%SZ ", time.gmtime())
    sys.stderr.write("%sappstate-backup: %s\n" % (when, text))


def _print(text):
    """A line for whoever called."""
    sys.stdout.write(text + "\n")


def _say(options, told, text):
    """The result as JSON, or as lines for a person."""
    if options.json:
        _print(json.dumps(told, sort_keys=True))
    elif text:
        _print(text)


def run_apps(options, machine):
    """``run``: an app that fails does not keep the others from their turn."""
    worst, told = 0, []
    for name in configuration.app_names(options.config, options.apps):
        ran = _run(options, machine, name)
        worst = _worse(worst, ran.exit_code)
        told.append({"app": name, "exit_code": ran.exit_code, "warnings": ran.warnings,
                     "backup": None if ran.backup is None else ran.backup.to_dict(machine.now()),
                     "copies": [copied.to_dict() for copied in ran.copies],
                     "pruned": [] if ran.pruned is None else ran.pruned.removed,
                     "error": None if ran.error is None else ran.error.to_dict()})
        for warning in ran.warnings:
            _complain("app %s: warning: %s" % (name, warning))
        if ran.problem is not None:
            _complain(ran.problem)
        if ran.backup is not None and not options.json:
            _print("%s  %s  verified to content, %.1f s" % (
                ran.backup.id, readable(ran.backup.manifest.archive["size"]), ran.backup.manifest.content["duration"]))
            for copied in ran.copies:
                if copied.error is None:
                    _print("  copied to %s in %.1f s" % (copied.path, copied.seconds))
        if isinstance(ran.error, Interrupted):
            break
    _say(options, told, None)
    return worst


def _run(options, machine, name):
    """One app's run; one whose configuration is no good is as red as any other that fails."""
    try:
        app = configuration.read_app(options.config, name)
    except ConfigurationError as error:
        return refuse_run(name, configuration.read_monitoring(options.config, name), machine, error)
    progress = Progress(sys.stderr, name)
    try:
        return run_backup(app, machine, progress.add, options.accept_shrink, progress.begin)
    finally:
        progress.end()


def _worse(one, other):
    """The exit status that says more: the first failure, before a run that could not read everything, before none."""
    return max((one, other), key=lambda code: {0: 0, INCOMPLETE: 1}.get(code, 2))


def list_apps(options, machine):
    """``list``: all backups, newest first."""
    now, told, lines = machine.now(), [], []
    for app in _apps(options):
        there = _catalog(options, app, machine)
        backups = catalog.list_backups(app.directory, app.name) if there is None else there.list()
        held = _held(app)
        if options.json:
            told.extend(dict(backup.to_dict(now), held=backup.id in held) for backup in backups)
        else:
            lines.extend(_line(backup, now, backup.id in held) for backup in backups)
        if not backups:
            lines.append("%s  has no backups in %s" % (app.name, app.directory if there is None else there.place))
    _say(options, told, "\n".join(lines))
    return 0


def _catalog(options, app, machine):
    """The RemoteCatalog that the options name, or None."""
    if options.remote is None:
        if options.remote_host is not None:
            raise ConfigurationError("--remote-host needs --remote")
        return None
    return catalog_at(app, options.remote, machine, options.remote_host)


def _identity(options):
    """The secret keys in the file that the options name, or None."""
    if options.identity == "-":
        return sys.stdin.buffer.read().decode("utf-8", "replace")  # What no key has, age refuses.
    return None if options.identity is None else read_identity(options.identity)


def _selection(options, app, machine):
    """What ``select`` takes beside the app."""
    return {"which": options.id, "before": options.before, "archive": options.archive,
            "remote": _catalog(options, app, machine), "identity": _identity(options)}


def _line(backup, now, held):
    if backup.problem is not None:
        return "%s  NOT GOOD: %s" % (backup.id, backup.problem)
    told = backup.to_dict(now)
    return "%s  %10s  %s old  %s%s%s" % (
        backup.id, readable(told["size"]), _age(told["age_seconds"]),
        (told["verified"] or {}).get("level", "not verified"),
        "" if told["downtime"] is None else "  app stopped for %.1f s" % told["downtime"], "  held" if held else "")


def _age(seconds):
    return "%3d h" % (seconds // 3600) if seconds < 48 * 3600 else "%3d d" % (seconds // 86400)


def _held(app):
    try:
        return holds.held_in(app.directory)
    except OSError:
        return set()


def verify_app(options, machine):
    """``verify``: says what is wrong, member by member."""
    app = _app(options)
    progress = Progress(sys.stderr, app.name)
    with select(app, **_selection(options, app, machine)) as selected:
        progress.begin("verification", selected.manifest and selected.manifest.bytes)
        try:
            found = verify(selected, options.level, app, progress.add)
        finally:
            progress.end()
        told = {"backup": selected.to_dict(machine.now()), "verified": found.ok, "level": found.level,
                "problems": found.problems, "notes": found.notes}
        lines = ["%s%s" % (problem["member"] + ": " if problem["member"] else "", problem["problem"])
                 for problem in found.problems] or ["%s is good (%s)" % (selected.id, found.level)]
        lines.extend("note: %s" % note for note in found.notes)
    _say(options, told, "\n".join(lines))
    return 0 if found.ok else 1


def drill_apps(options, machine):
    """``drill``: rehearses restores; an app that fails does not keep the others from their turn."""
    names = configuration.app_names(options.config, options.apps)
    if len(names) > 1 and (options.archive is not None or options.id not in (LATEST, RANDOM)):
        raise ConfigurationError("what '--archive' or '--id' names is of one app", remedy="Name it")
    # Standard input can be read but once.
    worst, told, identity = 0, [], lru_cache(1)(lambda: _identity(options))
    for name in names:
        try:
            done, exit_code = _drill(options, machine, configuration.read_app(options.config, name), identity)
        except AppStateError as error:
            worst = _worse(worst, error.exit_code)
            told.append({"app": name, "ok": False, "problem": str(error)})
            _complain(error)
            continue
        worst = _worse(worst, exit_code)
        told.append(done.to_dict())
        for warning in done.warnings:
            _complain("app %s: warning: %s" % (name, warning))
        if not done.ok:
            _complain("app %s: %s" % (name, summary_of(done)))
        elif not options.json:
            _print("%s  %s" % (name, _measured(done)))
        if done.interrupted:
            break
    _say(options, told, None)
    return worst


def _drill(options, machine, app, identity):
    """``(Drill, exit status)`` of one app; what stands in the way of a request is told as a drill that failed is."""
    try:
        request = DrillRequest(options.id, options.within, options.archive, _catalog(options, app, machine), identity())
    except AppStateError as error:
        request = error
    progress = Progress(sys.stderr, app.name)
    progress.begin("drill", None)
    try:
        done = run_drill(app, machine, request, progress.add)
    finally:
        progress.end()
    return done, 0 if done.ok else getattr(request, "exit_code", 1)


def _measured(done):
    parts = [summary_of(done)]
    if done.rpo is not None:
        parts.append("newest backup %s old" % _age(done.rpo).strip())
    if done.rto is not None:
        parts.append("back after %.1f s" % done.rto)
    return ", ".join(parts)


def prune_apps(options, machine):
    """``prune``: removes what the rules do not keep, and says why the others stay."""
    told = []
    for app in _apps(options):
        remote = None if options.remote is None else app.remote(options.remote)
        pruned = prune_recorded(app, machine, options.dry_run, remote)
        told.append({"app": app.name, "removed": pruned.removed, "asides": pruned.asides,
                     "decisions": [decision.to_dict() for decision in pruned.decisions]})
        if not options.json:
            for decision in pruned.decisions:
                _print("%s  %s" % (decision.backup.id, _verdict(decision, options.dry_run)))
    _say(options, told, None)
    return 0


def _verdict(decision, dry_run):
    if decision.kept:
        return "keep: %s" % ", ".join(decision.reasons)
    return "would remove" if dry_run else "removed"


def restore_app(options, machine):
    """``restore``: stage, stop, swap, start, probe; and back again where that fails."""
    app = _app(options)
    progress = Progress(sys.stderr, app.name)
    selection = _selection(options, app, machine)
    request = Request(app, only=options.only, target_root=options.target_root, force=options.force, **selection)
    restore = Restore(app, machine, request, progress.add)
    with restore.alone():
        try:
            with select(app, **selection) as selected:
                progress.begin("extraction", selected.manifest and selected.manifest.bytes)
            outcome = restore.validate() if options.validate_only else restore.stage()
        finally:
            progress.end()
        if not options.validate_only and outcome.state == "staged":
            outcome = restore.restore() if request.root != app.root else _swap(machine, restore, app)
    told = outcome.to_dict()
    for warning in told["warnings"]:
        _complain("app %s: warning: %s" % (app.name, warning))
    backup = told["backup"]["id"]
    if options.validate_only:
        text = "%s can be restored; nothing was changed" % backup
    else:
        text = "restored %s\nold state: %s\nundo: appstate-backup rollback %s\nkeep: appstate-backup commit %s" % (
            backup, ", ".join(told["moved_aside"]) or "there was none", app.name, app.name)
    _say(options, told, text)
    return 0


def _swap(machine, restore, app):
    try:
        service.stop(app)
        outcome = restore.restore()
        service.start(app)
        service.probe(app)
        return outcome
    except KeyboardInterrupt:
        raise _undone(machine, restore, app, RestoreError("the restore was interrupted", app=app.name))
    except AppStateError as error:
        raise _undone(machine, restore, app, error)


def _undone(machine, restore, app, error):
    """The old state back, and the app started whatever becomes of that; the error tells how that went."""
    failed = []
    for step in (lambda: service.stop(app), restore.roll_back, lambda: service.start(app)):
        try:
            step()
        except AppStateError as another:
            failed.append(str(another))
    error.message += "; then this failed too: %s" % " ".join(failed) if failed else "; the old state is back"
    audit.record(machine.state_directory, machine.now(), app.name, "restore", str(error))
    return error


def commit_app(options, machine):
    """``commit``: deletes what the last restore set aside."""
    app = _app(options)
    outcome = _ended(options, machine, app).commit()
    _say(options, outcome.to_dict(), "committed" if outcome.changed else "no restore is pending")
    return 0


def rollback_app(options, machine):
    """``rollback``: puts back what the last restore set aside; where there is nothing, the app goes on undisturbed."""
    app = _app(options)
    ended = _ended(options, machine, app)
    live = options.target_root in (None, app.root) and ended.predict("rolled_back", False).changed
    if live:
        service.stop(app)
    try:
        outcome = ended.roll_back()
    finally:
        if live:
            service.start(app)
    _say(options, outcome.to_dict(), "rolled back" if outcome.changed else "no restore is pending")
    return 0


def _ended(options, machine, app):
    return Restore(app, machine, Request(app, target_root=options.target_root))


def check_apps(options, machine):
    """``check``: is the configuration good, are the paths there, is a backup overdue."""
    names = configuration.app_names(options.config, options.apps)
    troubles = []
    for name in names:
        try:
            troubles.extend(check(configuration.read_app(options.config, name), machine))
        except ConfigurationError as error:
            troubles.append(error)
    _say(options, [error.to_dict() for error in troubles],
         "\n".join(str(error) for error in troubles) or "well: %s" % ", ".join(names))
    return max((error.exit_code for error in troubles), default=0)


def validate_file(options, unused):
    """``validate``: whether a file can be the configuration of an app on this host, wherever it lies now."""
    app = configuration.parse_file(options.file)
    require_zone(app.settings.retention.timezone)
    require_programs(app)
    if options.account is not None:
        refuse_access(app, options.account, options.state_directory, options.lock_directory)
    _say(options, {"app": app.name}, "%s describes the app %s" % (options.file, app.name))
    return 0


def hold_backup(options, machine):
    """``hold`` and ``release``."""
    app = _app(options)
    if options.action == "hold":
        id, changed = hold(app, machine, options.id, options.reason)
    else:
        id, changed = release(app, machine, options.id)
    _say(options, {"backup": id, "changed": changed}, "%s: %s" % (id, options.action))
    return 0


ACTIONS = {"run": run_apps, "list": list_apps, "prune": prune_apps, "check": check_apps, "validate": validate_file,
           "verify": verify_app, "drill": drill_apps, "restore": restore_app, "commit": commit_app, "rollback": rollback_app,
           "hold": hold_backup, "release": hold_backup}
