# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What remotes have in common: a directory of a host in which backups lie, and what happens to what lies there."""

from __future__ import annotations

import os
import shutil

from .packages import require

# Hosts have Debian's, whatever is beside the Python that runs the tests.
PROGRAMS = {"/usr/bin/rclone": "rclone"}


class Store:
    """A directory of a host.

    Args:
        directory: its path; keys are relative to it.
        disk: the path, at or above it, that is a disk of its own.
        size: of that disk, as tmpfs takes it; None takes a directory of the host as it is.
        owner: whose the directory is.
    """

    def __init__(self, host, directory, disk=None, size=None, owner="root"):
        require(PROGRAMS)
        self.host = host
        self.directory = directory
        if size is not None:
            host.run(["mkdir", "-p", disk])
            host.run(["mount", "-t", "tmpfs", "-o", "size=%s,mode=0755" % size, "tmpfs", disk])
        host.run(["install", "-d", "-o", owner, "-g", owner, "-m", "0755", directory])

    def path(self, key=""):
        """Where the test finds something in it."""
        return os.path.join(self.host.path(self.directory), key) if key else self.host.path(self.directory)

    def keys(self, under=""):
        """All that lies in it, or in a directory of it, relative to that."""
        top = self.path(under)
        return sorted(os.path.relpath(os.path.join(folder, name), top)
                      for folder, _folders, names in os.walk(top) for name in names)

    def read(self, key):
        """What is in a file."""
        return self.host.read(os.path.join(self.directory, key))

    def write(self, key, content):
        """Put something in place of a file, as somebody does who has got in; its owner and mode stay."""
        with open(self.path(key), "r+b") as stream:
            stream.truncate()
            stream.write(content)

    def flip(self, key):
        """Change one bit in the middle of a file."""
        content = bytearray(self.read(key))
        content[len(content) // 2] ^= 1
        self.write(key, bytes(content))

    def remove(self, key):
        """Remove a file, or a directory with all that is in it."""
        path = self.path(key)
        if os.path.isdir(path):
            shutil.rmtree(path)
        else:
            os.remove(path)

    def fill(self, leave=0):
        """Leave so many bytes of space on its disk."""
        free = os.statvfs(self.path())
        with open(self.path(".filling"), "wb") as stream:
            os.posix_fallocate(stream.fileno(), 0, max(free.f_bavail * free.f_frsize - leave, 1))

    def empty(self):
        """Give the space back."""
        self.remove(".filling")


class Disk(Store):
    """Another disk of the host itself."""

    def __init__(self, host, size="512m"):
        super().__init__(host, "/mnt/disk/backups", "/mnt/disk", size)

    def described(self, name, **more):
        """The remote, as an operator describes it."""
        return dict({"name": name, "remote": self.directory}, **more)
