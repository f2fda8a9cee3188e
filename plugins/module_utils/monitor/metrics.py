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


REMOTE_METRICS = (
    ("appstate_backup_remote_last_copy_success", "Whether the last copy to the remote ended well."),
    ("appstate_backup_remote_copy_seconds", "How long the last copy to the remote took."),
)


DRILL_METRICS = (
    ("appstate_backup_drill_last_success", "Whether the last drill ended well."),
    ("appstate_backup_drill_last_timestamp_seconds", "When the last drill was begun."),
    ("appstate_backup_drill_last_success_timestamp_seconds", "When the last drill that ended well was begun."),
    ("appstate_backup_drill_checks_failed", "How many checks of the last drill failed."),
    ("appstate_backup_drill_rpo_seconds", "How old the newest good backup was when the last drill was begun."),
    ("appstate_backup_drill_rto_seconds", "How long the last drill took until the state was restored, and the app well where it was started."),
    ("appstate_backup_drill_rpo_objective_seconds", "How old the newest good backup may be."),
    ("appstate_backup_drill_rto_objective_seconds", "How long a restore may take."),
    ("appstate_backup_drill_restored_bytes", "Bytes that the last drill restored."),
    ("appstate_backup_drill_ping_failed", "Whether the last drill's ping could not be sent."),
)


def write_drill(directory_path, app_name, values):
    """Writes the file of an app's drills; ``values`` as ``write`` takes them, for each of DRILL_METRICS."""
    lines = []
    for name, meaning in DRILL_METRICS:
        lines.extend(_metric(name, meaning, [('app="%s"' % app_name, values.get(_key(name)))]))
    # No name of an app has a dot in it.
    _write(directory_path, "appstate_backup_%s.drill.prom" % app_name, lines)


def write(directory_path, app_name, values, remotes=()):
    """Writes the file; ``values`` has a number, or None for unknown, for each of METRICS, and ``remotes`` the same for each
    of REMOTE_METRICS by the name of a remote.

    The file can be read by everyone, since the exporter is another user.
    """
    lines = []
    for name, meaning in METRICS:
        lines.extend(_metric(name, meaning, [('app="%s"' % app_name, values.get(_key(name)))]))
    for name, meaning in REMOTE_METRICS:
        lines.extend(_metric(name, meaning, [('app="%s",remote="%s"' % (app_name, remote), remotes[remote].get(_key(name)))
                                             for remote in remotes]))
    _write(directory_path, "appstate_backup_%s.prom" % app_name, lines)


def _write(directory_path, name, lines):
    try:
        directory = files.open_directory(directory_path)
    except OSError as error:
        raise AppStateError("the directory of metrics cannot be opened: %s" % error.strerror, path=directory_path,
                            remedy="Create it, or correct 'metrics_directory'")
    try:
        files.write_atomically(directory, name, "".join(lines).encode("ascii"), 0o644)
    finally:
        os.close(directory)


def _key(name):
    return name[len("appstate_backup_"):]


def _metric(name, meaning, values):
    """The lines of one metric, with its labels and value each; none where nothing is known of it."""
    known = [(labels, value) for labels, value in values if value is not None]
    if known:
        yield "# HELP %s %s\n# TYPE %s gauge\n" % (name, meaning, name)
    for labels, value in known:
        yield "%s{%s} %s\n" % (name, labels, repr(value + 0))
