# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.description import Reader
from ansible_collections.appstate.backup.plugins.module_utils.settings import read_settings
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import ConfigurationError

SECRET = "https://hc.example/ping/5ecre7"


def read(**told):
    """The Settings of an app with those keys."""
    return read_settings(Reader("notes"), told)


def test_what_holds_when_nothing_is_said():
    settings = read()
    assert settings.retention.keeps_all and settings.retention.timezone == "UTC" and settings.retention.before_restore is None
    assert (settings.shrink_rows, settings.shrink_size, settings.hook_timeout) == (50.0, 75.0, 300.0)
    assert settings.before == settings.after == settings.on_error == []
    assert (settings.ping, settings.metrics_directory, settings.max_age) == (None, None, None)
    assert settings.syslog is True and settings.allow_network_destination is False


def test_everything_that_can_be_said():
    settings = read(
        retention={"keep_last": 1, "keep_within": "2d", "keep_hourly": 2, "keep_daily": 3, "keep_weekly": 4, "keep_monthly": 5,
                   "keep_yearly": 6, "timezone": "Europe/Berlin", "before_restore": "14d"},
        shrink_guard={"rows": 10, "size": 20.5},
        hooks={"before": [["sync"]], "after": [["true"]], "on_error": [["logger", "red"]], "timeout": 5},
        monitoring={"ping": {"url": SECRET, "style": "snitch", "timeout": 3, "attempts": 1}, "metrics_directory": "/srv/metrics/",
                    "max_age": "26h", "syslog": False},
        allow_network_destination=True)
    assert settings.retention.counts == {"keep_last": 1, "keep_hourly": 2, "keep_daily": 3, "keep_weekly": 4, "keep_monthly": 5,
                                         "keep_yearly": 6}
    assert (str(settings.retention.within), str(settings.retention.before_restore)) == ("2d", "14d")
    assert not settings.retention.keeps_all and settings.retention.timezone == "Europe/Berlin"
    assert (settings.shrink_rows, settings.shrink_size) == (10.0, 20.5)
    assert (settings.before, settings.after, settings.on_error) == ([["sync"]], [["true"]], [["logger", "red"]])
    assert (settings.ping.url, settings.ping.style, settings.ping.timeout, settings.ping.attempts) == (SECRET, "snitch", 3.0, 1)
    assert (settings.metrics_directory, str(settings.max_age), settings.syslog) == ("/srv/metrics", "26h", False)
    assert settings.allow_network_destination is True


@pytest.mark.parametrize("told, words", [
    ({"retention": {"keep_dayly": 7}}, "'keep_daily'"),
    ({"retention": {"keep_daily": 0}}, "keeps nothing"),
    ({"retention": {"keep_last": 0, "timezone": "UTC"}}, "keeps nothing"),
    ({"retention": {"keep_within": "0d"}}, "above 0"),
    ({"retention": {"keep_daily": 1, "timezone": ""}}, "'timezone'"),
    ({"retention": [7]}, "dictionary"),
    ({"shrink_guard": {"row": 5}}, "'rows'"),
    ({"shrink_guard": 50}, "dictionary"),
    ({"hooks": {"befor": []}}, "'before'"),
    ({"hooks": {"before": [["a"]], "timeout": 0}}, "above 0"),
    ({"monitoring": {"pings": {}}}, "'ping'"),
    ({"monitoring": {"ping": {"url": SECRET, "style": "pagerduty"}}}, "healthchecks, snitch, uptime_kuma"),
    ({"monitoring": {"ping": {"style": "snitch"}}}, "'url' of 'ping'"),
    ({"monitoring": {"metrics_directory": "metrics"}}, "absolute"),
    ({"monitoring": {"max_age": 24}}, "duration"),
    ({"monitoring": {"syslog": "yes"}}, "true or false"),
    ({"allow_network_destination": "yes"}, "true or false"),
])
def test_what_is_wrong_is_refused_by_name(told, words):
    with pytest.raises(ConfigurationError) as caught:
        read(**told)
    assert str(caught.value).startswith("app notes: ") and words in str(caught.value)


@pytest.mark.parametrize("told", [
    {"monitoring": SECRET}, {"monitoring": [SECRET]}, {"monitoring": {"ping": SECRET}}, {"monitoring": {"ping": {"url": [SECRET]}}},
    {"monitoring": {"ping": {"url": SECRET + " "}}}, {"monitoring": {"ping": {"url": SECRET + "\n"}}},
    {"monitoring": {"ping": {"url": "htps" + SECRET[5:]}}}, {"monitoring": {"ping": {"url": SECRET, "timeout": -1}}},
    {"monitoring": {"ping": {"url": SECRET + "\u00e4"}}}, {"monitoring": {"ping": {"url": {SECRET: 1}}}},
])
def test_the_url_of_a_ping_is_in_no_message(told):
    with pytest.raises(ConfigurationError) as caught:
        read(**told)
    assert "5ecre7" not in str(caught.value) and "5ecre7" not in str(caught.value.to_dict())
