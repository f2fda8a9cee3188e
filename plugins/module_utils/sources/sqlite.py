# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Source ``sqlite``: a database, taken as a snapshot while the application writes, and examined before it counts."""

from __future__ import annotations

import os
import stat
from contextlib import ExitStack

from ..archive.members import FILE, Member
from ..sqlite.examine import start_examination
from ..sqlite.header import SIDECARS
from ..sqlite.questions import ask_copy
from ..sqlite.sandbox import give_to_sandbox, owner_of
from ..sqlite.snapshot import take_snapshot
from ..system import files
from ..system.errors import AppStateError, AssertionFailed, DatabaseError
from ..system.scratch import Scratch
from .finding import ASSERTION, FOREIGN_KEYS, INTEGRITY, PASSPORT, Finding, problems_of
from .ground import refuse_ground
from .taker import Taker

COPY = "snapshot.db"
# Where snapshots go when the database's owner cannot reach the destination.
FALLBACK = "/var/tmp"


class SqliteTaker(Taker):
    """Takes one SqliteSource into an archive."""

    def __init__(self, room, source):
        super().__init__(room, source)
        self._resources = ExitStack()
        self._directory = None
        self._found = None
        self._examination = None
        self._snapshot = None
        self._record = {"type": "sqlite", "path": source.path, "present": False}
        self.present = False

    def look(self):
        found = self._look_up()
        return 0 if found is None else found.st_size

    def _look_up(self):
        found = self._room.look_up(self._source)
        if found is not None:
            refuse_ground(self._room.app, self._room.root, self._room.app.root, self._source)
        return found

    def prepare(self):
        """Takes the snapshot, and has it examined beside all that follows."""
        app = self._room.app
        self._found = self._look_up()
        if self._found is None:
            return
        path = app.full_path(self._source)
        self.present = True
        identity = owner_of(path)
        scratch = self._resources.enter_context(Scratch([app.destination, FALLBACK], app.name, identity))
        size = self._found.st_size + _size(self._room.root, self._source.path + "-wal")
        files.need_space(scratch.descriptor, size, scratch.path, "the snapshot of %s" % path)
        self._directory = scratch.directory(identity)
        self._snapshot = take_snapshot(path, self._directory, COPY, method=self._source.method,
                                       deadline_seconds=app.snapshot_deadline, durable=False)
        scratch.seal()
        self._examination = examine_copy(self._directory, COPY, self._source)
        self._resources.callback(self._examination.kill)

    def write(self, writer):
        """Adds the snapshot under the database's own path."""
        if not self.present:
            return
        directory = files.open_directory(self._directory)
        try:
            descriptor = os.open(COPY, files.READ, dir_fd=directory)
        finally:
            os.close(directory)
        try:
            found, names = self._found, self._room.names
            copied = os.fstat(descriptor)
            member = Member(files.as_bytes(self._source.path), FILE, copied.st_size, stat.S_IMODE(found.st_mode),
                            found.st_uid, found.st_gid, names.user(found.st_uid), names.group(found.st_gid),
                            copied.st_mtime_ns)
            trouble = writer.add_file(member, descriptor)
        finally:
            os.close(descriptor)
        if trouble:
            raise DatabaseError("the snapshot %s" % trouble, app=self._room.app.name,
                                path=self._room.app.full_path(self._source))
        self._record.update(present=True, members=1, bytes=member.size)

    def finish(self):
        """Waits for the examination; a database that does not pass is never part of a backup."""
        try:
            if self.present:
                self._judge(self._examination.result())
        finally:
            self.close()

    def _judge(self, examined):
        path = self._full_path()
        self._record.update(method=self._snapshot["method"], seconds=round(self._snapshot["seconds"], 3),
                            **told_of(examined, self._room, path, self._source))
        self._room.inquire(self._source.path, self._source, lambda sql: ask_copy(self._directory, COPY, sql))

    def record(self):
        return self._record

    def close(self):
        """Ends the examination where it still runs, and removes the snapshot."""
        self._resources.close()


def examine_copy(directory, name, source=None):
    """Starts the examination of a private copy; without a source there are no assertions."""
    give_to_sandbox(directory, name)
    assertions = [assertion.to_dict() for assertion in getattr(source, "assertions", ())]
    return start_examination(directory, name, integrity="full", row_counts=True, assertions=assertions)


def told_of(examined, room, path, source):
    """What a manifest says of a database that was found to be good; what is only doubtful becomes a warning.

    Raises:
        DatabaseError, AssertionFailed: it is not; see ``refuse``.
    """
    refuse(examined, room.app.name, path, source)
    if examined["integrity"].get("unchecked"):
        room.warn("%s has full-text tables that cannot be checked on this host: %s"
                  % (path, ", ".join(examined["integrity"]["unchecked"])))
    if examined["foreign_keys"]:
        room.warn("%s has %d rows that violate a foreign key" % (path, examined["foreign_keys"]))
    return {"passport": examined["passport"], "integrity": examined["integrity"]["level"],
            "foreign_keys": examined["foreign_keys"], "assertions": [_told(item) for item in examined["assertions"]]}


def refuse(examined, app_name, path, source=None):
    """Raises what an examination found wrong.

    Raises:
        DatabaseError: the database is not sound.
        AssertionFailed: it is sound, but holds something else than the app asks for.
    """
    troubles = problems_of(findings_of(examined, source))
    if not troubles:
        return
    if examined["integrity"]["ok"] is False:
        raise DatabaseError(troubles[0], app=app_name, path=path,
                            remedy="Restore an earlier backup, or see what the sqlite3 command's .recover can save")
    raise AssertionFailed(troubles[0], app=app_name, path=path,
                          remedy="Look into the database; where it is right, change the app's sources")


def findings_of(examined, source=None, recorded=None):
    """What was found of an examined database, a list of Findings; ``recorded`` is the passport it had."""
    integrity = examined["integrity"]
    if integrity["ok"] is False:
        return [Finding(INTEGRITY, "the database is corrupt: %s" % "; ".join(integrity["messages"][:3]))]
    findings = [Finding(INTEGRITY)]
    findings.extend(Finding(ASSERTION, None if item["ok"] else "an assertion does not hold: %s (%s)" % (
        item["message"], item["sql"]), item["sql"]) for item in examined["assertions"])
    if getattr(source, "foreign_keys", False):
        violations = examined["foreign_keys"]
        findings.append(Finding(FOREIGN_KEYS, "%d rows violate a foreign key" % violations if violations else None))
    if recorded is not None:
        differing = _differing(recorded, examined["passport"])
        findings.append(Finding(PASSPORT, "is not the database that was backed up (%s differ)" % ", ".join(differing)
                                if differing else None))
    return findings


def _differing(recorded, found):
    """The keys in which two passports differ. A table that either host could not count (None: its virtual table
    needs an extension) is not compared."""
    differing = [key for key in sorted(set(recorded) | set(found))
                 if key != "tables" and recorded.get(key) != found.get(key)]
    before, after = recorded.get("tables") or {}, found.get("tables") or {}
    tables = [name for name in sorted(set(before) | set(after))
              if None not in (before.get(name, -1), after.get(name, -1)) and before.get(name) != after.get(name)]
    return differing + ["rows of %s" % name for name in tables]


def check_copy(directory, name, source, recorded):
    """Examines a private copy and gives the Findings; an examination that fails is one of them."""
    try:
        return findings_of(examine_copy(directory, name, source).result(), source, recorded)
    except AppStateError as error:
        return [Finding(INTEGRITY, error.message)]


def sidecars_of(path):
    """The paths of the files that belong to a database at a path, and go where it goes."""
    return [path + sidecar for sidecar in SIDECARS]


def paths_of(source):
    """The paths below the root of a source: its own, and those of the files that go where a database goes."""
    if source.type != "sqlite" and getattr(source, "format", None) != "sqlite":
        return [source.path]
    return [source.path] + sidecars_of(source.path) + [source.path + end for end in getattr(source, "sidecars", ())]


def _told(item):
    return {key: item[key] for key in ("sql", "value", "ok") if key in item}


def _size(root, relative):
    found = files.lookup(root, relative)
    return 0 if found is None else found.st_size
