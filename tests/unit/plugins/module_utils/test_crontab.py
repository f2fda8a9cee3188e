# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.app import parse_app
from ansible_collections.appstate.backup.plugins.module_utils.crontab import is_field, most_days, on_calendar
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import ConfigurationError


@pytest.mark.parametrize("field, text", [
    ("minute", "*"), ("minute", "0"), ("minute", "59"), ("minute", "*/15"), ("minute", "0,30"), ("minute", "5-55/10"),
    ("hour", "23"), ("hour", "1-5,22"), ("day", "1"), ("day", "31"), ("month", "12"), ("month", "jan"), ("month", "Jan-Mar"),
    ("weekday", "0"), ("weekday", "7"), ("weekday", "mon,wed"), ("weekday", "1-5"), ("weekday", "SAT"),
])
def test_what_cron_understands(field, text):
    assert is_field(field, text)


@pytest.mark.parametrize("field, text", [
    ("minute", "60"), ("minute", "-1"), ("minute", ""), ("minute", "5-"), ("minute", "*/0"), ("minute", "0/5"), ("minute", "1,"),
    ("minute", "a"), ("minute", "1 2"), ("minute", "10-5"), ("minute", "*\n"), ("minute", "1;2"), ("minute", "%"), ("minute", "٣"),
    ("hour", "24"), ("hour", "mon"), ("day", "0"), ("day", "32"), ("month", "0"), ("month", "13"), ("month", "mon"),
    ("weekday", "8"), ("weekday", "january"), ("weekday", "mon*"), ("minute", "**"),
])
def test_what_cron_does_not_understand(field, text):
    assert not is_field(field, text)


@pytest.mark.parametrize("schedule, days", [
    ({"day": "*", "month": "*", "weekday": "*"}, 1), ({"hour": "*/6", "day": "*", "weekday": "*", "month": None}, 1),
    ({"weekday": "sun"}, 7), ({"weekday": 0}, 7), ({"day": "*", "month": "*", "weekday": "mon-fri"}, 7),
    ({"day": 1}, 31), ({"day": "*/2", "weekday": "*"}, 31), ({"day": "1,31"}, 31), ({"day": "1", "weekday": "sun"}, 31),
    # Not every month has them.
    ({"day": "31"}, 62), ({"day": "29-31"}, 62), ({"month": "1,7", "weekday": "sun"}, 366), ({"month": "jan"}, 366),
    # What is not there is left to the role.
    ({}, 31), ({"hour": 5}, 31), ({"weekday": "*"}, 31), ({"day": "*"}, 31)])
def test_how_many_days_lie_between_two_times_of_a_schedule(schedule, days):
    assert most_days(schedule) == days


NIGHTLY = {"minute": "7", "hour": "3", "day": "*", "month": "*", "weekday": "*"}


@pytest.mark.parametrize("weekday, names", [
    ("0", "Sun "), ("7", "Sun "), ("sun", "Sun "), ("MON", "Mon "), ("Mon,wed", "Mon,Wed "), ("1-5", "Mon,Tue,Wed,Thu,Fri "),
    ("0-4", "Sun,Mon,Tue,Wed,Thu "), ("sun-thu", "Sun,Mon,Tue,Wed,Thu "), ("5-7", "Sun,Fri,Sat "), ("1-5/2", "Mon,Wed,Fri "),
    ("1-7/3", "Sun,Mon,Thu "), ("*/2", "Sun,Tue,Thu,Sat "), ("*/7", "Sun "), ("*/1", ""), ("*", ""), ("*,1", ""), ("0-6", ""),
])
def test_the_weekdays_of_cron_are_names_to_systemd(weekday, names):
    assert on_calendar(dict(NIGHTLY, weekday=weekday)) == [names + "*-*-* 3:7:00"]


@pytest.mark.parametrize("schedule, times", [
    ({"minute": "*", "hour": "*"}, "*-*-* *:*:00"), ({"minute": "*/20", "hour": "1-5,22"}, "*-*-* 1,2,3,4,5,22:0,20,40:00"),
    ({"minute": "5-55/25", "hour": "*/8"}, "*-*-* 0,8,16:5,30,55:00"), ({"minute": 0, "hour": 4}, "*-*-* 4:0:00"),
    ({"day": "*/10", "month": "Jan-mar,12"}, "*-1,2,3,12-1,11,21,31 3:7:00"), ({"day": "1-31"}, "*-*-* 3:7:00"),
])
def test_the_times_of_cron_as_systemd_has_them(schedule, times):
    assert on_calendar(dict(NIGHTLY, **schedule)) == [times]


def test_of_a_day_and_a_weekday_either_will_do():
    both = ["*-*-1,15 3:7:00", "Mon *-*-* 3:7:00"]
    assert on_calendar(dict(NIGHTLY, day="1,15", weekday="mon")) == both
    assert on_calendar(dict(NIGHTLY, day="1", weekday="0-6")) == ["*-*-1 3:7:00", "*-*-* 3:7:00"]


def test_what_begins_with_an_asterisk_has_to_fit_too():
    """To cron it is no restriction, whatever comes after the asterisk."""
    assert on_calendar(dict(NIGHTLY, day="1-7", weekday="*/7")) == ["Sun *-*-1,2,3,4,5,6,7 3:7:00"]
    assert on_calendar(dict(NIGHTLY, day="*/10", weekday="mon")) == ["Mon *-*-1,11,21,31 3:7:00"]


def described(schedule):
    return {"name": "notes", "root": "/srv/notes", "destination": "/var/backups", "schedule": schedule,
            "sources": [{"type": "sqlite", "path": "notes.db"}]}


@pytest.mark.parametrize("schedule", [{}, {"minute": ""}, {"minute": 7, "hour": "*/6"}, {"weekday": None}])
def test_an_app_with_a_schedule(schedule):
    assert parse_app(described(schedule)).name == "notes"


@pytest.mark.parametrize("schedule", [{"minute": 60}, {"hour": ""}, {"hour": True}, {"day": 1.5}, {"month": ["1"]}])
def test_an_app_whose_schedule_cron_would_ignore_is_refused(schedule):
    with pytest.raises(ConfigurationError, match="app notes: .* of 'schedule' is .*, which cron does not understand"):
        parse_app(described(schedule))


def test_an_unknown_field_of_a_schedule_is_refused():
    with pytest.raises(ConfigurationError, match="'schedule' has an unknown key 'mintue'.*Did you mean 'minute'"):
        parse_app(described({"mintue": 5}))
