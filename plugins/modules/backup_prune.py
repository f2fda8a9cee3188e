#!/usr/bin/python
# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_prune
short_description: Remove the backups that the rules of an app do not keep
version_added: 0.1.0
description:
  - Applies the C(retention) of an app to its backups, and says of each why it stays. The rules are those of restic, over the times
    that manifests tell, in the time zone of the app.
  - Never removes the newest verified backup, a backup on hold, one that is not good, or anything that this collection did not make.
  - Refuses to remove anything after a run that failed.
extends_documentation_fragment:
  - appstate.backup.app.app
  - appstate.backup.app.places
  - appstate.backup.attributes
options:
  remote:
    description:
      - Name of the remote that is pruned, by its own C(retention), or by that of the app where it has none. Without it, the
        destination is pruned.
      - Nothing is removed at a remote that says C(delete) is V(false).
    type: str
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - Lists the backups before and after.
  idempotent:
    support: full
seealso:
  - module: appstate.backup.backup
  - module: appstate.backup.backup_info
author:
  - appstate.backup contributors (@appstate)
"""

EXAMPLES = r"""
- name: Keep a week of daily backups and a year of monthly ones
  appstate.backup.backup_prune:
    app:
      name: scriptor
      root: /opt/scriptor
      destination: /var/backups
      sources:
        - type: sqlite
          path: data/imanager.db
      retention:
        keep_daily: 7
        keep_monthly: 12
        timezone: Europe/Berlin
"""

RETURN = r"""
removed:
  description: Ids of the backups that were, or in check mode would be, removed.
  returned: success
  type: list
  elements: str
asides:
  description: Absolute paths of what restores had set aside and that was, or would be, removed.
  returned: success
  type: list
  elements: str
decisions:
  description: One for each backup, newest first.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: The backup.
      type: str
    kept:
      description: Whether it stays.
      type: bool
    reasons:
      description: Why it stays.
      type: list
      elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.appstate.backup.plugins.module_utils.module import (
    APP, PLACES, app_of, discreet, machine_of, run)
from ansible_collections.appstate.backup.plugins.module_utils.operations.prune import prune_recorded


def work(module: AnsibleModule, params: dict) -> dict:
    app = app_of(params)
    remote = None if params["remote"] is None else app.remote(params["remote"])
    pruned = prune_recorded(app, machine_of(params), module.check_mode, remote)
    result = {"changed": pruned.changed, "removed": pruned.removed, "asides": pruned.asides,
              "decisions": [decision.to_dict() for decision in pruned.decisions]}
    if module._diff:
        before = [decision["id"] for decision in result["decisions"]] + pruned.asides
        after = [each for each in before if each not in pruned.removed + pruned.asides]
        result["diff"] = {"before": "".join(each + "\n" for each in before), "after": "".join(each + "\n" for each in after)}
    return result


def main() -> None:
    run(discreet(AnsibleModule)(argument_spec=dict(APP, remote={"type": "str"}, **PLACES), supports_check_mode=True), work)


if __name__ == "__main__":
    main()
