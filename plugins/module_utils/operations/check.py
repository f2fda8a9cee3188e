# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks whether an app is well looked after: configuration, paths, remotes, the age of its newest backups, its last drill."""

from __future__ import annotations

import os
from functools import partial

from ..archive import age
from ..catalog import catalog
from ..catalog.remote import RemoteCatalog, host_of
from ..monitor.drills import Drills
from ..monitor.status import FAILED, Status
from ..remotes.rclone import Rclone
from ..system.errors import AppStateError, SourceError
from ..system.times import CLOCKS_DIFFER, parse_time
from ..system.zones import require_zone
from .backup import check_backup
from .run import refuse_destination


def check(app, machine):
    """What is wrong, as a list of AppStateErrors; nothing is written."""
    troubles = []
    steps = [_paths, _metrics, _overdue] + [partial(_remote, remote) for remote in app.remotes] + [_last_run, _last_drill]
    for step in steps:
        try:
            step(app, machine)
        except AppStateError as error:
            troubles.append(error.about(app.name))
    return troubles


def require_programs(app):
    """Raises AppStateError where this host lacks a program that copies or encrypts an app's backups."""
    for remote in app.remotes:
        Rclone(remote, "remote %s" % remote.name)
    if app.recipients:
        age.require_age()


def _paths(app, machine):
    require_zone(app.settings.retention.timezone)
    check_backup(app, machine)
    refuse_destination(app)


def _metrics(app, unused):
    for place in (app.settings.metrics_directory, app.drilling.metrics_directory):
        if place is not None and not os.path.isdir(place):
            raise SourceError("the directory of metrics is missing", path=place,
                              remedy="Create it, or correct 'metrics_directory'")


def _overdue(app, machine):
    limit = app.settings.max_age
    if limit is None:
        return
    newest = catalog.newest_good(app.directory, app.name)
    if newest is None:
        raise AppStateError("there is no good backup yet", path=app.directory,
                            remedy="Run appstate-backup run %s" % app.name)
    _refuse_future(newest, machine, "the newest backup, %s," % newest.id, app.directory)
    if newest.manifest.created < limit.before(machine.now()):
        raise AppStateError("the newest backup, %s, is older than %s" % (newest.id, limit), path=app.directory,
                            remedy="See why runs fail: appstate-backup run %s" % app.name)


def _refuse_future(backup, machine, title, place):
    """Until it is as late as that, nobody would see that there is no newer one."""
    if (backup.manifest.created - machine.now()).total_seconds() > CLOCKS_DIFFER:
        raise AppStateError("%s is from the future" % title, path=place,
                            remedy="See the clock of this host; once that is right, remove the backup, or wait until it is as late as that")


def _remote(remote, app, machine):
    """Whether a remote answers, and has a backup that is new enough."""
    there, limit = RemoteCatalog(remote, app.name, host_of(remote, machine)), app.settings.max_age
    if limit is None:
        there.names()
        return
    newest = next(there.good(), None)
    if newest is None:
        raise AppStateError("there is no good backup at remote %s yet" % remote.name, path=there.place,
                            remedy="Run appstate-backup run %s" % app.name)
    _refuse_future(newest, machine, "the newest backup at remote %s, %s," % (remote.name, newest.id), there.place)
    if newest.manifest.created < limit.before(machine.now()):
        raise AppStateError("the newest backup at remote %s, %s, is older than %s" % (remote.name, newest.id, limit),
                            path=there.place, remedy="See why copies fail: appstate-backup run %s" % app.name)


def _last_run(app, machine):
    content = Status(machine.state_directory, app.name).content
    if content["state"] == FAILED:
        raise AppStateError("the last run failed: %s" % content.get("problem"),
                            remedy="Run appstate-backup run %s" % app.name)


def _last_drill(app, machine):
    """Of an app that is drilled on a schedule; whoever drills by hand has seen what came of it."""
    if not app.drilling.scheduled:
        return
    records, remedy = Drills(machine.state_directory, app.name).records, "Run appstate-backup drill %s" % app.name
    if not records:
        raise AppStateError("it is to be drilled on a schedule, and there was no drill yet", remedy=remedy)
    if not records[-1].get("ok"):
        raise AppStateError("the last drill failed: %s" % records[-1].get("problem"), remedy=remedy)
    # One that no longer happens would be green for ever.
    ago = (machine.now() - parse_time(records[-1]["drilled"])).total_seconds()
    if ago > app.drilling.within:
        raise AppStateError("it is to be drilled on a schedule, and the last drill was at %s" % records[-1]["drilled"], remedy=remedy)
    if ago < -CLOCKS_DIFFER:
        raise AppStateError("it is to be drilled on a schedule, and the last drill, at %s, is from the future" % records[-1]["drilled"],
                            remedy="See the clock of this host; once that is right, run appstate-backup drill %s" % app.name)
