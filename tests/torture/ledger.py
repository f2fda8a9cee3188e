# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An application that never rests: transfers in two databases at once, and a second process that keeps checkpointing.

    ledger.py write|checkpoint SLOTS UID GID RATE DATABASE OTHER

Each transaction of ``write`` moves the same amount in DATABASE and in OTHER, which it has attached; RATE is how many a
second, 0 for as many as it can. What the two processes did stands in SLOTS, a file of numbers that they share with
whoever looks at them: a commit is counted after it has ended, so what was counted has to be in any later snapshot.
"""

from __future__ import annotations

import itertools
import mmap
import os
import pathlib
import sqlite3
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "bench"))

# It is found only by the path above, so that it comes after it (E402).
from writer import move  # noqa: E402

COMMITS, LONGEST, CHECKPOINTS, COUNT = 0, 1, 2, 3
ACCOUNTS = 100
BALANCE = 1000
# How many transfers there are before anybody writes: so many that a snapshot takes a moment.
FIRST = 10000
# Of https://www.sqlite.org/pragma.html#pragma_wal_checkpoint; in a rollback-journal database none of them does anything.
CHECKPOINT_MODES = ("TRUNCATE", "RESTART", "PASSIVE")
CHECKPOINT_PAUSE = 0.02
_SCHEMA = """
CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL);
CREATE TABLE transfers (id INTEGER PRIMARY KEY, debit INTEGER, credit INTEGER, amount INTEGER, note TEXT);
CREATE INDEX transfers_notes ON transfers (note);
"""
# Accounts whose balance is not what the transfers made of it.
_WRONG = """
WITH moved (account, amount) AS (SELECT debit, -amount FROM transfers UNION ALL SELECT credit, amount FROM transfers)
SELECT count(*) FROM accounts JOIN (SELECT account, sum(amount) AS sum FROM moved GROUP BY account) ON account = id
WHERE balance != ? + sum
"""


class Slots:
    """Numbers in a file that several processes have mapped; each is written by one of them."""

    def __init__(self, path):
        with open(path, "r+b") as file:
            self._numbers = memoryview(mmap.mmap(file.fileno(), 8 * COUNT)).cast("Q")

    @staticmethod
    def create(path, uid, gid):
        with open(path, "wb") as file:
            file.write(bytes(8 * COUNT))
        os.chown(path, uid, gid)
        return Slots(path)

    def __getitem__(self, slot):
        return self._numbers[slot]

    def __setitem__(self, slot, number):
        self._numbers[slot] = number


def create(path, journal):
    """A database with its first transfers."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=" + journal)
    connection.executescript(_SCHEMA)
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO accounts VALUES (?, ?)", ((number + 1, BALANCE) for number in range(ACCOUNTS)))
    for number in range(FIRST):
        move(connection, number)
    connection.execute("COMMIT")
    connection.close()


def start(what, slots, owner, rate, databases):
    """One of the two processes, as the user and the group in ``owner``."""
    words = [what, slots] + [str(number) for number in owner] + [str(rate)] + list(databases)
    return subprocess.Popen([sys.executable, __file__] + words, stdin=subprocess.DEVNULL)


def faults(content, least, place):
    """What is wrong with a snapshot: texts. ``content``: the bytes of the database; ``least``: so many transfers had ended."""
    with open(place, "wb") as file:
        file.write(content)
    # Nobody else has it, and a file in WAL mode would get another beside it.
    connection = sqlite3.connect("file:%s?immutable=1" % place, uri=True)
    try:
        checked = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if checked != "ok":
            return ["integrity_check says: " + checked]
        total = connection.execute("SELECT sum(balance) FROM accounts").fetchone()[0]
        wrong = connection.execute(_WRONG, (BALANCE,)).fetchone()[0]
        count, last = connection.execute("SELECT count(*), max(id) FROM transfers").fetchone()
    finally:
        connection.close()
    found = [] if total == ACCOUNTS * BALANCE else ["the balances add up to %s" % total]
    found += ["%d balances are not what the transfers made of them" % wrong] if wrong else []
    found += ["of %d transfers %d are there" % (last, count)] if count != last else []
    found += ["%d transfers had ended, %d are there" % (least, count)] if count < least else []
    return found


def main(what, slots, uid, gid, rate, *databases):
    os.setgroups([])
    os.setresgid(int(gid), int(gid), int(gid))
    os.setresuid(int(uid), int(uid), int(uid))
    connection = sqlite3.connect(databases[0], isolation_level=None, timeout=60)
    connection.execute("ATTACH ? AS other", (databases[1],))
    {"write": _write, "checkpoint": _checkpoint}[what](connection, Slots(slots), int(rate))


def _write(connection, slots, rate):
    due = time.monotonic()
    for number in itertools.count(FIRST):
        began = time.monotonic()
        connection.execute("BEGIN IMMEDIATE")
        move(connection, number)
        move(connection, number, "other")
        connection.execute("COMMIT")
        slots[LONGEST] = max(slots[LONGEST], int((time.monotonic() - began) * 1e6))
        slots[COMMITS] = number + 1
        if rate:
            due = max(due + 1 / rate, time.monotonic() - 0.05)
            time.sleep(max(0.0, due - time.monotonic()))


def _checkpoint(connection, slots, unused_rate):
    connection.execute("PRAGMA busy_timeout=50")
    for number in itertools.count():
        schema = ("main", "other")[number % 2]
        mode = CHECKPOINT_MODES[number % len(CHECKPOINT_MODES)]
        try:
            busy = connection.execute("PRAGMA %s.wal_checkpoint(%s)" % (schema, mode)).fetchone()[0]
            connection.execute("SELECT sum(balance) FROM %s.accounts" % schema).fetchone()
            slots[CHECKPOINTS] += not busy
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
        time.sleep(CHECKPOINT_PAUSE)


if __name__ == "__main__":
    main(*sys.argv[1:])
