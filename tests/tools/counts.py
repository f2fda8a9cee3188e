# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How many tests a check ran, read from what its tool wrote down; a check that counts nothing has failed."""

from __future__ import annotations

import collections
import json
import re
import xml.etree.ElementTree

Count = collections.namedtuple("Count", "passed failed notes")


def one(check, status, output):
    """A tool that says yes or no by its exit code."""
    return Count(int(status == 0), int(status != 0), [])


def importer(check, status, output):
    """Galaxy's importer: it exits with 0 also when it has a warning, and then the collection is not fit to be published."""
    said = re.findall(r"^(?:WARNING|ERROR): .*", output, flags=re.MULTILINE)
    return one(check, status or len(said), output)


def pytest(check, status, output):
    """pytest's own report; a test that was skipped or expected to fail counts as failed: here every test has to run."""
    try:
        suites = list(xml.etree.ElementTree.parse(check.report).getroot().iter("testsuite"))
    except (OSError, xml.etree.ElementTree.ParseError):
        return Count(0, 1, ["pytest left no report"])
    total, bad, skipped = (sum(int(suite.get(name, 0)) for suite in suites for name in names)
                           for names in (("tests",), ("failures", "errors"), ("skipped",)))
    notes = ["%d tests did not run" % skipped] if skipped else []
    if total == 0:
        notes.append("pytest found no test")
    failed = bad + skipped
    if failed == 0 and (status != 0 or total == 0):
        failed = 1
    return Count(max(total - bad - skipped, 0), failed, notes)


def torture(check, status, output):
    """The campaign's own figures: how often it tried to break a promise, and how often one was broken."""
    try:
        rows = json.loads(check.report.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return Count(0, 1, ["the campaign left no figures"])
    bad = sum(row["bad"] for row in rows)
    if not bad and (status != 0 or not rows):
        bad = 1
    return Count(sum(row["tried"] for row in rows), bad, [])


def sanity(check, status, output):
    """ansible-test sanity: one for each test and Python; says which Python it did not find."""
    absent = re.findall(r'Skipping sanity test "[^"]+" on Python (\S+) because it could not be found', output)
    notes = ["not checked on Python %s, which is not installed" % version for version in sorted(set(absent))]
    return ansible_test(status, output, r'^Running sanity test "', "sanity", notes)


def integration(check, status, output):
    """ansible-test integration: one for each target."""
    return ansible_test(status, output, r"^Running \S+ integration test (?:role|script)", "integration", [])


def ansible_test(status, output, started, kind, notes):
    """Count the tests that ansible-test started, less those that it lists as failed at the end."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", output)
    total = len(re.findall(started, text, flags=re.MULTILINE))
    listed = re.search(r"The (\d+) %s test\(s\) listed below" % kind, text)
    failed = int(listed.group(1)) if listed else int(status != 0)
    if total == 0:
        return Count(0, max(failed, 1), notes + ["ansible-test ran nothing"])
    return Count(max(total - failed, 0), failed, notes)
