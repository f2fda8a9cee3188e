#!/usr/bin/python
# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_hold
short_description: Keep a backup whatever the rules of its app say
version_added: 0.1.0
description:
  - Puts a backup on hold, or takes its hold away. A backup on hold is never pruned.
  - A hold is a small file beside the backup that says since when it is held, by whom and why.
extends_documentation_fragment:
  - appstate.backup.app.app
  - appstate.backup.app.places
  - appstate.backup.attributes
options:
  which:
    description:
      - The id of the backup, or V(latest) for the newest that is good.
    type: str
    required: true
  state:
    description:
      - V(present) holds the backup, V(absent) releases it.
    type: str
    choices: [present, absent]
    default: present
  reason:
    description:
      - Why it is held, for whoever finds it. A hold that is there already keeps its own reason.
    type: str
    default: ""
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
seealso:
  - module: appstate.backup.backup_prune
author:
  - appstate.backup contributors (@appstate)
"""

EXAMPLES = r"""
- name: Release the backup from before the upgrade
  appstate.backup.backup_hold:
    app:
      name: scriptor
      root: /opt/scriptor
      destination: /var/backups
      sources:
        - type: sqlite
          path: data/imanager.db
    which: scriptor-20261119T030000Z
    state: absent
"""

RETURN = r"""
id:
  description: The id of the backup.
  returned: success
  type: str
  sample: scriptor-20261119T030000Z
held:
  description: Whether it is, or in check mode would be, on hold now.
  returned: success
  type: bool
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.appstate.backup.plugins.module_utils.module import (
    APP, PLACES, app_of, discreet, machine_of, run)
from ansible_collections.appstate.backup.plugins.module_utils.operations.hold import hold, release


def work(module: AnsibleModule, params: dict) -> dict:
    app, machine = app_of(params), machine_of(params)
    held = params["state"] == "present"
    if held:
        id, changed = hold(app, machine, params["which"], params["reason"], module.check_mode)
    else:
        id, changed = release(app, machine, params["which"], module.check_mode)
    return {"changed": changed, "id": id, "held": held}


def main() -> None:
    argument_spec = dict(APP, which={"type": "str", "required": True}, reason={"type": "str", "default": ""},
                         state={"type": "str", "choices": ["present", "absent"], "default": "present"}, **PLACES)
    run(discreet(AnsibleModule)(argument_spec=argument_spec, supports_check_mode=True), work)


if __name__ == "__main__":
    main()
