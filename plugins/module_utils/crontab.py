# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The five fields that say when cron runs something.

cron ignores a whole file because of one field that it does not understand, and says so nowhere but in its own log: so
they are looked at before they are installed. Source: crontab(5).
"""

from __future__ import annotations

import re

MONTHS = dict(zip("jan feb mar apr may jun jul aug sep oct nov dec".split(), range(1, 13)))
WEEKDAYS = dict(zip("sun mon tue wed thu fri sat".split(), range(7)))
# From field to the least and the greatest number, and the names that stand for some.
FIELDS = {"minute": (0, 59, {}), "hour": (0, 23, {}), "day": (1, 31, {}), "month": (1, 12, MONTHS), "weekday": (0, 7, WEEKDAYS)}
PART = re.compile(r"(?:\*|([a-z]+|[0-9]+)(?:-([a-z]+|[0-9]+))?)(?:/([0-9]+))?\Z", re.ASCII)


def is_field(field, text):
    """Whether cron understands a text in one of FIELDS."""
    return all(_is_part(FIELDS[field], part) for part in text.lower().split(","))


def on_calendar(schedule):
    """The times of a schedule as systemd has them: the values of one OnCalendar or of two.

    Every number is listed: systemd knows neither all ranges nor all steps of cron.

    Args:
        schedule: from each of FIELDS to its text or number, which is_field.
    """
    texts = {field: str(schedule[field]) for field in FIELDS}
    listed = {field: _listed(field, text) for field, text in texts.items() if field != "weekday"}
    days = {number % 7 for number in _numbers("weekday", texts["weekday"])}
    listed["names"] = ",".join(name.capitalize() for name, number in WEEKDAYS.items() if number in days) + " " if len(days) < 7 else ""
    # cron takes either, where both a day and a weekday are told; what begins with an asterisk is not told, whatever follows.
    if texts["day"].startswith("*") or texts["weekday"].startswith("*"):
        return ["{names}*-{month}-{day} {hour}:{minute}:00".format(**listed)]
    return [each.format(**listed) for each in ("*-{month}-{day} {hour}:{minute}:00", "{names}*-{month}-* {hour}:{minute}:00")]


def most_days(schedule):
    """How many days lie between two times of a schedule at the most. Rather too many than too few: a false alarm is soon ignored.

    Args:
        schedule: from some of FIELDS to their texts or numbers. Of what is left out the variables of the role tell, which are not known
            here: without a day and a weekday it is taken to be once a month.
    """
    day, month, weekday = [None if schedule.get(field) is None else str(schedule[field]) for field in ("day", "month", "weekday")]
    if month not in (None, "*"):
        return 366
    if weekday not in (None, "*") and day in (None, "*"):
        return 7
    if day == weekday == "*":
        return 1
    # Only every other month has a 31st.
    return 62 if day not in (None, "*") and all(int(number) > 28 for number in re.findall("[0-9]+", day)) else 31


def _listed(field, text):
    """All numbers that a text stands for, or an asterisk for every one that there is."""
    least, greatest, _names = FIELDS[field]
    numbers = _numbers(field, text)
    return "*" if len(numbers) > greatest - least else ",".join(map(str, sorted(numbers)))


def _numbers(field, text):
    numbers = set()
    for part in text.lower().split(","):
        first, last, step = PART.match(part).groups()
        least, greatest = FIELDS[field][:2]
        if first is not None:
            least, greatest = _number(FIELDS[field], first), _number(FIELDS[field], last or first)
        numbers.update(range(least, greatest + 1, int(step or 1)))
    return numbers


def _is_part(bounds, text):
    match = PART.match(text)
    if match is None:
        return False
    first, last, step = match.groups()
    numbers = [_number(bounds, each) for each in (first, last) if each is not None]
    if None in numbers or numbers != sorted(numbers):
        return False
    # A step needs something to step through.
    return step is None or (int(step) > 0 and (first is None or last is not None))


def _number(bounds, text):
    """The number that a text stands for, or None."""
    least, greatest, names = bounds
    number = int(text) if text.isdigit() else names.get(text, -1)
    return number if least <= number <= greatest else None
