# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime
import time

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.app import parse_app
from ansible_collections.appstate.backup.plugins.module_utils.naming import STEM
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import ConfigurationError

CREATED = datetime.datetime(2026, 3, 9, 23, 30, 5, tzinfo=datetime.timezone.utc)


def name(pattern, **words):
    told = {"name": "notes", "root": "/srv/notes", "destination": "/var/backups", "sources": [{"type": "files", "path": "data"}],
            "filename": pattern}
    return parse_app(dict(told, **words)).rolling_name


@pytest.mark.parametrize("pattern, expected", [
    ("{app}-%H", "notes-23"), ("{app}-%d", "notes-09"), ("%j-{app}", "068-notes"), ("{app}_%Y-%m_%V", "notes_2026-03_11"),
    ("%u", "1"), ("{app}", "notes"), ("weekly%w", "weekly1"), ("{app}-%y%G%M%S", "notes-2620263005"), ("{app}-{app}", "notes-notes")])
def test_patterns(pattern, expected):
    stem = name(pattern).stem("notes", CREATED)
    assert stem == expected and STEM.match(stem)


def test_none_is_none():
    assert name(None) is None


def test_hours_and_days_begin_in_the_time_zone_of_retention():
    zone = {"retention": {"keep_last": 1, "timezone": "Europe/Berlin"}}
    assert name("{app}-%d-%H", **zone).stem("notes", CREATED) == "notes-10-00"
    assert name("{app}-%d-%H").stem("notes", CREATED) == "notes-09-23"
    # The hour that comes twice in autumn has one name.
    hours = [datetime.datetime(2026, 10, 25, hour, 30, tzinfo=datetime.timezone.utc) for hour in (0, 1, 2)]
    assert [name("{app}-%H", **zone).stem("notes", hour) for hour in hours] == ["notes-02", "notes-02", "notes-03"]


def test_the_time_zone_of_the_host_is_left_alone(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert name("%H").stem("notes", CREATED) == "23"
        assert name("%H", retention={"keep_last": 1, "timezone": "America/New_York"}).stem("notes", CREATED) == "19"
        assert time.localtime(CREATED.timestamp()).tm_hour == 8
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_time_zone_that_this_host_does_not_know():
    pattern = name("%H", retention={"keep_last": 1, "timezone": "Mars/Base"})
    with pytest.raises(ConfigurationError, match="Mars/Base"):
        pattern.stem("notes", CREATED)


@pytest.mark.parametrize("pattern", [
    "", "%", "%%", "a b", "../%H", "/x", "a/%d", ".%H", "-%H", "{host}-%H", "%A", "%s", "%H.%M", "{app}-%-H", "%c", "x" * 201, "\u0661", "%H\n"])
def test_patterns_that_are_none(pattern):
    with pytest.raises(ConfigurationError) as caught:
        name(pattern)
    assert str(caught.value).startswith("app notes: 'filename' ") and caught.value.exit_code == 78
    assert pattern == "" or "Write {app}-%H for a day of hours" in str(caught.value)


@pytest.mark.parametrize("pattern", ["{app}-%Y%m%dT%H%M%SZ", "x-20260101T%H0000Z", "{app}-20260101T000000Z"])
def test_the_names_of_backups_that_have_no_rolling_name_are_not_for_others(pattern):
    with pytest.raises(ConfigurationError, match="which is how backups are called that have no rolling name. Leave it out"):
        name(pattern)


def test_it_is_a_text():
    with pytest.raises(ConfigurationError, match="'filename' of the app is not a text"):
        name(["%H"])
