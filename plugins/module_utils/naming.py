# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rolling names: a pattern such as ``{app}-%H``, whose files are used again when their hour, or day, comes round."""

from __future__ import annotations

import re
import time

from .system.zones import local_times

# Directives of strftime(3) that give digits alone, however the locale is.
DIRECTIVE = re.compile(r"%[HMSdmyYjuwVG]")
STEM = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,199}\Z")
# How backups are called that have no rolling name; nothing else may be called so.
STAMPED = re.compile(r".*-\d{8}T\d{6}Z\Z")


class RollingName:
    """The pattern that an app's files are named by.

    Attributes:
        pattern: ``{app}`` stands for the app's name, the rest is as strftime(3) has it.
        timezone: in which days and hours begin.
    """

    def __init__(self, pattern, timezone):
        self.pattern = pattern
        self.timezone = timezone

    def stem(self, app_name, created):
        """The name, without an ending, of the files of a backup that was begun at an aware datetime.

        Raises:
            ConfigurationError: this host does not know the time zone.
        """
        local = local_times(self.timezone, [created.timestamp()])[0]
        return time.strftime(self.pattern.replace("{app}", app_name), local)


def read_rolling_name(reader, told, app_name, timezone):
    """The RollingName in an app's dictionary, or None; ``reader`` is its ``description.Reader``."""
    if told.get("filename") is None:
        return None
    pattern = reader.text(told, "filename")
    plain = DIRECTIVE.sub("0", pattern).replace("{app}", app_name)
    if not STEM.match(plain):
        reader.fail("'filename' is %r; it may have letters, digits, '-', '_', {app}, and of strftime's directives those "
                    "that give numbers" % pattern, "Write {app}-%H for a day of hours, {app}-%d for a month of days")
    if STAMPED.match(time.strftime(pattern.replace("{app}", app_name), time.gmtime(0))):
        reader.fail("'filename' is %r, which is how backups are called that have no rolling name" % pattern,
                    "Leave it out")
    return RollingName(pattern, timezone)
