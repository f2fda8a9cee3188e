# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stops and starts an app where no Ansible is at hand, and asks whether it is well."""

from __future__ import annotations

import os
import shutil
import ssl
import time
import urllib.error
import urllib.request

from ..system.commands import CommandError, run_command
from ..system.errors import AppStateError, RestoreError

SECONDS = 300.0
SYSTEMD = "/run/systemd/system"
# What "status" of an init script (Linux Standard Base, 22.2), of rc-service(8) and "is-active" of systemctl(1) end with.
NOT_RUNNING = 3


def stop(app):
    """Stops the app's service, where it has one."""
    _do(app, "stop")


def start(app):
    """Starts it."""
    _do(app, "start")


def is_down(app):
    """Whether the manager of services says that the app's service does not run.

    False where it runs, and where nobody can be asked: a pair of commands does not tell.
    """
    if app.service is None or "name" not in app.service:
        return False
    name = app.service["name"]
    argv = ["systemctl", "is-active", name] if os.path.isdir(SYSTEMD) else _manager("status", name)
    try:
        run_command(argv, SECONDS)
    except CommandError as error:
        return error.status == NOT_RUNNING
    return False


def _do(app, step):
    if app.service is None:
        return
    argv = app.service.get(step) or _manager(step, app.service["name"])
    try:
        run_command(argv, SECONDS)
    except AppStateError as error:
        raise error.about(app.name)


def _manager(step, name):
    """How this host starts and stops services: by systemd where it runs, else by an init script."""
    if os.path.isdir(SYSTEMD):
        return ["systemctl", step, name]
    if shutil.which("rc-service"):
        return ["rc-service", name, step]
    return ["service", name, step]


def probe(app):
    """Asks the app's health URL until it answers with the right status.

    A JMESPath expression over the answer is the restore role's to ask: the host needs no package for this.

    Raises:
        RestoreError: it did not, as often as it was asked.
    """
    health = app.health
    if health is None:
        return
    status = health.get("status") or 200
    wanted = [int(each) for each in (status if isinstance(status, (list, tuple)) else [status])]
    context = ssl.create_default_context() if health.get("validate_certs", True) else ssl._create_unverified_context()
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))
    problem = None
    retries = 12 if health.get("retries") is None else int(health["retries"])
    for attempt in range(retries + 1):
        if attempt:
            time.sleep(float(health.get("delay") or 5))
        answered, problem = _ask(health["url"], float(health.get("timeout") or 5), opener)
        if answered in wanted:
            return
    raise RestoreError("the app is not well: %s" % problem, app=app.name)


def _ask(url, timeout, opener):
    try:
        with opener.open(url, timeout=timeout) as answer:
            return answer.status, "HTTP status %d" % answer.status
    except urllib.error.HTTPError as error:
        return error.code, "HTTP status %d" % error.code
    except (OSError, ValueError) as error:
        return None, str(getattr(error, "reason", error))
