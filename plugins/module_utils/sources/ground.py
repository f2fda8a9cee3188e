# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ground that a database stands on: a file system that keeps data, and on which locks hold.

On a network file system SQLite's locks may not hold, and a log needs memory that all its users share
(https://www.sqlite.org/wal.html, "Overview"); what is in memory is gone with the next start.
"""

from __future__ import annotations

import os

from ..system import files
from ..system.errors import FileSystemError
from ..system.mounts import file_system_of, is_volatile_or_remote

_WHY = {"memory": "in memory (%s), where it does not outlive a restart of the host",
        "network": "on a network file system (%s), where SQLite's locks do not hold"}


def refuse_ground(app, root, root_path, source):
    """Raises FileSystemError where a database lies, or would lie, on a file system that is none for it.

    Args:
        root: descriptor of the directory, at ``root_path``, that the source's path is relative to.
        source: of any type; only a SqliteSource that does not allow every file system is looked at.
    """
    if getattr(source, "allow_any_file_system", True):
        return
    directory = _nearest(root, source.path)
    try:
        kind = file_system_of(directory)
    finally:
        os.close(directory)
    trouble = is_volatile_or_remote(kind)
    if trouble is not None:
        raise FileSystemError("the database lies %s" % (_WHY[trouble] % kind), app=app.name,
                              path=os.path.join(root_path, source.path),
                              remedy="Keep it on a local disk, or set 'allow_any_file_system: true' for this source")


def _nearest(root, path):
    """A descriptor of the directory that holds a path, or of the first above it that exists."""
    parts = path.split("/")[:-1]
    while parts:
        try:
            return files.open_beneath(root, "/".join(parts), files.DIRECTORY)
        except FileNotFoundError:
            parts.pop()
    return os.dup(root)
