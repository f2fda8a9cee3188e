# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restores a source of type ``bucket``: new state is sent beside the live objects and proven there, then copied over them.

A bucket renames nothing, so old state is copied before. All that a restore has there lies below ``.appstate-<token>/``:
``new``, ``old``, and ``complete`` from when the whole of the old state is in ``old``, with the number of its objects. While
that is there, a rollback copies it back, and begins again wherever one was cut off; where it is not, live objects are as they
were.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager

from ..archive.members import shown
from ..remotes.attempts import attempted
from ..system import files
from ..system.errors import AppStateError, RestoreError
from ..system.trees import descend
from .bucket import misfits
from .objects import ATTEMPTS, OWN, Objects, above, found_here, is_namable, title_of
from .store import Store

NEW, OLD, COMPLETE = "new", "old", "complete"
# Bytes that the number of old objects takes at most.
NUMBER = 20


class BucketStore(Store):
    """Restores one BucketSource; its state has ``objects``, the number of those that were staged."""

    @property
    def title(self):
        return title_of(self._source)

    def stage(self, staged, record, state):
        with self._objects() as objects:
            attempted(objects.rclone.require, ATTEMPTS)
            new = _Staged(staged, objects)
            try:
                objects.send(new.path, _at(state, NEW))
                new.refuse_different(objects, _at(state, NEW))
            except BaseException:
                self._purge_if_possible(objects, state)
                raise
            return dict(state, objects=new.count, warnings=new.warnings + self._beyond(objects))

    def _beyond(self, objects):
        """What no backup of these objects can have."""
        names = sorted(set(misfits(self._live(objects), self._base)) | objects.unnamable)
        return ["%s has %d %s whose name no file can have (the first is %s): they stay as they are"
                % (self.title, len(names), "object" if len(names) == 1 else "objects", shown(names[0]))] if names else []

    def name_aside(self, state, stamp):
        return state

    def forward(self, state):
        with self._objects() as objects:
            count = self._keep_old(objects, _at(state, OLD))
            attempted(lambda: objects.rclone.put_bytes(b"%d\n" % count, _at(state, COMPLETE)), ATTEMPTS)
            self._bring(objects, _at(state, NEW), state["objects"], misfits(self._live(objects), self._base))

    def back(self, state):
        with self._objects() as objects:
            count = self._kept(objects, state)
            if count is not None:
                self._bring(objects, _at(state, OLD), count)
                attempted(lambda: objects.rclone.delete(_at(state, COMPLETE)), ATTEMPTS)

    def forget(self, state):
        with self._objects() as objects:
            self._purge(objects, state)

    def discard(self, state):
        with self._objects() as objects:
            if self._kept(objects, state) is not None:
                raise RestoreError("the %s still holds old state, which is not deleted" % self.title,
                                   remedy="Roll the restore back first")
            self._purge(objects, state)

    def asides(self, state):
        return [self._source.place.at(_at(state, OLD))]

    @property
    def _base(self):
        return files.as_bytes(self._source.path)

    @contextmanager
    def _objects(self):
        """The Objects; what goes wrong with them is told with the source."""
        try:
            yield Objects(self._source)
        except AppStateError as error:
            error.path = error.path or self._source.path
            raise error.about(self._app.name)

    def _live(self, objects):
        listed = objects.listed()
        if listed is None:
            objects.rclone.require()
        return listed

    def _keep_old(self, objects, old):
        """Copies the live objects to a path; returns how many there are."""
        live = self._live(objects)
        objects.copy("", old, live)
        try:
            self._refuse_different(objects, "", old)
        except RestoreError as error:
            error.remedy = "Something still writes there: let 'service' stop it, then restore again"
            raise
        return len(live)

    def _bring(self, objects, path, count, spared=()):
        """Makes the live objects those at a path, but for some that no backup has; what is right already is not touched.

        Raises:
            RestoreError: the place lists other than ``count`` objects at the path: what it leaves out would go live, too.
        """
        want, live = objects.listed(path) or {}, self._live(objects)
        if len(want) != count:
            raise RestoreError("the %s lists %d of the %d objects at %s; no live object was touched"
                               % (self.title, len(want), count, path), remedy="Look at what that place says of it, then roll back")
        missing = {name for name, found in want.items() if name not in live or not live[name].must_be(found)}
        # Not all places copy over what is there.
        gone = {name for name in live if name in missing or (name not in want and name not in spared)}
        objects.remove("", gone)
        # Where directories are real ones, those that have lost their files are still there.
        for name in missing & {place for each in gone for place in above(each)}:
            objects.clear(name)
        objects.copy(path, "", missing)
        self._refuse_different(objects, path, "", spared)

    def _refuse_different(self, objects, path, to, spared=()):
        """Raises RestoreError where the objects at one path are not those at the other."""
        want, have = objects.listed(path) or {}, objects.listed(to) or {}
        wrong = [name for name, found in want.items() if name not in have or not have[name].may_be(found)]
        wrong += [name for name in have if name not in want and name not in spared]
        _refuse(self.title, wrong)
        objects.compare(self._source.place.at(path), to, _unproven(want, have))

    @staticmethod
    def _kept(objects, state):
        """How many objects the whole of the old state has, or None while it is not in its place."""
        attempted(objects.rclone.require, ATTEMPTS)
        told = attempted(lambda: objects.rclone.get_bytes(_at(state, COMPLETE), NUMBER), ATTEMPTS)
        return int(told) if told else None

    @staticmethod
    def _purge(objects, state):
        attempted(lambda: objects.rclone.purge(_at(state)), ATTEMPTS)

    def _purge_if_possible(self, objects, state):
        """What failed is told, not what came of it."""
        try:
            self._purge(objects, state)
        except AppStateError:
            return


class _Staged:
    """The files that are to become objects.

    Attributes:
        path: of their directory, for a child of this process; it leads there whatever becomes of names above it.
        warnings: texts for the operator.
    """

    def __init__(self, staged, objects):
        self.path = "/proc/%d/fd/%d/%s" % (os.getpid(), staged.tree, staged.path)
        self.warnings = []
        self._staged = staged
        self._names = set()
        top = self._open()
        try:
            for entry in descend(top):
                self._look_at(entry, objects)
        finally:
            os.close(top)

    @property
    def count(self):
        """How many they are."""
        return len(self._names)

    def _open(self):
        try:
            return files.open_beneath(self._staged.tree, self._staged.path, files.DIRECTORY)
        except NotADirectoryError:
            raise RestoreError("the backup has a single file, which cannot take the place of a bucket")

    def _look_at(self, entry, objects):
        name = entry.path.decode("utf-8", "surrogateescape")
        if stat.S_ISDIR(entry.stat.st_mode) or objects.excludes(name):
            return
        if name.startswith(OWN) or not stat.S_ISREG(entry.stat.st_mode) or not is_namable(name):
            self.warnings.append("%s/%s cannot be an object, and is not restored" % (self._staged.path, shown(entry.path)))
        else:
            self._names.add(name)

    def refuse_different(self, objects, path):
        """Raises RestoreError where what was sent to a path is not what is here."""
        sent = objects.listed(path) or {}
        here = {name: self._found(name, sent[name]) for name in self._names if name in sent}
        _refuse(objects.title, [name for name in self._names if name not in sent or not here[name].may_be(sent[name])],
                "Live state is untouched; try again")
        objects.compare(self.path, path, _unproven(here, sent))

    def _found(self, name, sent):
        descriptor = files.open_beneath(self._staged.tree, "%s/%s" % (self._staged.path, name))
        try:
            return found_here(descriptor, sent.hashes)
        finally:
            os.close(descriptor)


def _at(state, *names):
    """A path in the directory that a restore has in the bucket."""
    return "/".join((OWN + state["token"],) + names)


def _unproven(want, have):
    """Names of what can be told to be the same only by reading it."""
    return {name for name, found in want.items() if name in have and not found.shared(have[name])}


def _refuse(title, wrong, remedy="Something else writes there; stop it, and roll back"):
    if wrong:
        raise RestoreError("%d %s in the %s %s not what should be there, the first is %s"
                           % (len(wrong), "object" if len(wrong) == 1 else "objects", title,
                              "is" if len(wrong) == 1 else "are", shown(min(wrong))), remedy=remedy)
