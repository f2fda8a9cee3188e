# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is asked of an app's backups, and how a drill of them is done: the keys ``objectives`` and ``drill`` of an app.

Recovery point objective and recovery time objective are the terms of ISO 22301 and NIST SP 800-34: how much of the newest
work may be lost, and how long it may take until the application is back.
"""

from __future__ import annotations

import re

from .crontab import most_days
from .description import is_text
from .settings import read_ping

OBJECTIVE_KEYS = ("rpo", "rto")
DRILL_KEYS = ("scratch", "boot", "health", "schedule", "monitoring")
BOOT_KEYS = ("argv", "unit", "container", "run_as", "environment", "isolated")
CONTAINER_KEYS = ("image", "mounts", "argv", "engine")
# What does not go with a way to start an app, and what to do instead.
MISFITS = {"unit": [("run_as", "Say it in the unit")],
           "container": [("run_as", "Leave it out: the image says whom it runs as"),
                         ("isolated", "Leave it out: a container of a drill is always apart")]}
ENGINES = ("auto", "podman", "docker")
MONITORING_KEYS = ("ping", "metrics_directory", "syslog")
DAY = 86400
# A drill takes its time, and a host is off now and then.
MARGIN = DAY
SPAN = re.compile(r"(?:(\d{1,4})d)?(?:(\d{1,5})h)?(?:(\d{1,6})m)?(?:(\d{1,7})s)?\Z")
UNIT = re.compile(r"[A-Za-z0-9:_.@-]{1,240}\.service\Z")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


class Objectives:
    """What is asked.

    Attributes:
        rpo: seconds that the newest good backup may be old, or None.
        rto: seconds that a restore may take until the application is well, or None.
    """

    def __init__(self, rpo=None, rto=None):
        self.rpo = rpo
        self.rto = rto


class Boot:
    """How the application is started on restored state; one of ``argv``, ``unit`` and ``image`` is set.

    Attributes:
        argv: command, a list of texts; for a container, what runs in it instead of what its image says, or None.
        unit: name of a systemd service that is the drill's own, or None.
        image: of a container, or None.
        mounts: absolute paths in the container to paths below the restored root; ``.`` is the root itself.
        engine: ``auto``, ``podman`` or ``docker``.
        run_as: account, by name or number, that the command runs as; None is the app's owner.
        environment: variables, a dictionary of texts.
        isolated: whether it sees the restored state at the app's own root, and no network but itself.
    """

    def __init__(self, argv=None, unit=None, image=None, mounts=None, engine="auto", run_as=None, environment=None,
                 isolated=True):
        self.argv = argv
        self.unit = unit
        self.image = image
        self.mounts = mounts or {}
        self.engine = engine
        self.run_as = run_as
        self.environment = environment or {}
        self.isolated = isolated


class Drilling:
    """How a drill is done, and who hears of it.

    Attributes:
        scratch: absolute directory that has room for what is restored, or None.
        boot: Boot, or None where the application is not started.
        health: what the started application has to answer; a dictionary as the app's own ``health``, or None for that one.
        ping: Ping of the drill's own dead man's switch, or None.
        metrics_directory: of the Prometheus node exporter's text files, or None.
        syslog: whether its outcome goes to syslog.
        scheduled: whether the role schedule has it done.
        within: seconds that the last drill of such an app may be ago, or None.
    """

    def __init__(self, scratch=None, boot=None, health=None, ping=None, metrics_directory=None, syslog=True, within=None):
        self.scratch = scratch
        self.boot = boot
        self.health = health
        self.ping = ping
        self.metrics_directory = metrics_directory
        self.syslog = syslog
        self.within = within
        self.scheduled = within is not None


def read_objectives(reader, told):
    """The Objectives in an app's dictionary."""
    part = told.get("objectives")
    if part is None:
        return Objectives()
    what = "'objectives'"
    reader.known(part, OBJECTIVE_KEYS, what)
    return Objectives(*[reader.optional(part, key, lambda each, key: _span(reader, each, key, what)) for key in OBJECTIVE_KEYS])


def _span(reader, told, key, what):
    """Seconds of a time span: ``26h``, ``10m``, ``1d12h``, or a number of seconds."""
    value = told[key]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return reader.seconds(told, key, None, what)
    found = SPAN.match(value) if isinstance(value, str) else None
    seconds = sum(int(number or 0) * unit for number, unit in zip(found.groups(), (86400, 3600, 60, 1))) if found else 0
    if not seconds:
        reader.fail("%r of %s is %r" % (key, what, value), "Write it in days, hours, minutes and seconds: 26h, 10m, 1d12h, 90s")
    return float(seconds)


def read_drilling(reader, told):
    """The Drilling in an app's dictionary; ``reader`` is one that also reads an app's ``health`` and ``schedule``."""
    part = told.get("drill")
    if part is None:
        return Drilling()
    reader.known(part, DRILL_KEYS, "'drill'")
    schedule = part.get("schedule")
    reader.optional(part, "schedule", reader.schedule)
    monitoring = part.get("monitoring")
    if monitoring is None:
        monitoring = {}
    reader.known(monitoring, MONITORING_KEYS, "'monitoring' of 'drill'")
    return Drilling(
        reader.optional(part, "scratch", reader.absolute),
        reader.optional(part, "boot", lambda each, key: _boot(reader, each[key])), reader.optional(part, "health", reader.health),
        read_ping(reader, monitoring), reader.optional(monitoring, "metrics_directory", reader.absolute),
        reader.flag(monitoring, "syslog", True, "'monitoring' of 'drill'"),
        None if schedule is None else most_days(schedule) * DAY + MARGIN)


def _boot(reader, told):
    what = "'boot' of 'drill'"
    reader.known(told, BOOT_KEYS, what)
    ways = [key for key in ("argv", "unit", "container") if told.get(key) is not None]
    if len(ways) != 1:
        reader.fail("%s needs exactly one of 'argv', 'unit' and 'container'" % what, "It has %s" % (" and ".join(ways) or "none"))
    boot = Boot(run_as=reader.optional(told, "run_as", reader.account), environment=_environment(reader, told, what),
                isolated=reader.flag(told, "isolated", True, what))
    if told.get("argv") is not None:
        boot.argv = reader.texts(told["argv"], "'argv' of %s" % what, 1)
        return boot
    for key, remedy in MISFITS[ways[0]]:
        if told.get(key) is not None:
            reader.fail("%r of %s does not go with %r" % (key, what, ways[0]), remedy)
    if ways == ["unit"]:
        boot.unit = reader.text(told, "unit", what)
        if not UNIT.match(boot.unit):
            reader.fail("'unit' of %s is %r; it names a systemd service: notes-drill.service" % (what, boot.unit))
    else:
        _container(reader, told["container"], boot)
    return boot


def _container(reader, told, boot):
    what = "'container' of 'boot'"
    reader.known(told, CONTAINER_KEYS, what)
    boot.image = reader.text(told, "image", what)
    boot.engine = reader.choice(told, "engine", ENGINES)
    boot.argv = None if told.get("argv") is None else reader.texts(told["argv"], "'argv' of %s" % what, 1)
    mounts = told.get("mounts")
    if not isinstance(mounts, dict) or not mounts:
        reader.fail("'mounts' of %s is a dictionary, from paths in the container to paths below the app's root" % what)
    for place, path in mounts.items():
        if not is_text(place) or not place.startswith("/") or ":" in place:
            reader.fail("'mounts' of %s has %r, which is no absolute path in a container" % (what, place))
        boot.mounts[place] = "." if path == "." else reader.relative({"path": path}, "'mounts'")
        if ":" in boot.mounts[place]:
            reader.fail("'mounts' of %s has %r, which an engine would take apart at its colon" % (what, path), "Mount a directory above it")


def _environment(reader, told, what):
    variables = told.get("environment")
    if variables is None:
        return {}
    if not isinstance(variables, dict):
        reader.fail("'environment' of %s is a dictionary, not a %s" % (what, type(variables).__name__))
    for name, value in variables.items():
        # Values can be secrets, so they are not shown.
        if not isinstance(name, str) or not VARIABLE.match(name) or value != "" and not is_text(value):
            reader.fail("'environment' of %s has from names of variables to texts; %r is otherwise" % (what, name))
    return {name: str(value) for name, value in variables.items()}
