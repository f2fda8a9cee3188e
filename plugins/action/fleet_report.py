# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action ``fleet_report``: writes what hosts told as one page and one JSON file, on the controller."""

from __future__ import annotations

import json
import os
import tempfile
from datetime import datetime, timezone

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.appstate.backup.plugins.module_utils.system.times import format_time
from ansible_collections.appstate.backup.plugins.plugin_utils.fleet import report_of, told_of
from ansible_collections.appstate.backup.plugins.plugin_utils.page import page_of

ARGUMENTS = {"dest": {"type": "path", "required": True}, "hosts": {"type": "list", "elements": "str", "required": True},
             "standing": {"type": "str", "required": True}, "coverage": {"type": "str", "required": True}}
JSON, PAGE = "report.json", "report.html"


class ActionModule(ActionBase):
    """What Ansible looks for in a file of actions."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Reads what each host registered, and writes the two files."""
        super().run(tmp, task_vars)
        unused, arguments = self.validate_argument_spec(ARGUMENTS)
        if not arguments["dest"]:
            raise AnsibleActionFail("'dest' is empty. It names the directory on the controller that the report is written to.")
        report = report_of(_answers(arguments, task_vars["hostvars"]), format_time(datetime.now(timezone.utc)))
        dest = os.path.abspath(arguments["dest"])
        if not self._task.check_mode:
            try:
                _write(dest, {JSON: json.dumps(report, allow_nan=False, separators=(",", ":")) + "\n", PAGE: page_of(report)})
            except OSError as error:
                raise AnsibleActionFail("The report cannot be written to %s: %s" % (dest, error.strerror)) from None
        return {"changed": True, "page": os.path.join(dest, PAGE), "json": os.path.join(dest, JSON),
                "summary": report["summary"], "told": told_of(report)}


def _answers(arguments, hostvars):
    """What each host registered under the two names. It is not templated: nothing in it is ours, and there can be a lot."""
    for host in arguments["hosts"]:
        if host not in hostvars:
            raise AnsibleActionFail("'hosts' names %s, which the inventory does not have." % host)
        variables = hostvars.raw_get(host)
        yield host, variables.get(arguments["standing"]), variables.get(arguments["coverage"])


def _write(directory, files):
    """Replaces files in a directory, each whole or not at all; one that is missing is made, private."""
    os.makedirs(directory, mode=0o700, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".report-", dir=directory) as room:
        for name, text in files.items():
            # Who may read them the directory says, and the umask.
            with open(os.path.join(room, name), "w", encoding="utf-8") as file:
                file.write(text)
        for name in files:
            os.replace(os.path.join(room, name), os.path.join(directory, name))
