#!/usr/bin/python
# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sqlite_info
short_description: Describe a SQLite database, also while an application writes to it
version_added: 0.1.0
description:
  - Reads what identifies a SQLite database, and checks it when asked to. The database may be in use.
  - Everything is read in one transaction, by a process that runs as the database's owner, within limits of time and memory.
  - A file that is missing, or that is no SQLite database, makes the task fail. Nothing is ever created in its place.
  - A database that is found to be damaged does not make the task fail. RV(database.integrity.ok) says so.
extends_documentation_fragment:
  - appstate.backup.attributes
options:
  path:
    description:
      - The database. A symbolic link is refused, since the files that belong to a database lie beside the database itself.
    type: path
    required: true
  integrity:
    description:
      - How the database is checked.
      - V(quick) runs SQLite's C(quick_check), V(full) its C(integrity_check) and counts rows that violate a foreign key.
      - While a check runs, writers of a database in a rollback journal mode wait. Those of a database in WAL mode do not.
      - Rows that break a C(CHECK) constraint are not looked for, and full-text indexes only from SQLite 3.44 on, since SQLite
        does that only where it may write. M(appstate.backup.sqlite_snapshot) checks both, in the copy that it makes.
    type: str
    choices: [none, quick, full]
    default: none
  row_counts:
    description:
      - Also count the rows of each table, for which all of the database is read.
    type: bool
    default: false
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
notes:
  - To read a database in WAL mode, SQLite makes the files C(-wal) and C(-shm) beside it where they are missing. They hold no data,
    and they belong to the database's owner.
  - A database that an application left in the middle of a transaction when it crashed is rolled back by SQLite before it can be
    read, as the application would do it.
seealso:
  - module: appstate.backup.sqlite_snapshot
  - module: appstate.backup.sqlite_reset
author:
  - appstate.backup contributors (@appstate)
"""

EXAMPLES = r"""
- name: Look at the database of an application
  appstate.backup.sqlite_info:
    path: /opt/scriptor/data/imanager.db
  register: found

- name: Check it thoroughly, and count its rows
  appstate.backup.sqlite_info:
    path: /opt/scriptor/data/imanager.db
    integrity: full
    row_counts: true
  register: checked

- name: Stop here if it is damaged
  ansible.builtin.assert:
    that: checked.database.integrity.ok
    fail_msg: "{{ checked.database.integrity.messages | join(', ') }}"
"""

RETURN = r"""
database:
  description: What was found.
  returned: success
  type: dict
  contains:
    path:
      description: The database.
      type: str
      sample: /opt/scriptor/data/imanager.db
    size:
      description: Size of the file in bytes.
      type: int
      sample: 12288
    wal_size:
      description: Size of the file C(-wal) beside it in bytes, V(0) if there is none.
      type: int
      sample: 0
    page_size:
      description: Size of a page in bytes.
      type: int
      sample: 4096
    page_count:
      description: How many pages the database has.
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
      description: BLAKE2b-256 of the schema, in hexadecimal. V(null) if the database is damaged.
      type: str
      sample: e3f1c29d0b6a8f75d4c1b2a39087f6e5d4c3b2a1908f7e6d5c4b3a291807f6e5
    tables:
      description:
        - Number of rows of each table. V(null) for a virtual table that cannot be read on this host.
        - V(null) as a whole without O(row_counts), and if the database is damaged.
      type: dict
      sample: {"items": 42}
    foreign_keys:
      description:
        - Number of rows that violate a foreign key.
        - V(null) unless O(integrity=full), or if the database is damaged or SQLite cannot check them.
      type: int
      sample: 0
    integrity:
      description: The outcome of the check.
      type: dict
      contains:
        level:
          description: As O(integrity).
          type: str
          sample: full
        ok:
          description: Whether the database is sound. V(null) if O(integrity=none).
          type: bool
          sample: true
        messages:
          description: What is wrong, the first 20 messages of SQLite.
          type: list
          elements: str
          sample: []
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.appstate.backup.plugins.module_utils.module import run
from ansible_collections.appstate.backup.plugins.module_utils.sqlite.examine import examine_live
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import printable


def work(module: AnsibleModule, params: dict) -> dict:
    path = os.path.abspath(params["path"])
    found = examine_live(path, params["integrity"], params["row_counts"])
    integrity = {key: found["integrity"][key] for key in ("level", "ok", "messages")}
    database = dict(found["passport"], path=printable(path), size=found["size"], wal_size=found["wal_size"],
                    foreign_keys=found["foreign_keys"], integrity=integrity)
    return {"changed": False, "database": database}


def main() -> None:
    argument_spec = {
        "path": {"type": "path", "required": True},
        "integrity": {"type": "str", "choices": ["none", "quick", "full"], "default": "none"},
        "row_counts": {"type": "bool", "default": False},
    }
    run(AnsibleModule(argument_spec=argument_spec, supports_check_mode=True), work)


if __name__ == "__main__":
    main()
