# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Gives an app's files to whom they belong, in a live tree that the app's user can change meanwhile.

Every entry is opened by its directory's descriptor without following links, and owner and mode are set on what was
opened. A hard link to somebody else's file is left alone: chown(1) -R would give that file away.
"""

from __future__ import annotations

import os
import stat

from ..app import check_root
from ..sources.sqlite import paths_of
from ..system import files
from ..system.accounts import Ownership
from ..system.errors import AppStateError, ConfigurationError, SourceError, printable
from ..system.trees import descend


class Given:
    """What was, or would be, given: the first paths with before and after, and how many in all."""

    MOST_PATHS = 100

    def __init__(self):
        self.count = 0
        self.paths = []
        self.warnings = []

    def note(self, path, before, after):
        """Counts a path; the first hundred are told in full."""
        self.count += 1
        if len(self.paths) < self.MOST_PATHS:
            self.paths.append({"path": path, "before": before, "after": after})


def give_ownership(app, target_root=None, dry_run=False):
    """Sets owner, group and modes, as the app states them, on all that its sources name.

    Raises:
        ConfigurationError: the app states none of them.
    """
    if (app.owner, app.group, app.file_mode, app.directory_mode) == (None, None, None, None):
        raise ConfigurationError("states no 'owner', 'group', 'file_mode' or 'directory_mode'", app=app.name,
                                 remedy="State at least one of them")
    try:
        root = app.root if target_root is None else check_root(target_root, "target_root", app.name)
        return _give(app, root, dry_run)
    except AppStateError as error:
        raise error.about(app.name)
    except OSError as error:
        raise SourceError("cannot be given: %s" % error.strerror, app=app.name,
                          path=target_root or app.root, remedy="Run this as root")


def _give(app, root_path, dry_run):
    try:
        root = files.open_directory(root_path)
    except OSError as error:
        raise SourceError("the root cannot be opened: %s" % error.strerror, path=root_path,
                          remedy="Correct 'root', or restore the app first")
    try:
        giving = _Giving(app, root, root_path, dry_run)
        for source in app.sources:
            for path in paths_of(source):
                giving.give(files.as_bytes(path))
        return giving.given
    finally:
        os.close(root)


class _Giving:
    """One walk over all sources of an app."""

    def __init__(self, app, root, root_path, dry_run):
        self._ownership = Ownership(app.owner, app.group)
        # Set-user-id and set-group-id bits are never given, as a restore never brings them back.
        self._file_mode = None if app.file_mode is None else app.file_mode & 0o1777
        self._directory_mode = app.directory_mode
        self._root = root
        self._root_path = files.as_bytes(root_path)
        self._dry_run = dry_run
        self.given = Given()

    def give(self, path):
        try:
            parent, name = files.open_parent(self._root, path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise SourceError("cannot be reached: %s" % error.strerror, path=self._shown(path),
                              remedy="No part of a source's path below the root may be a symbolic link")
        try:
            if not files.exists_at(parent, name):
                return
            found = os.stat(name, dir_fd=parent, follow_symlinks=False)
            self._one(parent, name, path, found)
            if stat.S_ISDIR(found.st_mode):
                self._below(parent, name, path)
        finally:
            os.close(parent)

    def _shown(self, path):
        return printable(self._root_path + b"/" + path)

    def _below(self, parent, name, path):
        directory = os.open(name, files.DIRECTORY, dir_fd=parent)
        try:
            for entry in descend(directory, path):
                self._one(entry.directory, entry.name, entry.path, entry.stat)
        finally:
            os.close(directory)

    def _one(self, directory, name, path, found):
        shown = self._shown(path)
        try:
            self._give_one(directory, name, found, shown)
        except FileNotFoundError:
            return  # Gone since the walk saw it.
        except OSError as error:
            raise SourceError("cannot be given: %s" % error.strerror, path=shown,
                              remedy="Run this as root, while the app is stopped")

    def _give_one(self, directory, name, found, shown):
        if stat.S_ISLNK(found.st_mode):
            self._link(directory, name, found, shown)
        elif stat.S_ISDIR(found.st_mode):
            self._opened(directory, name, files.DIRECTORY, self._directory_mode, shown)
        elif stat.S_ISREG(found.st_mode) and found.st_nlink > 1:
            self.given.warnings.append("%s has more than one name and was left alone" % shown)
        elif stat.S_ISREG(found.st_mode):
            self._opened(directory, name, files.READ, self._file_mode, shown)

    def _opened(self, directory, name, flags, mode, shown):
        descriptor = os.open(name, flags, dir_fd=directory)
        try:
            found = os.fstat(descriptor)
            if stat.S_ISREG(found.st_mode) and found.st_nlink > 1:
                return
            before = (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode))
            after = self._wanted(found) + (before[2] if mode is None else mode,)
            if after != before:
                self.given.note(shown, _told(before), _told(after))
                if not self._dry_run:
                    files.give(descriptor, *after)
        finally:
            os.close(descriptor)

    def _link(self, directory, name, found, shown):
        before, after = (found.st_uid, found.st_gid), self._wanted(found)
        if after != before:
            self.given.note(shown, _told(before), _told(after))
            if not self._dry_run:
                os.chown(name, after[0], after[1], dir_fd=directory, follow_symlinks=False)

    def _wanted(self, found):
        uid, gid = self._ownership.ids(uid=found.st_uid, gid=found.st_gid)
        return (found.st_uid if uid == -1 else uid, found.st_gid if gid == -1 else gid)


def _told(values):
    told = {"uid": values[0], "gid": values[1]}
    if len(values) > 2:
        told["mode"] = "%04o" % values[2]
    return told
