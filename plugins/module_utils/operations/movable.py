# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether old state can be moved aside: a rename works within one mount, and takes along all that is mounted below."""

from __future__ import annotations

import os
import re
import stat

from ..system import files
from ..system.errors import RestoreError

# How mountinfo writes blanks and other odd bytes of a path.
_OCTAL = re.compile(rb"\\([0-7]{3})")


def check_movable(root, root_path, path):
    """Raises RestoreError where what lies at a path cannot be renamed within the root's file system."""
    mount = files.mount_of(root)
    parts = path.split("/")
    for depth in range(1, len(parts) + 1):
        relative = "/".join(parts[:depth])
        shown = os.path.join(root_path, relative)
        try:
            found = files.open_beneath(root, relative, files.PLACE)
        except FileNotFoundError:
            return
        except OSError as error:
            raise RestoreError("cannot be reached: %s" % error.strerror, path=shown,
                               remedy="No part of a target's path may be a symbolic link")
        try:
            if files.mount_of(found) != mount:
                raise RestoreError("is on another file system than the app's root, so it cannot be swapped in one "
                                   "step", path=shown,
                                   remedy="Describe it as an app of its own, with that place as its root")
            if depth < len(parts) and not stat.S_ISDIR(os.fstat(found).st_mode):
                raise RestoreError("is no directory", path=shown,
                                   remedy="No part of a target's path may be a file or a symbolic link")
            inside = _mounted_inside(found) if depth == len(parts) else None
            if inside is not None:
                raise RestoreError("is a mount point, and would be moved aside with what it lies in", path=inside,
                                   remedy="Unmount it; or name what lies beside it as sources, instead of all")
        finally:
            os.close(found)


def _mounted_inside(place):
    """A mount point below an open place, or None (proc(5), ``/proc/[pid]/mountinfo``)."""
    top = os.readlink(b"/proc/self/fd/%d" % place) + b"/"
    with open("/proc/self/mountinfo", "rb") as stream:
        for line in stream:
            point = _OCTAL.sub(lambda match: bytes([int(match.group(1), 8)]), line.split(b" ")[4])
            if point.startswith(top):
                return point
    return None
