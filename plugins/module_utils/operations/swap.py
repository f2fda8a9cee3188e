# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The second half of a restore: old state aside, new state into its place, and the way back.

All of it is names within one file system. What has happened can be read off the disk at any moment: a target whose
aside copy exists has been moved; one whose staged copy is gone has been replaced. So each step can be gone on with, or
undone, after a kill.

An application may start between a kill and the next call, when the machine boots. So a database never lies without its
log at a live path, nor beside the log of another one (https://www.sqlite.org/howtocorrupt.html, section 1.4): sidecars get
a second name first, then the database is moved, then their first names go.

A swap's targets are dictionaries, since they stand in the journal: ``path``, ``new`` (whether the backup has it),
``aside`` (name its old state gets, or None where there was none), ``sidecars`` (``path`` and ``aside`` likewise).
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager

from ..sources.files import ASIDE
from ..system import files
from ..system.copying import link_or_copy
from ..system.errors import RestoreError
from ..system.trees import remove_tree
from .places import TREE
from .staging import default_directory

UNDO = b"undo"


def plan_targets(plan):
    """The targets of a swap for a plan; ``name_asides`` completes them."""
    return [{"path": target.path, "new": target.present, "aside": None,
             "sidecars": [{"path": path, "aside": None} for path in target.sidecars]} for target in plan.outermost()]


def name_asides(root, targets, stamp):
    """The same targets, with a name for the old state of each path that has any now."""
    return [dict(target, aside=_aside(root, target["path"], stamp),
                 sidecars=[dict(sidecar, aside=_aside(root, sidecar["path"], stamp)) for sidecar in target["sidecars"]])
            for target in targets]


def _aside(root, path, stamp):
    if files.lookup(root, path) is None:
        return None
    aside = path + ASIDE + stamp
    if files.lookup(root, aside) is not None:
        raise RestoreError("is there already, so old state cannot be moved there", path=aside,
                           remedy="Wait a second, or remove it where it is not needed")
    return aside


class Swap:
    """Carries out, undoes or completes the swap that a journal's content describes."""

    def __init__(self, root, content, ownership):
        self._root = root
        self._targets = content["targets"]
        self._staging = files.as_bytes(content["staging"])
        self._ownership = ownership

    def forward(self, on_make):
        """Old state aside and new state in; ``on_make`` is told of directories before they are made."""
        for target in self._targets:
            for sidecar in target["sidecars"]:
                if sidecar["aside"]:
                    self._name_twice(sidecar["path"], sidecar["aside"])
            if target["aside"]:
                self._rename(target["path"], target["aside"])
            for sidecar in target["sidecars"]:
                self._take_away(sidecar)
            if target["new"]:
                self._make_parents(target["path"], on_make)
                self._rename(self._staged(target), target["path"])

    def _make_parents(self, path, on_make):
        """Directories that are missing above a target belong to whom the app states, or to whom the root does."""
        parts = files.as_bytes(path).split(b"/")
        above = [b"/".join(parts[:depth]) for depth in range(1, len(parts))]
        missing = [place for place in above if not self._exists(place)]
        if missing:
            on_make(missing)
            mode, uid, gid = default_directory(os.fstat(self._root), self._ownership)
            files.make_parents(self._root, path, mode, uid, gid)

    def back(self):
        """Puts everything where it was before ``forward`` began, to the byte; does no harm when done twice."""
        for number, target in reversed(list(enumerate(self._targets))):
            if self._swapped(target):
                self._set_apart(target["path"], b"%d" % number)
                for place, sidecar in enumerate(target["sidecars"]):
                    self._put_back(sidecar, b"%d-%d" % (number, place))
                if target["aside"]:
                    self._rename(target["aside"], target["path"])
            for sidecar in target["sidecars"]:
                self._end_second_name(target, sidecar)

    def _take_away(self, sidecar):
        """What is beside an old database has its other name, but for a directory: that is moved."""
        if not sidecar["aside"]:
            self._refuse_taken(sidecar["path"])
        elif self._exists(sidecar["aside"]):
            self._delete(sidecar["path"])
        else:
            self._rename(sidecar["path"], sidecar["aside"])

    def _put_back(self, sidecar, name):
        """Only what waits aside takes the place of what is live: a directory may have come back before a kill."""
        waits = bool(sidecar["aside"]) and self._exists(sidecar["aside"])
        if waits or not sidecar["aside"]:
            self._set_apart(sidecar["path"], name)
        if waits and not self._name_twice(sidecar["aside"], sidecar["path"]):
            self._rename(sidecar["aside"], sidecar["path"])

    def _end_second_name(self, target, sidecar):
        """Beside a database that lies at its place the truth is what is live, also where that is no log any more: an
        application that ran meanwhile has taken it into the database."""
        if not sidecar["aside"] or not self._exists(sidecar["aside"]):
            return
        if self._exists(target["path"]) or self._exists(sidecar["path"]):
            self._delete(sidecar["aside"])
        else:
            self._rename(sidecar["aside"], sidecar["path"])

    def _swapped(self, target):
        """Whether what is at the live path came after the swap began: the old state stands aside; or there was none,
        and the new one has left the staging directory, or there is none."""
        if target["aside"]:
            return self._exists(target["aside"])
        return not target["new"] or not self._exists(self._staged(target))

    def forget(self):
        """Deletes what stands aside."""
        for target in self._targets:
            for each in [target] + target["sidecars"]:
                if each["aside"]:
                    self._delete(each["aside"])

    def _staged(self, target):
        return self._staging + b"/" + TREE + b"/" + files.as_bytes(target["path"])

    def _exists(self, path):
        return files.lookup(self._root, path) is not None

    def _set_apart(self, path, name):
        """New state that is given up goes back below the staging directory, which is discarded afterwards."""
        if not self._exists(path):
            return
        for directory in (self._staging, self._staging + b"/" + UNDO):
            if not self._exists(directory):
                parent, own = files.open_parent(self._root, directory)
                try:
                    os.close(files.make_directory(parent, own))
                finally:
                    os.close(parent)
        place = self._staging + b"/" + UNDO + b"/" + name
        self._delete(place)  # A rollback that was cut off may have come this far before.
        self._rename(path, place)

    def _name_twice(self, old, new):
        """A second name, or a copy, for what is no directory; returns whether there is one."""
        found = files.lookup(self._root, old)
        if found is not None and stat.S_ISDIR(found.st_mode):
            return False
        with self._both_ends(old, new) as ends:
            link_or_copy(*ends)
        return True

    def _rename(self, old, new):
        """rename(2) that never replaces anything."""
        with self._both_ends(old, new) as (old_parent, old_name, new_parent, new_name):
            os.rename(old_name, new_name, src_dir_fd=old_parent, dst_dir_fd=new_parent)

    @contextmanager
    def _both_ends(self, old, new):
        """``(directory, name, directory, name)`` for a change of names; both directories are on disk when it has been left."""
        self._refuse_taken(new)
        old_parent, old_name = files.open_parent(self._root, old)
        try:
            new_parent, new_name = files.open_parent(self._root, new)
            try:
                yield old_parent, old_name, new_parent, new_name
                os.fsync(new_parent)
                os.fsync(old_parent)
            finally:
                os.close(new_parent)
        finally:
            os.close(old_parent)

    def _refuse_taken(self, path):
        if self._exists(path):
            raise RestoreError("is there already, so nothing was moved there", path=path,
                               remedy="Something still writes to the application's files; stop it, and roll back")

    def _delete(self, path):
        try:
            parent, name = files.open_parent(self._root, path)
        except FileNotFoundError:
            return
        try:
            remove_tree(parent, name)
            os.fsync(parent)
        finally:
            os.close(parent)
