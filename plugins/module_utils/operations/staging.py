# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The first half of a restore: the new state, extracted on the target's own file system and proven there.

Below the root stands one directory that only we can enter. In it ``tree`` holds what will be swapped in, and
``checks/<number>`` each database and each dump by itself while it is checked.
"""

from __future__ import annotations

import os
import stat
import tempfile
from functools import partial

from ..archive.extract import RESERVE, Extractor
from ..archive.reader import Most, entries
from ..catalog import catalog
from ..sources.checking import ASKERS, COPY, kind_of
from ..sources.finding import problems_of
from ..sources.ground import refuse_ground
from ..sources.store import Staged
from ..sources.stores import store_of
from ..system import files
from ..system.errors import NO_SPACE, ArchiveError, DatabaseError, DataTooNewError, SpaceError
from ..system.trees import remove_tree, sync_tree
from .diagnosis import contents_below, lost_log_text, missing_texts, vacant_text
from .inquiry import Inquiry
from .movable import check_movable
from .places import CHECKS, TREE, Places, placed_members, untold_directories
from .plan import plan_of_contents, plan_of_manifest


class Staging:
    """The staging directory of one restore; ``name`` is that of the directory below the root.

    Attributes:
        warnings: texts for the operator.
        stores: by path, the state of what was staged for each store.
    """

    def __init__(self, app, root, root_path, name):
        self._app = app
        self._root = root
        self.stores = {}
        self._inquiry = Inquiry(app)
        self.path = os.path.join(root_path, name)
        self._root_path = root_path
        self._name = files.as_bytes(name)
        self.warnings = []

    def fill(self, selected, only, ownership, on_bytes=None, stores=None):
        """Extracts and validates; returns the Plan.

        Args:
            stores: function that is told the paths of the stores before anything is staged for them, and gives the
                state that each begins with; None leaves stores alone.

        Raises:
            AppStateError: why the archive cannot be restored. The caller discards the staging directory.
        """
        self._make()
        try:
            plan = self._plan(selected, only, stores is not None)
            refuse_grounds(self._app, self._root, self._root_path, plan)
            self._need_space(selected)
            self._extract(selected, plan, ownership, on_bytes, stores)
            self._check_targets(plan)
            sync_tree(self._top)
            return plan
        finally:
            os.close(self._top)

    def discard(self):
        """Removes it, with whatever is in it."""
        remove_tree(self._root, self._name)

    def _make(self):
        self._top = files.make_directory(self._root, self._name)
        # By its descriptor: whoever owns the root could put a link in the place of the directory's name.
        self._own_path = files.by_descriptor(self._top)
        for name in (TREE, CHECKS):
            os.mkdir(name, 0o700, dir_fd=self._top)

    def _plan(self, selected, only, stores):
        if selected.manifest is not None:
            plan = plan_of_manifest(self._app, selected.manifest, stores)
        else:
            plan = self._plan_of_unknown(selected, stores, bool(only))
        self.warnings.extend(plan.warnings)
        return plan.narrowed(only, self._app.name)

    def _plan_of_unknown(self, selected, stores, some):
        contents = selected.read(self._own_path, most=self._room())
        try:
            refuse_damaged(contents, selected.path)
            if contents.manifest is None:
                self._need(contents.bytes)
                return plan_of_contents(self._app, contents, stores, some)
            self.warnings.append("the archive has no manifest beside it, so damage in its padding goes unseen")
            self._need(contents.bytes)
            return plan_of_manifest(self._app, contents.manifest, stores)
        finally:
            contents.lines.close()

    def _room(self):
        """What fits here of an archive that nobody has told the size of."""
        return Most(files.free_inodes(self._top), max(0, files.free_bytes(self._top) - RESERVE),
                    SpaceError("not enough space for staging the restore: there is more in the archive than fits there", path=self.path,
                               remedy="Free some space there, or choose another archive"), with_notes=True)

    def _need_space(self, selected):
        if selected.manifest is not None:
            self._need(selected.manifest.bytes)
            files.need_inodes(self._top, selected.manifest.content["members"]["count"], self.path, "staging the restore")

    def _need(self, size):
        files.need_space(self._top, size + RESERVE, self.path, "staging the restore")

    def _extract(self, selected, plan, ownership, on_bytes, stores):
        checks = plan.checks()
        places = Places(plan, checks)
        extractor = Extractor(self._top, self.path, places.of, above=1)
        try:
            contents = selected.read(self._own_path, extractor, on_bytes=on_bytes)
            refuse_damaged(contents, selected.path)
            self._whole()
            for number, check in enumerate(checks):
                self._check(number, check, contents.manifest is None)
            for number, check in enumerate(checks):
                self._move_into_tree(number, check)
            # After all is in its place, since a directory's time changes with what comes into it.
            places.checked_are_moved()
            extractor.finish(contents.lines, ownership)
            if self._has_untold(plan, contents):
                self._settle_untold(plan, contents.lines, ownership)
            if selected.bare:
                self._settle_bare(plan, ownership)
            if plan.stored():
                self._stage_stores(plan.stored(), contents.lines, stores)
            self._look_for_mentioned(plan)
            self._judge_version()
            self._compare_references(plan, contents.lines)
        except ArchiveError as error:
            error.remedy = error.remedy or "Live state is untouched; choose another backup"
            raise
        except OSError as error:
            if error.errno in NO_SPACE:
                raise SpaceError("no space left for staging the restore", path=self.path,
                                 remedy="Free some space there")
            raise
        finally:
            extractor.close()
        contents.lines.close()

    def _check(self, number, check, old):
        """Proves one member; ``old`` says that the archive is that of an old recipe."""
        relative = b"%s/%d" % (CHECKS, number)
        if files.lookup(self._top, relative + b"/" + COPY.encode()) is None:
            raise ArchiveError("the archive has no %s" % check.path, app=self._app.name)
        directory = files.open_beneath(self._top, relative, files.DIRECTORY)
        try:
            if old and check.kind == "sqlite":
                self._warn(lost_log_text(check.path, files.by_descriptor(directory), COPY))
            findings = check.findings(directory)
            troubles = problems_of(findings)
            self._found(check, findings)
            if not troubles and check.kind == "sqlite":
                self._warn(vacant_text(check.path, files.by_descriptor(directory), COPY,
                                       os.path.join(self._root_path, check.path), self._newest))
            if not troubles:
                self._inquiry.ask_copy(check, directory)
                self._proven(check, directory)
        finally:
            os.close(directory)
        if troubles:
            what = "database" if check.kind == "sqlite" else "dump"
            raise DatabaseError("the backup's %s is not good: %s" % (what, "; ".join(troubles)), app=self._app.name,
                                path=check.path, remedy="Live state is untouched; choose another backup")

    def _whole(self):
        """Every byte of the archive was read, and is what was backed up."""

    def _found(self, check, findings):
        """What the Findings of a member were; a restore only goes by those that are wrong."""

    def _proven(self, check, directory):
        """A member was found to be good, and is still by itself in an open directory."""

    def _move_into_tree(self, number, check):
        """Out of its own directory; what SQLite may have left beside it stays behind and goes with the staging."""
        place = TREE + b"/" + files.as_bytes(check.path)
        files.make_parents(self._top, place, 0o700, durable=False)
        parent, name = files.open_parent(self._top, place)
        try:
            source = files.open_beneath(self._top, b"%s/%d" % (CHECKS, number), files.DIRECTORY)
            try:
                os.rename(COPY, name, src_dir_fd=source, dst_dir_fd=parent)
            finally:
                os.close(source)
        finally:
            os.close(parent)

    def _stage_stores(self, targets, lines, begin):
        """The new state of each store, beside its live one."""
        states = begin([target.path for target in targets])
        tree = os.open(TREE, files.DIRECTORY, dir_fd=self._top)
        try:
            for target in targets:
                store = store_of(self._app, target.path, self._root)
                staged = Staged(tree, os.fsdecode(self._name + b"/" + TREE), target.path, lines)
                state = store.stage(staged, target.record, states[target.path])
                self.warnings.extend(state.pop("warnings", []))
                self.stores[target.path] = dict(state, title=store.title)
                if kind_of(target.source) not in ASKERS and self._inquiry.wants(target.path, target.source):
                    self._inquiry.ask(target.path, target.source, partial(store.query, state))
        finally:
            os.close(tree)

    def _newest(self):
        """The manifest of the newest good backup, or None."""
        backup = None if self._app.destination is None else catalog.newest_good(self._app.directory, self._app.name)
        return None if backup is None else backup.manifest

    def _warn(self, text):
        if text is not None:
            self.warnings.append(text)

    def _look_for_mentioned(self, plan):
        """Warns of what settings name and what is neither in the backup nor at the root, where the app will look."""
        if self._root_path != self._app.root:
            return
        tree = os.open(TREE, files.DIRECTORY, dir_fd=self._top)
        try:
            for target in plan.targets:
                if getattr(target.source, "mentions", ()):
                    self.warnings.extend(missing_texts(target.source, contents_below(tree, target.path),
                                                       [tree, self._root]))
        finally:
            os.close(tree)

    def _judge_version(self):
        """Refuses data that the installed application does not understand; another root is nobody's to start from."""
        try:
            note = self._inquiry.guard.judge()
        except DataTooNewError as error:
            if self._root_path == self._app.root:
                raise
            note = error.message
        self._warn(note)

    def _compare_references(self, plan, lines):
        """Warns of files that databases name and the backup lacks: the rest of it is wanted all the more."""
        self.warnings.extend(self._inquiry.warnings(placed_members(plan, lines)))

    def live_root(self):
        """The stat of the root that the state is for."""
        return os.fstat(self._root)

    def _has_untold(self, plan, contents):
        """Whether there can be directories in the tree that stay, and that no member tells of."""
        return contents.manifest is None or len(plan.outermost()) < len(plan.targets)

    def _settle_untold(self, plan, lines, ownership):
        """Directories that no member tells of: an old recipe listed files alone, or a source lies in a directory that
        the one around it excludes. They belong to whom the app states, or to whom the root does."""
        mode, uid, gid = default_directory(self.live_root(), ownership)
        for place in untold_directories(plan, lines):
            directory = files.open_beneath(self._top, TREE + b"/" + place, files.DIRECTORY)
            try:
                files.give(directory, uid, gid, mode)
            finally:
                os.close(directory)

    def _settle_bare(self, plan, ownership):
        """A file by itself, which tells of no owner, becomes as the one that it replaces, as with cp; without one it
        belongs to whom the root does."""
        for target in plan.targets:
            path = files.as_bytes(target.path)
            if target.stored or not target.present:
                continue
            live = files.lookup(self._root, path)
            replaced = live is not None and stat.S_ISREG(live.st_mode)
            like = live if replaced else os.fstat(self._root)
            mode = ownership.mode(stat.S_IMODE(live.st_mode) if replaced else 0o600, False)
            descriptor = files.open_beneath(self._top, TREE + b"/" + path)
            try:
                files.give(descriptor, *ownership.ids(uid=like.st_uid, gid=like.st_gid), mode=mode)
            finally:
                os.close(descriptor)

    def _check_targets(self, plan):
        """Whether each target can be moved aside and replaced by a rename: it is no mount point, nor below one."""
        for target in plan.targets:
            if target.present and files.lookup(self._top, TREE + b"/" + files.as_bytes(target.path)) is None:
                raise ArchiveError("the archive has no %s" % target.path, app=self._app.name)
            if not target.stored:
                check_movable(self._root, self._root_path, target.path)


def predicted_plan(app, selected, only, stores=True):
    """The Plan that a restore of an archive would follow: it is read in full, and nothing is extracted."""
    # What is encrypted leaves no trace on a disk, the names of its members neither.
    contents = selected.read(None if selected.origin.is_encrypted else tempfile.gettempdir())
    try:
        refuse_damaged(contents, selected.path)
        manifest = selected.manifest or contents.manifest
        plan = plan_of_contents(app, contents, stores, bool(only)) if manifest is None else plan_of_manifest(app, manifest, stores)
        plan = plan.narrowed(only, app.name)
        if only:
            _refuse_missing(plan, contents.lines, app)
        return plan
    finally:
        contents.lines.close()


def refuse_grounds(app, root, root_path, plan):
    """Raises FileSystemError where a database would be restored to where it cannot live; elsewhere than at the app's
    own root it need not."""
    if root_path == app.root:
        for target in plan.targets:
            refuse_ground(app, root, root_path, target.source)


def _refuse_missing(plan, lines, app):
    """Raises ArchiveError where an archive has nothing for a target."""
    missing = [target for target in plan.targets if target.present]
    for member in entries(lines):
        place = plan.place(member.path)
        missing = [target for target in missing if place is None or not target.holds(place)]
    if missing:
        raise ArchiveError("the archive has no %s" % missing[0].path, app=app.name)


def refuse_damaged(contents, path):
    """Raises ArchiveError where reading an archive found problems."""
    if contents.problems:
        first = contents.problems[0]
        more = len(contents.problems) - 1
        raise ArchiveError("the archive is damaged: %s%s%s" % (
            first["member"] + " " if first["member"] else "", first["problem"],
            " (and %d more)" % more if more else ""), path=path, remedy="Live state is untouched; choose another one")


def default_directory(found, ownership):
    """``(mode, uid, gid)`` of a directory that has to be there and that no backup tells of; ``found`` is the root's stat."""
    return (ownership.mode(0o755, True),) + tuple(ownership.ids(uid=found.st_uid, gid=found.st_gid))
