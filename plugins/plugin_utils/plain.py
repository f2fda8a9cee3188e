# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Ansible hands to a plugin, in Python's own types."""

from __future__ import annotations

from ansible.errors import AnsibleError


def plain(value, plugin):
    """A document in Python's own types: libraries know a type by its name, and not those that Ansible wraps.

    Raises:
        AnsibleError: names the ``plugin`` and what JSON does not know.
    """
    if isinstance(value, dict):
        return {str(name): plain(item, plugin) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, plugin) for item in value]
    if value is None or isinstance(value, bool):
        return value
    for kind in (str, int, float):
        if isinstance(value, kind):
            return kind(value)
    raise AnsibleError("%s: the document holds a %s, which JSON does not know." % (plugin, type(value).__name__))
