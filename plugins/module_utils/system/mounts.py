# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What kind of file system a place is on: some of them are no place for backups, or for a live database.

Source: ``/proc/self/mountinfo``, proc(5).
"""

from __future__ import annotations

import os

NETWORK = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "fuse.glusterfs", "fuse.sshfs",
           "fuse.s3fs", "fuse.rclone", "lustre", "ocfs2", "davfs", "fuse.davfs")
MEMORY = ("tmpfs", "ramfs", "devtmpfs")


def file_system_of(path):
    """The type of the file system that holds an existing path, or an open file, as mount(8) names it; "" where it cannot
    be told."""
    wanted = os.stat(path).st_dev
    numbers = "%d:%d" % (os.major(wanted), os.minor(wanted))
    try:
        with open("/proc/self/mountinfo", "rb") as stream:
            lines = stream.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    for line in reversed(lines):
        fields = line.split(" ")
        if fields[2] == numbers and " - " in line:
            return line.split(" - ", 1)[1].split(" ")[0]
    return ""


def is_volatile_or_remote(kind):
    """``memory``, ``network``, or None for a local disk."""
    if kind in MEMORY:
        return "memory"
    return "network" if kind in NETWORK else None
