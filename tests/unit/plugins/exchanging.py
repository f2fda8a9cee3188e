# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Somebody who owns a directory, and puts another one in the place of what is made in it before that is opened."""

from __future__ import annotations

import fnmatch
import os

STRANGER = 3001


def exchange_made(monkeypatch, plant, pattern="*"):
    """The first directory of such a name is moved away as soon as it was made, and ``plant`` is called with its path.

    Returns a list, which has that path as soon as it was done; what was made stands beside it, with ``.made`` after its name.
    """
    make, exchanged = os.mkdir, []

    def made(path, mode=0o777, dir_fd=None):
        make(path, mode, dir_fd=dir_fd)
        path = os.fsdecode(path)
        if fnmatch.fnmatch(path, pattern):
            path = path if dir_fd is None else os.path.join(os.readlink("/proc/self/fd/%d" % dir_fd), path)
            os.rename(path, path + ".made")
            monkeypatch.setattr(os, "mkdir", make)
            plant(path)
            exchanged.append(path)

    monkeypatch.setattr(os, "mkdir", made)
    return exchanged


def plant_directory(path):
    """A directory that is not the one that was made: a stranger's; without root, who can give none away, one with something in it."""
    os.mkdir(path)
    os.chmod(path, 0o700)
    if os.geteuid() == 0:
        os.chown(path, STRANGER, STRANGER)
    else:
        os.mkdir(os.path.join(path, "something"))


def is_as_planted(path):
    """Whether nobody did anything with what ``plant_directory`` made."""
    found = os.stat(path)
    if os.geteuid() == 0:
        return (found.st_uid, found.st_gid, found.st_mode & 0o7777, os.listdir(path)) == (STRANGER, STRANGER, 0o700, [])
    return (found.st_mode & 0o7777, os.listdir(path)) == (0o700, ["something"])
