# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as some

from ansible_collections.appstate.backup.plugins.module_utils.description import Duration, Reader, is_url
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import ConfigurationError

READER = Reader("notes")
PART = "'part'"


def refused(read, *arguments):
    """The message of a refusal, which names the app."""
    with pytest.raises(ConfigurationError) as caught:
        read(*arguments)
    assert str(caught.value).startswith("app notes: ")
    return str(caught.value)


@pytest.mark.parametrize("text, numbers", [
    ("1y2m3d4h", (1, 2, 3, 4)), ("7d", (0, 0, 7, 0)), ("36h", (0, 0, 0, 36)), ("1y", (1, 0, 0, 0)), ("6m1h", (0, 6, 0, 1)),
])
def test_a_duration_is_read_and_shown_as_it_was_written(text, numbers):
    read = READER.duration({"key": text}, "key", PART)
    assert (read.years, read.months, read.days, read.hours) == numbers
    assert str(read) == text


@pytest.mark.parametrize("value", ["", "7", "d", "1w", "4h3d", "-1d", "1.5d", " 1d", "1d\n", "0d", "0y0m0d0h", 7, True, ["1d"], None,
                                   "1d1d", "99999999999d"])
def test_what_is_no_duration_is_refused(value):
    assert "1y2m3d4h" in refused(READER.duration, {"key": value}, "key", PART)


@pytest.mark.parametrize("duration, time, expected", [
    (Duration(months=1), (2026, 3, 31), (2026, 2, 28)),
    (Duration(months=1), (2028, 3, 31), (2028, 2, 29)),
    (Duration(years=1), (2028, 2, 29), (2027, 2, 28)),
    (Duration(months=12), (2026, 1, 15), (2025, 1, 15)),
    (Duration(months=13), (2026, 1, 15), (2024, 12, 15)),
    (Duration(days=1), (2026, 3, 1), (2026, 2, 28)),
    (Duration(years=1, months=1, days=1), (2026, 3, 1), (2025, 1, 31)),
    (Duration(years=9999), (2026, 1, 1), (1, 1, 1)),
    (Duration(years=2025, days=40), (2026, 1, 15), (1, 1, 1)),
])
def test_before_a_time(duration, time, expected):
    assert duration.before(datetime(*time, tzinfo=timezone.utc)) == datetime(*expected, tzinfo=timezone.utc)


NUMBERS = some.integers(0, 9999)


@given(some.builds(Duration, NUMBERS, NUMBERS, some.integers(0, 99999), some.integers(0, 999999)),
       some.datetimes(timezones=some.just(timezone.utc)))
def test_before_a_time_is_never_after_it(duration, time):
    assert duration.before(time) <= time


def test_an_unknown_key_is_told_with_the_one_that_was_meant():
    assert "Did you mean 'keep_daily'?" in refused(READER.known, {"keep_dayly": 1}, ("keep_daily", "keep_last"), PART)
    assert "Known keys: a, b" in refused(READER.known, {"zzz": 1}, ("a", "b"), PART)


def test_what_is_no_dictionary_is_not_shown_since_it_may_be_a_secret():
    message = refused(READER.known, "https://ping.example/secret", ("url",), PART)
    assert "dictionary" in message and "secret" not in message


@pytest.mark.parametrize("value", [-1, 1.5, "3", True, [1]])
def test_a_count_is_a_whole_number(value):
    assert re.search("'keep_last' of 'part'.*0 or more", refused(READER.count, {"keep_last": value}, "keep_last", PART))


def test_a_count_that_is_not_there_is_none_at_all():
    assert READER.count({}, "keep_last", PART) == 0 == READER.count({"keep_last": None}, "keep_last", PART)


@pytest.mark.parametrize("value", [0, -1, 101, "50", True, None])
def test_a_percentage_is_above_0(value):
    if value is None:
        assert READER.percent({"rows": None}, "rows", 50, PART) == 50.0
    else:
        assert "percentage" in refused(READER.percent, {"rows": value}, "rows", 50, PART)


def test_commands_are_lists_of_argv():
    assert READER.commands({"before": [["sync"], ["podman", "pause", "x"]]}, "before", PART) == [["sync"], ["podman", "pause", "x"]]
    assert READER.commands({"before": None}, "before", PART) == READER.commands({}, "before", PART) == []


@pytest.mark.parametrize("value", ["systemctl stop x", ["systemctl", "stop", "x"], [[]], [["a", 1]], [["a\0b"]], [[""]], {"a": "b"}, 7])
def test_what_is_no_list_of_argv_is_refused(value):
    assert "'before'" in refused(READER.commands, {"before": value}, "before", PART)


@pytest.mark.parametrize("value, good", [
    ("https://ops.example", True), ("http://ops.example:8080/a?b=c#d", True), ("https://user:pass@[::1]:443/", True),
    ("ftp://ops.example", False), ("https://", False), ("https:///path", False), ("https://ops.example/a b", False),
    ("https://ops.example/\n", False), ("https://ops.example:port/", False), ("https://ops.example:70000", False),
    ("https://ops.example:0", False), ("https://[::1/", False), (b"https://ops.example", False), (None, False)])
def test_what_is_a_url(value, good):
    assert is_url(value) is good
