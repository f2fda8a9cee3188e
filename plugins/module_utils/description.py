# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Typed values out of a dictionary that an operator wrote; each failure names the app, the key and what would be right."""

from __future__ import annotations

import calendar
import difflib
import os
import re
from datetime import timedelta
from urllib.parse import urlsplit

from .system.errors import ConfigurationError

MODE = re.compile(r"0?[0-7]{3,4}\Z")
DURATION = re.compile(r"(?:(\d{1,4})y)?(?:(\d{1,4})m)?(?:(\d{1,5})d)?(?:(\d{1,6})h)?\Z")
URL = re.compile(r"https?://[^\x00-\x20\x7f]+\Z")
# What lies in an archive beside the application's own files.
RESERVED = ".appstate"


class Reader:
    """Reads the dictionaries of one app."""

    def __init__(self, app_name):
        self._app_name = app_name

    def fail(self, message, remedy=None):
        raise ConfigurationError(message, app=self._app_name, remedy=remedy)

    def known(self, told, keys, what):
        if not isinstance(told, dict):
            # Not the value itself: somebody may have written a secret URL in this place.
            self.fail("%s is a dictionary, not a %s" % (what, type(told).__name__))
        for key in told:
            if key not in keys:
                near = difflib.get_close_matches(str(key), keys, 1)
                self.fail("%s has an unknown key %r" % (what, key),
                          "Did you mean %r?" % near[0] if near else "Known keys: %s" % ", ".join(keys))

    def optional(self, told, key, read):
        return None if told.get(key) is None else read(told, key)

    def text(self, told, key, what="the app"):
        value = told.get(key)
        if value is None:
            self.fail("%s needs %r, a text" % (what, key))
        if not is_text(value):
            self.fail("%r of %s is not a text: %r" % (key, what, value))
        return str(value)

    def absolute(self, told, key):
        value = self.text(told, key)
        if not value.startswith("/"):
            self.fail("%r is not an absolute path: %r" % (key, value), "Begin it with a slash")
        clean = os.path.normpath("/" + value.lstrip("/"))
        if ".." in value.split("/") or clean == "/":
            self.fail("%r may not be %r" % (key, value), "Name one directory, without '..'")
        return clean

    def relative(self, told, what, key="path"):
        value = self.text(told, key, what)
        if value.startswith("/"):
            self.fail("the %s of %s is absolute: %r" % (key, what, value), "Paths of sources are relative to the root")
        parts = [part for part in value.split("/") if part not in ("", ".")]
        if ".." in parts:
            self.fail("the %s of %s leaves the root: %r" % (key, what, value), "Set 'root' further up")
        if not parts:
            self.fail("the %s of %s is the root itself" % (key, what),
                      "Set 'root' to the directory above, and name this one as the path")
        if parts[0] == RESERVED:
            self.fail("the %s of %s begins with %s, which archives keep for themselves" % (key, what, RESERVED))
        return "/".join(parts)

    def maybe(self, told, key, what):
        """A text, or None where there is none."""
        return None if told.get(key) is None else self.text(told, key, what)

    def maybe_absolute(self, told, key, what):
        """An absolute path, or None where there is none."""
        value = self.maybe(told, key, what)
        if value is not None and not value.startswith("/"):
            self.fail("%r of %s is not an absolute path: %r" % (key, what, value), "Begin it with a slash")
        return value

    def secret(self, told, key, what):
        """A text that no message shows, or None where there is none."""
        value = told.get(key)
        if value is not None and not (isinstance(value, str) and value):
            self.fail("%r of %s is not a text" % (key, what))
        return None if value is None else str(value)

    def items(self, told, key, what):
        """A list, or an empty one where there is none."""
        value = told.get(key) or []
        if not isinstance(value, (list, tuple)):
            # A text or a dictionary in this place may be, or hold, a secret.
            self.fail("%r of %s is a list, not %s" % (key, what, value if is_whole(value) else "a " + type(value).__name__))
        return value

    def account(self, told, key):
        value = told[key]
        if not is_text(value) and not (is_whole(value) and value < 2 ** 32 - 1):
            self.fail("%r is a name or a numeric id, not %r" % (key, value))
        return value if isinstance(value, int) else str(value)

    def mode(self, told, key):
        value = told[key]
        if not isinstance(value, str) or not MODE.match(value):
            self.fail("%r is not a mode: %r" % (key, value), "Write it in octal, in quotes: \"0640\"")
        return int(value, 8)

    def choice(self, told, key, choices):
        value = told.get(key) if told.get(key) is not None else choices[0]
        if value not in choices:
            self.fail("%r is %r; it can be %s" % (key, value, ", ".join(choices)))
        return str(value)

    def seconds(self, told, key, default, what="the app"):
        value = told.get(key) if told.get(key) is not None else default
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e9:
            self.fail("%r of %s is a number of seconds above 0, not %r" % (key, what, value))
        return float(value)

    def flag(self, told, key, default, what):
        value = told.get(key) if told.get(key) is not None else default
        if not isinstance(value, bool):
            self.fail("%r of %s is true or false, not %r" % (key, what, value))
        return value

    def texts(self, value, what, least=0):
        if not isinstance(value, (list, tuple)) or len(value) < least or \
                not all(is_text(item) for item in value):
            self.fail("%s is a list of texts, not %r" % (what, value))
        return [str(item) for item in value]

    def count(self, told, key, what):
        value = told.get(key) if told.get(key) is not None else 0
        if not is_whole(value):
            self.fail("%r of %s is a whole number of 0 or more, not %r" % (key, what, value))
        return value

    def percent(self, told, key, default, what):
        value = told.get(key) if told.get(key) is not None else default
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 100:
            self.fail("%r of %s is a percentage above 0, not %r" % (key, what, value))
        return float(value)

    def duration(self, told, key, what):
        value = told.get(key)
        match = DURATION.match(value) if isinstance(value, str) else None
        numbers = [int(number or 0) for number in match.groups()] if match else []
        if not any(numbers):
            self.fail("%r of %s is a duration above 0, not %r" % (key, what, value),
                      "Write years, months, days and hours as in 1y2m3d4h")
        return Duration(*numbers)

    def commands(self, told, key, what):
        value = told.get(key) or []
        if not isinstance(value, (list, tuple)):
            self.fail("%r of %s is a list of commands, not %r" % (key, what, value))
        return [self.texts(argv, "a command in %r of %s" % (key, what), 1) for argv in value]


class Duration:
    """Years, months, days and hours, as restic writes them: ``1y2m3d4h``."""

    def __init__(self, years=0, months=0, days=0, hours=0):
        self.years = years
        self.months = months
        self.days = days
        self.hours = hours

    def before(self, time):
        """The datetime that lies this long before another; the day is cut to the month's length."""
        months = time.year * 12 + time.month - 1 - self.years * 12 - self.months
        if months < 12:
            return time.replace(year=1, month=1, day=1)
        year, month = divmod(months, 12)
        last = calendar.monthrange(year, month + 1)[1]
        moved = time.replace(year=year, month=month + 1, day=min(time.day, last))
        try:
            return moved - timedelta(days=self.days, hours=self.hours)
        except OverflowError:
            return time.replace(year=1, month=1, day=1)

    def __str__(self):
        parts = ((self.years, "y"), (self.months, "m"), (self.days, "d"), (self.hours, "h"))
        return "".join("%d%s" % part for part in parts if part[0])


def is_text(value):
    """Whether a value is a text that can stand in a path or an argument."""
    return isinstance(value, str) and bool(value) and "\0" not in value and not re.search("[\ud800-\udfff]", value)


def is_url(value):
    """Whether it is an http or https URL with a host, without blanks, and with a port that can be one, if any."""
    try:
        return isinstance(value, str) and bool(URL.match(value) and urlsplit(value).hostname) and urlsplit(value).port != 0
    except ValueError:
        return False


def is_whole(value):
    """Whether a value is a whole number from 0 on; to Python, true and false are numbers too."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
