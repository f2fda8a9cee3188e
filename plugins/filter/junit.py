# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filter ``junit``: what drills found, as JUnit XML for CI servers.

There is no one definition of that format; this is what the schema of Jenkins allows and GitLab reads.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree

from ansible.errors import AnsibleError

from ansible_collections.appstate.backup.plugins.plugin_utils.plain import plain

NAME = "appstate.backup.junit"
OUTCOMES = ("passed", "failed", "skipped")
# XML 1.0 can hold no other characters, not even escaped ones. Lone surrogates are among those it cannot.
FORBIDDEN = re.compile("[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")


def junit(records):
    """A JUnit XML text out of the records of drills."""
    records = plain(records, NAME)
    if not isinstance(records, list):
        raise AnsibleError("%s: drills are given as a list of records, not as a %s." % (NAME, type(records).__name__))
    root = ElementTree.Element("testsuites", name="appstate.drill")
    suites = [_suite(root, record, "record %d" % number) for number, record in enumerate(records, 1)]
    for count in ("tests", "failures", "errors"):
        root.set(count, str(sum(int(suite.get(count)) for suite in suites)))
    root.set("time", "%.3f" % sum(float(suite.get("time")) for suite in suites))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n%s\n' % ElementTree.tostring(root, encoding="unicode")


def _suite(root, record, where):
    """One drill: that of one app on one host."""
    app, host = _text(record, "app", where), _text(record, "host", where)
    cases = _cases(record, "%s (%s on %s)" % (where, app, host))
    outcomes = [case["outcome"] for case in cases]
    suite = _element(root, "testsuite", name="%s@%s" % (app, host), hostname=host, tests=len(cases),
                     failures=outcomes.count("failed"), skipped=outcomes.count("skipped"), errors=0,
                     time="%.3f" % sum(_seconds(case) for case in cases))
    if record.get("drilled"):
        # In UTC, as Ant writes it: some schemas allow no time zone here.
        suite.set("timestamp", _allowed(re.sub("Z$", "", str(record["drilled"]))))
    properties = _element(suite, "properties")
    for name, value in _properties(record).items():
        if value is not None:
            _element(properties, "property", name=name, value=value)
    for case in cases:
        _case(suite, case, "appstate.drill.%s.%s" % (host, app))
    return suite


def _properties(record):
    backup = record.get("backup")
    told = {"backup": backup.get("id") if isinstance(backup, dict) else None}
    told.update((name, record.get(name)) for name in ("rpo_seconds", "rto_seconds", "bytes", "remote"))
    return told


def _cases(record, where):
    """The cases of a record, and one more where it is red and none of them says why: silence is no success."""
    cases = record.get("cases") or []
    if not isinstance(cases, list):
        raise AnsibleError("%s: 'cases' of %s is a %s, not a list." % (NAME, where, type(cases).__name__))
    for number, case in enumerate(cases, 1):
        outcome = _text(case, "outcome", "case %d of %s" % (number, where))
        if outcome not in OUTCOMES:
            raise AnsibleError("%s: the outcome of case %d of %s is %r, which is none of %s."
                               % (NAME, number, where, outcome, ", ".join(OUTCOMES)))
        _text(case, "check", "case %d of %s" % (number, where))
    if record.get("ok") is True and cases or any(case["outcome"] == "failed" for case in cases):
        return cases
    problem = record.get("problem") or "nothing was checked"
    return cases + [{"check": "drill", "outcome": "failed", "message": problem}]


def _case(suite, case, class_name):
    check, about = case["check"], case.get("about")
    name = "%s: %s" % (check, about) if about else check
    told = _element(suite, "testcase", classname=class_name, name=name, time="%.3f" % _seconds(case))
    message = str(case.get("message") or "")
    if case["outcome"] == "failed":
        # Jenkins shows the attribute, GitLab the text.
        _element(told, "failure", message=message, type=check).text = _allowed(message)
    elif case["outcome"] == "skipped":
        _element(told, "skipped", message=message).text = _allowed(message)


def _text(told, key, where):
    """A text that has to be there."""
    if not isinstance(told, dict):
        raise AnsibleError("%s: %s is a %s, not a dictionary." % (NAME, where, type(told).__name__))
    if not isinstance(told.get(key), str):
        raise AnsibleError("%s: %s has no '%s', a text." % (NAME, where, key))
    return told[key]


def _seconds(case):
    """How long a case took; a measure that is missing, or is none, keeps no failure from its reader."""
    seconds = case.get("seconds")
    return float(seconds) if isinstance(seconds, (int, float)) and 0 <= seconds < 1e9 else 0.0


def _element(parent, tag, **attributes):
    return ElementTree.SubElement(parent, tag, {name: _allowed(str(value)) for name, value in attributes.items()})


def _allowed(text):
    return FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)


class FilterModule:
    """What Ansible looks for in a file of filters."""

    def filters(self):
        """The filters by name."""
        return {"junit": junit}
