# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A small application with state: accounts in a SQLite database, uploads, a settings file.

    ledger.py make ROOT          a new state in ROOT
    ledger.py start ROOT PORT    the application in the background: it keeps committing transfers, and answers /health
    ledger.py stop ROOT          stops it, and returns when it has gone

Transfers move money from one account to another, so the sum of all accounts never changes.
"""

from __future__ import annotations

import fcntl
import http.server
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time

ACCOUNTS = 40
OPENING_BALANCE = 1000
TRANSFERS = 5000
UPLOADS = 300
PAUSE = 0.005  # seconds between two commits
SCHEMA = """
CREATE TABLE accounts (id INTEGER PRIMARY KEY, name TEXT NOT NULL, balance INTEGER NOT NULL);
CREATE TABLE transfers (id INTEGER PRIMARY KEY AUTOINCREMENT, giver INTEGER NOT NULL, taker INTEGER NOT NULL,
                        amount INTEGER NOT NULL, note TEXT NOT NULL);
"""


def connect(root):
    """A connection to the application's database."""
    return sqlite3.connect(os.path.join(root, "data", "ledger.db"), timeout=30, isolation_level=None)


def make(root):
    """A state of some thousand transfers and a few hundred uploads."""
    for directory in ("data", "data/settings", "public/uploads"):
        os.makedirs(os.path.join(root, directory))
    database = connect(root)
    database.execute("PRAGMA journal_mode = WAL")
    database.executescript(SCHEMA)
    database.execute("BEGIN")
    database.executemany("INSERT INTO accounts (name, balance) VALUES (?, ?)",
                         [("account %d" % number, OPENING_BALANCE) for number in range(1, ACCOUNTS + 1)])
    for _number in range(TRANSFERS):
        transfer(database)
    database.execute("COMMIT")
    database.close()
    for number in range(UPLOADS):
        folder = os.path.join(root, "public", "uploads", "%02d" % (number % 10))
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "picture-%03d.jpg" % number), "wb") as upload:
            upload.write(os.urandom(random.randint(2000, 20000)))
    with open(os.path.join(root, "data", "settings", "ledger.json"), "w", encoding="utf-8") as settings:
        json.dump({"title": "The ledger", "theme": "plain"}, settings, indent=2)


def transfer(database):
    """Moves an amount from one account to another."""
    giver, taker = random.sample(range(1, ACCOUNTS + 1), 2)
    amount = random.randint(1, 9)
    database.execute("UPDATE accounts SET balance = balance - ? WHERE id = ?", (amount, giver))
    database.execute("UPDATE accounts SET balance = balance + ? WHERE id = ?", (amount, taker))
    database.execute("INSERT INTO transfers (giver, taker, amount, note) VALUES (?, ?, ?, ?)",
                     (giver, taker, amount, "a note of some length, so that the database has something to hold"))


def keep_writing(root, stopping):
    """Commits one transfer after the other until asked to stop."""
    database = connect(root)
    while not stopping.wait(PAUSE):
        database.execute("BEGIN IMMEDIATE")
        transfer(database)
        database.execute("COMMIT")
    database.close()


class Health(http.server.BaseHTTPRequestHandler):
    """Answers /health with what the database says now."""

    root = None

    def do_GET(self):
        database = connect(self.root)
        transfers = database.execute("SELECT count(*) FROM transfers").fetchone()[0]
        total = database.execute("SELECT sum(balance) FROM accounts").fetchone()[0]
        database.close()
        answer = json.dumps({"status": "ok", "transfers": transfers, "sum": total}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_arguments):
        """Nothing is logged."""


def run(root, port):
    """The application itself; it holds a lock on its pid file for as long as it lives."""
    with open(os.path.join(root, "ledger.pid"), "a", encoding="ascii") as pid_file:
        fcntl.flock(pid_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        pid_file.truncate(0)
        pid_file.write(str(os.getpid()))
        pid_file.flush()
        stopping = threading.Event()
        Health.root = root
        server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Health)

        def stop(_number, _frame):
            stopping.set()
            threading.Thread(target=server.shutdown).start()

        signal.signal(signal.SIGTERM, stop)
        writer = threading.Thread(target=keep_writing, args=(root, stopping))
        writer.start()
        server.serve_forever(poll_interval=0.05)
        writer.join()


def start(root, port):
    """Starts the application in a session of its own, with its log beside it; returns when it has taken its pid file."""
    with open(os.path.join(root, "ledger.log"), "ab") as log:
        process = subprocess.Popen([sys.executable, os.path.abspath(__file__), "run", root, str(port)],
                                   stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    while read_pid(root) != str(process.pid):
        if process.poll() is not None:
            sys.exit("the application did not start; see %s" % log.name)
        time.sleep(0.02)


def read_pid(root):
    """What the pid file says, or nothing."""
    try:
        with open(os.path.join(root, "ledger.pid"), encoding="ascii") as pid_file:
            return pid_file.read()
    except FileNotFoundError:
        return ""


def stop(root):
    """Asks the application to stop and waits until it has let go of its pid file."""
    if not read_pid(root):
        return
    with open(os.path.join(root, "ledger.pid"), "rb") as pid_file:
        for _attempt in range(200):
            try:
                fcntl.flock(pid_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                os.kill(int(read_pid(root)), signal.SIGTERM)
                time.sleep(0.05)
    sys.exit("the application did not stop within ten seconds")


if __name__ == "__main__":
    COMMANDS = {"make": make, "run": run, "start": start, "stop": stop}
    words = [int(word) if word.isdigit() else word for word in sys.argv[2:]]
    COMMANDS[sys.argv[1]](*words)
