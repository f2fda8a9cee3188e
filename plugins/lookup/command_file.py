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

import os

from ansible import constants as C
from ansible.plugins.lookup import LookupBase

from ansible_collections.appstate.backup.plugins.plugin_utils.zipapp import build


class LookupModule(LookupBase):
    """The plugin itself."""

    def run(self, terms, variables=None, **kwargs):
        """Builds the command, and returns its path; forks that do so at the same time do not disturb one another."""
        target = os.path.join(C.DEFAULT_LOCAL_TMP, "appstate-backup")
        partial = "%s.%d" % (target, os.getpid())
        build(partial)
        os.replace(partial, target)
        return [target]
