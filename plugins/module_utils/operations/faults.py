# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ways in which a backup, or what stands around it, can be broken; each so that one check alone finds it."""

from __future__ import annotations

import copy
import os
import secrets
import socket

from ..app import Version
from ..archive.members import FILE, Member
from ..settings import Ping
from ..source import CommandSource, Reference
from ..sources.checking import COPY, checks_of
from ..sources.formats import Proof
from ..sqlite import breaking
from ..sqlite.header import SIDECARS
from ..system import files
from ..system.copying import copy_file
from ..system.errors import ConfigurationError, DatabaseError
from .inquiry import Inquiry
from .version import understood_version

# A bit that no decompressor looks at: of the time in a header of gzip (RFC 1952), and the unused one in the header of a frame
# of zstd (RFC 8878). Any other would be noticed by the checksums of these, too.
FLIPPED_BYTE, FLIPPED_BIT = 4, 0x10
LARGEST_VERSION = 2 ** 31 - 1
DUMP = "dump.sql"
# What stands behind the path of a database where its dump is declared.
DUMPED = ".appstate-selftest.sql"


class NotPossible(Exception):
    """Why a fault cannot be made of this backup, or on this host."""


class Fault:
    """One way.

    Attributes:
        name: for programs.
        check: the check of a drill that is meant to find it.
        words: what that check says of it, among other words, where it can also fail in other ways.
        make: function that is given a Workbench, and leaves it broken.
    """

    def __init__(self, name, check, make, words=""):
        self.name = name
        self.check = check
        self.make = make
        self.words = words


class Workbench:
    """Where one copy is broken.

    Args:
        directory: function that makes another private directory, and gives its path.
        rehearsed: whether dumps could be restored into their server for a trial.

    Attributes:
        app: the App as a drill is to see it.
        backup: the BackupCopy.
        archive: path of the broken one, once it is published.
        disk_is_full: whether the drill is to find no room.
    """

    def __init__(self, app, backup, directory, rehearsed):
        self.app = app
        self.backup = backup
        self.rehearsed = rehearsed
        self.directory = directory
        self.archive = None
        self.disk_is_full = False
        self._kept = []

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        for each in self._kept:
            each.close()

    def keep(self, thing):
        """Something that stays open until the drill is over."""
        self._kept.append(thing)
        return thing

    def publish(self, alter=None, tell=None):
        """Puts the backup together; see ``BackupCopy.publish``."""
        self.archive = self.backup.publish(self.directory(), alter, tell)

    def replace(self, path, content, tell=None):
        """Publishes it with other content of the file at a member's path."""
        self.publish(lambda member: [(member, content)] if member.path == path else self.backup.unaltered(member), tell)

    def add_behind(self, path, ending, content, tell=None):
        """Publishes it with one more file behind the one at a member's path, called after that."""
        def alter(member):
            added = [(Member(path + ending, FILE, 0, member.mode, member.uid, member.gid, member.owner, member.group, member.mtime),
                      content)] if member.path == path else []
            return self.backup.unaltered(member) + added
        self.publish(alter, tell)

    def checks(self):
        """The Checks of all that the backup has."""
        return [check for record in self.backup.manifest.sources if record["present"]
                for check in checks_of(record, self.app.source_at(record["path"]))]

    def database(self):
        """The Check of one SQLite database that lies in the backup by itself, and its passport with it."""
        for check in self.checks():
            beside = [self.backup.path(files.as_bytes(check.path + ending)) for ending in SIDECARS]
            if check.kind == "sqlite" and check.recorded and not any(map(os.path.exists, beside)):
                return check
        raise NotPossible("the backup has no SQLite database")

    def apart(self, check):
        """The path of a private directory that has what a Check is of, as COPY, with its sidecars."""
        directory = self.directory()
        for path, name in check.names.items():
            if os.path.exists(self.backup.path(path)):
                copy_file(self.backup.path(path), os.path.join(directory, name))
        return directory

    def inner_files(self):
        """Yields the Members that are files in directories, and no databases or dumps."""
        records = [files.as_bytes(record["path"]) for record in self.backup.manifest.sources]
        apart = {name for check in self.checks() for name in check.names}
        for member in self.backup.members():
            if member.type == FILE and member.path not in apart and any(member.path.startswith(path + b"/") for path in records):
                yield member


def varied(thing, **words):
    """A copy of an App, or of a part of one, with other attributes."""
    changed = copy.copy(thing)
    for name, value in words.items():
        setattr(changed, name, value)
    return changed


def _changed(step, *arguments):
    """What a step in ``sqlite.breaking`` returns; a database that the host cannot change without its application stays whole."""
    try:
        return step(*arguments)
    except DatabaseError as error:
        raise NotPossible("the database cannot be changed here: %s" % error.message) from error


def _cut_archive(bench):
    bench.publish()
    os.truncate(bench.archive, os.path.getsize(bench.archive) // 2)


def _flipped_byte(bench):
    bench.publish()
    with open(bench.archive, "r+b") as stream:
        stream.seek(FLIPPED_BYTE)
        flipped = stream.read(1)[0] ^ FLIPPED_BIT
        stream.seek(FLIPPED_BYTE)
        stream.write(bytes([flipped]))


def _flipped_page(bench):
    check = bench.database()
    path = os.path.join(bench.apart(check), COPY)
    breaking.flip_page(path)
    bench.replace(files.as_bytes(check.path), path)


def _stale_wal(bench):
    check = bench.database()
    directory = bench.apart(check)
    _changed(breaking.leave_log, directory, COPY)
    bench.add_behind(files.as_bytes(check.path), b"-wal", os.path.join(directory, COPY + "-wal"))


def _emptied_table(bench):
    check = bench.database()
    directory = bench.apart(check)
    if _changed(breaking.empty_table, directory, COPY) is None:
        raise NotPossible("%s has no table with rows that could be emptied" % check.path)
    bench.replace(files.as_bytes(check.path), os.path.join(directory, COPY))


def _rolled_back_dump(bench):
    own = next((check for check in bench.checks() if check.kind == "sql"), None)
    if own is not None:
        path = os.path.join(bench.apart(own), COPY)
        breaking.roll_back_dump(path)
        bench.replace(files.as_bytes(own.path), path)
        return
    check = bench.database()
    directory = bench.apart(check)
    _changed(breaking.write_dump, directory, COPY, DUMP)
    # Whatever else keeps it from being loaded is no fault of a ROLLBACK.
    _changed(Proof("sql", directory, DUMP).result)
    path = os.path.join(directory, DUMP)
    breaking.roll_back_dump(path)
    bench.app = varied(bench.app, sources=bench.app.sources + (CommandSource(check.path + DUMPED, ["true"], format="sql"),))
    bench.add_behind(files.as_bytes(check.path), DUMPED.encode(), path, lambda content: content["sources"].append(
        {"type": "command", "path": check.path + DUMPED, "present": True, "format": "sql", "passport": None}))


def _missing_upload(bench):
    path = _named_file(bench) or _name_a_file(bench)
    bench.publish(lambda member: [] if member.path == path else bench.backup.unaltered(member))


def _named_file(bench):
    """The path of a file in the backup that one of its databases names, or None."""
    inquiry = Inquiry(bench.app)
    for check in bench.checks():
        if check.can_be_asked and getattr(check.source, "references", ()):
            directory = files.open_directory(bench.apart(check))
            try:
                # A dump is loaded by that, and the sidecars of a database are taken in.
                check.findings(directory)
                inquiry.ask_copy(check, directory)
            finally:
                os.close(directory)
    return inquiry.references.first_named(bench.inner_files())


def _name_a_file(bench):
    """Describes the app so that one of its databases names a file of the backup; returns the path of that."""
    asked = [check for check in bench.checks() if check.source is not None and
             (check.can_be_asked or (check.kind == "postgresql" and bench.rehearsed))]
    if not asked:
        raise NotPossible("the backup has no database that could be asked for the names of files")
    for member in bench.inner_files():
        for check in asked:
            reference = _reference_to(member.path, check)
            if reference is not None:
                bench.app = _described(bench.app, check.source, references=(reference,))
                return member.path
    raise NotPossible("the backup has no file beside its databases that they could name")


def _reference_to(path, check):
    """A Reference that names a file by itself, or None where it could not be written."""
    inside = files.as_bytes(check.path[:len(check.path) - len(check.source.path)])
    under, unused, name = path[len(inside):].rpartition(b"/")
    if not path.startswith(inside) or not under or not name.strip():
        return None
    try:
        return Reference("SELECT '%s'" % name.decode("utf-8").replace("'", "''"), under.decode("utf-8"))
    except UnicodeDecodeError:
        return None


def _described(app, source, **words):
    """The app with something else said of one of its sources, or of a database in one."""
    def of(each):
        if each is source:
            return varied(each, **words)
        inside = getattr(each, "databases", ())
        return varied(each, databases=tuple(map(of, inside))) if source in inside else each
    return varied(app, sources=tuple(map(of, app.sources)))


def _wrong_owner(bench):
    if os.geteuid() != 0:
        raise NotPossible("only root can give files to others")
    if not os.path.isdir(bench.app.root):
        raise NotPossible("the app is not on this host, so nobody can say whom its files would have to belong to")
    stranger = "nobody-%s" % secrets.token_hex(4)
    bench.app = varied(bench.app, owner=None, group=None)

    def alter(member):
        member.owner = stranger
        return bench.backup.unaltered(member)
    bench.publish(alter)


def _newer_schema(bench):
    check = bench.database()
    directory = bench.apart(check)
    newest = _understood(bench, check)
    if newest >= LARGEST_VERSION:
        raise NotPossible("there is no user_version above %d" % newest)
    _changed(breaking.set_version, directory, COPY, newest + 1)
    bench.replace(files.as_bytes(check.path), os.path.join(directory, COPY),
                  lambda content: _passport_in(content, check.path).update(user_version=newest + 1))


def _understood(bench, check):
    """The newest ``user_version`` that the app understands; where nobody says, it is described as one that understands what
    it has now."""
    version, newest = bench.app.version, check.recorded["user_version"]
    if version is not None and version.source == check.path and "user_version" in (version.sql or ""):
        try:
            understood = understood_version(bench.app)
        except ConfigurationError:
            understood = None  # The application need not be installed here.
        if understood is not None:
            return understood
    bench.app = varied(bench.app, version=Version("PRAGMA user_version", check.path), version_max=newest)
    return newest


def _passport_in(content, path):
    """The passport of a database in what a manifest says."""
    for record in content["sources"]:
        if record["path"] == path:
            return record["passport"]
        for inside in record.get("databases") or ():
            if "%s/%s" % (record["path"], inside["path"]) == path:
                return inside["passport"]
    raise KeyError(path)


def _full_disk(bench):
    if os.geteuid() != 0:
        raise NotPossible("only root can make a disk that is full")
    bench.disk_is_full = True
    bench.publish()


def _dead_ping(bench):
    # A port that is taken, so that nobody else gets it, and at which nobody listens.
    taken = bench.keep(socket.socket())
    taken.bind(("127.0.0.1", 0))
    ping = Ping("http://127.0.0.1:%d/" % taken.getsockname()[1], "healthchecks", 10.0, 1)
    bench.app = varied(bench.app, drilling=varied(bench.app.drilling, ping=ping))
    bench.publish()


FAULTS = (
    Fault("cut_archive", "choose", _cut_archive),
    Fault("flipped_byte", "checksum", _flipped_byte, "digest"),
    Fault("flipped_page", "integrity", _flipped_page),
    Fault("stale_wal", "passport", _stale_wal),
    Fault("emptied_table", "passport", _emptied_table),
    Fault("rolled_back_dump", "integrity", _rolled_back_dump, "ROLLBACK"),
    Fault("missing_upload", "references", _missing_upload),
    Fault("wrong_owner", "ownership", _wrong_owner),
    Fault("newer_schema", "version", _newer_schema),
    Fault("full_disk", "restore", _full_disk, "space"),
    Fault("dead_ping", "ping", _dead_ping),
)
