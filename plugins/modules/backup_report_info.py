#!/usr/bin/python
# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_report_info
short_description: Tell how the apps of a host stand
version_added: 0.1.0
description:
  - Tells in one call of every app of a host what a report of a fleet is made of, which is its backups, how its last run, its last
    copies and its drills ended, and what was wanted of it.
  - Only what lies ready on the host is read, which is manifests, status files and records of drills. No archive is opened, and no
    remote is asked.
  - An app whose description is wrong is told of under V(problems), and does not keep the others from being told of.
  - The role P(appstate.backup.report#role) calls it on each host, and decides what is good and what is bad.
extends_documentation_fragment:
  - appstate.backup.attributes
options:
  apps:
    description:
      - The apps of the host, as V(appstate_apps) has them.
    type: list
    elements: dict
    default: []
  state_directory:
    description:
      - Where status files and records of drills are kept.
      - Defaults to V(/var/lib/appstate-backup) for root, and to a folder below E(XDG_STATE_HOME) for everyone else.
    type: path
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
  - module: appstate.backup.backup_coverage_info
  - module: appstate.backup.fleet_report
author:
  - appstate.backup contributors (@appstate)
"""

EXAMPLES = r"""
- name: Ask how the apps of this host stand
  appstate.backup.backup_report_info:
    apps: "{{ appstate_apps }}"
  register: standing

- name: Name those without a good backup
  ansible.builtin.debug:
    msg: "{{ standing.apps | selectattr('counts.good', 'equalto', 0) | map(attribute='name') }}"
"""

RETURN = r"""
host:
  description: What the host calls itself.
  returned: success
  type: str
time:
  description: The time of the host when it was asked, in UTC. All ages are from then.
  returned: success
  type: str
apps:
  description: One dictionary an app, in the order of O(apps). Every key is there, for an app whose description is wrong too.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Its name. V(null) where its description has none.
      type: str
    destination:
      description: The directory that its backups land in, one folder an app.
      type: str
    objectives:
      description: C(rpo_seconds) and C(rto_seconds), how old the newest good backup may be, and how long a restore may take. V(null)
        where the app does not say.
      type: dict
    max_age_seconds:
      description: After how many seconds C(appstate-backup check) calls the newest backup overdue. V(null) likewise.
      type: int
    has_drill:
      description: Whether the app says how it is drilled.
      type: bool
    drill_within_seconds:
      description: How many seconds the last drill of an app that is drilled on a schedule may be ago. V(null) where it has none.
      type: int
    backups:
      description: The newest 100 backups, newest first, among them those that are not good.
      type: list
      elements: dict
      contains:
        id:
          description: What it is called.
          type: str
        created:
          description: When it was begun, in UTC. V(null) where its manifest cannot be read, as with all that follows but C(good)
            and C(problem).
          type: str
        size:
          description: Bytes of the archive.
          type: int
        good:
          description: Whether manifest and archive are there and fit.
          type: bool
        problem:
          description: Why it is not good, or V(null).
          type: str
        rows:
          description: Rows in all tables of each database, by the path of the database.
          type: dict
        rows_total:
          description: Rows in all databases. V(null) where it has no database.
          type: int
        verified:
          description: To what level it was verified. V(null) if it never was.
          type: str
        incomplete:
          description: Whether some of its files could not be read.
          type: bool
    counts:
      description: How many backups there are, C(all) and C(good).
      type: dict
    age_seconds:
      description: How old the newest good backup is. V(null) where there is none.
      type: int
    run:
      description: How the last run ended, by its status file.
      type: dict
      contains:
        state:
          description: V(ok), V(failed), V(incomplete) where it took a backup but could not read everything, or V(never).
          type: str
        ended:
          description: When.
          type: str
        last_success:
          description: When the last run ended that ended well.
          type: str
        problem:
          description: Why it failed, or V(null).
          type: str
        warnings:
          description: What else the operator should know.
          type: list
          elements: str
        ping:
          description: Why the ping could not be sent, or V(null).
          type: str
        duration:
          description: How many seconds it took.
          type: float
    remotes:
      description: How the last copy to each remote ended, by the status file.
      type: list
      elements: dict
      contains:
        name:
          description: Name of the remote.
          type: str
        copied:
          description: Whether a copy was ever tried. If not, all that follows is V(null).
          type: bool
        problem:
          description: Why the last copy failed, or V(null).
          type: str
        last_success:
          description: When a copy last ended well.
          type: str
        backup:
          description: The backup that was copied last.
          type: str
        path:
          description: Where it is.
          type: str
        size:
          description: Bytes that were sent.
          type: int
        seconds:
          description: How long the copy took.
          type: float
    drills:
      description: The records of the newest 30 drills, newest first. C(cases) has every check of the last one, and of the others those
        that did not pass.
      type: list
      elements: dict
    problems:
      description: Why something of this could not be told, such as what is wrong with the description of the app.
      type: list
      elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.appstate.backup.plugins.module_utils.module import discreet, machine_of, run
from ansible_collections.appstate.backup.plugins.module_utils.operations.standing import standings
from ansible_collections.appstate.backup.plugins.module_utils.system.times import format_time


def work(module: AnsibleModule, params: dict) -> dict:
    machine = machine_of(params)
    return {"changed": False, "host": machine.hostname, "time": format_time(machine.now()),
            "apps": standings(params["apps"], machine)}


def main() -> None:
    argument_spec = {"apps": {"type": "list", "elements": "dict", "default": []}, "state_directory": {"type": "path"}}
    run(discreet(AnsibleModule)(argument_spec=argument_spec, supports_check_mode=True), work)


if __name__ == "__main__":
    main()
