# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host with one application on it, in a directory that every user can pass, as databases' owners have to."""

from __future__ import annotations

import datetime
import fcntl
import hashlib
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile

from ansible_collections.appstate.backup.plugins.module_utils.app import parse_app
from ansible_collections.appstate.backup.plugins.module_utils.operations.backup import take_backup
from ansible_collections.appstate.backup.plugins.module_utils.operations.request import Request
from ansible_collections.appstate.backup.plugins.module_utils.operations.restore import Restore
from ansible_collections.appstate.backup.plugins.module_utils.operations.selection import select
from ansible_collections.appstate.backup.plugins.module_utils.operations.verify import verify
from ansible_collections.appstate.backup.plugins.module_utils.system.machine import Machine

# The application's user: one that no system has, so that nothing else runs as it.
OWNER = 3001 if os.geteuid() == 0 else os.getuid()
GROUP = 3002 if os.geteuid() == 0 else os.getgid()
DATABASE = "data/notes.db"
# The many small restores of these tests wait for the disk otherwise.
FAST = "/dev/shm" if os.path.isdir("/dev/shm") else None


class Host:
    """An application ``notes`` with a database, uploads and settings, and the places that backups and locks need."""

    def __init__(self, path):
        self.path = path
        self.root = self.place("app")
        self.destination = self.place("backups")
        self.state = self.place("state")
        self.locks = self.place("locks")
        self.time = datetime.datetime(2026, 11, 19, 3, 0, 0, tzinfo=datetime.timezone.utc)
        self.machine = Machine("host", self._now, self.state, self.locks)
        for directory in (self.root, self.destination):
            os.mkdir(directory)
        self.own(self.root)

    def _now(self):
        """The time of this host, which goes on by one second each time that somebody asks."""
        self.time += datetime.timedelta(seconds=1)
        return self.time

    def place(self, *names):
        """A path outside of the application."""
        return os.path.join(self.path, *names)

    def at(self, *names):
        """A path below the application's root."""
        return os.path.join(self.root, *names)

    def own(self, path):
        """Gives one path to the application's user."""
        os.chown(path, OWNER, GROUP, follow_symlinks=False)

    def directory(self, name, mode=0o750):
        """Makes a directory below the root, with those above it, and gives all of them to the application's user."""
        made = self.root
        for part in name.split("/"):
            made = os.path.join(made, part)
            if not os.path.isdir(made):
                os.mkdir(made)
                os.chmod(made, mode)
                self.own(made)
        return made

    def write(self, name, content=b"content", mode=0o640, mtime=1700000000123456789):
        """Writes a file below the root, with the directories above it."""
        if "/" in name:
            self.directory(os.path.dirname(name))
        path = self.at(name)
        with open(path, "wb") as file:
            file.write(content)
        os.chmod(path, mode)
        self.own(path)
        os.utime(path, ns=(mtime, mtime))
        return path

    def database(self, name=DATABASE, rows=20, journal="wal"):
        """Makes a database with that many notes."""
        self.directory(os.path.dirname(name))
        path = self.at(name)
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("PRAGMA journal_mode=" + journal)
        connection.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)")
        connection.executemany("INSERT INTO notes (text) VALUES (?)", [("note %d" % number,) for number in range(rows)])
        connection.close()
        self.own(path)
        os.chmod(path, 0o640)
        return path

    def notes(self, name=DATABASE, root=None):
        """How many notes a database has now, read from a copy, since reading a database writes beside it."""
        with tempfile.TemporaryDirectory(dir=self.path) as room:
            for ending in ("", "-wal", "-journal"):
                if os.path.exists(os.path.join(root or self.root, name + ending)):
                    shutil.copy(os.path.join(root or self.root, name + ending), os.path.join(room, "copy.db" + ending))
            connection = sqlite3.connect(os.path.join(room, "copy.db"))
            try:
                return connection.execute("SELECT count(*) FROM notes").fetchone()[0]
            finally:
                connection.close()

    def add_notes(self, count, name=DATABASE):
        """Adds notes and closes the database, which takes the WAL in."""
        connection = sqlite3.connect(self.at(name))
        with connection:
            connection.executemany("INSERT INTO notes (text) VALUES (?)", [("more",)] * count)
        connection.close()

    def crash(self, name=DATABASE, count=5):
        """Adds notes by a process that dies with the database open, so that its WAL (or journal) stays behind."""
        script = ("import os, sqlite3, sys\n"
                  "c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
                  "c.execute('PRAGMA wal_autocheckpoint=0')\n"
                  "for n in range(int(sys.argv[2])): c.execute(\"INSERT INTO notes (text) VALUES ('crash')\")\n"
                  "os.kill(os.getpid(), 9)\n")
        subprocess.run([sys.executable, "-c", script, self.at(name), str(count)], check=False)
        for ending in ("-wal", "-shm", "-journal"):
            if os.path.exists(self.at(name + ending)):
                self.own(self.at(name + ending))

    def sources(self):
        """The sources that ``fill`` makes."""
        return [{"type": "sqlite", "path": DATABASE}, {"type": "files", "path": "uploads"},
                {"type": "files", "path": "data/settings.json"}]

    def fill(self, journal="wal"):
        """Makes the application's state."""
        self.database(journal=journal)
        self.write("uploads/a.bin", b"a" * 3000)
        self.write("uploads/deep/er/b.bin", b"b", 0o600)
        os.symlink("deep/er/b.bin", self.at("uploads/link"))
        self.own(self.at("uploads/link"))
        self.write("data/settings.json", b"{}")

    def damage(self):
        """Makes another state out of it."""
        self.add_notes(3)
        os.unlink(self.at("uploads/deep/er/b.bin"))
        self.write("uploads/new.bin", b"new")
        self.write("data/settings.json", b"broken")

    def described(self, **words):
        """The application as an inventory describes it; a word of None takes a key out."""
        # The place of this host may be in memory, see FAST.
        told = {"name": "notes", "root": self.root, "destination": self.destination, "sources": self.sources(),
                "allow_network_destination": True}
        told.update(words)
        if isinstance(told["sources"], list):
            told["sources"] = [_anywhere(source) for source in told["sources"]]
        return {key: value for key, value in told.items() if value is not None}

    def app(self, **words):
        """The application as the engine takes it."""
        return parse_app(self.described(**words))

    def backup(self, **words):
        """Takes a backup; returns what ``take_backup`` does."""
        return take_backup(self.app(**words), self.machine)

    def restore(self, request=None, **words):
        """A Restore; ``request`` has the words of Request, the rest are the app's."""
        app = self.app(**words)
        return Restore(app, self.machine, Request(app, **(request or {})))

    def verify(self, level="content", app=None, **words):
        """Verifies a backup of the app, or an archive."""
        with select(app or self.app(), **words) as selected:
            return verify(selected, level, app)

    def left(self):
        """Names that runs should not leave behind: anywhere but in the state that is pending."""
        found = []
        for top in (self.root, self.destination, self.state, "/var/tmp"):
            for folder, folders, names in os.walk(top):
                found.extend(os.path.join(folder, name) for name in folders + names
                             if name.startswith((".appstate-notes", "restore-notes")) or name.endswith((".partial", ".tmp")))
                if top == "/var/tmp":
                    break
        return [path for path in found if os.path.dirname(path) != "/var/tmp" or not _is_used(path)]

    def close(self):
        """Removes everything."""
        shutil.rmtree(self.path)


def _is_used(path):
    """Whether a room in a place that all tests share is that of a run that goes on beside this one, or has just ended."""
    try:
        room = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(room, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(room)


def _anywhere(source):
    """A source whose database may lie in memory, unless it says otherwise."""
    if not isinstance(source, dict) or source.get("type") != "sqlite":
        return source
    return dict({"allow_any_file_system": True}, **source)


def tree(path, times=True):
    """All below a path, to compare: type, content, owner, mode and (of files and links) time to the nanosecond."""
    found = {}
    for folder, folders, names in os.walk(os.fsencode(path)):
        for name in folders + names:
            place = os.path.join(folder, name)
            seen = os.lstat(place)
            told = [oct(seen.st_mode), seen.st_uid, seen.st_gid]
            if stat.S_ISREG(seen.st_mode):
                with open(place, "rb") as file:
                    told.append(hashlib.sha256(file.read()).hexdigest())
            elif stat.S_ISLNK(seen.st_mode):
                told.append(os.readlink(place))
            if times and not stat.S_ISDIR(seen.st_mode):
                told.append(seen.st_mtime_ns)
            found[os.path.relpath(place, os.fsencode(path))] = tuple(told)
    return found
