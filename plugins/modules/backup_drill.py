#!/usr/bin/python
# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_drill
short_description: Rehearse the restore of a backup, and measure it
version_added: 0.1.0
description:
  - Restores a backup of an app into scratch space with every check of a real restore, asks the assertions and references of the app,
    starts the app on the restored state where V(drill.boot) of the app says how, asks whether it is well, and takes all of it away again.
  - Measures how old the newest good backup is (RPO) and how long it took until the app was back (RTO), and compares both with the
    V(objectives) of the app.
  - Live state is neither written nor locked, and no service of the app is touched. An app that is started sees the restored state at
    its own root, and no network but itself.
  - Fails if any check failed. The outcome is kept on the host and told by the V(drill.monitoring) of the app.
extends_documentation_fragment:
  - appstate.backup.app
  - appstate.backup.app.places
  - appstate.backup.app.remote
  - appstate.backup.app.identity
  - appstate.backup.attributes
options:
  which:
    description:
      - Which backup is restored. V(latest) is the newest good one, V(random) any good one, anything else is the id of a backup.
    type: str
    default: latest
  within:
    description:
      - With V(random), the time before now that it is chosen from, in years, months, days and hours as in V(1y2m3d4h).
    type: str
  archive:
    description:
      - Path on the host of one archive to restore instead, also one that an old shell script made.
    type: path
  disproved:
    description:
      - Drills nothing. Tells the host that a drill which it holds for good has failed, since an expression over the O(disproved.drilled)
        drill's RV(answer) is not true. A host cannot ask that by itself. Record, metrics, audit log, syslog and ping of the drill then say so.
      - The role P(appstate.backup.drill#role) does this by itself.
    type: dict
    suboptions:
      drilled:
        description: When that drill was begun, as it is returned.
        type: str
        required: true
      about:
        description: The expression.
        type: str
        required: true
      problem:
        description: Why it has failed.
        type: str
        required: true
attributes:
  check_mode:
    support: full
    details:
      - Says which backup would be restored, and restores nothing. With O(disproved) it does nothing.
  diff_mode:
    support: N/A
    details:
      - Changes nothing of the app.
  idempotent:
    support: N/A
    details:
      - Each drill is one of its own. It never says V(changed).
seealso:
  - module: appstate.backup.backup_verify
  - module: appstate.backup.backup_restore
author:
  - appstate.backup contributors (@appstate)
"""

EXAMPLES = r"""
- name: Rehearse the restore of the newest backup
  appstate.backup.backup_drill:
    app:
      name: scriptor
      root: /opt/scriptor
      destination: /var/backups
      objectives:
        rpo: 26h
        rto: 10m
      sources:
        - type: sqlite
          path: data/imanager.db
          assertions:
            - sql: SELECT count(*) FROM items
              min: 1
  register: rehearsed

- name: Tell the host that the answer of the app it started was not what it should be
  appstate.backup.backup_drill:
    app: "{{ appstate_apps | first }}"
    disproved:
      drilled: "{{ rehearsed.drill.drilled }}"
      about: "status == 'ok'"
      problem: "the expression status == 'ok' is not true of the answer"
  when: rehearsed.answer is not appstate.backup.matching("status == 'ok'")

- name: Rehearse the restore of any backup of the last month from a remote
  appstate.backup.backup_drill:
    app: "{{ appstate_apps | first }}"
    remote: offsite
    which: random
    within: 30d
    identity: "{{ vault_backup_identity }}"
"""

RETURN = r"""
drill:
  description: What the drill found.
  returned: always, but in check mode and if it could not begin
  type: dict
  contains:
    app:
      description: Name of the app.
      type: str
    host:
      description: Name of the host that the drill was on.
      type: str
    drilled:
      description: When it was begun, RFC 3339 in UTC.
      type: str
    ok:
      description: Whether no check failed.
      type: bool
    problem:
      description: The first failure, or V(null).
      type: str
    backup:
      description: The backup that was restored, as M(appstate.backup.backup_info) lists it, or V(null).
      type: dict
    remote:
      description: Name of the remote that it came from, or V(null).
      type: str
    which:
      description: What was asked for.
      type: str
    rpo_seconds:
      description: How old the newest good backup was, or V(null).
      type: float
    restored_seconds:
      description: How long it took until all was restored and checked, or V(null).
      type: float
    healthy_seconds:
      description: How long it took until the app was well, or V(null).
      type: float
    rto_seconds:
      description: How long it took until the app was back. That is until it was well where it was started, else until all was restored.
      type: float
    bytes:
      description: Bytes of the restored files, or V(null).
      type: int
    objectives:
      description: The objectives of the app, V(rpo_seconds) and V(rto_seconds), each V(null) if there is none.
      type: dict
    warnings:
      description: What an operator should know about the backup.
      type: list
      elements: str
    cases:
      description: Each check.
      type: list
      elements: dict
      contains:
        check:
          description: Its name.
          type: str
        about:
          description: What was checked. May be empty.
          type: str
        outcome:
          description: V(passed), V(failed) or V(skipped).
          type: str
        seconds:
          description: How long it took.
          type: float
        message:
          description: Why it failed or was skipped. Else empty.
          type: str
answer:
  description: What the app answered if it was well and that was JSON. An expression over it is for the play to ask.
  returned: always, but in check mode and if it could not begin
  type: raw
backup:
  description: In check mode, the backup that would be restored, as M(appstate.backup.backup_info) lists it.
  returned: in check mode
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.appstate.backup.plugins.module_utils.module import (
    APP, IDENTITY, PLACES, REMOTE, app_of, catalog_of, discreet, identity_of, machine_of, run)
from ansible_collections.appstate.backup.plugins.module_utils.operations.drill import LATEST, DrillRequest, chosen
from ansible_collections.appstate.backup.plugins.module_utils.operations.drill_run import disprove, run_drill


def work(module: AnsibleModule, params: dict) -> dict:
    told = params["disproved"]
    needed = params["archive"] is None and params["remote"] is None and told is None
    app, machine = app_of(params, need_destination=needed), machine_of(params)
    if told is not None:
        return {"changed": False} if module.check_mode else {"changed": False, "drill": disprove(app, machine, **told).to_dict()}
    request = DrillRequest(params["which"], params["within"], params["archive"], catalog_of(params, app), identity_of(params))
    if module.check_mode:
        with chosen(app, machine, request) as selected:
            return {"changed": False, "backup": selected.to_dict(machine.now())}
    done = run_drill(app, machine, request)
    result = {"changed": False, "drill": done.to_dict(), "answer": done.answer, "warnings": done.warnings}
    return result if done.ok else dict(result, failed=True, msg=done.problem)


def main() -> None:
    disproved = {name: {"type": "str", "required": True} for name in ("drilled", "about", "problem")}
    argument_spec = dict(
        APP, which={"type": "str", "default": LATEST}, within={"type": "str"}, archive={"type": "path"},
        disproved={"type": "dict", "options": disproved}, **IDENTITY, **REMOTE, **PLACES)
    run(discreet(AnsibleModule)(argument_spec=argument_spec, supports_check_mode=True), work)


if __name__ == "__main__":
    main()
