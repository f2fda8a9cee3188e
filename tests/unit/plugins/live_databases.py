# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Live databases with an owner, and writers that keep committing to them from processes of their own."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import textwrap

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.sqlite import sandbox

# A user that no system has, so that nothing else runs as it; without root everything is ours.
OWNER = 3001 if os.geteuid() == 0 else os.getuid()
GROUP = 3001 if os.geteuid() == 0 else os.getgid()

_PROLOGUE = """
import os, sqlite3, sys, time
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid({group})
    os.setuid({owner})
connection = sqlite3.connect({path!r}, timeout=30, isolation_level=None)
def ready():
    print("ready", flush=True)
"""

_TRANSFERS = """
connection.execute("PRAGMA synchronous = {synchronous}")
ready()
longest, done, pause = 0.0, 0, {pause}
while not os.path.exists({stop!r}):
    started = time.monotonic()
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE accounts SET balance = balance - 1 WHERE id = ?", (1 + done % 50,))
    connection.execute("UPDATE accounts SET balance = balance + 1 WHERE id = ?", (51 + done % 50,))
    connection.execute("INSERT INTO transfers (amount) VALUES (randomblob(100))")
    connection.execute("COMMIT")
    done += 1
    longest = max(longest, time.monotonic() - started)
    if pause:
        time.sleep(pause)
print("%d %.6f" % (done, longest), flush=True)
"""


class Place:
    """A directory that every user can pass, with an application's directory and rooms for copies in it."""

    def __init__(self, path):
        self.path = path
        self.owner = OWNER
        self.group = GROUP
        self.application = os.path.join(path, "application")
        os.mkdir(self.application)
        os.chown(self.application, OWNER, GROUP)
        self._rooms = 0
        self._processes = []

    def room(self):
        """A new empty directory that the databases' owner can write."""
        self._rooms += 1
        path = os.path.join(self.path, "room%d" % self._rooms)
        os.mkdir(path, 0o700)
        os.chown(path, OWNER, GROUP)
        return path

    def database(self, name="notes.db", journal="wal", statements=(), page_size=4096):
        """Makes a bank: accounts whose balances add up to 10000, and its path."""
        path = os.path.join(self.application, name)
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("PRAGMA page_size=%d" % page_size)
        connection.execute("PRAGMA journal_mode=%s" % journal)
        connection.executescript("""
            CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL);
            CREATE TABLE transfers (id INTEGER PRIMARY KEY, amount BLOB);
            PRAGMA user_version = 7;
            PRAGMA application_id = 1234;
        """)
        with_rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) "
        connection.execute(with_rows + "INSERT INTO accounts SELECT i, 100 FROM n")
        for statement in statements:
            connection.execute(statement)
        connection.close()
        self.give(path)
        return path

    def give(self, path):
        """Gives a file of the application to its owner, with what lies beside it."""
        for each in [path] + [path + suffix for suffix in ("-wal", "-shm", "-journal")]:
            if os.path.lexists(each):
                os.chown(each, OWNER, GROUP, follow_symlinks=False)

    def process(self, path, script, **words):
        """Starts a process of the owner that has the database open as ``connection``; returns once it is ready."""
        text = (_PROLOGUE + textwrap.dedent(script)).format(
            path=path, owner=OWNER, group=GROUP, stop=self.stop_file(path), **words)
        started = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, stdin=subprocess.PIPE)
        self._processes.append(started)
        assert started.stdout.readline() == b"ready\n"
        return started

    def transfers(self, path, pause=0, synchronous="NORMAL"):
        """Starts a process that commits transfers one after another; ``stop`` ends it."""
        return self.process(path, _TRANSFERS, pause=pause, synchronous=synchronous)

    def stop(self, path, process):
        """Ends a process of transfers; returns how many it made and the longest that one took, in seconds."""
        with open(self.stop_file(path), "w"):
            pass
        done, longest = process.stdout.read().split()
        process.wait()
        os.unlink(self.stop_file(path))
        return int(done), float(longest)

    def stop_file(self, path):
        """What stops a writer by being there."""
        return os.path.join(self.path, "stop-" + os.path.basename(path))

    def crash(self, path):
        """Kills a writer in the middle of a large transaction, so that it leaves a hot journal."""
        victim = self.process(path, """
            connection.execute("PRAGMA cache_size = 5")
            connection.execute("PRAGMA cache_spill = 1")
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("UPDATE accounts SET balance = 0")
            connection.execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) "
                               "INSERT INTO transfers (amount) SELECT randomblob(1000) FROM n")
            ready()
            time.sleep(60)
        """)
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        assert os.path.getsize(path + "-journal") > 512

    def close(self):
        """Ends what still runs, and removes everything."""
        for process in self._processes:
            process.kill()
            process.wait()
            process.stdout.close()
            process.stdin.close()
        shutil.rmtree(self.path)


@pytest.fixture
def place():
    """A ``Place``; pytest's own directories cannot be passed by other users."""
    made = Place(tempfile.mkdtemp(prefix="appstate-test-"))
    os.chmod(made.path, 0o711)
    yield made
    made.close()


@pytest.fixture
def copy(tmp_path):
    """A function that makes a private copy, ready to be examined, of bytes or of what a list of statements makes."""
    def make(content, name="copy.db", journal="delete"):
        room = tempfile.mkdtemp(dir=str(tmp_path))
        path = os.path.join(room, name)
        if isinstance(content, bytes):
            with open(path, "wb") as file:
                file.write(content)
        else:
            connection = sqlite3.connect(path, isolation_level=None)
            connection.execute("PRAGMA journal_mode=" + journal)
            for statement in content:
                connection.execute(statement)
            connection.close()
        sandbox.give_to_sandbox(room, name)
        return room, name
    return make


@pytest.fixture
def small_disk(place):
    """A directory with room for 1 MiB, where we are root and can mount one; else just one that nobody can write."""
    path = place.room()
    if os.geteuid() != 0:
        os.chmod(path, 0o500)
        yield path
        return
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700,uid=%d" % OWNER, "tmpfs", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", path], check=True)
