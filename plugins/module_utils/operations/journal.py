# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The journal of a restore: what has been done and what was about to be, so that a killed run can be ended.

One JSON file for each app and root, replaced atomically before each step that changes live state. Its phases:

``staging``  the new state is being extracted; live state is untouched
``staged``  it is validated and waits; live state is untouched
``swapping``  old state is being moved aside and new state into its place; ends by rolling back
``restored``  the new state is live, the old one stands aside; waits for a commit or a rollback
``rolling back``, ``committing``  each is only ever gone on with
"""

from __future__ import annotations

import hashlib
import json
import os

from ..system import files
from ..system.errors import RestoreError, refused

FORMAT = 1
MOST = 64 * 1024 * 1024
STAGING, STAGED, SWAPPING, RESTORED = "staging", "staged", "swapping", "restored"
ROLLING_BACK, COMMITTING = "rolling back", "committing"
PHASES = (STAGING, STAGED, SWAPPING, RESTORED, ROLLING_BACK, COMMITTING)
KEYS = {"app", "root", "backup", "archive", "size", "only", "staging", "databases", "targets", "made", "made_root",
        "warnings", "told", "earlier", "beside", "stores"}


class Journal:
    """The journal of one app's restore to one root; ``content`` is None while no restore is under way.

    The content: ``phase``, ``app``, ``root``, ``backup`` (id), ``archive`` (path), ``size`` (of the archive), ``only``,
    ``staging`` (name of the staging directory below the root), ``databases`` (relative paths), ``targets`` (see
    ``swap``), ``made`` (directories that were made for it), ``made_root`` (whether the root was), ``warnings``,
    ``told`` (the backup as results show it), ``earlier`` (the content of a restore that this one was forced over),
    ``beside`` (name of the staging directory of a validation that goes on meanwhile), ``stores`` (by path, the state of
    each store that is restored too; see ``sources.store``).
    """

    def __init__(self, app, machine, root):
        self._directory_path = machine.state_directory
        self._name = _name(app, root)
        self.content = self._read()

    @property
    def path(self):
        return os.path.join(self._directory_path, self._name)

    @property
    def phase(self):
        return None if self.content is None else self.content["phase"]

    @property
    def transaction(self):
        """What tells the restore that is under way from every other one, or None while there is none."""
        return None if self.content is None else transaction_of(self.content)

    def refuse_other(self, transaction):
        """Raises RestoreError where that restore is not the one under way; None is whichever there is, or none."""
        if transaction in (None, self.transaction):
            return
        came = "" if self.content is None else ": a restore of %s is under way" % self.content["backup"]
        raise RestoreError("somebody ended this restore meanwhile%s" % came, path=self.path,
                           remedy="Find out who did; this one changes nothing any more")

    def _read(self):
        try:
            directory = files.open_directory(self._directory_path)
        except FileNotFoundError:
            return None
        try:
            content = json.loads(files.read_file(directory, self._name, MOST).decode("utf-8"))
            if content["format"] > FORMAT:
                raise RestoreError("the journal of a restore is of a newer version", path=self.path,
                                   remedy="Upgrade the collection")
            if content["phase"] not in PHASES or not KEYS <= set(content):
                raise ValueError("not as it was written")
            return content
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, RecursionError):
            raise RestoreError("the journal of a restore is damaged", path=self.path,
                               remedy="Compare the app's files with their .before-restore-* copies, then remove it")
        finally:
            os.close(directory)

    def write(self, **changes):
        """Replaces the journal on disk; with what it says fsynced, the step it announces may begin.

        Raises:
            AppStateError: it cannot be written; ``content`` is as it was.
        """
        content = dict(self.content or {"format": FORMAT}, **changes)
        try:
            directory = files.private_directory(self._directory_path)
            try:
                data = json.dumps(content, sort_keys=True, indent=1).encode("ascii") + b"\n"
                files.write_atomically(directory, self._name, data)
            finally:
                os.close(directory)
        except OSError as error:
            raise refused(error, "the journal of a restore could not be written", path=self.path)
        self.content = content

    def replace(self, content):
        """Puts another content in its place: that of the restore before."""
        self.content = None
        self.write(**content)

    def sweep(self):
        """Removes what a killed run left of beginning a journal."""
        if self.content is None and os.path.isdir(self._directory_path):
            self.remove()

    def remove(self):
        """The restore has ended."""
        directory = files.private_directory(self._directory_path)
        try:
            files.remove_written(directory, self._name)
        finally:
            os.close(directory)
        self.content = None


def transaction_of(content):
    """The random end of the staging directory's name: each restore has one of its own, and keeps it to its end."""
    return content["staging"].rpartition("-")[2]


def _name(app, root):
    if root == app.root:
        return "restore-%s.json" % app.name
    return "restore-%s-%s.json" % (app.name, hashlib.sha256(files.as_bytes(root)).hexdigest()[:16])


def refuse_unfinished(app, machine):
    """Raises RestoreError where a killed restore left live state half old and half new."""
    journal = Journal(app, machine, app.root)
    if journal.phase in (SWAPPING, ROLLING_BACK):
        raise RestoreError("a restore of this app was cut off in the middle", app=app.name, path=journal.path,
                           remedy="End it with appstate.backup.backup_restore and 'state: rolled_back'")
