# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the modules share: argument specifications, the way from errors to ``fail_json``, and result values.

The only part of ``module_utils`` that knows Ansible, beside the modules themselves.
"""

from __future__ import annotations

import re

from .app import parse_app
from .archive.age import read_identity
from .catalog.remote import catalog_at
from .remote import SECRET_LEAST, secrets_of
from .system.errors import AppStateError, ConfigurationError, refused
from .system.machine import this_machine

# Keys of an app, at any depth, below which every text is a secret; among them the names of HTTP headers.
SECRETS = re.compile(r"(?i)password\Z|\Abody\Z|\Aping\Z|authorization|cookie|token|secret|api-?key")
PLACES = {"state_directory": {"type": "path"}, "lock_directory": {"type": "path"}}
APP = {"app": {"type": "dict", "required": True}}
REMOTE = {"remote": {"type": "str"}, "remote_host": {"type": "str"}}
IDENTITY = {"identity": {"type": "str", "no_log": True}, "identity_file": {"type": "path"}}
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
        _fail(module, error)
    except OSError as error:
        _fail(module, refused(error, "failed"))
    # Said by Ansible's own list of warnings, and nowhere else in the result.
    for warning in result.pop("warnings", []):
        module.warn(warning)
    if result.pop("failed", False):
        module.fail_json(**result)
    module.exit_json(**result)


def _fail(module, error):
    module.fail_json(msg=str(error), exit_code=error.exit_code, error=error.to_dict())


def _hide_secrets(module):
    """Some values in the middle of an app are secrets: the app as a whole is none."""
    for name in ("app", "apps"):
        module.no_log_values.update(_secrets_of(module.params.get(name)))


def _secrets_of(told, secret=False):
    """Yields every text that stands below a key of SECRETS, wherever that is: what is refused is shown too."""
    if isinstance(told, dict):
        if told.get("type") == "http" and isinstance(told.get("url"), str):
            yield from _secrets_of_url(told["url"])
        if isinstance(told.get("options"), dict):
            yield from secrets_of(told["options"])
        if isinstance(told.get("environment"), dict):
            # Names of variables say nothing for sure. Short values are no secrets, and would be hidden wherever they stand.
            yield from (value for value in told["environment"].values() if isinstance(value, str) and len(value) >= SECRET_LEAST)
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
        return parse_app(params["app"], need_destination=params.get("archive") is None and params.get("remote") is None)
    if params.get("archive") is None:
        raise ConfigurationError("neither an app nor an archive is given", remedy="Give 'app', 'archive', or both")
    return None


def catalog_of(params, app):
    """The RemoteCatalog that the task names, or None."""
    if params.get("remote") is None:
        if params.get("remote_host") is not None:
            raise ConfigurationError("'remote_host' is given, and no 'remote'", remedy="Name the remote, too")
        return None
    if app is None:
        raise ConfigurationError("'remote' is given, and no app that has it", remedy="Give the app, too")
    if params.get("archive") is not None:
        raise ConfigurationError("'archive' and 'remote' exclude one another", app=app.name, remedy="Give the one or the other")
    return catalog_at(app, params["remote"], machine_of(params), params.get("remote_host"))


def identity_of(params):
    """The secret keys that the task gives, or None."""
    if params.get("identity") is not None and params.get("identity_file") is not None:
        raise ConfigurationError("'identity' and 'identity_file' exclude one another", remedy="Give one of them")
    if params.get("identity_file") is not None:
        return read_identity(params["identity_file"])
    return params.get("identity")


def selection_of(params, app):
    """What ``operations.selection.select`` takes beside the app."""
    return {"which": params["which"], "before": params["before"], "archive": params["archive"],
            "remote": catalog_of(params, app), "identity": identity_of(params)}
