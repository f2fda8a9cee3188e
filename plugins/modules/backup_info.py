#!/usr/bin/python
# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_info
short_description: List the backups of an application
version_added: 0.1.0
description:
  - Lists all backups of an app at its destination, or at one of its remotes, newest first, or tells of one archive.
  - Only manifests are read, so thousands are listed quickly. Use M(appstate.backup.backup_verify) to read archives too.
extends_documentation_fragment:
  - appstate.backup.app.app_optional
  - appstate.backup.app.remote
  - appstate.backup.attributes
options:
  archive:
    description:
      - Path on the host of one archive to tell of, which may be without a manifest, or made by an old shell recipe.
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
  - module: appstate.backup.backup
  - module: appstate.backup.backup_verify
author:
  - appstate.backup contributors (@appstate)
"""

EXAMPLES = r"""
- name: List the backups of an application
  appstate.backup.backup_info:
    app:
      name: scriptor
      root: /opt/scriptor
      destination: /var/backups
      sources:
        - type: sqlite
          path: data/imanager.db
  register: catalog

- name: List what there is at a remote
  appstate.backup.backup_info:
    app: "{{ appstate_apps | first }}"
    remote: offsite
  register: offsite

- name: Show how old each of them is
  ansible.builtin.debug:
    msg: "{{ item.id }} is {{ item.age_seconds // 3600 }} hours old"
  loop: "{{ catalog.backups | selectattr('good') }}"
  loop_control:
    label: "{{ item.id }}"
"""

RETURN = r"""
backups:
  description: The backups, newest first; those that are not good stand at the end.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: The name of the app and the time of the backup.
      type: str
      sample: scriptor-20261119T030000Z
    path:
      description: Where the archive is.
      type: str
    good:
      description: Whether manifest and archive are there and fit. V(null) for an archive without a manifest beside it.
      type: bool
    problem:
      description: Why it is not good, or V(null).
      type: str
    size:
      description: Bytes of the archive.
      type: int
    created:
      description: When it was begun, in UTC.
      type: str
    age_seconds:
      description: How long ago that was.
      type: int
    app_version:
      description: Version of the application, or image of its container. V(null) where the app does not say how that is read.
      type: str
    schema_version:
      description: Version of the data. V(null) likewise.
      type: int
    downtime:
      description: Seconds that the app was stopped for the backup. V(null) where it was not.
      type: float
    verified:
      description: To what level it was verified, and when. V(null) if it never was.
      type: dict
    host:
      description: The host it was made on.
      type: str
    encryption:
      description: The C(recipients) that it is encrypted to. V(null) where it is not encrypted.
      type: dict
    sources:
      description: What was taken of each source, with the passports of databases.
      type: list
      elements: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.appstate.backup.plugins.module_utils.catalog.catalog import list_backups
from ansible_collections.appstate.backup.plugins.module_utils.module import (
    REMOTE, app_or_archive, catalog_of, discreet, machine_of, run)
from ansible_collections.appstate.backup.plugins.module_utils.operations.selection import describe


def work(module: AnsibleModule, params: dict) -> dict:
    app = app_or_archive(params)
    now = machine_of(params).now()
    there = catalog_of(params, app)
    if params["archive"] is not None:
        return {"changed": False, "backups": [describe(params["archive"], now)]}
    backups = list_backups(app.directory, app.name) if there is None else there.list()
    return {"changed": False, "backups": [backup.to_dict(now) for backup in backups]}


def main() -> None:
    argument_spec = dict(REMOTE, app={"type": "dict"}, archive={"type": "path"})
    run(discreet(AnsibleModule)(argument_spec=argument_spec, supports_check_mode=True), work)


if __name__ == "__main__":
    main()
