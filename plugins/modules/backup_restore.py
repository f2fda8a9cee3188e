#!/usr/bin/python
# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_restore
short_description: Restore the state of an application in one safe step
version_added: 0.1.0
description:
  - Extracts a backup to a private directory on the file system of the target, validates all of it there, and only then moves
    the old state aside and the new state into its place. Old state is never deleted by a restore.
  - What was moved aside is found beside it, with C(.before-restore-) and the time in its name, databases together with their
    C(-wal), C(-shm) and C(-journal) files.
  - A journal makes it safe to be killed at any moment. The next call ends what was begun, one way or the other.
  - The application has to be stopped before O(state=restored). The role P(appstate.backup.restore#role) does that, and
    starts and probes it afterwards.
extends_documentation_fragment:
  - appstate.backup.app
  - appstate.backup.app.remote
  - appstate.backup.app.selection
  - appstate.backup.app.identity
  - appstate.backup.app.places
  - appstate.backup.attributes
options:
  state:
    description:
      - V(staged) extracts and validates, and leaves the result waiting. The application may still run.
      - V(restored) swaps old and new state. It uses what is staged for the same backup already, and stages it otherwise.
      - V(committed) deletes what the last restore moved aside.
      - V(rolled_back) puts back what the last restore moved aside, and discards what it had restored or staged.
    type: str
    choices: [staged, restored, committed, rolled_back]
    default: restored
  validate_only:
    description:
      - Extracts and validates as a restore does, then removes what was extracted. Live state is not touched.
    type: bool
    default: false
  target_root:
    description:
      - Restores to this directory instead of the root of the app. What is there is moved aside too.
    type: path
  only:
    description:
      - Restores some paths alone, relative to the root. Each is a source, a directory above sources, or something in a source of
        type V(files).
    type: list
    elements: str
    default: []
  force:
    description:
      - Restores although an earlier restore was neither committed nor rolled back. What that one moved aside stays where
        it is, and is not managed any more.
    type: bool
    default: false
  transaction:
    description:
      - Goes on with this restore alone, which an earlier call began, as RV(transaction) tells. Where it was ended meanwhile, or
        another one is under way, the call fails and changes nothing.
      - For O(state=restored), O(state=committed) and O(state=rolled_back).
    type: str
attributes:
  check_mode:
    support: full
    details:
      - In check mode the backup is chosen and read in full, and nothing is extracted.
  diff_mode:
    support: full
    details:
      - Shows the paths that are replaced, and where their old state goes.
  idempotent:
    support: full
    details:
      - A restore of the same backup that waits for its commit or rollback is not repeated.
seealso:
  - module: appstate.backup.backup
  - module: appstate.backup.backup_verify
author:
  - appstate.backup contributors (@appstate)
"""

EXAMPLES = r"""
- name: Prove that the newest backup can be restored, without touching anything
  appstate.backup.backup_restore:
    app: "{{ appstate_apps | first }}"
    validate_only: true

- name: Restore the newest backup of an application that has been stopped
  appstate.backup.backup_restore:
    app: "{{ appstate_apps | first }}"

- name: Restore the database alone, as it was on a morning
  appstate.backup.backup_restore:
    app: "{{ appstate_apps | first }}"
    before: "2026-11-19T03:00:00Z"
    only:
      - data/imanager.db

- name: Restore on a fresh host what another one had sent away, encrypted
  appstate.backup.backup_restore:
    app: "{{ appstate_apps | first }}"
    remote: offsite
    remote_host: web1
    identity: "{{ vault_backup_identity }}"

- name: Stage while the application still runs
  appstate.backup.backup_restore:
    app: "{{ appstate_apps | first }}"
    state: staged
  register: staged

- name: Swap that in, and nothing that anybody else staged meanwhile
  appstate.backup.backup_restore:
    app: "{{ appstate_apps | first }}"
    transaction: "{{ staged.transaction }}"

- name: Put back what was there before the restore
  appstate.backup.backup_restore:
    app: "{{ appstate_apps | first }}"
    state: rolled_back
"""

RETURN = r"""
state:
  description: What the restore of this app has come to. V(none) if there is none.
  returned: success
  type: str
  sample: restored
root:
  description: Where it was restored to.
  returned: success
  type: str
backup:
  description: The backup, as M(appstate.backup.backup_info) lists it.
  returned: success
  type: dict
transaction:
  description: What tells this restore from every other one, for O(transaction).
  returned: success
  type: str
restored:
  description: Absolute paths that hold, or would hold, the state of the backup.
  returned: success
  type: list
  elements: str
absent:
  description: Absolute paths that did not exist when the backup was taken, so that what was there is moved aside.
  returned: success
  type: list
  elements: str
moved_aside:
  description: Absolute paths of the old state.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.appstate.backup.plugins.module_utils.module import (
    APP, IDENTITY, PLACES, REMOTE, SELECTION, app_of, discreet, machine_of, run, selection_of)
from ansible_collections.appstate.backup.plugins.module_utils.operations.request import Request
from ansible_collections.appstate.backup.plugins.module_utils.operations.restore import Restore


def work(module: AnsibleModule, params: dict) -> dict:
    # What a restore set aside is known without the backups.
    app = app_of(params, params["archive"] is None and params["remote"] is None and params["state"] in ("staged", "restored"))
    request = Request(app, only=params["only"], target_root=params["target_root"], force=params["force"],
                      transaction=params["transaction"], **selection_of(params, app))
    restore = Restore(app, machine_of(params), request)
    if module.check_mode:
        outcome = restore.predict(params["state"], params["validate_only"])
    elif params["validate_only"]:
        outcome = restore.validate()
    else:
        steps = {"staged": restore.stage, "restored": restore.restore, "committed": restore.commit,
                 "rolled_back": restore.roll_back}
        outcome = steps[params["state"]]()
    result = dict(outcome.to_dict(), changed=outcome.changed)
    if module._diff:
        result["diff"] = outcome.diff()
    return result


def main() -> None:
    argument_spec = dict(
        APP, state={"type": "str", "choices": ["staged", "restored", "committed", "rolled_back"], "default": "restored"},
        validate_only={"type": "bool", "default": False}, target_root={"type": "path"},
        only={"type": "list", "elements": "str", "default": []}, force={"type": "bool", "default": False},
        transaction={"type": "str"},
        **REMOTE, **SELECTION, **IDENTITY, **PLACES)
    run(discreet(AnsibleModule)(argument_spec=argument_spec, supports_check_mode=True), work)


if __name__ == "__main__":
    main()
