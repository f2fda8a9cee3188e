#!/usr/bin/python
# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sqlite_snapshot
short_description: Copy a SQLite database while an application writes to it
version_added: 0.1.0
description:
  - Takes one consistent copy of a SQLite database at one transaction. The application goes on. Its database is never changed, and
    its write-ahead log never checkpointed.
  - The copy is checked before it gets its name. If anything goes wrong, nothing has that name that had not before.
  - The live database is opened by a process that runs as its owner, the copy by one that runs as nobody, both within limits of
    time and memory.
options:
  src:
    description:
      - The live database. A symbolic link is refused, since the files that belong to a database lie beside the database itself.
    type: path
    required: true
  dest:
    description:
      - The file to make, or a directory that exists, in which C(<stem>-<YYYYMMDDTHHMMSSZ>.db) is made, named after O(src) and the
        time in UTC.
      - A file that exists is refused without O(force). A name with a C(-wal), C(-shm) or C(-journal) beside it is always refused,
        since SQLite would take those for a part of the copy.
    type: path
    required: true
  method:
    description:
      - How the copy is taken.
      - V(auto) is V(backup) for a database in WAL mode, and V(clone) for any other.
      - V(backup) uses SQLite's online backup in one step. Writers of a database in WAL mode go on meanwhile.
      - V(clone) copies the file while writers wait, by reflink where the file system has it, and then within milliseconds. It is
        refused for a database in WAL mode.
      - V(vacuum) uses C(VACUUM INTO). The copy is smaller, and never in WAL mode. The live database is checked first, since such a
        copy would hide damage.
    type: str
    choices: [auto, backup, clone, vacuum]
    default: auto
  deadline:
    description:
      - Seconds after which a copy that has not been taken is given up, also because the database is locked.
    type: float
    default: 300
  integrity:
    description:
      - How the copy is checked.
      - V(quick) runs SQLite's C(quick_check), V(full) its C(integrity_check) and the checks of its full-text indexes.
    type: str
    choices: [none, quick, full]
    default: full
  force:
    description:
      - Replace O(dest) if it is a file that exists.
    type: bool
    default: false
  mode:
    description:
      - Permissions of the copy.
    type: raw
    default: "0600"
extends_documentation_fragment:
  - ansible.builtin.files
  - appstate.backup.attributes
attributes:
  check_mode:
    support: full
    details:
      - Whether the database can be read and O(dest) can be made is found out. Whether it is sound is not.
  diff_mode:
    support: full
  idempotent:
    support: none
    details:
      - Each run takes a new snapshot. Without O(force) a second run to the same file fails.
notes:
  - To read a database in WAL mode, SQLite makes the files C(-wal) and C(-shm) beside it where they are missing. They hold no data,
    and they belong to the database's owner.
  - There has to be room for the whole database in the directory of O(dest), or in C(/var/tmp) if the database's owner cannot pass
    the directories above O(dest).
seealso:
  - module: appstate.backup.sqlite_info
  - module: appstate.backup.sqlite_reset
  - module: appstate.backup.backup
author:
  - appstate.backup contributors (@appstate)
"""

EXAMPLES = r"""
- name: Keep a copy of a database before an upgrade
  appstate.backup.sqlite_snapshot:
    src: /opt/scriptor/data/imanager.db
    dest: /var/backups/imanager-before-upgrade.db

- name: Keep copies by the time at which they were taken
  appstate.backup.sqlite_snapshot:
    src: /opt/scriptor/data/imanager.db
    dest: /var/backups
  register: taken

- name: Refresh the copy that a report is made from, readable for its group
  appstate.backup.sqlite_snapshot:
    src: /opt/scriptor/data/imanager.db
    dest: /var/backups/report.db
    method: vacuum
    deadline: 30
    force: true
    group: adm
    mode: "0640"
"""

RETURN = r"""
snapshot:
  description: The copy.
  returned: success
  type: dict
  contains:
    path:
      description: The file.
      type: str
      sample: /var/backups/imanager-20261119T030000Z.db
    src:
      description: The live database.
      type: str
      sample: /opt/scriptor/data/imanager.db
    method:
      description: How it was taken. As O(method) in check mode, otherwise never V(auto).
      type: str
      sample: backup
    seconds:
      description: How long it took to take the copy. V(null) in check mode.
      type: float
      sample: 0.31
    size:
      description: Its size in bytes. V(null) in check mode.
      type: int
      sample: 12288
    integrity:
      description: The outcome of the check. V(null) in check mode.
      type: dict
      contains:
        level:
          description: As O(integrity).
          type: str
          sample: full
        ok:
          description: V(true), or V(null) if O(integrity=none).
          type: bool
          sample: true
        messages:
          description: Empty, since the task fails if anything is wrong.
          type: list
          elements: str
          sample: []
        unchecked:
          description: Full-text tables that cannot be checked on this host, because a part of SQLite that they need is missing.
          type: list
          elements: str
          sample: []
    foreign_keys:
      description: Number of rows that violate a foreign key. V(null) unless O(integrity=full), and in check mode.
      type: int
      sample: 0
    passport:
      description: What identifies the content of the copy. V(null) in check mode.
      type: dict
      contains:
        page_size:
          description: Size of a page in bytes.
          type: int
          sample: 4096
        page_count:
          description: How many pages it has.
          type: int
          sample: 3
        encoding:
          description: Encoding of text.
          type: str
          sample: UTF-8
        journal_mode:
          description: V(wal), or V(delete) for any of the rollback journal modes, which the file does not tell apart.
          type: str
          sample: wal
        user_version:
          description: The number that applications use for the version of their schema.
          type: int
          sample: 7
        application_id:
          description: The number that says which application the database belongs to.
          type: int
          sample: 0
        schema_digest:
          description: BLAKE2b-256 of the schema, in hexadecimal.
          type: str
          sample: e3f1c29d0b6a8f75d4c1b2a39087f6e5d4c3b2a1908f7e6d5c4b3a291807f6e5
        tables:
          description: Number of rows of each table. V(null) for a virtual table that cannot be read on this host.
          type: dict
          sample: {"items": 42}
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.appstate.backup.plugins.module_utils.module import machine_of, run
from ansible_collections.appstate.backup.plugins.module_utils.operations.snapshot import Target, keep_snapshot, plan_snapshot
from ansible_collections.appstate.backup.plugins.module_utils.sqlite.snapshot import METHODS
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import printable


def work(module: AnsibleModule, params: dict) -> dict:
    source, force = os.path.abspath(params["src"]), params["force"]
    target = plan_snapshot(source, os.path.abspath(params["dest"]), machine_of(params).now(), force)
    told = dict.fromkeys(("seconds", "bytes", "integrity", "foreign_keys", "passport"), None)
    told["method"] = params["method"]
    if not module.check_mode:
        told = keep_snapshot(source, target, params["method"], params["deadline"], params["integrity"], force)
        module.set_fs_attributes_if_different(module.load_file_common_arguments(params, target.path), True)
    result = {"changed": True, "snapshot": {
        "path": printable(target.path), "src": printable(source), "method": told["method"], "seconds": told["seconds"],
        "size": told["bytes"], "integrity": told["integrity"], "foreign_keys": told["foreign_keys"],
        "passport": told["passport"]}}
    if module._diff:
        result["diff"] = _difference(target)
    return result


def _difference(target: Target) -> dict:
    path = printable(target.path)
    return {"before": {"path": path, "state": "file" if target.replaces else "absent"},
            "after": {"path": path, "state": "file", "content": "a new snapshot"}}


def main() -> None:
    argument_spec = {
        "src": {"type": "path", "required": True},
        "dest": {"type": "path", "required": True},
        "method": {"type": "str", "choices": list(METHODS), "default": "auto"},
        "deadline": {"type": "float", "default": 300},
        "integrity": {"type": "str", "choices": ["none", "quick", "full"], "default": "full"},
        "force": {"type": "bool", "default": False},
        "mode": {"type": "raw", "default": "0600"},
    }
    run(AnsibleModule(argument_spec=argument_spec, supports_check_mode=True, add_file_common_args=True), work)


if __name__ == "__main__":
    main()
