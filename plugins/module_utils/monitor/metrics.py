# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Metrics for the Prometheus node exporter's textfile collector: one file an app, replaced atomically.

Source: the text exposition format of Prometheus, version 0.0.4, and the collector's advice to rename into place.
"""

from __future__ import annotations

import os

from ..system import files
from ..system.errors import AppStateError

LEVELS = {None: 0, "presence": 1, "checksum": 2, "content": 3}
METRICS = (
    ("appstate_backup_last_run_success", "Whether the last run ended well."),
    ("appstate_backup_last_run_timestamp_seconds", "When the last run ended."),
    ("appstate_backup_last_success_timestamp_seconds", "When the last run that ended well ended."),
    ("appstate_backup_newest_timestamp_seconds", "When the newest good backup was begun."),
    ("appstate_backup_newest_age_seconds", "How old the newest good backup was when this was written."),
    ("appstate_backup_duration_seconds", "How long the newest good backup took."),
    ("appstate_backup_downtime_seconds", "How long the app was stopped for the newest good backup."),
    ("appstate_backup_size_bytes", "Size of the newest good backup's archive."),
    ("appstate_backup_verified_level", "What the newest good backup was verified to: 1 presence, 2 checksum, 3 content."),
    ("appstate_backup_kept", "Good backups at the destination."),
    ("appstate_backup_ping_failed", "Whether the last ping could not be sent."),
)


def write(directory_path, app_name, values):
    """Writes the file; ``values`` has a number, or None for unknown, for each of METRICS.

    The file can be read by everyone, since the exporter is another user.
    """
    lines = []
    for name, meaning in METRICS:
        value = values.get(name[len("appstate_backup_"):])
        if value is not None:
            lines.append("# HELP %s %s\n# TYPE %s gauge\n%s{app=\"%s\"} %s\n"
                         % (name, meaning, name, name, app_name, repr(value + 0)))
    try:
        directory = files.open_directory(directory_path)
    except OSError as error:
        raise AppStateError("the directory of metrics cannot be opened: %s" % error.strerror, path=directory_path,
                            remedy="Create it, or correct 'metrics_directory'")
    try:
        files.write_atomically(directory, "appstate_backup_%s.prom" % app_name, "".join(lines).encode("ascii"), 0o644)
    finally:
        os.close(directory)
