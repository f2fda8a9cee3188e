#!/usr/bin/python
# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# An action plugin does all of it, on the controller; this is its documentation.

from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_report
short_description: Write the report of a fleet as one page and one JSON file
version_added: 0.1.0
description:
  - Takes what M(appstate.backup.backup_report_info) and M(appstate.backup.backup_coverage_info) told on each host, decides of each app
    whether that is good, a warning, or bad, and writes C(report.html) and C(report.json) on the controller.
  - The page holds everything it needs, and asks the network for nothing. C(docs/report.md) in the collection tells what is in both files,
    and the rule.
  - A host that could not be reached, that failed, or that told nothing is in the report as just that.
  - It runs on the controller, once for all hosts. Use it with C(run_once), or better use the role P(appstate.backup.report#role), which
    does all of it.
extends_documentation_fragment:
  - appstate.backup.attributes
options:
  dest:
    description:
      - Directory on the controller. One that is missing is made, for its owner alone.
    type: path
    required: true
  hosts:
    description:
      - The hosts to report, in this order.
    type: list
    elements: str
    required: true
  standing:
    description:
      - Name of the variable in which each host registered what M(appstate.backup.backup_report_info) told.
    type: str
    required: true
  coverage:
    description:
      - Name of the variable in which each host registered what M(appstate.backup.backup_coverage_info) told. On hosts that do not have it,
        or skipped the task, nobody looked.
    type: str
    required: true
attributes:
  check_mode:
    support: full
    details:
      - Writes nothing.
  diff_mode:
    support: none
  idempotent:
    support: none
    details:
      - Each report tells when it was made.
seealso:
  - module: appstate.backup.backup_report_info
  - module: appstate.backup.backup_coverage_info
author:
  - appstate.backup contributors (@appstate)
"""

EXAMPLES = r"""
- name: Ask how the apps stand
  appstate.backup.backup_report_info:
    apps: "{{ appstate_apps }}"
  register: standing
  # A host that fails is a line of the report, which says why.
  ignore_errors: true
  ignore_unreachable: true

- name: Write the report
  appstate.backup.fleet_report:
    dest: /srv/www/backups
    hosts: "{{ ansible_play_hosts_all }}"
    standing: standing
    coverage: coverage
  run_once: true
  delegate_to: localhost
"""

RETURN = r"""
page:
  description: Path of the page.
  returned: success
  type: str
json:
  description: Path of the JSON file.
  returned: success
  type: str
summary:
  description: How many there are, C(hosts), C(apps), apps and silent hosts by state as C(good), C(warning) and C(bad), C(silent) hosts, and
    C(uncovered) databases, which are V(null) where nobody looked.
  returned: success
  type: dict
told:
  description: The report in a few lines.
  returned: success
  type: list
  elements: str
"""
