# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as some

from ansible_collections.appstate.backup.plugins.module_utils.system.times import format_time, parse_time, stamp

SUMMER = datetime(2026, 7, 1, 14, 30, 5, 999999, timezone(timedelta(hours=2)))


def test_both_ways_of_writing_tell_utc_to_the_second():
    assert format_time(SUMMER) == "2026-07-01T12:30:05Z"
    assert stamp(SUMMER) == "20260701T123005Z"


@pytest.mark.parametrize("text", ["2026-07-01T12:30:05Z", "2026-07-01T12:30:05z", "2026-07-01T14:30:05+02:00",
                                  "2026-07-01 12:30:05+00:00", "2026-07-01T07:00:05-05:30"])
def test_a_time_is_read_with_its_offset(text):
    assert parse_time(text) == SUMMER.replace(microsecond=0)


@pytest.mark.parametrize("text", ["", "Z", "yesterday", "2026-07-01T12:30:05", "2026-13-01T12:30:05Z", "2026-07-01T25:30:05Z", "1782909005"])
def test_anything_else_is_no_time(text):
    with pytest.raises(ValueError):
        parse_time(text)


@given(some.datetimes(min_value=datetime(1000, 1, 1), timezones=some.sampled_from([timezone.utc, timezone(timedelta(hours=-11))]))
       .map(lambda time: time.replace(microsecond=0)))
def test_what_was_written_is_read(time):
    assert parse_time(format_time(time)) == time
