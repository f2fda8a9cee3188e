#!/usr/bin/python
# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup
short_description: Take one verified backup of an application
version_added: 0.1.0
description:
  - Takes a backup of all state of an application while it runs, in one call. Databases come first, each as a consistent snapshot
    that passes C(integrity_check) and the assertions of the app; then files, in one streaming pass.
  - The finished archive is read back before it gets its final name. What is listed can be restored.
  - Either a whole, verified backup is published, or the module fails and leaves nothing behind.
  - A backup of an app with C(remotes) is then copied to each of them, and checked there. One that fails does not cost the others
    their copies, nor the backup at the destination, and fails the module.
  - A backup of an app with C(encryption) is encrypted to its recipients. No secret key is needed, or left, on the host.
  - An app whose C(mode) is V(cold) is stopped while its state is read, and started again whatever happens. Where it cannot be
    started the module fails, also when the backup is good and published.
  - It is the same run that the schedule starts on the host. Hooks of the app are run, backups that its retention does not keep
    are pruned after a good run, and its status file, metrics, audit log and ping say how the run ended.
extends_documentation_fragment:
  - appstate.backup.app
  - appstate.backup.app.places
  - appstate.backup.attributes
options:
  accept_shrink:
    description:
      - Takes what the databases hold now as right, although they lost more than the C(shrink_guard) of the app allows.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
    details:
      - In check mode it is looked whether everything is there that a backup needs, and nothing is written or stopped.
  diff_mode:
    support: full
    details:
      - Shows the newest backup before and after.
  idempotent:
    support: none
    details:
      - Each run takes a new backup.
seealso:
  - module: appstate.backup.backup_info
  - module: appstate.backup.backup_verify
  - module: appstate.backup.backup_restore
author:
  - appstate.backup contributors (@appstate)
"""

EXAMPLES = r"""
- name: Back up an application
  appstate.backup.backup:
    app:
      name: scriptor
      root: /opt/scriptor
      destination: /var/backups
      sources:
        - type: sqlite
          path: data/imanager.db
          assertions:
            - sql: SELECT count(*) FROM items
              min: 1
        - type: files
          path: public/uploads
          exclude:
            - "*.part"
  register: result

- name: Say what was made
  ansible.builtin.debug:
    msg: "{{ result.backup.id }} has {{ result.backup.size }} bytes"
"""

RETURN = r"""
backup:
  description: The backup that was made; in check mode V(null).
  returned: success
  type: dict
  contains:
    id:
      description: The name of the app and the time of the backup.
      type: str
      sample: scriptor-20261119T030000Z
    path:
      description: Where the archive is.
      type: str
      sample: /var/backups/scriptor/scriptor-20261119T030000Z.tar.zst
    size:
      description: Bytes of the archive.
      type: int
    digest:
      description: BLAKE2b digest of the archive, as C(b2sum -l 256) prints it.
      type: str
    created:
      description: When it was begun, in UTC.
      type: str
    duration:
      description: Seconds it took.
      type: float
    app_version:
      description: Version of the application, or image of its container. V(null) where the app does not say how that is read.
      type: str
    schema_version:
      description: Version of the data. V(null) likewise.
      type: int
    downtime:
      description: Seconds from the beginning of the app's stop to the end of its start. V(null) for an app that was not stopped.
      type: float
    verified:
      description: To what level it was verified, and when.
      type: dict
    sources:
      description: What was taken of each source, with the passports of databases.
      type: list
      elements: dict
    warnings:
      description: What the operator should know, for example a file that changed while it was read.
      type: list
      elements: str
cold:
  description: Whether the app was, or in check mode would be, stopped for the backup.
  returned: success
  type: bool
copies:
  description: How the backup was copied to each remote of the app. One that failed fails the module, and the backup stays.
  returned: success
  type: list
  elements: dict
  contains:
    remote:
      description: Name of the remote.
      type: str
    path:
      description: Where the archive is. V(null) where the copy failed.
      type: str
    size:
      description: Bytes that were sent.
      type: int
    seconds:
      description: How long it took, the look at what had arrived included.
      type: float
    problem:
      description: Why it failed, or V(null).
      type: str
pruned:
  description: Ids of the backups that were removed.
  returned: success
  type: list
  elements: str
complete:
  description: Whether everything could be read. If not, the warnings name what is missing.
  returned: success
  type: bool
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.appstate.backup.plugins.module_utils.catalog.catalog import list_backups
from ansible_collections.appstate.backup.plugins.module_utils.module import (
    APP, PLACES, app_of, discreet, machine_of, run)
from ansible_collections.appstate.backup.plugins.module_utils.operations.backup import check_backup
from ansible_collections.appstate.backup.plugins.module_utils.operations.copies import reach
from ansible_collections.appstate.backup.plugins.module_utils.operations.run import refuse_destination, run_backup


def work(module: AnsibleModule, params: dict) -> dict:
    app = app_of(params)
    machine = machine_of(params)
    newest = _newest(app) if module._diff else None
    if module.check_mode:
        check_backup(app, machine)
        refuse_destination(app)
        for remote in app.remotes:
            reach(app, remote, machine)
        result = {"changed": True, "backup": None, "complete": True, "copies": [], "pruned": []}
    else:
        result = _ran(run_backup(app, machine, accept_shrink=params["accept_shrink"]), machine)
    result["cold"] = app.mode == "cold"
    if module._diff:
        after = result["backup"]["id"] if result["backup"] else "a new backup"
        result["diff"] = {"before": "%s\n" % newest, "after": "%s\n" % after, "before_header": app.directory,
                          "after_header": app.directory}
    return result


def _ran(ran, machine):
    """A run as the module's result; an alarm fails the module although there is a backup."""
    result = {"changed": ran.backup is not None, "backup": None if ran.backup is None else ran.backup.to_dict(machine.now()),
              "complete": ran.complete, "copies": [copied.to_dict() for copied in ran.copies], "pruned": [] if ran.pruned is None else ran.pruned.removed,
              "warnings": ran.warnings}
    if ran.error is not None:
        result.update(failed=True, msg=str(ran.error), exit_code=ran.error.exit_code, error=ran.error.to_dict())
    return result


def _newest(app):
    """The id of the newest backup, or None."""
    backups = list_backups(app.directory, app.name)
    return backups[0].id if backups else None


def main() -> None:
    argument_spec = dict(APP, accept_shrink={"type": "bool", "default": False}, **PLACES)
    run(discreet(AnsibleModule)(argument_spec=argument_spec, supports_check_mode=True), work)


if __name__ == "__main__":
    main()
