# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A writer that keeps committing transfers between accounts, and how long its commits took.

As a program (``writer.py DATABASE RATE``, 0 for as fast as it can) it writes until SIGTERM, then prints JSON. SQLite's
own default durability is kept: every commit waits for the disk. ``Writer`` runs that program beside a measurement.
"""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

# Commits that were faster are only counted.
NOTED_SECONDS = 0.0005


class Writer:
    """The program below, running; use it as a context manager, then ask about moments."""

    def __init__(self, database: Path, rate: int) -> None:
        self._command = [sys.executable, __file__, str(database), str(rate)]
        self._noted: list[tuple[float, float]] = []
        self.commits = 0

    def __enter__(self) -> Writer:
        self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        time.sleep(1.0)
        return self

    def __exit__(self, *unused: object) -> None:
        self._process.terminate()
        told = json.loads(self._process.communicate()[0])
        if self._process.returncode != 0:
            raise RuntimeError("the writer ended with %d" % self._process.returncode)
        self.commits = told["commits"]
        self._noted = list(told["noted"])

    def longest(self, began: float, ended: float) -> float:
        """Return the longest commit, in seconds, that was under way between two moments of ``time.monotonic()``."""
        return max((seconds for start, seconds in self._noted if start < ended and start + seconds > began),
                   default=NOTED_SECONDS)


def write(database: str, rate: int) -> dict[str, object]:
    """Commit transfers, ``rate`` of them a second, until SIGTERM comes; return how many, and each slow one."""
    stop = []
    signal.signal(signal.SIGTERM, lambda *unused: stop.append(True))
    connection = sqlite3.connect(database, isolation_level=None, timeout=600)
    noted = []
    commits = 0
    due = time.monotonic()
    while not stop:
        began = time.monotonic()
        transfer(connection, commits)
        seconds = time.monotonic() - began
        commits += 1
        if seconds >= NOTED_SECONDS:
            noted.append((began, seconds))
        if rate:
            due = max(due + 1 / rate, time.monotonic() - 0.05)
            time.sleep(max(0.0, due - time.monotonic()))
    connection.close()
    return {"commits": commits, "noted": noted}


def transfer(connection: sqlite3.Connection, number: int) -> None:
    """Move an amount from one account to another in a transaction of its own; the accounts' sum stays what it is."""
    connection.execute("BEGIN IMMEDIATE")
    move(connection, number)
    connection.execute("COMMIT")


def move(connection: sqlite3.Connection, number: int, schema: str = "main") -> None:
    """What a transfer does in one of the databases that a transaction is about."""
    debit, credit, amount = 1 + number % 100, 1 + (number * 7 + 3) % 100, number % 10
    connection.execute("UPDATE %s.accounts SET balance = balance - ? WHERE id = ?" % schema, (amount, debit))
    connection.execute("UPDATE %s.accounts SET balance = balance + ? WHERE id = ?" % schema, (amount, credit))
    connection.execute("INSERT INTO %s.transfers (debit, credit, amount, note) VALUES (?, ?, ?, ?)" % schema,
                       (debit, credit, amount, "transfer %d" % number))


if __name__ == "__main__":
    print(json.dumps(write(sys.argv[1], int(sys.argv[2]))))
