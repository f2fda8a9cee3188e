# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A small application that lives on a test host: accounts, and transfers between them that never stop.

    ledger init NAME JOURNAL     make its database
    ledger start NAME            start it in the background, as the user that owns it
    ledger stop NAME             stop it and wait until it is gone
    ledger report NAME           say as JSON what its database holds

/etc/ledger/NAME.json says where its state lies. Beside it, the file NAME.hold keeps it from writing, NAME.broken makes
its health bad, and NAME.stubborn makes ``stop`` do nothing. The sum of all balances is the same at every moment. A
receipt is a file that is there before the row that names it is committed.
"""

from __future__ import annotations

import http.server
import json
import os
import pwd
import random
import signal
import sqlite3
import sys
import threading
import time

SETTINGS = "/etc/ledger/%s.json"
PID_FILE = "/run/ledger-%s.pid"
ACCOUNTS = 50
BALANCE = 1000
SCHEMA = """
PRAGMA user_version = 7;
PRAGMA application_id = 1280590663;
CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL);
CREATE TABLE transfers (id INTEGER PRIMARY KEY, run TEXT NOT NULL, source INTEGER NOT NULL REFERENCES accounts,
                        target INTEGER NOT NULL REFERENCES accounts, amount INTEGER NOT NULL, note TEXT NOT NULL);
CREATE TABLE receipts (transfer INTEGER NOT NULL REFERENCES transfers, file TEXT NOT NULL);
CREATE INDEX transfers_by_run ON transfers (run);
"""


class Ledger:
    """The application by its name."""

    def __init__(self, name):
        self.name = name
        with open(SETTINGS % name, encoding="utf-8") as stream:
            self.settings = json.load(stream)
        self.database = os.path.join(self.settings["root"], self.settings["database"])
        self.uploads = os.path.join(self.settings["root"], self.settings["uploads"])
        self.pid_file = PID_FILE % name
        self.run = "%016x" % random.getrandbits(64)

    def flag(self, word):
        """Whether the test has set a flag."""
        return os.path.exists("/etc/ledger/%s.%s" % (self.name, word))

    def open(self, mode="rw"):
        """A connection to the database, which is never created by it."""
        connection = sqlite3.connect("file:%s?mode=%s" % (self.database, mode), uri=True, timeout=20,
                                     isolation_level=None)
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection

    def init(self, journal):
        """Make the database in a journal mode, with some history."""
        connection = sqlite3.connect(self.database, isolation_level=None)
        connection.execute("PRAGMA journal_mode = " + journal)
        connection.executescript(SCHEMA)
        connection.execute("BEGIN")
        for account in range(ACCOUNTS):
            connection.execute("INSERT INTO accounts VALUES (?, ?)", (account, BALANCE))
        for _number in range(3000):
            self.transfer(connection)
        connection.execute("COMMIT")
        connection.close()

    def transfer(self, connection):
        """Move an amount from one account to another, and note it down; gives the transfer's number."""
        source, target = random.sample(range(ACCOUNTS), 2)
        amount = random.randint(1, 9)
        connection.execute("UPDATE accounts SET balance = balance - ? WHERE id = ?", (amount, source))
        connection.execute("UPDATE accounts SET balance = balance + ? WHERE id = ?", (amount, target))
        row = (self.run, source, target, amount, "%064x" % random.getrandbits(256))
        return connection.execute("INSERT INTO transfers (run, source, target, amount, note) VALUES (?, ?, ?, ?, ?)",
                                  row).lastrowid

    def serve(self):
        """Answer health probes and write, until the end."""
        if self.settings.get("port"):
            server = http.server.ThreadingHTTPServer(("0.0.0.0", self.settings["port"]), self.health_handler())
            threading.Thread(target=server.serve_forever, daemon=True).start()
        while True:
            try:
                self.write()
            except sqlite3.Error:
                time.sleep(0.05)

    def write(self):
        """Commit transfers, one in a transaction, with a receipt and a line in a log now and then."""
        while self.flag("hold"):
            time.sleep(0.05)
        connection = self.open()
        try:
            while True:
                connection.execute("BEGIN IMMEDIATE")
                number = self.transfer(connection)
                if number % 20 == 0:
                    self.receipt(connection, number)
                connection.execute("COMMIT")
                time.sleep(0.03)
        finally:
            connection.close()

    def receipt(self, connection, number):
        """Write the file of a receipt, then the row that names it."""
        name = "%s-%d.txt" % (self.run, number)
        with open(os.path.join(self.uploads, "receipts", name), "w", encoding="utf-8") as stream:
            stream.write("receipt for %d\n" % number * 20)
        with open(os.path.join(self.uploads, "growing.log"), "a", encoding="utf-8") as stream:
            stream.write("wrote a receipt for %d\n" % number)
        connection.execute("INSERT INTO receipts VALUES (?, ?)", (number, name))

    def report(self):
        """What the database holds, all of one moment."""
        connection = self.open("ro")
        connection.execute("BEGIN")

        def value(query):
            return connection.execute(query).fetchone()[0]

        report = {"sum": value("SELECT sum(balance) FROM accounts"), "accounts": value("SELECT count(*) FROM accounts"),
                  "runs": dict(connection.execute("SELECT run, count(*) FROM transfers GROUP BY run")),
                  "receipts": [row[0] for row in connection.execute("SELECT file FROM receipts ORDER BY file")],
                  "journal_mode": value("PRAGMA journal_mode"), "integrity": value("PRAGMA integrity_check"),
                  "user_version": value("PRAGMA user_version"), "application_id": value("PRAGMA application_id")}
        connection.close()
        return report

    def health_handler(self):
        """The class that answers GET with the application's health as JSON."""
        ledger = self

        class Handler(http.server.BaseHTTPRequestHandler):
            """One answer, whatever is asked."""

            def do_GET(self):  # pylint: disable=invalid-name
                """Answer as the flags say."""
                body = json.dumps({"status": "broken" if ledger.flag("broken") else "ok",
                                   "accounts": [ACCOUNTS]}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format, *args):  # pylint: disable=redefined-builtin
                """Say nothing."""

        return Handler

    def start(self):
        """Run in the background, detached from everything, as the owner; it does so once only."""
        if self.running():
            return
        if os.fork():
            os.wait()
            return
        os.setsid()
        if os.fork():
            os._exit(0)
        with open(self.pid_file, "w", encoding="ascii") as stream:
            stream.write(str(os.getpid()))
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nothing, descriptor)
        account = pwd.getpwnam(self.settings["owner"])
        os.initgroups(account.pw_name, account.pw_gid)
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self.serve()

    def stop(self):
        """End the background process and wait until it is gone; nothing to do is fine."""
        until = time.monotonic() + 15
        pid = self.running()
        while pid and not self.flag("stubborn"):
            if time.monotonic() > until:
                sys.exit("%s does not stop" % self.name)
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                return
            time.sleep(0.02)

    def running(self):
        """The number of the background process; 0 where there is none."""
        try:
            with open(self.pid_file, encoding="ascii") as stream:
                pid = int(stream.read())
            os.kill(pid, 0)
            return pid
        except (FileNotFoundError, ProcessLookupError):
            return 0


def main(action, name, *more):
    """Do one of the four actions."""
    ledger = Ledger(name)
    result = getattr(ledger, action)(*more)
    if result is not None:
        print(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
