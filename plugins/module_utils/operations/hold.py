# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Puts a backup on hold, so that no rule of retention removes it, or takes its hold away."""

from __future__ import annotations

import os

from ..catalog import catalog, holds
from ..monitor import audit
from ..system import files
from ..system.errors import AppStateError, SourceError


def hold(app, machine, which, why, dry_run=False):
    """Puts a backup on hold.

    Args:
        which: its id, or ``latest``.
        why: a text, for whoever finds the hold.

    Returns:
        ``(its id, whether it had no hold)``.

    Raises:
        AppStateError: there is no such backup, or its directory cannot be written.
    """
    return _do(app, machine, which, "hold", dry_run,
               lambda directory, id: holds.hold(directory, id, audit.who(), why, machine.now()))


def release(app, machine, which, dry_run=False):
    """Takes a hold away: ``(its id, whether it had one)``. Raises what ``hold`` does."""
    return _do(app, machine, which, "release", dry_run, holds.release)


def _do(app, machine, which, action, dry_run, step):
    try:
        backup = catalog.choose(catalog.list_backups(app.directory, app.name), app.name, app.directory, which)
        directory = files.open_directory(app.directory)
        try:
            if dry_run:
                return backup.id, (backup.id in holds.held_ids(directory)) == (action == "release")
            changed = step(directory, backup.id)
            if action == "hold" and catalog.find(app.directory, app.name, backup.id) is None:
                # Whoever prunes takes a backup off the list, then looks for a hold: one of the two sees the other.
                holds.release(directory, backup.id)
                raise SourceError("the backup %s has just been pruned" % backup.id, path=app.directory,
                                  remedy="List what there is, and hold another one")
        finally:
            os.close(directory)
    except AppStateError as error:
        raise error.about(app.name)
    except OSError as error:
        raise AppStateError("the hold cannot be changed: %s" % error.strerror, app=app.name, path=app.directory)
    if changed:
        audit.record(machine.state_directory, machine.now(), app.name, action, "ok", backup=backup.id)
    return backup.id, changed
