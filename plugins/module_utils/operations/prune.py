# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Removes backups that the app's rules do not keep, here and at its remotes, and what restores set aside long ago.

A backup is taken off the list first, then deleted, and generations that no backup needs any more go last: what is listed
can be restored at every moment.
"""

from __future__ import annotations

import os
import re
from functools import partial

from ..catalog import catalog
from ..catalog.holds import held_ids, held_in
from ..catalog.remote import RemoteCatalog, host_of
from ..catalog.retention import HELD, decide
from ..monitor import audit
from ..monitor.status import FAILED, Status
from ..remotes.attempts import attempted
from ..sources.files import ASIDE
from ..sources.sqlite import paths_of
from ..system import files
from ..system.errors import AppStateError
from ..system.locks import AppLock
from ..system.times import stamp
from ..system.trees import remove_tree
from .journal import Journal
from .under_way import UnderWay

STAMP = re.compile(r"\d{8}T\d{6}Z\Z")


class PruneRefused(AppStateError):
    """Pruning would take away what may still be needed."""


class Pruned:
    """What was, or would be, removed.

    Attributes:
        decisions: one for each backup.
        asides: absolute paths.
        remote: name of the remote that it was at; None for the destination.
    """

    def __init__(self, decisions, asides=(), remote=None):
        self.decisions = decisions
        self.asides = list(asides)
        self.remote = remote

    @property
    def removed(self):
        """Ids of the backups that go."""
        return [decision.backup.id for decision in self.decisions if not decision.kept]

    @property
    def changed(self):
        return bool(self.removed or self.asides)


def prune(app, machine, dry_run=False, remote=None):
    """Prunes by itself: refused after a run that failed.

    Args:
        remote: the Remote that is pruned; None prunes the destination.

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
            if remote is not None:
                return prune_remote_locked(app, remote, machine, dry_run)
            return prune_locked(app, machine, dry_run)
    except AppStateError as error:
        raise error.about(app.name)
    except OSError as error:
        raise AppStateError("the backups cannot be pruned: %s" % error.strerror, app=app.name, path=app.directory)


def prune_recorded(app, machine, dry_run=False, remote=None):
    """``prune``, with a line in the audit log where it removed anything, or could not."""
    where = {} if remote is None else {"remote": remote.name}
    try:
        pruned = prune(app, machine, dry_run, remote)
    except AppStateError as error:
        if not dry_run:
            audit.record(machine.state_directory, machine.now(), app.name, "prune", str(error), **where)
        raise
    if pruned.changed and not dry_run:
        audit.record(machine.state_directory, machine.now(), app.name, "prune", "ok",
                     removed=pruned.removed + pruned.asides, **where)
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
                    _remove(directory, decision)
            catalog.reap_generations(directory, app.name)
            _remove_asides(app, pruned.asides)
        return pruned
    finally:
        os.close(directory)


def _remove(directory, decision):
    """Removes a backup, unless somebody has put it on hold since that was looked at: a hold does not wait for the lock."""
    id = decision.backup.id
    if not catalog.remove(directory, decision.backup, lambda: id in held_ids(directory)):
        decision.reasons.append(HELD)


def prune_remote_locked(app, remote, machine, dry_run=False):
    """The same at a remote, by its own rules, or by the app's where it has none. Nothing is ever removed at one that says
    ``delete: false``. What is on hold here is so there."""
    retention = remote.retention or app.settings.retention
    if not remote.delete or retention.keeps_all:
        return Pruned([], remote=remote.name)
    catalog_there = RemoteCatalog(remote, app.name, host_of(remote, machine))
    under_way = UnderWay(machine, app.name, remote.name)
    decisions = decide(attempted(catalog_there.list, remote.attempts), retention, machine.now(), held_in(app.directory))
    if not dry_run:
        under_way.settle(catalog_there)
        for decision in decisions:
            if not decision.kept and decision.backup.id in held_in(app.directory):
                decision.reasons.append(HELD)  # As in _remove.
            if not decision.kept:
                under_way.begin(decision.backup.stem)
                attempted(partial(catalog_there.remove, decision.backup), remote.attempts)
                under_way.end(decision.backup.stem)
    return Pruned(decisions, remote=remote.name)


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
