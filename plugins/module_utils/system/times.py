# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Times as text: RFC 3339 in UTC, and the stamp that names have in them."""

from __future__ import annotations

from datetime import datetime, timezone

# Clocks of hosts differ by so many seconds without anybody having to know; what is later than that is from the future.
CLOCKS_DIFFER = 600


def stamp(time):
    """``YYYYMMDDTHHMMSSZ`` of an aware datetime (ISO 8601, basic format, UTC)."""
    return time.astimezone(timezone.utc).strftime("%Y%m%dT%H%M%SZ")


def format_time(time):
    """RFC 3339 in UTC, to the second."""
    return time.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text):
    """An aware datetime out of RFC 3339 text.

    Raises:
        ValueError: for anything else, a time without its offset too.
    """
    if text.endswith(("Z", "z")):
        text = text[:-1] + "+00:00"
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError("a time without an offset from UTC: %r" % text)
    return time
