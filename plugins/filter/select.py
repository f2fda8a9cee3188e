# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filter ``select``: backups out of a catalog by a JMESPath expression."""

from __future__ import annotations

from ansible.errors import AnsibleError

from ansible_collections.appstate.backup.plugins.plugin_utils.expression import evaluate
from ansible_collections.appstate.backup.plugins.plugin_utils.plain import plain

NAME = "appstate.backup.select"


def select(catalog, expression):
    """What ``expression`` picks: a list, one backup, null, or whatever else it makes of them."""
    return evaluate(expression, plain(_backups(catalog), NAME), NAME)


def _backups(catalog):
    """The list of backups; JMESPath would make null of anything else, as if there were no backup."""
    backups = _listed(catalog) if isinstance(catalog, dict) else catalog
    if not isinstance(backups, (list, tuple)):
        raise AnsibleError("%s: backups are picked from a list of them or from a result of backup_info, not from a %s."
                           % (NAME, type(backups).__name__))
    for number, backup in enumerate(backups, 1):
        if not isinstance(backup, dict):
            raise AnsibleError("%s: item %d of the list is a %s, not a backup." % (NAME, number, type(backup).__name__))
        if "id" not in backup:
            raise AnsibleError("%s: item %d of the list is not a backup: it has no 'id', but %s."
                               % (NAME, number, _keys(backup)))
    return backups


def _listed(result):
    """The backups in the result of a module."""
    if "backups" in result:
        return result["backups"]
    remedy = " It is the result of a loop: take one of its 'results'." if "results" in result else ""
    raise AnsibleError("%s: there is no 'backups' in the dictionary, but %s.%s" % (NAME, _keys(result), remedy))


def _keys(dictionary):
    return ", ".join(repr(str(key)) for key in dictionary) or "nothing"


class FilterModule:
    """What Ansible looks for in a file of filters."""

    def filters(self):
        """The filters by name."""
        return {"select": select}
