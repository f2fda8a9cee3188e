# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A source: one piece of an application's state as the operator describes it, checked once.

Each class has the keys that its type knows (``KEYS``) and makes itself out of the operator's dictionary (``read``). All
have ``type``, ``path`` and ``required``. The path is relative to the app's root: there lie the source's members in an
archive, and what a restore puts back as files.
"""

from __future__ import annotations

import re

from .description import Reader, is_url, is_whole
from .remote import DAY, PLACE_KEYS, read_place

SNAPSHOT_METHODS = ("auto", "backup", "clone", "vacuum")
FILES_METHODS = ("archive", "rsync")
VOLUME_METHODS = ("helper", "exec")
ENGINES = ("auto", "podman", "docker")
FORMATS = ("sqlite", "sql", "tar", "raw")
ASSERTION_KEYS = ("sql", "min", "max", "equals")
GIBIBYTE = 1 << 30


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


class Reference:
    """How a database names files: a query whose first column are paths, relative to a directory below the root."""

    def __init__(self, sql, under):
        self.sql = sql
        self.under = under


class Mention:
    """How a settings file names what has to be there: a pattern whose first group is a path below ``under``."""

    def __init__(self, pattern, under):
        self.pattern = pattern
        self.under = under


class SqliteSource:
    """A SQLite database below the root.

    Attributes:
        assertions: what has to hold in it.
        method: how its snapshot is taken; see ``sqlite.snapshot``.
        foreign_keys: whether rows that violate one make it unfit.
        references: how it names files.
        sidecars: endings, beside SQLite's own, of files that belong to it and go where it goes.
        allow_any_file_system: takes it from memory or a network file system too.
    """

    type = "sqlite"
    KEYS = ("type", "path", "required", "assertions", "method", "foreign_keys", "references", "sidecars",
            "allow_any_file_system")

    def __init__(self, path, required=True, assertions=(), method="auto", foreign_keys=False, references=(),
                 sidecars=(), allow_any_file_system=False):
        self.path = path
        self.required = required
        self.assertions = tuple(assertions)
        self.method = method
        self.foreign_keys = foreign_keys
        self.references = tuple(references)
        self.sidecars = tuple(sidecars)
        self.allow_any_file_system = allow_any_file_system

    @classmethod
    def read(cls, reader, told, what):
        """The source that a dictionary describes; ``reader`` is a ``SourceReader``."""
        return cls(reader.relative(told, what), reader.flag(told, "required", True, what),
                   reader.assertions(told, what), reader.choice(told, "method", SNAPSHOT_METHODS),
                   reader.flag(told, "foreign_keys", False, what), reader.references(told, what),
                   reader.sidecars(told, what), reader.flag(told, "allow_any_file_system", False, what))


class FilesSource:
    """A file, or a directory with all that is in it, below the root.

    Attributes:
        exclude: patterns, as rsync(1) has them.
        method: ``archive``, or ``rsync`` for a mirror in generations beside the archive.
        mentions: what its files name that has to be there.
    """

    type = "files"
    KEYS = ("type", "path", "required", "exclude", "method", "mentions")

    def __init__(self, path, required=True, exclude=(), method="archive", mentions=()):
        self.path = path
        self.required = required
        self.exclude = tuple(exclude)
        self.method = method
        self.mentions = tuple(mentions)

    @classmethod
    def read(cls, reader, told, what):
        return cls(reader.relative(told, what), reader.flag(told, "required", True, what),
                   reader.texts(told.get("exclude") or [], "'exclude' of %s" % what),
                   reader.choice(told, "method", FILES_METHODS), reader.mentions(told, what))


class PostgresqlSource:
    """A PostgreSQL database.

    Attributes:
        database: its name.
        host, port, user, sslmode: as libpq knows them; None leaves libpq's own default.
        password, password_file: the password, or the path of a file on the host whose first line it is.
        run_as: account of the host that the client programs run as, for peer authentication.
        maintenance_database: where one is connected while the database itself is made or renamed.
        assertions, references: as a SqliteSource has them.
        timeout: seconds for the whole dump, or the whole restore.
    """

    type = "postgresql"
    KEYS = ("type", "path", "required", "database", "host", "port", "user", "password", "password_file", "sslmode",
            "run_as", "maintenance_database", "assertions", "references", "timeout")

    def __init__(self, path, database, required=True, host=None, port=None, user=None, password=None,
                 password_file=None, sslmode=None, run_as=None, maintenance_database="postgres", assertions=(),
                 references=(), timeout=21600.0):
        self.path = path
        self.database = database
        self.required = required
        self.host = host
        self.port = port
        self.user = user
        self.password = password
        self.password_file = password_file
        self.sslmode = sslmode
        self.run_as = run_as
        self.maintenance_database = maintenance_database
        self.assertions = tuple(assertions)
        self.references = tuple(references)
        self.timeout = timeout

    @classmethod
    def read(cls, reader, told, what):
        database = reader.text(told, "database", what)
        reader.either(told, "password", "password_file", what)
        path = reader.relative(told, what) if told.get("path") else "postgresql/%s.dump" % reader.file_name(database, what)
        return cls(path, database, reader.flag(told, "required", True, what),
                   host=reader.maybe(told, "host", what), port=reader.port(told, what),
                   user=reader.maybe(told, "user", what), password=reader.secret(told, "password", what),
                   password_file=reader.maybe_absolute(told, "password_file", what),
                   sslmode=reader.maybe(told, "sslmode", what), run_as=reader.optional(told, "run_as", reader.account),
                   maintenance_database=reader.maybe(told, "maintenance_database", what) or "postgres",
                   assertions=reader.assertions(told, what), references=reader.references(told, what),
                   timeout=reader.seconds(told, "timeout", 21600.0, what))


class CommandSource:
    """What a command of the application writes to its standard output.

    Attributes:
        argv: the command that dumps.
        restore_argv: the command that is fed a dump; None puts the dump back as the file ``path``.
        format: what the dump has to be; see ``sources.formats``.
        timeout: seconds for either command.
        run_as: account that both run as.
        assertions, references: as a SqliteSource has them, for the formats sqlite and sql.
    """

    type = "command"
    KEYS = ("type", "path", "required", "argv", "restore_argv", "format", "timeout", "run_as", "assertions",
            "references")

    def __init__(self, path, argv, required=True, restore_argv=None, format="raw", timeout=3600.0, run_as=None,
                 assertions=(), references=()):
        self.path = path
        self.argv = argv
        self.required = required
        self.restore_argv = restore_argv
        self.format = format
        self.timeout = timeout
        self.run_as = run_as
        self.assertions = tuple(assertions)
        self.references = tuple(references)

    @classmethod
    def read(cls, reader, told, what):
        restore = told.get("restore_argv")
        return cls(reader.relative(told, what), reader.texts(told.get("argv"), "'argv' of %s" % what, 1),
                   reader.flag(told, "required", True, what),
                   None if restore is None else reader.texts(restore, "'restore_argv' of %s" % what, 1),
                   reader.format(told, what), reader.seconds(told, "timeout", 3600.0, what),
                   reader.optional(told, "run_as", reader.account), reader.assertions(told, what),
                   reader.references(told, what))


class HttpSource:
    """What the application's own backup endpoint answers.

    Attributes:
        url, method, headers (a dictionary), body: the request.
        headers_file, body_file: paths of files on the host that hold more headers (``Name: value`` lines), or the body.
        format: what the answer has to be; see ``sources.formats``.
        timeout: seconds without a byte.
        deadline: seconds for all of it.
        max_size: bytes.
        ca_file: path of the certificates that the server's is checked against; None takes the host's own.
        assertions, references: as a SqliteSource has them, for the formats sqlite and sql.
    """

    type = "http"
    KEYS = ("type", "path", "required", "url", "method", "headers", "headers_file", "body", "body_file", "format",
            "timeout", "deadline", "max_size", "ca_file", "assertions", "references")

    def __init__(self, path, url, required=True, method="GET", headers=None, headers_file=None, body=None,
                 body_file=None, format="raw", timeout=60.0, deadline=3600.0, max_size=10 * GIBIBYTE, ca_file=None,
                 assertions=(), references=()):
        self.path = path
        self.url = url
        self.required = required
        self.method = method
        self.headers = dict(headers or {})
        self.headers_file = headers_file
        self.body = body
        self.body_file = body_file
        self.format = format
        self.timeout = timeout
        self.deadline = deadline
        self.max_size = max_size
        self.ca_file = ca_file
        self.assertions = tuple(assertions)
        self.references = tuple(references)

    @classmethod
    def read(cls, reader, told, what):
        reader.either(told, "body", "body_file", what)
        return cls(reader.relative(told, what), reader.url(told, what), reader.flag(told, "required", True, what),
                   method=reader.maybe(told, "method", what) or "GET", headers=reader.headers(told, what),
                   headers_file=reader.maybe_absolute(told, "headers_file", what),
                   body=reader.secret(told, "body", what), body_file=reader.maybe_absolute(told, "body_file", what),
                   format=reader.format(told, what), timeout=reader.seconds(told, "timeout", 60.0, what),
                   deadline=reader.seconds(told, "deadline", 3600.0, what),
                   max_size=reader.count(told, "max_size", what) or 10 * GIBIBYTE,
                   ca_file=reader.maybe_absolute(told, "ca_file", what), assertions=reader.assertions(told, what),
                   references=reader.references(told, what))


class VolumeSource:
    """A named volume of a container engine, or a path in a container.

    Attributes:
        volume, or container and container_path: what is taken.
        engine: ``podman``, ``docker``, or ``auto`` for the one that knows it.
        project: the compose project whose volume it is.
        image: of the helper container; None takes the container's own, or a small default.
        method: ``helper`` (a throw-away container that mounts the volume) or ``exec`` (in the running container).
        exclude: patterns, as a FilesSource has them.
        databases: SqliteSources with paths inside the volume.
        timeout: seconds for the whole stream.
    """

    type = "volume"
    KEYS = ("type", "path", "required", "engine", "volume", "container", "container_path", "project", "image", "method",
            "exclude", "databases", "timeout")
    DATABASE_KEYS = ("path", "required", "assertions", "foreign_keys", "references")

    def __init__(self, path, volume=None, required=True, container=None, container_path=None, engine="auto",
                 project=None, image=None, method="helper", exclude=(), databases=(), timeout=3600.0):
        self.path = path
        self.volume = volume
        self.required = required
        self.container = container
        self.container_path = container_path
        self.engine = engine
        self.project = project
        self.image = image
        self.method = method
        self.exclude = tuple(exclude)
        self.databases = tuple(databases)
        self.timeout = timeout

    @classmethod
    def read(cls, reader, told, what):
        names = {key: reader.maybe(told, key, what) for key in ("volume", "container", "project", "image")}
        inside = reader.maybe_absolute(told, "container_path", what)
        if (names["volume"] is None) == (inside is None) or (inside is None) != (names["container"] is None):
            if not (names["volume"] and names["container"] and inside is None):
                reader.fail("%s needs either a 'volume', or a 'container' with a 'container_path'" % what)
        method = reader.choice(told, "method", VOLUME_METHODS)
        if method == "exec" and (names["container"] is None or inside is None):
            reader.fail("%s says 'method: exec', which needs a 'container' and a 'container_path'" % what)
        path = reader.relative(told, what) if told.get("path") else "volumes/%s" % reader.file_name(
            names["volume"] or names["container"], what)
        return cls(path, names["volume"], reader.flag(told, "required", True, what), names["container"], inside,
                   reader.choice(told, "engine", ENGINES), names["project"], names["image"], method,
                   reader.texts(told.get("exclude") or [], "'exclude' of %s" % what),
                   reader.databases(told, cls.DATABASE_KEYS, what), reader.seconds(told, "timeout", 3600.0, what))


class BucketSource:
    """The objects of a bucket, or below a prefix in it; or of anything else that rclone reaches.

    Attributes:
        place: the ``remote.Place`` of it; its timeout is for each call of rclone.
        exclude: patterns, as a FilesSource has them.
    """

    type = "bucket"
    KEYS = ("type", "path", "required", "exclude", "timeout") + PLACE_KEYS

    def __init__(self, path, place, required=True, exclude=()):
        self.path = path
        self.place = place
        self.required = required
        self.exclude = tuple(exclude)

    @classmethod
    def read(cls, reader, told, what):
        place = read_place(reader, told, what, DAY)
        path = reader.relative(told, what) if told.get("path") else "buckets/%s" % reader.file_name(
            re.split("[:/]", place.remote)[-1], what)
        return cls(path, place, reader.flag(told, "required", True, what),
                   reader.texts(told.get("exclude") or [], "'exclude' of %s" % what))


SOURCES = {kind.type: kind for kind in (SqliteSource, FilesSource, PostgresqlSource, CommandSource, HttpSource,
                                        VolumeSource, BucketSource)}


def read_sources(reader, told):
    """Yields the sources of a list; ``reader`` is a ``SourceReader``.

    Raises:
        ConfigurationError: names the source, the key and what would be right.
    """
    if not isinstance(told, (list, tuple)) or not told:
        reader.fail("needs 'sources', a list with at least one", "Name each database and each directory of its state")
    seen = set()
    for number, item in enumerate(told, 1):
        source = _read_source(reader, item, "source %d" % number)
        if source.path in seen:
            reader.fail("two sources have the path %r" % source.path)
        seen.add(source.path)
        yield source


def _read_source(reader, told, what):
    if not isinstance(told, dict) or not isinstance(told.get("type"), str) or told["type"] not in SOURCES:
        reader.fail("%s needs a 'type': %s" % (what, " or ".join(sorted(SOURCES))))
    kind = SOURCES[told["type"]]
    if isinstance(told.get("path"), str):
        what = "%s (%s)" % (what, told["path"])
    reader.known(told, kind.KEYS, what)
    return kind.read(reader, told, what)


class SourceReader(Reader):
    """Reads what only sources have."""

    def assertions(self, told, what):
        return [self._assertion(item, what) for item in self.items(told, "assertions", what)]

    def _assertion(self, told, what):
        what = "an assertion of %s" % what
        self.known(told, ASSERTION_KEYS, what)
        for key in ("min", "max"):
            if told.get(key) is not None and (isinstance(told[key], bool) or not isinstance(told[key], (int, float))):
                self.fail("%r of %s is a number, not %r" % (key, what, told[key]))
        if told.get("equals") is not None and not isinstance(told["equals"], (str, int, float)):
            self.fail("'equals' of %s is a number or a text, not %r" % (what, told["equals"]))
        return Assertion(self.text(told, "sql", what), told.get("min"), told.get("max"), told.get("equals"))

    def references(self, told, what):
        return [self._reference(item, "a reference of %s" % what) for item in self.items(told, "references", what)]

    def _reference(self, told, what):
        self.known(told, ("sql", "under"), what)
        return Reference(self.text(told, "sql", what), self.relative(told, what, "under"))

    def mentions(self, told, what):
        return [self._mention(item, "a mention of %s" % what) for item in self.items(told, "mentions", what)]

    def _mention(self, told, what):
        self.known(told, ("pattern", "under"), what)
        pattern = self.text(told, "pattern", what)
        try:
            compiled = re.compile(pattern.encode("utf-8"))
        except re.error as error:
            self.fail("'pattern' of %s is no regular expression: %s" % (what, error))
        if compiled.groups < 1:
            self.fail("'pattern' of %s has no group" % what, "Put what names a path into parentheses")
        return Mention(compiled, self.relative(told, what, "under"))

    def sidecars(self, told, what):
        endings = self.texts(told.get("sidecars") or [], "'sidecars' of %s" % what)
        for ending in endings:
            if "/" in ending:
                self.fail("'sidecars' of %s has %r, which is no ending of a file's name" % (what, ending))
        return endings

    def databases(self, told, keys, what):
        """The databases inside a volume."""
        for number, item in enumerate(self.items(told, "databases", what), 1):
            inside = "database %d of %s" % (number, what)
            self.known(item, keys, inside)
            yield SqliteSource.read(self, item, inside)

    def format(self, told, what):
        if told.get("format") is None:
            self.fail("%s needs a 'format': %s" % (what, ", ".join(FORMATS)),
                      "It says what the dump has to be; 'raw' takes anything but nothing")
        return self.choice(told, "format", FORMATS)

    def either(self, told, one, other, what):
        """Refuses a dictionary that says one thing in two ways."""
        if told.get(one) is not None and told.get(other) is not None:
            self.fail("%r and %r of %s exclude one another" % (one, other, what))

    def headers(self, told, what):
        headers = told.get("headers") or {}
        # Not the value itself: it may be a secret.
        if not isinstance(headers, dict) or not all(isinstance(name, str) and isinstance(value, str) and
                                                    not re.search("[\r\n\0]", name + value)
                                                    for name, value in headers.items()):
            self.fail("'headers' of %s is a dictionary of texts, each of one line" % what)
        return dict(headers)

    def url(self, told, what):
        value = self.text(told, "url", what)
        if not is_url(value):
            self.fail("'url' of %s begins with https:// or http://, then a host, and has no blanks" % what)
        return value

    def port(self, told, what):
        value = told.get("port")
        if value is not None and not (is_whole(value) and 0 < value < 65536):
            self.fail("'port' of %s is a number from 1 to 65535, not %r" % (what, value))
        return value

    def file_name(self, name, what):
        """A name of something else as one part of a path."""
        if "/" in name or name in ("", ".", ".."):
            self.fail("%s needs a 'path', since %r cannot be a file's name" % (what, name),
                      "Name the place that it gets in an archive")
        return name
