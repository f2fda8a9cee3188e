#!/usr/bin/python
# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_import
short_description: Take a backup that was made elsewhere into the backups of an app
version_added: 0.1.0
description:
  - Takes an archive, with the manifest that lies beside it, into the directory of an app at its destination. There it is listed,
    verified, pruned and restored like the backups that were made there.
  - It is verified before it is listed. Of a plain archive every member is compared with what was backed up, of an encrypted one
    the digest of the archive is, since nobody here has to be able to open it.
  - A backup that has a rolling name gets the name of its id.
  - Refuses a backup that is damaged, that is another app's, or that has generations (V(method) V(rsync)), which lie beside the
    archive. Nothing that is there already is replaced.
extends_documentation_fragment:
  - appstate.backup.app.app
  - appstate.backup.app.places
  - appstate.backup.attributes
options:
  archive:
    description:
      - Path on the host of the archive. Its manifest has the same name, with the ending C(.json).
    type: path
    required: true
  move:
    description:
      - Removes the archive and its manifest from where they are, as soon as the backup is listed. Where both places are on one file
        system, the archive then needs no second room.
      - Where the backup is there already, and sound, only this is left to do.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
    details:
      - Verifies the archive where it is.
  diff_mode:
    support: full
    details:
      - Names the backup that is added.
  idempotent:
    support: full
seealso:
  - module: appstate.backup.backup_info
  - module: appstate.backup.backup_verify
author:
  - appstate.backup contributors (@appstate)
"""

EXAMPLES = r"""
- name: Take in a backup that was copied from another host
  appstate.backup.backup_import:
    app:
      name: scriptor
      root: /opt/scriptor
      destination: /var/backups
      sources:
        - type: sqlite
          path: data/imanager.db
    archive: /root/scriptor-20261119T030000Z.tar.zst
    move: true
"""

RETURN = r"""
id:
  description: The id of the backup.
  returned: success
  type: str
  sample: scriptor-20261119T030000Z
backup:
  description: The backup as it is, or in check mode would be, listed by M(appstate.backup.backup_info).
  returned: success
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.appstate.backup.plugins.module_utils.module import (
    APP, PLACES, app_of, discreet, machine_of, run)
from ansible_collections.appstate.backup.plugins.module_utils.operations.import_backup import import_backup


def work(module: AnsibleModule, params: dict) -> dict:
    app, machine = app_of(params), machine_of(params)
    imported = import_backup(app, machine, params["archive"], params["move"], module.check_mode)
    result = {"changed": imported.changed, "id": imported.backup.id, "backup": imported.backup.to_dict(machine.now())}
    if module._diff:
        after = imported.backup.path + "\n"
        result["diff"] = {"before": "" if imported.changed else after, "after": after}
    return result


def main() -> None:
    argument_spec = dict(APP, archive={"type": "path", "required": True}, move={"type": "bool", "default": False}, **PLACES)
    run(discreet(AnsibleModule)(argument_spec=argument_spec, supports_check_mode=True), work)


if __name__ == "__main__":
    main()
