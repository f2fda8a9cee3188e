# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: command_file
short_description: Build the command appstate-backup
version_added: 0.1.0
description:
  - Builds the command C(appstate-backup) from the engine of this collection, as one executable file that needs Python 3.8 or
    newer and nothing else, and returns the path of that file on the controller.
  - The same engine always gives the same bytes, so copying it to a host changes something only if the engine changed.
options: {}
author:
  - appstate.backup contributors (@appstate)
seealso:
  - plugin: ansible.builtin.copy
    plugin_type: module
"""

EXAMPLES = r"""
- name: Install the command
  ansible.builtin.copy:
    src: "{{ lookup('appstate.backup.command_file') }}"
    dest: /usr/local/bin/appstate-backup
    owner: root
    group: root
    mode: "0755"
"""

RETURN = r"""
_raw:
  description: A list with one path, which is removed when Ansible ends.
  type: list
  elements: path
"""

import hashlib
import os
import pathlib
import zipfile

from ansible import constants as C
from ansible.plugins.lookup import LookupBase

ENGINE = pathlib.Path(__file__).resolve().parent.parent / "module_utils"
PACKAGE = "appstate_backup"
MAIN = "import sys\n\nfrom %s.command import main\n\nsys.exit(main())\n" % PACKAGE
# The earliest time that a zip file can tell: contents alone make the bytes.
EPOCH = (1980, 1, 1, 0, 0, 0)


def build(target):
    """Writes the command to a path; source: Python's documentation of zipapp."""
    with open(target, "wb") as stream:
        stream.write(b"#!/usr/bin/env python3\n")
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(ENGINE.rglob("*.py")):
                name = "%s/%s" % (PACKAGE, path.relative_to(ENGINE).as_posix())
                _add(archive, name, path.read_bytes())
            _add(archive, "__main__.py", MAIN.encode("ascii"))


def _add(archive, name, data):
    info = zipfile.ZipInfo(name, EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    archive.writestr(info, data)


class LookupModule(LookupBase):
    """The plugin itself."""

    def run(self, terms, variables=None, **kwargs):
        """Builds the command once for each of Ansible's processes, and returns its path."""
        self.set_options(var_options=variables, direct=kwargs)
        name = "appstate-backup-%s" % hashlib.sha256(str(ENGINE).encode()).hexdigest()[:16]
        target = os.path.join(C.DEFAULT_LOCAL_TMP, name)
        partial = "%s.%d" % (target, os.getpid())
        build(partial)
        os.replace(partial, target)
        return [target]
