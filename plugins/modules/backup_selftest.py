#!/usr/bin/python
# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_selftest
short_description: Break copies of a backup, and see that drills find it
version_added: 0.1.0
description:
  - Takes a copy of a backup of an app, drills it, breaks it in eleven ways one after the other, and drills each broken copy by the same
    code as M(appstate.backup.backup_drill). The untouched copy has to be green, and each broken one red by the check that is meant to
    find that fault.
  - The backup itself, the app, its service, and what its drills have said stay as they are. Nobody is told by a ping, and the app is not
    started.
  - A fault that cannot be made of this backup, or on this host, is skipped, and says why. It never counts as seen.
  - Fails if the untouched copy is red, or any fault was not seen.
  - It needs room for the state of the app twice and for its archive, at V(drill.scratch) of the app, or else at its V(destination). What
    is encrypted is not while it is there. The directory can be entered by nobody else, and is removed.
extends_documentation_fragment:
  - appstate.backup.app
  - appstate.backup.app.remote
  - appstate.backup.app.identity
  - appstate.backup.attributes
options:
  which:
    description:
      - Which backup is copied. V(latest) is the newest good one, V(random) any good one, anything else is the id of a backup.
    type: str
    default: latest
  remote:
    description:
      - Name of one of the V(remotes) of the app. A backup there is copied, instead of one at the destination.
    type: str
attributes:
  check_mode:
    support: full
    details:
      - Says which backup would be copied, and copies nothing.
  diff_mode:
    support: N/A
    details:
      - Changes nothing of the app.
  idempotent:
    support: N/A
    details:
      - Each self-test is one of its own. It never says V(changed).
seealso:
  - module: appstate.backup.backup_drill
author:
  - appstate.backup contributors (@appstate)
"""

EXAMPLES = r"""
- name: See that a drill would find what is wrong
  appstate.backup.backup_selftest:
    app:
      name: scriptor
      root: /opt/scriptor
      destination: /var/backups
      sources:
        - type: sqlite
          path: data/imanager.db
        - type: files
          path: public/uploads

- name: The same with a backup out of a remote that is encrypted
  appstate.backup.backup_selftest:
    app: "{{ appstate_apps | first }}"
    remote: offsite
    identity: "{{ vault_backup_identity }}"
"""

RETURN = r"""
selftest:
  description: What the self-test found.
  returned: always, but in check mode and if it could not begin
  type: dict
  contains:
    app:
      description: Name of the app.
      type: str
    host:
      description: Name of the host that it was on.
      type: str
    tested:
      description: When it was begun, RFC 3339 in UTC.
      type: str
    ok:
      description: Whether the untouched copy was green, and no fault was missed.
      type: bool
    problem:
      description: What is wrong with the alarm, or V(null).
      type: str
    backup:
      description: The backup that was copied, as M(appstate.backup.backup_info) lists it.
      type: dict
    untouched:
      description: Whether the untouched copy was green. If it was not, no fault is tried.
      type: bool
    faults:
      description: Each fault.
      type: list
      elements: dict
      contains:
        fault:
          description: Its name.
          type: str
          sample: emptied_table
        expected:
          description: The check of a drill that is meant to find it.
          type: str
          sample: passport
        red:
          description: The checks that failed.
          type: list
          elements: str
        outcome:
          description: V(seen) if the expected check found it, V(missed) if not, V(skipped) if the fault could not be made.
          type: str
        seconds:
          description: How long it took.
          type: float
        message:
          description: What the check said, or why the fault was missed or skipped.
          type: str
backup:
  description: In check mode, the backup that would be copied, as M(appstate.backup.backup_info) lists it.
  returned: in check mode
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.appstate.backup.plugins.module_utils.module import (
    APP, IDENTITY, REMOTE, app_of, catalog_of, discreet, identity_of, machine_of, run)
from ansible_collections.appstate.backup.plugins.module_utils.operations.drill import LATEST, DrillRequest, chosen
from ansible_collections.appstate.backup.plugins.module_utils.operations.selftest import self_test


def work(module: AnsibleModule, params: dict) -> dict:
    app, machine = app_of(params, need_destination=params["remote"] is None), machine_of(params)
    request = DrillRequest(params["which"], None, None, catalog_of(params, app), identity_of(params))
    if module.check_mode:
        with chosen(app, machine, request) as selected:
            return {"changed": False, "backup": selected.to_dict(machine.now())}
    found = self_test(app, machine, request)
    result = {"changed": False, "selftest": found.to_dict()}
    return result if found.ok else dict(result, failed=True, msg=found.problem)


def main() -> None:
    argument_spec = dict(APP, which={"type": "str", "default": LATEST}, **IDENTITY, **REMOTE)
    run(discreet(AnsibleModule)(argument_spec=argument_spec, supports_check_mode=True), work)


if __name__ == "__main__":
    main()
