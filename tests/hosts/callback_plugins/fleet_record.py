# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes down what every task said, one JSON line each, so that tests read results and not screens."""

from __future__ import annotations

import json
import os

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: fleet_record
type: notification
short_description: Record the result of each task
description: Appends one JSON object for each result to the file that E(FLEET_RECORD) names.
"""


class CallbackModule(CallbackBase):
    """Appends every result to a file."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "fleet_record"

    def _record(self, status, result, ignored=False):
        line = {"host": result.host.get_name(), "task": result.task.get_name(), "action": result.task.action,
                "status": status, "ignored": ignored, "result": result.result}
        with open(os.environ["FLEET_RECORD"], "a", encoding="utf-8", errors="surrogateescape") as stream:
            stream.write(json.dumps(line, default=repr) + "\n")

    def v2_runner_on_ok(self, result):
        """A task that went well."""
        self._record("ok", result)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        """A task that failed."""
        self._record("failed", result, ignore_errors)

    def v2_runner_on_skipped(self, result):
        """A task whose condition did not hold."""
        self._record("skipped", result)

    def v2_runner_on_unreachable(self, result):
        """A host that could not be reached."""
        self._record("unreachable", result)
