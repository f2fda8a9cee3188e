# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filter ``with_profile``: an app with what its profile says of it."""

from __future__ import annotations

from ansible.errors import AnsibleError

from ansible_collections.appstate.backup.plugins.module_utils.profiles.profiles import resolve
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import ConfigurationError


def with_profile(app):
    """The app as it is without its profile, all of it spelled out; one that names no profile stays as it is."""
    if not isinstance(app, dict):
        raise AnsibleError("appstate.backup.with_profile: an app is a dictionary, not a %s." % type(app).__name__)
    try:
        return resolve(app)
    except ConfigurationError as error:
        raise AnsibleError(str(error)) from error


class FilterModule:
    """What Ansible looks for in a file of filters."""

    def filters(self):
        """The filters by name."""
        return {"with_profile": with_profile}
