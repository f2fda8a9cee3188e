# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filter ``on_calendar``: a schedule of cron as the timers of systemd have it."""

from __future__ import annotations

from ansible.errors import AnsibleError

from ansible_collections.appstate.backup.plugins.module_utils import crontab

NAME = "appstate.backup.on_calendar"


def on_calendar(schedule):
    """The values of ``OnCalendar`` that together start what the fields of cron start."""
    if not isinstance(schedule, dict):
        raise AnsibleError("%s: a schedule is a dictionary, not a %s." % (NAME, type(schedule).__name__))
    for field in crontab.FIELDS:
        if field not in schedule:
            raise AnsibleError("%s: a schedule has minute, hour, day, month and weekday; %r is not there." % (NAME, field))
        if not crontab.is_field(field, str(schedule[field])):
            raise AnsibleError("%s: %r is %r, which cron does not understand. Write it as crontab(5) has it."
                               % (NAME, field, str(schedule[field])))
    return crontab.on_calendar(schedule)


class FilterModule:
    """What Ansible looks for in a file of filters."""

    def filters(self):
        """The filters by name."""
        return {"on_calendar": on_calendar}
