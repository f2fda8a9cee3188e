# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the modules share: argument specifications, the way from errors to ``fail_json``, and result values.

The only part of ``module_utils`` that knows Ansible, beside the modules themselves.
"""

from __future__ import annotations

import re

from .app import parse_app
from .system.errors import AppStateError, ConfigurationError
from .system.machine import this_machine

# Keys of an app, at any depth, below which every text is a secret; among them the names of HTTP headers.
SECRETS = re.compile(r"(?i)password\Z|\Abody\Z|\Aping\Z|authorization|cookie|token|secret|api-?key")
PLACES = {"state_directory": {"type": "path"}, "lock_directory": {"type": "path"}}
APP = {"app": {"type": "dict", "required": True}}
SELECTION = {"which": {"type": "str", "default": "latest"}, "before": {"type": "str"}, "archive": {"type": "path"}}


def discreet(kind):
    """AnsibleModule (``kind``) as one that knows the secrets in an app before it writes its arguments into the host's log.

    It does so while it is made. ``no_log`` would be too much: then nothing at all is shown of the result.
    """
    class Discreet(kind):
        """Hides, then logs."""

        def _log_invocation(self):
            _hide_secrets(self)
            super()._log_invocation()

    return Discreet


def run(module, work):
    """Calls ``work(module, params)`` and ends the module with the result it gives, or with the error it raises."""
    _hide_secrets(module)
    try:
        result = work(module, module.params)
    except AppStateError as error:
        module.fail_json(msg=str(error), exit_code=error.exit_code, error=error.to_dict())
    # Said by Ansible's own list of warnings, and nowhere else in the result.
    for warning in result.pop("warnings", []):
        module.warn(warning)
    if result.pop("failed", False):
        module.fail_json(**result)
    module.exit_json(**result)


def _hide_secrets(module):
    """Some values in the middle of an app are secrets: the app as a whole is none."""
    for name in ("app", "apps"):
        module.no_log_values.update(_secrets_of(module.params.get(name)))


def _secrets_of(told, secret=False):
    """Yields every text that stands below a key of SECRETS, wherever that is: what is refused is shown too."""
    if isinstance(told, dict):
        if told.get("type") == "http" and isinstance(told.get("url"), str):
            yield from _secrets_of_url(told["url"])
        for name, value in told.items():
            yield from _secrets_of(value, secret or (isinstance(name, str) and bool(SECRETS.search(name))))
    elif isinstance(told, (list, tuple)):
        for value in told:
            yield from _secrets_of(value, secret)
    elif isinstance(told, str) and secret and told:
        yield told


def _secrets_of_url(url):
    """A user with a password, and what follows the path: either can be all that an endpoint asks for."""
    before, unused, query = url.partition("?")
    user = before.partition("://")[2].partition("/")[0].rpartition("@")[0]
    return [text for text in (user, query) if text]


def machine_of(params):
    """The Machine with the places that the task names."""
    return this_machine(params.get("state_directory"), params.get("lock_directory"))


def app_of(params, need_destination=True):
    """The App of the task."""
    return parse_app(params["app"], need_destination)


def app_or_archive(params):
    """``(App or None)`` of a task that takes either an app, or an archive's path, or both."""
    if params.get("app") is not None:
        return parse_app(params["app"], need_destination=params.get("archive") is None)
    if params.get("archive") is None:
        raise ConfigurationError("neither an app nor an archive is given", remedy="Give 'app', 'archive', or both")
    return None
