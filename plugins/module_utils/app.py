# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An app: one application's state as the operator describes it, checked once and then passed on as one value.

``parse_app`` takes the dictionary of the inventory (or of a JSON file) and gives an ``App``, or a ConfigurationError
that names the app, the key and what would be right.
"""

from __future__ import annotations

import os
import re

from .crontab import FIELDS, is_field
from .description import Reader, is_whole
from .settings import read_settings
from .system.errors import ConfigurationError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}\Z")
COMPRESSIONS = ("auto", "zstd", "gzip")
SNAPSHOT_METHODS = ("auto", "backup", "clone", "vacuum")


class App:
    """One application.

    Attributes:
        name: of letters, digits, ``-`` and ``_``; names its folder at the destination, its lock and its journal.
        root: absolute directory that all paths of sources are relative to.
        destination: absolute directory that backups land in, one folder an app; None where only a restore is asked for.
        sources: SqliteSource and FilesSource, in the operator's order.
        owner, group: names or numeric ids that a restore gives all files to; None leaves what the backup recorded.
        file_mode, directory_mode: modes likewise, or None.
        compression: ``auto`` (zstd where the host has it, else gzip), ``zstd`` or ``gzip``.
        snapshot_deadline: seconds that a snapshot may wait and take.
        service, health: what a restore stops, starts and probes.
        settings: what a run does beside the backup itself; see ``settings.Settings``.
    """

    def __init__(self, name, root, destination, sources, owner=None, group=None, file_mode=None, directory_mode=None,
                 compression="auto", snapshot_deadline=300.0, service=None, health=None,
                 settings=None):
        self.name = name
        self.root = root
        self.destination = destination
        self.sources = sources
        self.owner = owner
        self.group = group
        self.file_mode = file_mode
        self.directory_mode = directory_mode
        self.compression = compression
        self.snapshot_deadline = snapshot_deadline
        self.service = service
        self.health = health
        self.settings = settings

    @property
    def directory(self):
        """Where this app's backups lie: ``<destination>/<app>``."""
        return os.path.join(self.destination, self.name)

    def source_at(self, path):
        """The source at exactly that relative path, or None."""
        for source in self.sources:
            if source.path == path:
                return source
        return None

    def full_path(self, source):
        """The absolute path of a source, as an error or a child process needs it."""
        return os.path.join(self.root, source.path)


class Assertion:
    """One SQL query with one value as its answer, and what that value has to be."""

    def __init__(self, sql, minimum=None, maximum=None, equals=None):
        self.sql = sql
        self.minimum = minimum
        self.maximum = maximum
        self.equals = equals

    def to_dict(self):
        """The assertion as the operator wrote it."""
        told = {"sql": self.sql, "min": self.minimum, "max": self.maximum, "equals": self.equals}
        return {key: value for key, value in told.items() if value is not None}


class SqliteSource:
    """A SQLite database below the root."""

    type = "sqlite"

    def __init__(self, path, required=True, assertions=(), method="auto", foreign_keys=False):
        self.path = path
        self.required = required
        self.assertions = tuple(assertions)
        self.method = method
        self.foreign_keys = foreign_keys


class FilesSource:
    """A file, or a directory with all that is in it, below the root."""

    type = "files"

    def __init__(self, path, required=True, exclude=()):
        self.path = path
        self.required = required
        self.exclude = tuple(exclude)


APP_KEYS = ("name", "root", "owner", "group", "file_mode", "directory_mode", "destination", "compression", "sources",
            "service", "health", "snapshot_deadline", "retention", "shrink_guard", "hooks", "monitoring",
            "allow_network_destination", "schedule")
SOURCE_KEYS = {"sqlite": ("type", "path", "required", "assertions", "method", "foreign_keys"),
               "files": ("type", "path", "required", "exclude")}
ASSERTION_KEYS = ("sql", "min", "max", "equals")
SERVICE_KEYS = ("name", "stop", "start")
HEALTH_KEYS = ("url", "status", "expression", "timeout", "retries", "delay", "validate_certs")


def parse_app(told, need_destination=True):
    """The App that a dictionary describes.

    Raises:
        ConfigurationError: for an unknown key, a missing one, a wrong type, a path that is not where it may be.
    """
    if not isinstance(told, dict):
        raise ConfigurationError("an app is a dictionary, not %s" % type(told).__name__)
    reader = _AppReader(told.get("name") if isinstance(told.get("name"), str) else None)
    reader.known(told, APP_KEYS, "the app")
    name = reader.text(told, "name")
    if not NAME.match(name):
        reader.fail("'name' is %r; it may have letters, digits, '-' and '_', 63 at the most" % name)
    root = reader.absolute(told, "root")
    destination = reader.absolute(told, "destination") if need_destination or told.get("destination") else None
    reader.optional(told, "schedule", reader.schedule)
    app = App(
        name, root, destination, tuple(reader.sources(told.get("sources"))),
        owner=reader.optional(told, "owner", reader.account), group=reader.optional(told, "group", reader.account),
        file_mode=reader.optional(told, "file_mode", reader.mode),
        directory_mode=reader.optional(told, "directory_mode", reader.mode),
        compression=reader.choice(told, "compression", COMPRESSIONS),
        snapshot_deadline=reader.seconds(told, "snapshot_deadline", 300.0),
        service=reader.optional(told, "service", reader.service),
        health=reader.optional(told, "health", reader.health), settings=read_settings(reader, told))
    reader.destination_outside(app)
    return app


def check_root(path, key, app_name):
    """A root that stands outside of an app's description, made plain.

    Raises:
        ConfigurationError: it is not absolute, has ``..``, or is the whole file system.
    """
    return Reader(app_name).absolute({key: path}, key)


class _AppReader(Reader):
    """Reads what only an app has."""

    def sources(self, told):
        if not isinstance(told, (list, tuple)) or not told:
            self.fail("needs 'sources', a list with at least one", "Name each database and each directory of its state")
        seen = set()
        for number, item in enumerate(told, 1):
            source = self.source(item, "source %d" % number)
            if source.path in seen:
                self.fail("two sources have the path %r" % source.path)
            seen.add(source.path)
            yield source

    def source(self, told, what):
        if not isinstance(told, dict) or not isinstance(told.get("type"), str) or told["type"] not in SOURCE_KEYS:
            self.fail("%s needs a 'type': %s" % (what, " or ".join(sorted(SOURCE_KEYS))))
        kind = told["type"]
        if isinstance(told.get("path"), str):
            what = "%s (%s)" % (what, told["path"])
        self.known(told, SOURCE_KEYS[kind], what)
        path = self.relative(told, what)
        required = self.flag(told, "required", True, what)
        if kind == "files":
            return FilesSource(path, required, self.texts(told.get("exclude") or [], "'exclude' of %s" % what))
        assertions = told.get("assertions") or []
        if not isinstance(assertions, (list, tuple)):
            self.fail("'assertions' of %s is a list, not %r" % (what, assertions))
        return SqliteSource(path, required, [self.assertion(item, what) for item in assertions],
                            self.choice(told, "method", SNAPSHOT_METHODS),
                            self.flag(told, "foreign_keys", False, what))

    def assertion(self, told, what):
        what = "an assertion of %s" % what
        self.known(told, ASSERTION_KEYS, what)
        for key in ("min", "max"):
            if told.get(key) is not None and (isinstance(told[key], bool) or not isinstance(told[key], (int, float))):
                self.fail("%r of %s is a number, not %r" % (key, what, told[key]))
        if told.get("equals") is not None and not isinstance(told["equals"], (str, int, float)):
            self.fail("'equals' of %s is a number or a text, not %r" % (what, told["equals"]))
        return Assertion(self.text(told, "sql", what), told.get("min"), told.get("max"), told.get("equals"))

    def service(self, told, key):
        told = told[key]
        self.known(told, SERVICE_KEYS, "'service'")
        if (told.get("name") is None) == (told.get("stop") is None and told.get("start") is None):
            self.fail("'service' needs either a 'name', or 'stop' and 'start'")
        if told.get("name") is not None:
            return {"name": self.text(told, "name", "'service'")}
        return {step: self.texts(told.get(step), "%r of 'service'" % step, 1) for step in ("stop", "start")}

    def schedule(self, told, key):
        """When the role schedule has it run; the engine only looks whether cron would understand it."""
        self.known(told[key], tuple(FIELDS), "'schedule'")
        for field, value in told[key].items():
            # Without a minute, the role finds one.
            if value is None or (field == "minute" and value == ""):
                continue
            if isinstance(value, bool) or not isinstance(value, (str, int)) or not is_field(field, str(value)):
                self.fail("%r of 'schedule' is %r, which cron does not understand" % (field, value),
                          "Write it as crontab(5) has it")

    def health(self, told, key):
        told = told[key]
        self.known(told, HEALTH_KEYS, "'health'")
        self.text(told, "url", "'health'")
        for number in ("timeout", "delay"):
            self.seconds(told, number, 5, "'health'")
        if told.get("expression") is not None:
            self.text(told, "expression", "'health'")
        if told.get("retries") is not None and not is_whole(told["retries"]):
            self.fail("'retries' of 'health' is a whole number, not %r" % (told["retries"],))
        status = told.get("status") if told.get("status") is not None else [200]
        if not all(is_whole(number) for number in (status if isinstance(status, (list, tuple)) else [status])):
            self.fail("'status' of 'health' is a number or a list of numbers, not %r" % (status,))
        self.flag(told, "validate_certs", True, "'health'")
        return dict(told)

    def destination_outside(self, app):
        if app.destination is None:
            return
        for source in app.sources:
            place = app.full_path(source)
            if app.directory == place or app.directory.startswith(place + "/"):
                self.fail("the destination %s lies inside the source %r, so each backup would hold the earlier ones"
                          % (app.destination, source.path), "Choose a destination outside of it")
