# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The test ``matching``: is a JMESPath expression true of a document?"""

from __future__ import annotations

from ansible_collections.appstate.backup.plugins.plugin_utils.expression import is_true
from ansible_collections.appstate.backup.plugins.plugin_utils.plain import plain

NAME = "appstate.backup.matching"


def matching(document, expression):
    """Whether ``expression`` is true of ``document``; one that its types do not allow is not true of it."""
    return is_true(expression, plain(document, NAME), NAME)


class TestModule:
    """What Ansible looks for in a file of tests."""

    def tests(self):
        """The tests by name."""
        return {"matching": matching}
