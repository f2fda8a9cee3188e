# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run does beside the backup itself: what it keeps, when it raises the alarm, whom it tells."""

from __future__ import annotations

from .description import is_url

RETENTION_KEYS = ("keep_last", "keep_within", "keep_hourly", "keep_daily", "keep_weekly", "keep_monthly", "keep_yearly",
                  "timezone", "before_restore")
COUNTS = ("keep_last", "keep_hourly", "keep_daily", "keep_weekly", "keep_monthly", "keep_yearly")
SHRINK_KEYS = ("rows", "size")
HOOK_KEYS = ("before", "after", "on_error", "timeout")
MONITORING_KEYS = ("ping", "metrics_directory", "max_age", "syslog")
PING_KEYS = ("url", "style", "timeout", "attempts")
PING_STYLES = ("healthchecks", "snitch", "uptime_kuma")
# Without blanks and control characters, which a copy that went wrong brings along.


class Retention:
    """Which backups stay.

    Attributes:
        counts: dictionary of ``keep_last``, ``keep_hourly``, ``keep_daily``, ``keep_weekly``, ``keep_monthly`` and
            ``keep_yearly`` to whole numbers.
        within: Duration before the newest backup in which all stay, or None.
        timezone: name of the time zone in which hours, days and the rest begin.
        before_restore: Duration after which what a restore set aside is deleted, or None for never.
    """

    def __init__(self, counts=None, within=None, timezone="UTC", before_restore=None):
        self.counts = dict.fromkeys(COUNTS, 0)
        self.counts.update(counts or {})
        self.within = within
        self.timezone = timezone
        self.before_restore = before_restore

    @property
    def keeps_all(self):
        """Whether no rule was given, so that nothing is ever pruned."""
        return self.within is None and not any(self.counts.values())


class Ping:
    """A dead man's switch: its URL, which is a secret, and the manner in which it is called."""

    def __init__(self, url, style, timeout, attempts):
        self.url = url
        self.style = style
        self.timeout = timeout
        self.attempts = attempts


class Settings:
    """All of it.

    Attributes:
        retention: Retention.
        shrink_rows, shrink_size: percent of its rows, or of its size, that a database may lose from one run to the
            next before pruning stops and the alarm is raised.
        before, after, on_error: commands, lists of argv.
        hook_timeout: seconds that each of them may take.
        ping: Ping or None.
        metrics_directory: of the Prometheus node exporter's text files, or None.
        max_age: Duration after which the newest backup is overdue, or None.
        syslog: whether the outcome of a run goes to syslog.
        allow_network_destination: whether the destination may be on a network file system or in memory.
    """

    def __init__(self, retention, shrink_rows, shrink_size, before, after, on_error, hook_timeout, ping,
                 metrics_directory, max_age, syslog, allow_network_destination):
        self.retention = retention
        self.shrink_rows = shrink_rows
        self.shrink_size = shrink_size
        self.before = before
        self.after = after
        self.on_error = on_error
        self.hook_timeout = hook_timeout
        self.ping = ping
        self.metrics_directory = metrics_directory
        self.max_age = max_age
        self.syslog = syslog
        self.allow_network_destination = allow_network_destination


def read_settings(reader, told):
    """The Settings in an app's dictionary; ``reader`` is its ``description.Reader``."""
    shrink = _part(reader, told, "shrink_guard", SHRINK_KEYS)
    hooks = _part(reader, told, "hooks", HOOK_KEYS)
    monitoring = _part(reader, told, "monitoring", MONITORING_KEYS)
    return Settings(
        read_retention(reader, told, "'retention'"), reader.percent(shrink, "rows", 50, "'shrink_guard'"),
        reader.percent(shrink, "size", 75, "'shrink_guard'"), reader.commands(hooks, "before", "'hooks'"),
        reader.commands(hooks, "after", "'hooks'"), reader.commands(hooks, "on_error", "'hooks'"),
        reader.seconds(hooks, "timeout", 300.0, "'hooks'"), read_ping(reader, monitoring),
        reader.optional(monitoring, "metrics_directory", reader.absolute),
        reader.optional(monitoring, "max_age", lambda part, key: reader.duration(part, key, "'monitoring'")),
        reader.flag(monitoring, "syslog", True, "'monitoring'"),
        reader.flag(told, "allow_network_destination", False, "the app"))


def _part(reader, told, key, keys):
    part = told.get(key)
    if part is None:
        return {}
    reader.known(part, keys, "%r" % key)
    return part


def read_retention(reader, told, what):
    """The Retention below that key of a dictionary; ``what`` is what messages call it."""
    part = _part(reader, told, "retention", RETENTION_KEYS)
    retention = Retention(
        {key: reader.count(part, key, what) for key in COUNTS},
        reader.optional(part, "keep_within", lambda each, key: reader.duration(each, key, what)),
        reader.text(part, "timezone", what) if part.get("timezone") is not None else "UTC",
        reader.optional(part, "before_restore", lambda each, key: reader.duration(each, key, what)))
    if set(part) - {"timezone", "before_restore"} and retention.keeps_all:
        reader.fail("%s keeps nothing" % what, "Set at least one of %s" % ", ".join(COUNTS + ("keep_within",)))
    return retention


def read_ping(reader, monitoring):
    """The Ping in a dictionary of whom to tell, or None."""
    told = monitoring.get("ping")
    if told is None:
        return None
    reader.known(told, PING_KEYS, "'ping'")
    url = told.get("url")
    if not is_url(url) or not url.isascii():
        # It is a secret, so it is not shown.
        reader.fail("'url' of 'ping' is no http or https URL")
    attempts = reader.count(told, "attempts", "'ping'") or 3
    return Ping(url, reader.choice(told, "style", PING_STYLES), reader.seconds(told, "timeout", 10.0, "'ping'"), attempts)
