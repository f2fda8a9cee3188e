# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Removes backups that the app's rules do not keep, and what restores set aside long ago.

A backup is taken off the list first, then deleted, and generations that no backup needs any more go last: what is listed
can be restored at every moment.
"""

from __future__ import annotations

import os
import re

from ..catalog import catalog
from ..catalog.holds import held_ids
from ..catalog.retention import decide
from ..monitor import audit
from ..monitor.status import FAILED, Status
from ..sources.files import ASIDE
from ..sources.sqlite import paths_of
from ..system import files
from ..system.errors import AppStateError
from ..system.locks import AppLock
from ..system.times import stamp
from ..system.trees import remove_tree
from .journal import Journal

STAMP = re.compile(r"\d{8}T\d{6}Z\Z")


class PruneRefused(AppStateError):
    """Pruning would take away what may still be needed."""


class Pruned:
    """What was, or would be, removed: ``decisions`` (one for each backup), and absolute paths of ``asides``."""

    def __init__(self, decisions, asides):
        self.decisions = decisions
        self.asides = asides

    @property
    def removed(self):
        """Ids of the backups that go."""
        return [decision.backup.id for decision in self.decisions if not decision.kept]

    @property
    def changed(self):
        return bool(self.removed or self.asides)


def prune(app, machine, dry_run=False):
    """Prunes by itself: refused after a run that failed.

    Raises:
        PruneRefused: the last run of the app failed.
        AppStateError: the catalog cannot be read or changed.
    """
    try:
        with AppLock(machine.lock_directory, app.name):
            status = Status(machine.state_directory, app.name)
            if status.content["state"] == FAILED:
                raise PruneRefused("the last run failed, so nothing is pruned: %s" % status.content.get("problem"),
                                   remedy="Take a good backup first: appstate-backup run %s" % app.name)
            return prune_locked(app, machine, dry_run)
    except AppStateError as error:
        raise error.about(app.name)
    except OSError as error:
        raise AppStateError("the backups cannot be pruned: %s" % error.strerror, app=app.name, path=app.directory)


def prune_recorded(app, machine, dry_run=False):
    """``prune``, with a line in the audit log where it removed anything, or could not."""
    try:
        pruned = prune(app, machine, dry_run)
    except AppStateError as error:
        if not dry_run:
            audit.record(machine.state_directory, machine.now(), app.name, "prune", str(error))
        raise
    if pruned.changed and not dry_run:
        audit.record(machine.state_directory, machine.now(), app.name, "prune", "ok",
                     removed=pruned.removed + pruned.asides)
    return pruned


def prune_locked(app, machine, dry_run=False):
    """The same for a caller that holds the app's lock and knows that the last run was good."""
    now = machine.now()
    try:
        directory = files.open_directory(app.directory)
    except FileNotFoundError:
        return Pruned([], [])
    try:
        decisions = decide(catalog.list_backups(app.directory, app.name), app.settings.retention, now, held_ids(directory))
        pruned = Pruned(decisions, _old_asides(app, machine, now))
        if not dry_run:
            catalog.reap_partials(directory, app.name)
            for decision in decisions:
                if not decision.kept:
                    catalog.remove(directory, decision.backup)
            catalog.reap_generations(directory, app.name)
            _remove_asides(app, pruned.asides)
        return pruned
    finally:
        os.close(directory)


def _old_asides(app, machine, now):
    """What restores set aside longer ago than the app's rule; nothing while a restore waits for its commit."""
    age = app.settings.retention.before_restore
    if age is None or Journal(app, machine, app.root).content is not None:
        return []
    limit = stamp(age.before(now))
    found = []
    for source in app.sources:
        for path in paths_of(source):
            found.extend(_asides_of(app, path, limit))
    return found


def _asides_of(app, path, limit):
    above, name = os.path.split(os.path.join(app.root, path))
    try:
        directory = files.open_directory(above)
    except OSError:
        return
    try:
        for entry in sorted(os.listdir(directory)):
            time = entry[len(name + ASIDE):]
            if entry.startswith(name + ASIDE) and STAMP.match(time) and time < limit:
                yield os.path.join(above, entry)
    finally:
        os.close(directory)


def _remove_asides(app, paths):
    if not paths:
        return
    root = files.open_directory(app.root)
    try:
        for path in paths:
            parent, name = files.open_parent(root, os.path.relpath(path, app.root))
            try:
                remove_tree(parent, name)
            finally:
                os.close(parent)
    finally:
        os.close(root)
