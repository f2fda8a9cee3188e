# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stops and starts an app where no Ansible is at hand, and asks whether it is well."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import ssl
import time
import urllib.error
import urllib.request

from ..system.commands import CommandError, run_command
from ..system.errors import AppStateError, RestoreError

SECONDS = 300.0
# Of an answer, as much is read; one that is cut off there is no JSON.
MOST = 1 << 20
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

    Raises:
        RestoreError: it did not, as often as it was asked.
    """
    health = app.health
    if health is None:
        return
    answer = None
    for attempt in range(retries_of(health) + 1):
        if attempt:
            time.sleep(delay_of(health))
        answer = ask(health)
        if answer["well"]:
            return
    raise RestoreError("the app is not well: %s" % answer["said"], app=app.name)


def retries_of(health):
    """How often a health URL is asked once more."""
    return 12 if health.get("retries") is None else int(health["retries"])


def delay_of(health):
    """Seconds between one time and the next."""
    return float(health.get("delay") or 5)


def ask(health):
    """Asks a health URL once.

    A JMESPath expression over the answer is a role's to ask: the host needs no package for this.

    Returns:
        a dictionary of ``well`` (whether it is the right status), ``said`` (what was answered, as a text), and ``json`` (the answer
        where it is a JSON document of a size that one would read, else None).
    """
    status = health.get("status") or 200
    wanted = [int(each) for each in (status if isinstance(status, (list, tuple)) else [status])]
    context = ssl.create_default_context() if health.get("validate_certs", True) else ssl._create_unverified_context()
    # Without ProxyHandler: whatever stands in the environment, the app is asked itself.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    seconds = float(health.get("timeout") or 5)
    try:
        with opener.open(health["url"], timeout=seconds) as answer:
            return _told(answer, wanted, seconds)
    except urllib.error.HTTPError as error:
        with error:
            return _told(error, wanted, seconds)
    except (OSError, ValueError, http.client.HTTPException) as error:
        return {"well": False, "said": str(getattr(error, "reason", error)), "json": None}


def _told(answer, wanted, seconds):
    document = None
    if "json" in (answer.headers.get("Content-Type") or ""):
        try:
            document = json.loads(_body(answer, seconds).decode("utf-8"))
        except (ValueError, RecursionError):
            document = None
    return {"well": answer.code in wanted, "said": "HTTP status %d" % answer.code, "json": document}


def _body(answer, seconds):
    """As much of an answer as is read; one that comes by drops is cut off, too."""
    parts, until = [], time.monotonic() + seconds
    while sum(map(len, parts)) < MOST and time.monotonic() < until:
        part = answer.read1(1 << 16)
        if not part:
            break
        parts.append(part)
    return b"".join(parts)
