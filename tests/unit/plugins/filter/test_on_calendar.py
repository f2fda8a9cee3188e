# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible.errors import AnsibleError

from ansible_collections.appstate.backup.plugins.filter import on_calendar as plugin

on_calendar = plugin.FilterModule().filters()["on_calendar"]

SCHEDULE = {"minute": "7", "hour": 3, "day": "1", "month": "*", "weekday": "sun-thu"}


def test_each_expression_starts_a_run():
    assert on_calendar(SCHEDULE) == ["*-*-1 3:7:00", "Sun,Mon,Tue,Wed,Thu *-*-* 3:7:00"]


@pytest.mark.parametrize("told, said", [
    ("daily", "appstate.backup.on_calendar: a schedule is a dictionary, not a str."),
    ({"minute": 7}, "appstate.backup.on_calendar: a schedule has minute, hour, day, month and weekday; 'hour' is not there."),
    (dict(SCHEDULE, weekday="fri-sun"), "appstate.backup.on_calendar: 'weekday' is 'fri-sun', which cron does not understand. "
                                        "Write it as crontab(5) has it."),
])
def test_what_cron_does_not_understand_fails_the_task(told, said):
    with pytest.raises(AnsibleError) as failure:
        on_calendar(told)
    assert said in str(failure.value)
