# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The test ``matching``: is a JMESPath expression true of a document?"""

from __future__ import annotations

from ansible.errors import AnsibleError

try:
    import jmespath
    from jmespath.exceptions import JMESPathError, JMESPathTypeError
except ImportError as error:
    JMESPATH_MISSING = error
else:
    JMESPATH_MISSING = None


def is_true(value):
    """Truth as JMESPath has it: empty strings, lists and objects, ``false`` and ``null`` are false; zero is true."""
    return value is not None and value is not False and value not in ("", [], {})


def plain(value):
    """The document in Python's own types: JMESPath knows a type by its name, and not those that Ansible wraps."""
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, bool):
        return value
    for kind in (str, int, float):
        if isinstance(value, kind):
            return kind(value)
    raise AnsibleError("appstate.backup.matching: the document holds a %s, which JSON does not know."
                       % type(value).__name__)


def matching(document, expression):
    """Whether ``expression`` is true of ``document``; one that its types do not allow is not true of it."""
    if JMESPATH_MISSING:
        raise AnsibleError("appstate.backup.matching needs the Python package jmespath on the controller:"
                           " python3 -m pip install jmespath") from JMESPATH_MISSING
    if not isinstance(expression, str):
        raise AnsibleError("appstate.backup.matching: the expression must be a string, not a %s."
                           % type(expression).__name__)
    try:
        return is_true(jmespath.search(str(expression), plain(document)))
    except JMESPathTypeError:
        return False
    except JMESPathError as error:
        raise AnsibleError("appstate.backup.matching: %r is not a JMESPath expression: %s"
                           % (str(expression), error)) from error


class TestModule:
    """What Ansible looks for in a file of tests."""

    def tests(self):
        """The tests by name."""
        return {"matching": matching}
