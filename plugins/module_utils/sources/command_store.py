# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How what a command dumped is restored: its ``restore_argv`` is fed the dump.

Nobody but the application knows where it puts that. So old state is what its own dump says: it is dumped before the new
state goes in, and fed to the same command to have it back. The dump that counts is made when the app has stopped; since
some applications can only dump while they run, another one is made before.
"""

from __future__ import annotations

import os
import shutil

from ..system import files
from ..system.errors import AppStateError, RestoreError, SourceError
from .checking import CHECKERS, COPY
from .finding import problems_of
from .command import dump, feed, title
from .files import ASIDE
from .store import Store

# Old state on its way to its name: what has that name is whole.
PARTIAL = ".partial"


class CommandStore(Store):
    """Restores one CommandSource that has a ``restore_argv``."""

    @property
    def title(self):
        return "%s, fed to %s" % (self._source.path, self._source.restore_argv[0])

    def stage(self, staged, record, state):
        """The archive's dump was checked already; what can still fail is to dump what is there now."""
        # By itself, as what is checked has to lie.
        place = "%s/old-%s" % (os.path.dirname(staged.tree_path), state["token"])
        state = dict(state, staged="%s/%s" % (staged.tree_path, staged.path), fallback="%s/%s" % (place, COPY))
        files.make_parents(self._root, state["fallback"], 0o700, durable=False)
        try:
            self._dump(state["fallback"])
        except AppStateError as error:
            if not state["force"]:
                raise RestoreError("the present state cannot be dumped, so a rollback could not bring it back: %s"
                                   % error.message, app=self._app.name, path=self._source.path,
                                   remedy="Start the app where %s needs it; or restore with force, where the present "
                                          "state is not needed any more" % title(self._source))
            return dict(state, fallback=None, warnings=[
                "%s: the present state cannot be dumped (%s), so a rollback cannot bring it back"
                % (self._source.path, error.message)])
        return dict(state, warnings=self._doubts(place) + [
            "%s: the present state was dumped while the app may still write; it is dumped again once the app has "
            "stopped, and a rollback brings back that, or this where %s then fails"
            % (self._source.path, title(self._source))])

    def _doubts(self, place):
        """What is wrong with the dump of the present state: that may be why there is a restore, and is no obstacle."""
        directory = files.open_beneath(self._root, place, files.DIRECTORY)
        try:
            troubles = problems_of(CHECKERS[self._source.format](directory, self._source, None))
        finally:
            os.close(directory)
        return ["%s: the dump of the present state is not good (%s); a rollback feeds it back as it is"
                % (self._source.path, "; ".join(troubles))] if troubles else []

    def name_aside(self, state, stamp):
        aside = self._source.path + ASIDE + stamp
        if files.lookup(self._root, aside) is not None:
            raise RestoreError("is there already, so old state cannot be dumped there", app=self._app.name, path=aside,
                               remedy="Wait a second, or remove it where it is not needed")
        return dict(state, aside=aside, made=self._missing_above(aside))

    def forward(self, state):
        if self._keep_old(state):
            self._sync_above(state["aside"])
        self._feed(state["staged"])

    def back(self, state):
        aside = state.get("aside")
        if aside is None:
            return  # Nothing was done before that was written down.
        if files.lookup(self._root, aside) is not None:
            try:
                self._feed(aside)
            except AppStateError as error:
                error.remedy = "Its old state is in %s: make the command work, then roll back again" % aside
                raise
        self.forget(state)

    def forget(self, state):
        if state.get("aside") is None:
            return
        for path in (state["aside"], state["aside"] + PARTIAL):
            self._remove(path)
        for path in reversed(state["made"]):
            files.remove_if_empty(self._root, path)

    def discard(self, state):
        """What was staged lies in the staging directory, and goes with it."""

    def asides(self, state):
        if state.get("aside") is None or state["fallback"] is None:
            return []
        return [os.path.join(self._app.root, state["aside"])]

    def _keep_old(self, state):
        """Dumps old state to its name; False where there is none to be had, which was said."""
        partial = state["aside"] + PARTIAL
        files.make_parents(self._root, partial, 0o700)
        self._remove(partial)
        try:
            self._dump(partial)
        except AppStateError:
            self._remove(partial)
            if state["fallback"] is None:
                return False
            self._copy(state["fallback"], partial)
        parent, name = files.open_parent(self._root, state["aside"])
        try:
            os.rename(files.as_bytes(os.path.basename(partial)), name, src_dir_fd=parent, dst_dir_fd=parent)
        finally:
            os.close(parent)
        return True

    def _dump(self, path):
        """Dumps the present state to a new file below the root; it is on the disk when this returns."""
        with self._new(path) as stream:
            dump(self._app, self._source, self._root, stream)
            if not os.fstat(stream.fileno()).st_size:
                raise SourceError("%s gave nothing" % title(self._source), path=self._source.path)
            os.fsync(stream.fileno())

    def _copy(self, path, to):
        with open(files.open_beneath(self._root, path), "rb") as source, self._new(to) as copy:
            shutil.copyfileobj(source, copy, 1 << 20)
            os.fsync(copy.fileno())

    def _feed(self, path):
        with open(files.open_beneath(self._root, path), "rb", buffering=0) as stream:
            feed(self._app, self._source, self._root, stream)

    def _new(self, path):
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        return open(files.open_beneath(self._root, path, flags), "wb", buffering=0)

    def _remove(self, path):
        try:
            parent, name = files.open_parent(self._root, path)
        except FileNotFoundError:
            return
        try:
            files.remove_if_there(parent, name)
        finally:
            os.close(parent)

    def _missing_above(self, path):
        """The directories above a path that are not there, outermost first."""
        above, missing = os.path.dirname(path), []
        while above and files.lookup(self._root, above) is None:
            missing.insert(0, above)
            above = os.path.dirname(above)
        return missing

    def _sync_above(self, path):
        parent, unused = files.open_parent(self._root, path)
        try:
            os.fsync(parent)
        finally:
            os.close(parent)
