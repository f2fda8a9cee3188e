# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A restore as one transaction: stage and validate, move aside and swap, then commit or roll back.

The four functions are the four states that an operator can ask for. Each of them first ends what a killed run left.
"""

from __future__ import annotations

import os
import secrets
from contextlib import ExitStack, contextmanager, nullcontext

from ..monitor import audit
from ..sources.stores import store_of
from ..system import files
from ..system.accounts import Ownership
from ..system.errors import AppStateError, BusyError, RestoreError, SourceError
from ..system.holders import lasting_holders
from ..system.locks import AppLock
from ..system.times import stamp
from .journal import COMMITTING, RESTORED, ROLLING_BACK, STAGED, STAGING, SWAPPING, Journal
from .movable import check_movable
from .outcome import NONE, Outcome, asides_of, ending, without_targets
from .selection import select
from .staging import Staging, predicted_plan, refuse_grounds
from .swap import Swap, name_asides, plan_targets


class Restore:
    """One app's restore to one root; use ``stage``, ``restore``, ``commit`` and ``roll_back``."""

    def __init__(self, app, machine, request, on_bytes=None):
        self._app = app
        self._machine = machine
        self._request = request
        self._on_bytes = on_bytes
        self._ended = None
        self._undone = False
        self._is_alone = False

    @contextmanager
    def alone(self):
        """Holds the app's lock for all steps that are done while it is entered: nobody else's restore comes between them, so
        that a rollback undoes none but this one."""
        with ExitStack() as stack:
            try:
                stack.enter_context(AppLock(self._machine.lock_directory, self._app.name))
            except AppStateError as error:
                raise error.about(self._app.name)
            except OSError as error:
                raise self._failed(error, self._machine.lock_directory)
            self._is_alone = True
            stack.callback(setattr, self, "_is_alone", False)
            yield

    def validate(self):
        """Stages, validates, and removes the staging again; live state and an earlier restore stay as they are."""
        return self._locked(self._validate)

    def predict(self, state, validate_only):
        """What one of the others would do: the archive is read in full, and nothing is written."""
        return self._locked(lambda: self._predict(state, validate_only), dry_run=True)

    def stage(self):
        """Leaves validated new state in staging; the application may still run."""
        return self._locked(self._stage)

    def restore(self):
        """Swaps; what is staged for the same backup already is used."""
        return self._recorded("restore", self._restore)

    def commit(self):
        """Deletes what was set aside."""
        return self._recorded("commit", self._commit)

    def roll_back(self):
        """Puts back what was set aside, and discards what is staged."""
        return self._recorded("rollback", self._roll_back)

    def _recorded(self, action, step):
        """The step, with a line in the audit log where it changed something, or could not."""
        try:
            outcome = self._locked(step)
        except AppStateError as error:
            self._record(action, str(error))
            raise
        if outcome.changed:
            problem = self._record(action, "ok", backup=outcome.content.get("backup"), root=self._request.root)
            if problem is not None:
                outcome.content = dict(outcome.content, warnings=outcome.content.get("warnings", []) + [problem])
        return outcome

    def _record(self, action, result, **details):
        """Returns None, or why the line could not be written: what was done is not undone for that."""
        try:
            audit.record(self._machine.state_directory, self._machine.now(), self._app.name, action, result, **details)
            return None
        except (AppStateError, OSError) as error:
            return "the %s could not be recorded in the audit log: %s" % (action, error)

    def _locked(self, step, dry_run=False):
        try:
            self._ownership = Ownership(self._app.owner, self._app.group, self._app.file_mode,
                                        self._app.directory_mode)
            with nullcontext() if dry_run or self._is_alone else AppLock(self._machine.lock_directory, self._app.name):
                self._journal = Journal(self._app, self._machine, self._request.root)
                return self._with_root(step, dry_run)
        except AppStateError as error:
            raise error.about(self._app.name)
        except OSError as error:
            raise self._failed(error, self._request.root)

    def _failed(self, error, place):
        return RestoreError("the restore failed: %s" % error.strerror, app=self._app.name, path=error.filename or place)

    def _with_root(self, step, dry_run):
        try:
            self._root = files.open_directory(self._request.root)
        except FileNotFoundError:
            self._root = None
        except OSError as error:
            raise SourceError("the root cannot be opened: %s" % error.strerror, path=self._request.root)
        try:
            if dry_run:
                self._refuse_lost_root()
            else:
                self._end_unfinished()
            outcome = step()
            outcome.changed = outcome.changed or self._ended is not None
            return outcome
        finally:
            self._close_root()

    def _close_root(self):
        if self._root is not None:
            os.close(self._root)
        self._root = None

    def _end_unfinished(self):
        """What a killed run left behind is undone, or gone on with, before anything else."""
        if self._phase is None and self._journal.phase is not None:
            self._discard()  # What was staged went with its root.
        self._refuse_lost_root()
        self._journal.sweep()
        phase = self._phase
        if phase == RESTORED:
            self._staging(self._journal.content).discard()
        elif phase == STAGING:
            self._discard()
            self._ended = "an earlier restore was cut off before it swapped anything; what it had staged was removed"
        elif phase in (SWAPPING, ROLLING_BACK):
            self._refuse_held()
            self._undo()
            self._ended = "an earlier restore was cut off in the middle; the state before it was put back"
        elif phase == COMMITTING:
            self._forget()
            self._ended = "an earlier commit was cut off; it has been completed"
        self._undone = phase in (STAGING, SWAPPING, ROLLING_BACK)
        if self._journal.content is not None and self._journal.content["beside"]:
            self._staging({"staging": self._journal.content["beside"]}).discard()
            self._journal.write(beside=None)

    @property
    def _phase(self):
        """The phase of the restore that is under way, or None; one that is not swapped in yet ends with its root."""
        phase = self._journal.phase
        return None if self._root is None and phase in (STAGING, STAGED) else phase

    def _refuse_lost_root(self):
        if self._root is None and self._phase is not None:
            raise RestoreError("does not exist any more, and a restore to it has not ended", path=self._request.root,
                               remedy="Bring it back; or, where it is gone for good, remove %s" % self._journal.path)

    def _predict(self, state, validate_only):
        phase, content = self._phase, self._journal.content
        if state == "committed":
            return ending("committed", phase in (RESTORED, COMMITTING), content, None)
        if state == "rolled_back":
            return ending("rolled_back", phase not in (None, COMMITTING), without_targets(content, phase), None)
        with self._select() as selected:
            content = self._new_content(selected)
            if not validate_only:
                self._refuse_pending(content)
                if phase == RESTORED and not self._request.force:
                    return self._already_restored()
                if phase == STAGED and state == "staged" and self._same(content):
                    return Outcome("staged", False, self._journal.content)
            self._look_above(content)
            plan = predicted_plan(self._app, selected, self._request.only, self._has_stores)
            content["targets"] = plan_targets(plan)
            content["stores"] = {target.path: {"title": self._store(target.path).title} for target in plan.stored()}
            content["warnings"] = plan.warnings
            if self._root is not None:
                refuse_grounds(self._app, self._root, self._request.root, plan)
                for target in content["targets"]:
                    check_movable(self._root, self._request.root, target["path"])
                content["targets"] = name_asides(self._root, content["targets"], stamp(self._machine.now()))
        return Outcome(NONE if validate_only else state, not validate_only, content)

    def _validate(self):
        if self._journal.phase is not None:
            return self._validate_beside()
        self._stage()
        content = dict(self._journal.content)
        self._discard()
        return Outcome(NONE, False, content, self._ended)

    def _validate_beside(self):
        """Validates while another restore is staged, or waits for its commit: that one stays as it is."""
        with self._select() as selected:
            content = self._new_content(selected)
            staging = self._staging(content)
            self._journal.write(beside=content["staging"])
            try:
                self._fill(staging, selected, content)
            finally:
                staging.discard()
                self._journal.write(beside=None)
        return Outcome(NONE, False, content, self._ended)

    def _stage(self):
        with self._select() as selected:
            content = self._new_content(selected)
            self._refuse_pending(content)
            if self._journal.phase == STAGED:
                if self._same(content):
                    return Outcome("staged", False, self._journal.content, self._ended)
                self._discard()
            if self._journal.phase == RESTORED and not self._request.force:
                return self._already_restored()
            self._look_above(content)
            self._journal.write(phase=STAGING, earlier=self._journal.content, **content)
            try:
                self._make_root()
                self._fill(self._staging(content), selected, content, self._begin_stores if self._has_stores else None)
            except BaseException:
                self._discard()
                raise
        self._journal.write(phase=STAGED, **content)
        return Outcome("staged", True, self._journal.content, self._ended)

    @property
    def _has_stores(self):
        """Whether stores are restored: they belong to the app's own root, and to no other."""
        return self._request.root == self._app.root

    def _begin_stores(self, paths):
        """The state that each store begins with, on disk before anything is staged for it."""
        states = {path: {"token": secrets.token_hex(8), "force": self._request.force} for path in paths}
        self._journal.write(stores=states)
        return states

    def _fill(self, staging, selected, content, begin_stores=None):
        plan = staging.fill(selected, self._request.only, self._ownership, self._on_bytes, begin_stores)
        made = ["%s did not exist and was made" % self._request.root] if content["made_root"] else []
        content["warnings"] = made + staging.warnings + self._ownership.warnings()
        content["databases"] = [path for target in plan.targets if target.is_database
                                for path in [target.path] + target.sidecars]
        content["targets"] = plan_targets(plan)
        content["stores"] = staging.stores

    def _already_restored(self):
        return Outcome("restored", False, self._journal.content, self._ended)

    def _refuse_pending(self, content):
        """Without force nothing goes over another restore that waits for its commit, also where that one is hidden: what
        is staged now may have been forced over it."""
        known = self._journal.content
        if self._journal.phase == STAGED and not self._same(content):
            known = known["earlier"]
        if known is None or known["phase"] != RESTORED or self._request.force or _are_same(known, content):
            return
        raise RestoreError("an earlier restore (of %s) is neither committed nor rolled back" % known["backup"],
                           path=self._request.root, remedy="Commit it or roll it back first; with force its old state stays "
                                                           "aside: %s" % ", ".join(asides_of(known)))

    def _same(self, content):
        return _are_same(self._journal.content, content)

    def _restore(self):
        self._journal.refuse_other(self._request.transaction)
        outcome = self._stage()
        if self._journal.phase == RESTORED:
            return outcome
        self._refuse_held()
        self._swap()
        return Outcome("restored", True, self._journal.content, self._ended)

    def _swap(self):
        # Old state may have changed since it was staged, so the names it gets are worked out again.
        for target in self._journal.content["targets"]:
            check_movable(self._root, self._request.root, target["path"])
        now = stamp(self._machine.now())
        targets = name_asides(self._root, self._journal.content["targets"], now)
        stores = {path: self._named(store, store.name_aside(state, now)) for path, store, state in self._stores()}
        self._journal.write(phase=SWAPPING, targets=targets, stores=stores)
        swap = Swap(self._root, self._journal.content, self._ownership)
        try:
            swap.forward(self._note_made)
            for unused, store, state in self._stores():
                store.forward(state)
            self._journal.write(phase=RESTORED)
        except BaseException:
            self._undo()
            raise
        self._staging(self._journal.content).discard()

    def _store(self, path):
        store = store_of(self._app, path, self._root)
        if store is None:
            raise RestoreError("a restore that has not ended is about the source %s, which the app has no more" % path,
                               remedy="Bring it back into the app's description, as it was")
        return store

    def _stores(self):
        """``(path, Store, state)`` of each store that the journal knows."""
        return [(path, self._store(path), state) for path, state in self._journal.content["stores"].items()]

    @staticmethod
    def _named(store, state):
        return dict(state, asides=store.asides(state))

    def _note_made(self, made):
        self._journal.write(made=self._journal.content["made"] + [os.fsdecode(path) for path in made])

    def _under_way(self):
        """The content of the restore that is to be ended, or None where there is none."""
        if self._journal.content is not None:
            self._journal.refuse_other(self._request.transaction)
        return self._journal.content

    def _commit(self):
        content = self._under_way()
        if self._journal.phase != RESTORED:
            completed = bool(self._ended) and not self._undone
            return ending("committed", completed, content, self._ended)
        self._forget()
        return Outcome("committed", True, content, self._ended)

    def _roll_back(self):
        phase, content = self._journal.phase, self._under_way()
        if phase is None or self._undone:
            # What a killed run left may just have been undone: that is what was asked for.
            return ending("rolled_back", self._undone, None, self._ended)
        if phase == STAGED:
            self._discard()
        else:
            self._refuse_held()
            self._undo()
        return Outcome("rolled_back", True, without_targets(content, phase), self._ended)

    def _forget(self):
        """Deletes what was set aside. What a restore before this one knew, that was forced over, goes with it."""
        self._journal.write(phase=COMMITTING, earlier=None)
        Swap(self._root, self._journal.content, self._ownership).forget()
        for unused, store, state in self._stores():
            store.forget(state)
        self._discard()

    def _undo(self):
        self._record_undo()
        for unused, store, state in self._stores():
            store.back(state)
        try:
            Swap(self._root, self._journal.content, self._ownership).back()
            for path in reversed(self._journal.content["made"]):
                files.remove_if_empty(self._root, path)
        except OSError as error:
            raise RestoreError("cut off in the middle of putting back what was there before: %s" % (error.strerror or error),
                               path=self._request.root, remedy="Mend that, then roll back again: it goes on from there. Until "
                                                               "then no backup is taken")
        # Live state is as it was; from here on a killed run leaves only what is discarded.
        try:
            self._journal.write(phase=STAGING)
        except AppStateError as error:
            raise RestoreError("what was there before is back in its place, but %s" % error.message, path=self._journal.path,
                               remedy="Mend that, then roll back again. Until then no backup is taken")
        self._discard()

    def _record_undo(self):
        """A full disk is no reason to leave live state half old and half new, where the journal tells of a swap already."""
        try:
            self._journal.write(phase=ROLLING_BACK)
        except AppStateError:
            if Journal(self._app, self._machine, self._request.root).phase not in (SWAPPING, ROLLING_BACK):
                raise

    def _discard(self):
        """Removes the staging directory, and a root that was made for this restore and is empty; the journal last.

        Where the restore was forced over another one, that one's journal comes back.
        """
        content = self._journal.content
        for unused, store, state in self._stores():
            store.discard(state)
        if self._root is not None:
            self._staging(content).discard()
        if content["made_root"]:
            self._remove_root()
        if content["earlier"] is not None:
            self._journal.replace(content["earlier"])
        else:
            self._journal.remove()

    def _remove_root(self):
        try:
            above = files.open_directory(os.path.dirname(self._request.root))
        except FileNotFoundError:
            return
        try:
            name = os.path.basename(self._request.root)
            files.remove_if_empty(above, name)
            if not files.exists_at(above, name):
                self._close_root()
        finally:
            os.close(above)

    def _select(self):
        request = self._request
        return select(self._app, request.which, request.before, request.archive, request.remote, request.identity)

    def _staging(self, content):
        return Staging(self._app, self._root, self._request.root, content["staging"])

    def _new_content(self, selected):
        """The journal's content for a restore that begins."""
        now = self._machine.now()
        return {"app": self._app.name, "root": self._request.root, "backup": selected.id, "archive": selected.path,
                "size": selected.origin.size, "only": self._request.only,
                "staging": ".appstate-%s.restore-%s" % (self._app.name, secrets.token_hex(8)),
                "databases": [], "targets": [], "made": [], "made_root": False, "beside": None, "warnings": [],
                "told": selected.to_dict(now), "stores": {}}

    def _look_above(self, content):
        """The root itself is made on a fresh host; what is above it has to be there."""
        content["made_root"] = self._root is None
        if self._root is None:
            os.close(self._above_root())

    def _above_root(self):
        try:
            return files.open_directory(os.path.dirname(self._request.root))
        except OSError as error:
            raise SourceError("the directory above the root cannot be opened: %s" % error.strerror,
                              path=self._request.root, remedy="Create it first")

    def _make_root(self):
        if self._root is not None:
            return
        above = self._above_root()
        try:
            name = os.path.basename(self._request.root)
            self._root = files.make_directory(above, name)
            uid, gid = self._ownership.ids()
            files.give(self._root, uid, gid, self._ownership.mode(0o755, True))
            os.fsync(above)
        finally:
            os.close(above)

    def _refuse_held(self):
        """A database that is pulled away under a process lives on in it: its next writes would be lost."""
        for unused, store, state in self._stores():
            store.refuse_held(state)
        holders = lasting_holders(self._live_places)
        if holders:
            raise BusyError("%s still holds it open" % ", ".join(str(holder) for holder in holders[:3]), path=holders[0].path,
                            remedy="Stop that process, then try again; nothing was moved")

    def _live_places(self):
        """Device and inode of each live database and each of its sidecars."""
        places = {}
        for path in self._journal.content["databases"]:
            found = files.lookup(self._root, path)
            if found is not None:
                places[found.st_dev, found.st_ino] = os.path.join(self._request.root, path)
        return places


def _are_same(known, content):
    """Whether two contents of a journal are about the same restore."""
    return all(known[key] == content[key] for key in ("backup", "archive", "only", "size"))
