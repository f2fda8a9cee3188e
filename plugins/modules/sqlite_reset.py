#!/usr/bin/python
# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sqlite_reset
short_description: Remove a SQLite database with the files that belong to it
version_added: 0.1.0
description:
  - Removes a database with the files C(-wal), C(-shm), C(-journal) and C(.lock) beside it, so that an application begins anew.
    Everything else in the directory stays, such as certificates, keys and settings.
  - Without O(confirm) it only says what it would remove.
  - A file that does not begin as every SQLite database does is refused, with all that lies beside it. Where there is nothing, there
    is nothing to do.
  - The database is not backed up first. M(appstate.backup.sqlite_snapshot) keeps a copy, M(appstate.backup.backup) all of an
    application's state.
extends_documentation_fragment:
  - appstate.backup.attributes
options:
  path:
    description:
      - The database, as an absolute path. A symbolic link is refused.
    type: path
    required: true
  confirm:
    description:
      - Remove it.
      - With V(false) nothing is changed. RV(would_remove) has the files, and a process that holds one of them open is a warning.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
notes:
  - With O(confirm), the task fails with the exit code 75 while a process holds any of the files open, and names the process. Only
    root sees the processes of other users.
  - A run that is cut off leaves either the whole database, or files that add nothing to a database that is made anew. The next run
    removes them.
  - Another name of the database (a hard link) keeps its content. There is a warning.
seealso:
  - module: appstate.backup.sqlite_info
  - module: appstate.backup.sqlite_snapshot
  - module: appstate.backup.backup_restore
author:
  - appstate.backup contributors (@appstate)
"""

EXAMPLES = r"""
- name: See what a reset would remove
  appstate.backup.sqlite_reset:
    path: /var/lib/portunus/state.db
  register: planned

- name: Begin anew
  block:
    - name: Stop the server
      ansible.builtin.service:
        name: portunus-server
        state: stopped

    - name: Remove its database
      appstate.backup.sqlite_reset:
        path: /var/lib/portunus/state.db
        confirm: true

  always:
    - name: Start the server
      ansible.builtin.service:
        name: portunus-server
        state: started
"""

RETURN = r"""
path:
  description: The database.
  returned: success
  type: str
  sample: /var/lib/portunus/state.db
would_remove:
  description: The files that would be removed, in the order in which they go. Empty once they are removed.
  returned: success
  type: list
  elements: str
  sample: [/var/lib/portunus/state.db-shm, /var/lib/portunus/state.db, /var/lib/portunus/state.db-wal]
removed:
  description: The files that were removed. Empty in check mode, and without O(confirm).
  returned: success
  type: list
  elements: str
  sample: []
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.appstate.backup.plugins.module_utils.module import run
from ansible_collections.appstate.backup.plugins.module_utils.operations.reset import plan_reset, reset_database
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import printable


def work(module: AnsibleModule, params: dict) -> dict:
    path, confirm = params["path"], params["confirm"]
    reset = reset_database(path, module.check_mode) if confirm else plan_reset(path)
    paths = [printable(each) for each in reset.paths]
    done = confirm and not module.check_mode
    result = {"changed": confirm and bool(paths), "path": printable(path), "warnings": reset.warnings,
              "would_remove": [] if done else paths, "removed": paths if done else []}
    if module._diff:
        before = "".join(each + "\n" for each in paths)
        result["diff"] = {"before": before, "after": "" if confirm else before}
    return result


def main() -> None:
    argument_spec = {
        "path": {"type": "path", "required": True},
        "confirm": {"type": "bool", "default": False},
    }
    run(AnsibleModule(argument_spec=argument_spec, supports_check_mode=True), work)


if __name__ == "__main__":
    main()
