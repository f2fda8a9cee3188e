# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks whether an app is well looked after: its configuration, its paths, and the age of its newest backup."""

from __future__ import annotations

import os

from ..catalog import catalog
from ..monitor.status import FAILED, Status
from ..system.errors import AppStateError, SourceError
from ..system.zones import require_zone
from .backup import check_backup
from .run import refuse_destination


def check(app, machine):
    """What is wrong, as a list of AppStateErrors; nothing is written."""
    troubles = []
    for step in (_paths, _metrics, _overdue, _last_run):
        try:
            step(app, machine)
        except AppStateError as error:
            troubles.append(error.about(app.name))
    return troubles


def _paths(app, machine):
    require_zone(app.settings.retention.timezone)
    check_backup(app, machine)
    refuse_destination(app)


def _metrics(app, unused):
    place = app.settings.metrics_directory
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
    if newest.manifest.created < limit.before(machine.now()):
        raise AppStateError("the newest backup, %s, is older than %s" % (newest.id, limit), path=app.directory,
                            remedy="See why runs fail: appstate-backup run %s" % app.name)


def _last_run(app, machine):
    content = Status(machine.state_directory, app.name).content
    if content["state"] == FAILED:
        raise AppStateError("the last run failed: %s" % content.get("problem"),
                            remedy="Run appstate-backup run %s" % app.name)
