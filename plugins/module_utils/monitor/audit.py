# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The audit log: one JSON line for everything that was done to backups or to live state, and who asked for it.

Lines are only ever appended (``O_APPEND``, under a lock), each whole or not at all.
"""

from __future__ import annotations

import fcntl
import json
import os
import pwd

from ..system import files
from ..system.errors import refused
from ..system.times import format_time

NAME = "audit.jsonl"


def record(state_directory, now, app_name, action, result, **details):
    """Appends a line.

    Args:
        action: ``backup``, ``copy``, ``restore``, ``commit``, ``rollback``, ``prune``, ``import``, ``hold``, ``release``,
            ``accept``, ``start`` or ``drill``.
        result: ``ok`` or what went wrong.
    Raises:
        AppStateError: the line could not be written; the log is as it was.
    """
    told = dict(details, time=format_time(now), app=app_name, action=action, result=result, who=who(), pid=os.getpid())
    line = json.dumps(told, sort_keys=True, separators=(",", ":")).encode("ascii") + b"\n"
    try:
        _append(state_directory, line)
    except OSError as error:
        raise refused(error, "the audit log cannot be written", app_name, os.path.join(state_directory, NAME))


def _append(state_directory, line):
    directory = files.private_directory(state_directory)
    try:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(NAME, flags, 0o600, dir_fd=directory)
    finally:
        os.close(directory)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        size = os.fstat(descriptor).st_size
        try:
            files.write_all(descriptor, line)
        except OSError:
            # On a full disk half a line would spoil the next one too.
            os.ftruncate(descriptor, size)
            raise
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def who():
    """The user that runs this, and the one who became it by sudo."""
    name = _name(os.geteuid())
    asked = os.environ.get("SUDO_USER")
    return "%s (sudo by %s)" % (name, asked) if asked else name


def _name(uid):
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
