# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Local time in a named zone, on every Python and without packages: the C library's own rules (tzset(3)).

``zoneinfo`` came with Python 3.9, and its data may be missing. tzset takes an unknown zone for UTC without a word, so
the zone's file is looked for first.
"""

from __future__ import annotations

import os
import re
import time

from .errors import ConfigurationError

DIRECTORIES = ("/usr/share/zoneinfo", "/usr/lib/zoneinfo", "/etc/zoneinfo")
ZONE = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*\Z")


def local_times(zone, seconds):
    """A ``time.struct_time`` in a zone for each of some times in seconds since the epoch.

    Raises:
        ConfigurationError: this host does not know that zone.
    """
    if zone == "UTC":
        return [time.gmtime(each) for each in seconds]
    require_zone(zone)
    before = os.environ.get("TZ")
    try:
        os.environ["TZ"] = zone
        time.tzset()
        return [time.localtime(each) for each in seconds]
    finally:
        if before is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = before
        time.tzset()


def require_zone(zone):
    """Raises ConfigurationError where this host does not know a zone."""
    if zone == "UTC":
        return
    if not ZONE.match(zone) or not any(os.path.isfile(os.path.join(place, zone)) for place in DIRECTORIES):
        raise ConfigurationError("the time zone %r is not known on this host" % zone,
                                 remedy="Name one of /usr/share/zoneinfo, such as Europe/Berlin, or install tzdata")
