# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filter ``drill_records``: one record for each app that was to be drilled on a host, whatever became of it.

What a host cannot tell by itself is added here: that it was not reached, and whether an expression over the answer of the
app's health URL, for which a host needs no package, is true.
"""

from __future__ import annotations

from ansible.errors import AnsibleError

from ansible_collections.appstate.backup.plugins.module_utils.profiles.profiles import resolve
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import ConfigurationError
from ansible_collections.appstate.backup.plugins.plugin_utils.expression import ExpressionError, is_true
from ansible_collections.appstate.backup.plugins.plugin_utils.plain import plain

NAME = "appstate.backup.drill_records"
# What stands in the place of a drill that gave none.
NOTHING = {"drilled": None, "ok": False, "backup": None, "remote": None, "which": None, "rpo_seconds": None, "restored_seconds": None,
           "healthy_seconds": None, "rto_seconds": None, "bytes": None, "objectives": {"rpo_seconds": None, "rto_seconds": None},
           "warnings": [], "cases": []}


def drill_records(apps, result, host):
    """The records for ``apps``, out of the result of a loop over their numbers with backup_drill."""
    result = plain(result, NAME)
    if not isinstance(result, dict):
        raise AnsibleError("%s: the result of a task is needed, not a %s." % (NAME, type(result).__name__))
    by_number = dict(enumerate(result.get("results") or []))
    found = [(app, by_number.get(number, result)) for number, app in enumerate(apps)]
    return [_record(app, each, str(host)) for app, each in found if not _foretold(each)]


def _foretold(result):
    """Whether it is that of check mode, which only says which backup would be restored."""
    return "backup" in result and "drill" not in result


def _record(app, result, host):
    name = str(app.get("name", "an app without a name"))
    record = result.get("drill")
    if not isinstance(record, dict):
        said = "the host could not be reached: %s" if result.get("unreachable") else "%s"
        return dict(NOTHING, app=name, host=host, problem=said % (result.get("msg") or "the module gave no answer").strip())
    record = dict(record, host=host)
    try:
        expression = expression_of(resolve(app))
    except ConfigurationError as error:
        return dict(record, ok=False, problem=record.get("problem") or str(error))
    if expression is None or not any(case["check"] == "health" and case["outcome"] == "passed" for case in record["cases"]):
        return record
    return _with_case(record, expression, _problem(expression, result.get("answer")))


def expression_of(app):
    """The expression that the answer of a started app, with what its profile says, has to be true of, or None."""
    drill = app.get("drill") or {}
    health = (drill.get("health") or app.get("health") or {}) if drill.get("boot") else {}
    return health.get("expression")


def _problem(expression, answer):
    if answer is None:
        return "the app did not answer with JSON, of which %s could be true" % expression
    try:
        return None if is_true(expression, answer, NAME) else "the expression %s is not true of the answer" % expression
    except ExpressionError as error:
        return str(error)


def _with_case(record, expression, problem):
    record["cases"] = [case for case in record["cases"] if (case["check"], case["about"]) != ("health", expression)]
    case = {"check": "health", "about": expression, "outcome": "passed" if problem is None else "failed", "seconds": 0.0,
            "message": problem or ""}
    record["cases"] = record["cases"] + [case]
    if problem is not None and record["ok"]:
        record.update(ok=False, problem="app %s: drill: health: %s" % (record["app"], problem))
    return record


class FilterModule:
    """What Ansible looks for in a file of filters."""

    def filters(self):
        """The filters by name."""
        return {"drill_records": drill_records}
