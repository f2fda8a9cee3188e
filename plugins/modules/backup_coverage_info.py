#!/usr/bin/python
# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_coverage_info
short_description: Find SQLite databases that no app covers
version_added: 0.1.0
description:
  - Walks directories of a host, finds SQLite databases by what they begin with and not by their names, and says of each which app
    covers it.
  - A database is covered only by a source of type V(sqlite). One that is taken as a plain file is not.
  - The walk stays on the file systems that it begins on, and leaves out the places of the system, caches, and the backups of the apps.
extends_documentation_fragment:
  - appstate.backup.attributes
options:
  apps:
    description:
      - The apps of the host, as V(appstate_apps) has them.
    type: list
    elements: dict
    default: []
  paths:
    description:
      - Where to begin.
    type: list
    elements: path
    default: [/]
  skip:
    description:
      - Directories to leave out beside those that always are.
    type: list
    elements: path
    default: []
  limit:
    description:
      - How many files and directories to look at, at the most.
    type: int
    default: 2000000
  timeout:
    description:
      - How many seconds to look, at the most.
    type: int
    default: 300
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
  - module: appstate.backup.backup
author:
  - appstate.backup contributors (@appstate)
"""

EXAMPLES = r"""
- name: Find databases that nobody backs up
  appstate.backup.backup_coverage_info:
    apps: "{{ appstate_apps }}"
    paths: [/opt, /srv, /var]
  register: coverage

- name: Name them
  ansible.builtin.debug:
    msg: "{{ coverage.uncovered | map(attribute='path') }}"
"""

RETURN = r"""
databases:
  description: All that were found, by path.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: Where it is.
      type: str
    size:
      description: Bytes of the main file.
      type: int
    app:
      description: The app that covers it, or V(null).
      type: str
uncovered:
  description: Those that no app covers.
  returned: success
  type: list
  elements: dict
complete:
  description: Whether the walk came to its end within its limits.
  returned: success
  type: bool
unreadable:
  description: How many files and directories could not be read.
  returned: success
  type: int
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.appstate.backup.plugins.module_utils.app import parse_app
from ansible_collections.appstate.backup.plugins.module_utils.module import discreet, run
from ansible_collections.appstate.backup.plugins.module_utils.operations.coverage import find_databases


def work(module: AnsibleModule, params: dict) -> dict:
    apps = [parse_app(told, need_destination=False) for told in params["apps"]]
    found = find_databases(params["paths"], apps, params["skip"], params["limit"], params["timeout"])
    warnings = [] if found.complete else ["the walk was ended by its limits, so there may be more databases"]
    return {"changed": False, "databases": found.databases, "complete": found.complete, "unreadable": found.unreadable,
            "uncovered": [each for each in found.databases if each["app"] is None], "warnings": warnings}


def main() -> None:
    argument_spec = {
        "apps": {"type": "list", "elements": "dict", "default": []},
        "paths": {"type": "list", "elements": "path", "default": ["/"]},
        "skip": {"type": "list", "elements": "path", "default": []},
        "limit": {"type": "int", "default": 2000000},
        "timeout": {"type": "int", "default": 300},
    }
    run(discreet(AnsibleModule)(argument_spec=argument_spec, supports_check_mode=True), work)


if __name__ == "__main__":
    main()
