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
from .drilling import Drilling, Objectives, read_drilling, read_objectives
from .encryption import read_recipients
from .naming import read_rolling_name
from .profiles.profiles import resolve
from .remote import read_remotes
from .settings import read_settings
from .source import SourceReader, read_sources
from .system.errors import ConfigurationError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}\Z")
COMPRESSIONS = ("auto", "zstd", "gzip")
MODES = ("live", "cold")


class App:
    """One application.

    Attributes:
        name: of letters, digits, ``-`` and ``_``; names its folder at the destination, its lock and its journal.
        root: absolute directory that all paths of sources are relative to.
        destination: absolute directory that backups land in, one folder an app; None where only a restore is asked for.
        sources: see ``source``; in the operator's order.
        owner, group: names or numeric ids that a restore gives all files to; None leaves what the backup recorded.
        file_mode, directory_mode: modes likewise, or None.
        compression: ``auto`` (zstd where the host has it, else gzip), ``zstd`` or ``gzip``.
        snapshot_deadline: seconds that a snapshot may wait and take.
        service, health: what a restore stops, starts and probes.
        mode: ``live``, or ``cold`` for a backup while the service is stopped.
        version: how the version of its data is read, a Version; or None.
        version_max: the newest version of data that the installed application understands: a number, or the command
            that prints it as a list; None where nobody says.
        settings: what a run does beside the backup itself; see ``settings.Settings``.
        remotes: the Remotes that each backup is copied to.
        recipients: public keys that its backups are encrypted to; none where they are not encrypted.
        rolling_name: the RollingName that its files have, or None.
        objectives: what is asked of its backups, see ``drilling.Objectives``.
        drilling: how a drill of them is done, see ``drilling.Drilling``.
    """

    def __init__(self, name, root, destination, sources, owner=None, group=None, file_mode=None, directory_mode=None,
                 compression="auto", snapshot_deadline=300.0, service=None, health=None, settings=None, mode="live",
                 version=None, version_max=None, remotes=(), recipients=(), rolling_name=None, objectives=None, drilling=None):
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
        self.mode = mode
        self.version = version
        self.version_max = version_max
        self.remotes = tuple(remotes)
        self.recipients = tuple(recipients)
        self.rolling_name = rolling_name
        self.objectives = objectives or Objectives()
        self.drilling = drilling or Drilling()

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

    def remote(self, name):
        """The remote of that name.

        Raises:
            ConfigurationError: it has none.
        """
        for remote in self.remotes:
            if remote.name == name:
                return remote
        raise ConfigurationError("has no remote %r" % name, app=self.name,
                                 remedy="Its remotes are: %s" % (", ".join(each.name for each in self.remotes) or "none"))

    def full_path(self, source):
        """The absolute path of a source, as an error or a child process needs it."""
        return os.path.join(self.root, source.path)


class Version:
    """How the version of an application, and of its data, is read.

    Attributes:
        sql: query with the version of the schema, a whole number, as its one value; or None.
        source: path of the source that it is asked of.
        application: command whose first line of output is the application's version; or None.
        container: container whose image's digest is the application's version; or None.
    """

    def __init__(self, sql=None, source=None, application=None, container=None):
        self.sql = sql
        self.source = source
        self.application = application
        self.container = container


APP_KEYS = ("name", "profile", "root", "owner", "group", "file_mode", "directory_mode", "destination", "compression",
            "sources", "service", "health", "snapshot_deadline", "retention", "shrink_guard", "hooks", "monitoring",
            "allow_network_destination", "schedule", "mode", "version", "version_max", "remotes", "encryption", "filename",
            "objectives", "drill")
SERVICE_KEYS = ("name", "stop", "start")
VERSION_KEYS = ("sql", "source", "application", "container")
HEALTH_KEYS = ("url", "status", "expression", "timeout", "retries", "delay", "validate_certs")


def parse_app(told, need_destination=True):
    """The App that a dictionary describes.

    Raises:
        ConfigurationError: for an unknown key, a missing one, a wrong type, a path that is not where it may be.
    """
    if not isinstance(told, dict):
        raise ConfigurationError("an app is a dictionary, not %s" % type(told).__name__)
    told = resolve(told)
    reader = _AppReader(told.get("name") if isinstance(told.get("name"), str) else None)
    reader.known(told, APP_KEYS, "the app")
    name = reader.text(told, "name")
    if not NAME.match(name):
        reader.fail("'name' is %r; it may have letters, digits, '-' and '_', 63 at the most" % name)
    root = reader.absolute(told, "root")
    destination = reader.absolute(told, "destination") if need_destination or told.get("destination") else None
    reader.optional(told, "schedule", reader.schedule)
    sources = tuple(read_sources(reader, told.get("sources")))
    settings = read_settings(reader, told)
    app = App(
        name, root, destination, sources,
        owner=reader.optional(told, "owner", reader.account), group=reader.optional(told, "group", reader.account),
        file_mode=reader.optional(told, "file_mode", reader.mode),
        directory_mode=reader.optional(told, "directory_mode", reader.mode),
        compression=reader.choice(told, "compression", COMPRESSIONS),
        snapshot_deadline=reader.seconds(told, "snapshot_deadline", 300.0),
        service=reader.optional(told, "service", reader.service),
        health=reader.optional(told, "health", reader.health), settings=settings,
        mode=reader.choice(told, "mode", MODES), version=reader.version(told, sources),
        version_max=reader.optional(told, "version_max", reader.version_max), remotes=read_remotes(reader, told),
        recipients=read_recipients(reader, told),
        rolling_name=read_rolling_name(reader, told, name, settings.retention.timezone),
        objectives=read_objectives(reader, told), drilling=read_drilling(reader, told))
    reader.destination_outside(app)
    reader.can_be_stopped(app)
    reader.mirrors_stay_here(app)
    reader.drills_apart(app)
    reader.drills_with_a_key(app)
    return app


def check_root(path, key, app_name):
    """A root that stands outside of an app's description, made plain.

    Raises:
        ConfigurationError: it is not absolute, has ``..``, or is the whole file system.
    """
    return Reader(app_name).absolute({key: path}, key)


class _AppReader(SourceReader):
    """Reads what only an app has."""

    def service(self, told, key):
        told = told[key]
        self.known(told, SERVICE_KEYS, "'service'")
        if (told.get("name") is None) == (told.get("stop") is None and told.get("start") is None):
            self.fail("'service' needs either a 'name', or 'stop' and 'start'")
        if told.get("name") is not None:
            return {"name": self.text(told, "name", "'service'")}
        return {step: self.texts(told.get(step), "%r of 'service'" % step, 1) for step in ("stop", "start")}

    def version(self, told, sources):
        told = told.get("version")
        if told is None:
            return None
        self.known(told, VERSION_KEYS, "'version'")
        application = told.get("application")
        version = Version(self.maybe(told, "sql", "'version'"), self.maybe(told, "source", "'version'"),
                          None if application is None else self.texts(application, "'application' of 'version'", 1),
                          self.maybe(told, "container", "'version'"))
        if version.sql is not None and version.source is None:
            version.source = self._only_database(sources)
        if version.source is not None and version.source not in database_paths(sources):
            self.fail("'source' of 'version' is %r, which is the path of no database" % version.source,
                      "Databases are: %s" % (", ".join(database_paths(sources)) or "none"))
        return version

    def _only_database(self, sources):
        paths = database_paths(sources)
        if len(paths) != 1:
            self.fail("'version' needs a 'source', the path of the database that is asked",
                      "Databases are: %s" % (", ".join(paths) or "none"))
        return paths[0]

    def version_max(self, told, key):
        value = told[key]
        if is_whole(value):
            return value
        if not isinstance(value, dict):
            self.fail("'version_max' is a whole number, or a dictionary with 'argv', not %r" % (value,))
        self.known(value, ("argv",), "'version_max'")
        return self.texts(value.get("argv"), "'argv' of 'version_max'", 1)

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

    def can_be_stopped(self, app):
        if app.mode == "cold" and app.service is None:
            self.fail("'mode' is cold, and without a 'service' it is not known how the app is stopped and started",
                      "Give it a 'service', or leave 'mode' out")

    def mirrors_stay_here(self, app):
        for source in app.sources:
            if getattr(source, "method", None) == "rsync" and (app.remotes or app.recipients):
                self.fail("the source %r says 'method: rsync'; such a mirror stays beside its backups, unencrypted, so it "
                          "goes with neither 'remotes' nor 'encryption'" % source.path,
                          "Take it with 'method: archive'")

    def drills_apart(self, app):
        unit = app.drilling.boot.unit if app.drilling.boot is not None else None
        if unit is not None and unit[:-len(".service")] == (app.service or {}).get("name", "").partition(".service")[0]:
            self.fail("'unit' of 'boot' is the app's own service, which a drill would stop", "Make another one for drills")
        boot, health, live = app.drilling.boot, app.drilling.health or app.health, app.health or {}
        if boot is not None and not boot.isolated and health is not None and health["url"] == live.get("url"):
            self.fail("'isolated: false' of 'boot' starts a copy of the app beside the live one, whose 'health' would answer for it",
                      "Give 'drill' a 'health' of its own, whose URL has {port} in it")

    def drills_with_a_key(self, app):
        if app.drilling.scheduled and app.recipients:
            self.fail("'schedule' of 'drill' does not go with 'encryption': the identity that opens its backups is not on the host",
                      "Leave 'schedule' out, and run the playbook appstate.backup.drill with drill_identity_file where the identity is")

    def destination_outside(self, app):
        if app.destination is None:
            return
        for source in app.sources:
            place = app.full_path(source)
            if app.directory == place or app.directory.startswith(place + "/"):
                self.fail("the destination %s lies inside the source %r, so each backup would hold the earlier ones"
                          % (app.destination, source.path), "Choose a destination outside of it")


def database_paths(sources):
    """The paths of those sources, and of what is in them, that can be asked by SQL."""
    paths = []
    for source in sources:
        if source.type in ("sqlite", "postgresql") or getattr(source, "format", None) in ("sqlite", "sql"):
            paths.append(source.path)
        paths.extend("%s/%s" % (source.path, database.path) for database in getattr(source, "databases", ()))
    return paths
