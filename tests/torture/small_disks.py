# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Small disks: one of an application's places on a file system that has so many pages left, and no more."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess

from injection import run_forked

PAGE = 4096
# Nobody else sees this one: it is the row's own.
SCRATCH = "/var/tmp"
# As much as any of the deeds needs at once, in pages, and a little more.
MOST = 72
STEP = 3


def sizes():
    """How many pages are left: more than 20 sizes."""
    return list(range(0, MOST, STEP))


class Disk:
    """A place of a verb's host on a tmpfs."""

    def __init__(self, verb, path, pages):
        self._verb = verb
        self._path = path
        self._pages = pages

    def mount(self):
        below = self._path + ".below"
        if self._path != SCRATCH:
            os.rename(self._path, below)
            os.mkdir(self._path)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=1777", "none", self._path], check=True)
        if self._path != SCRATCH:  # There only the runs themselves have something.
            subprocess.run(["cp", "-a", below + "/.", self._path], check=True)
            shutil.rmtree(below)
        used = os.statvfs(self._path)
        # A size of 0 would be none at all.
        self._remount("size=%d" % (max(1, used.f_blocks - used.f_bfree + self._pages) * PAGE))

    def _remount(self, options):
        subprocess.run(["mount", "-o", "remount," + options, self._path], check=True)

    def run(self):
        """The deed, with the place as small as it is."""
        return run_forked(self._verb.act)

    def grow(self):
        """Somebody frees space."""
        self._remount("size=256m")

    def unmount(self):
        subprocess.run(["umount", "-l", self._path], check=True)


@contextlib.contextmanager
def on_small_disk(verb, place, pages):
    """A Disk that is mounted in the place of the destination, of the application's root (where restores are staged, too), of
    the state (journals, status), or of the scratch copies."""
    path = {"destination": verb.host.destination, "root": verb.host.root, "state": verb.host.state, "scratch": SCRATCH}[place]
    disk = Disk(verb, path, pages)
    disk.mount()
    try:
        yield disk
    finally:
        disk.unmount()
