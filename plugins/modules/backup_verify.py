#!/usr/bin/python
# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_verify
short_description: Say what is wrong with a backup, member by member
version_added: 0.1.0
description:
  - Reads a backup and says for each member whether it is what was backed up. Live state is not touched.
  - Fails if anything is wrong, and lists all of it.
extends_documentation_fragment:
  - appstate.backup.app.app_optional
  - appstate.backup.app.remote
  - appstate.backup.app.selection
  - appstate.backup.app.identity
  - appstate.backup.attributes
options:
  level:
    description:
      - V(presence) looks whether the manifest and the archive are there and fit.
      - V(checksum) also reads every byte of the archive and compares each member with what was backed up.
      - An encrypted archive is opened with O(identity). Without one, V(checksum) says whether the bytes of the archive are those that
        were written, and V(content) fails. With one, V(checksum) shows that the identity opens the archive, and writes nothing of what
        is in it to a disk.
      - V(content) also extracts the databases to a private place, one after the other, and examines them. They have to pass
        C(integrity_check), to be what they were (their passport), and to hold to the assertions of O(app).
    type: str
    choices: [presence, checksum, content]
    default: content
attributes:
  check_mode:
    support: full
    details:
      - Never changes anything.
  diff_mode:
    support: N/A
    details:
      - Never changes anything.
  idempotent:
    support: full
seealso:
  - module: appstate.backup.backup_info
  - module: appstate.backup.backup_restore
author:
  - appstate.backup contributors (@appstate)
"""

EXAMPLES = r"""
- name: Verify the newest backup of an application
  appstate.backup.backup_verify:
    app:
      name: scriptor
      root: /opt/scriptor
      destination: /var/backups
      sources:
        - type: sqlite
          path: data/imanager.db

- name: Prove that the key in escrow opens what is at the remote, without writing plain text to a disk
  appstate.backup.backup_verify:
    app: "{{ appstate_apps | first }}"
    remote: offsite
    identity: "{{ vault_backup_identity }}"
    level: checksum

- name: Verify an archive that a shell script made
  appstate.backup.backup_verify:
    archive: /var/backups/scriptor/scriptor-20260520.tgz
    level: content
"""

RETURN = r"""
verified:
  description: Whether nothing is wrong.
  returned: always
  type: bool
level:
  description: The level it was verified to.
  returned: always
  type: str
problems:
  description: What is wrong.
  returned: always
  type: list
  elements: dict
  contains:
    member:
      description: Path of the member, or V(null) if it is the archive as a whole.
      type: str
    problem:
      description: What is wrong with it.
      type: str
    event:
      description: A name for programs. V(schema_version_too_new) if the application that is installed does not understand the data.
      type: str
      returned: if it has one
members:
  description: How many members the archive has; V(null) at level V(presence).
  returned: always
  type: int
backup:
  description: The backup, as M(appstate.backup.backup_info) lists it.
  returned: always
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.appstate.backup.plugins.module_utils.module import (
    IDENTITY, REMOTE, SELECTION, app_or_archive, discreet, machine_of, run, selection_of)
from ansible_collections.appstate.backup.plugins.module_utils.operations.selection import select
from ansible_collections.appstate.backup.plugins.module_utils.operations.verify import LEVELS, verify


def work(module: AnsibleModule, params: dict) -> dict:
    app = app_or_archive(params)
    with select(app, **selection_of(params, app)) as selected:
        found = verify(selected, params["level"], app)
        result = {"changed": False, "verified": found.ok, "level": found.level, "problems": found.problems,
                  "members": found.members, "warnings": found.notes, "backup": selected.to_dict(machine_of(params).now())}
    if not found.ok:
        first = found.problems[0]
        result.update(failed=True, msg="%s%s: %s%s (%d %s in all)." % (
            "app %s: " % app.name if app else "", selected.path, first["member"] + " " if first["member"] else "",
            first["problem"], len(found.problems), "problem" if len(found.problems) == 1 else "problems"))
    return result


def main() -> None:
    argument_spec = dict(app={"type": "dict"}, level={"type": "str", "choices": list(LEVELS), "default": "content"},
                         **REMOTE, **SELECTION, **IDENTITY)
    run(discreet(AnsibleModule)(argument_spec=argument_spec, supports_check_mode=True), work)


if __name__ == "__main__":
    main()
