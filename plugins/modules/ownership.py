#!/usr/bin/python
# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ownership
short_description: Give the files of an application to whom they belong
version_added: 0.1.0
description:
  - Sets owner, group and modes, as the app states them, on everything that its sources name.
  - Unlike C(chown -R) it never follows a link, and it leaves a file with several names alone, so an unprivileged user cannot
    use it to be given a file of somebody else.
extends_documentation_fragment:
  - appstate.backup.app
  - appstate.backup.attributes
options:
  target_root:
    description:
      - Works on this directory instead of the root of the app.
    type: path
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - Shows the first hundred paths.
  idempotent:
    support: full
seealso:
  - module: appstate.backup.backup_restore
author:
  - appstate.backup contributors (@appstate)
"""

EXAMPLES = r"""
- name: Give an application its files back
  appstate.backup.ownership:
    app:
      name: scriptor
      root: /opt/scriptor
      owner: www-data
      group: www-data
      file_mode: "0640"
      directory_mode: "0750"
      sources:
        - type: sqlite
          path: data/imanager.db
        - type: files
          path: public/uploads
"""

RETURN = r"""
count:
  description: How many files, directories and links were, or in check mode would be, given.
  returned: success
  type: int
"""

import json

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.appstate.backup.plugins.module_utils.module import APP, app_of, discreet, run
from ansible_collections.appstate.backup.plugins.module_utils.operations.ownership import give_ownership


def work(module: AnsibleModule, params: dict) -> dict:
    given = give_ownership(app_of(params, need_destination=False), params["target_root"], module.check_mode)
    result = {"changed": given.count > 0, "count": given.count, "warnings": given.warnings}
    if module._diff:
        result["diff"] = {side: _told(given.paths, side) for side in ("before", "after")}
    return result


def _told(paths, side):
    """One side of the diff: a line for each path."""
    return "".join("%s %s\n" % (item["path"], json.dumps(item[side], sort_keys=True)) for item in paths)


def main() -> None:
    argument_spec = dict(APP, target_root={"type": "path"})
    run(discreet(AnsibleModule)(argument_spec=argument_spec, supports_check_mode=True), work)


if __name__ == "__main__":
    main()
