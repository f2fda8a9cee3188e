# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Generations in an app's directory: how one comes into being, and when it goes.

A generation belongs to every backup whose manifest names it, so it is there before the first of these manifests, and it
goes when the last of them has gone. While it comes or goes it has a partial name, which no manifest can have.
"""

from __future__ import annotations

import fcntl
import os
import re
import time

from ..archive.manifest import GENERATION, ID
from ..archive.streams import ALL_ENDINGS
from ..naming import STEM
from ..system import files
from ..system.errors import LockedError
from ..system.trees import remove_tree

PARTIAL = re.compile(r"\.([^/]+)\.partial\Z")
# What a killed run has started dies with it, within moments.
PATIENCE = 30.0


class GrowingGeneration:
    """A generation on its way into an app's directory; ``descriptor`` is its own directory, which only we can enter.

    The lock on that directory is inherited by what is started with the descriptor, so that the next run can tell whether
    somebody still writes there.
    """

    def __init__(self, directory, name):
        self._directory = directory
        self.name = name
        os.mkdir(_partial(name), 0o700, dir_fd=directory)
        self.descriptor = os.open(_partial(name), files.DIRECTORY, dir_fd=directory)
        fcntl.flock(self.descriptor, fcntl.LOCK_EX)

    def publish(self):
        """Gives it its name, for good only when a manifest that names it follows."""
        os.rename(_partial(self.name), self.name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        # A manifest that was on the disk before this would name what a power failure took away.
        os.fsync(self._directory)

    def remove(self):
        """Removes it, whatever its name is now."""
        remove(self._directory, self.name)

    def close(self):
        """Lets go of it."""
        os.close(self.descriptor)


def remove(directory, name):
    """Deletes a generation: its name first, so that none that is named is ever half there."""
    try:
        os.rename(name, _partial(name), src_dir_fd=directory, dst_dir_fd=directory)
        os.fsync(directory)
    except FileNotFoundError:
        pass
    remove_tree(directory, _partial(name))


def reap(directory, app_name, read_backups):
    """Removes what killed runs of an app left, and each generation that no backup needs any more.

    While there is a backup whose manifest cannot be read, nobody knows which ones it needs, so all of them stay. The
    caller holds the app's lock.

    Args:
        read_backups: called without arguments, gives all Backups in the directory; only where that matters.
    """
    names = os.listdir(directory)
    for name in names:
        match = PARTIAL.match(name)
        if match and _is_of(match.group(1), app_name):
            _wait_for_writers(directory, name)
            remove_tree(directory, name)
    there = sorted(name for name in names if _is_of(name, app_name))
    if not there or any(stem + ".json" not in names for stem in _stems(names)):
        return
    needed = set()
    for backup in read_backups():
        if backup.manifest is None:
            return
        needed.update(source["generation"] for source in backup.manifest.generations)
    for name in there:
        if name not in needed:
            remove(directory, name)


def _is_of(name, app_name):
    match = GENERATION.match(name)
    return bool(match) and ID.match(match.group(1)).group(1) == app_name


def _stems(names):
    """What all archives are called."""
    for name in names:
        for ending in ALL_ENDINGS:
            if name.endswith(ending) and STEM.match(name[:-len(ending)]):
                yield name[:-len(ending)]


def _wait_for_writers(directory, name):
    """Waits until nobody writes a generation that its run has left."""
    descriptor = os.open(name, files.DIRECTORY, dir_fd=directory)
    try:
        deadline = time.monotonic() + PATIENCE
        while not _locked(descriptor):
            if time.monotonic() > deadline:
                raise LockedError("a process of a run that was killed still writes there", path=name,
                                  remedy="Look for rsync with ps, and end it")
            time.sleep(0.05)
    finally:
        os.close(descriptor)


def _locked(descriptor):
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False


def _partial(name):
    return ".%s.partial" % name
