# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stands in for portunus-server: one SQLite database with a lock beside it, TLS material, and a settings file.

    portunus make ROOT              a server with some clients
    portunus serve ROOT             ends with 78 when the schema is newer than it knows, with 75 when another one serves
    portunus max_schema ROOT        the newest schema that it knows
    portunus backup ROOT FILE       its own backup, by SQLite's online backup
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import sys

from application import Application, main

KNOWN = int(os.environ.get("PORTUNUS_SCHEMA", "9"))
SCHEMA = """
CREATE TABLE schema_migrations (version INTEGER PRIMARY KEY, applied_at TEXT NOT NULL);
CREATE TABLE clients (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, token_hash BLOB NOT NULL);
CREATE TABLE forwards (id INTEGER PRIMARY KEY, client_id INTEGER NOT NULL REFERENCES clients ON DELETE CASCADE,
                       listen_port INTEGER NOT NULL UNIQUE, target TEXT NOT NULL);
CREATE TABLE traffic (at INTEGER NOT NULL, client_id INTEGER NOT NULL, bytes INTEGER NOT NULL);
WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 30)
INSERT INTO clients SELECT n, 'client ' || n, randomblob(32) FROM number;
INSERT INTO forwards SELECT id, id, 20000 + id, '127.0.0.1:' || (3000 + id) FROM clients;
"""


class Portunus(Application):
    """A server."""

    port = 8445
    database = "state.db"

    def make(self, newest=str(KNOWN)):
        """A data directory with a schema of some version."""
        self.create(SCHEMA + "".join("INSERT INTO schema_migrations VALUES (%d, 'now');" % version
                                     for version in range(1, int(newest) + 1)))
        os.chmod(self.path(self.database), 0o600)
        for name, content in (("server.crt", b"certificate\n"), ("server.key", b"key\n"),
                              ("server.toml", b"listen = '0.0.0.0:8445'\n")):
            self.write_file(name, content)
            os.chmod(self.path(name), 0o600)

    def max_schema(self):
        """The newest schema that it knows."""
        return str(KNOWN)

    def backup(self, target):
        """Its own backup, which never overwrites."""
        if os.path.exists(target):
            sys.exit("%s is there already" % target)
        source, copy = self.open(), sqlite3.connect(target)
        source.backup(copy)
        copy.close()

    def begin(self):
        """Take the lock, look at the schema, migrate what is older."""
        # It is held until the process ends.
        self.lock = open(self.path("state.db.lock"), "w", encoding="ascii")  # pylint: disable=consider-using-with
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            refuse("startup.store_in_use", 75)
        (found,) = self.query("SELECT max(version) FROM schema_migrations")[0]
        if found > KNOWN:
            refuse("startup.schema_version_too_new", 78)
        with self.connected() as connection:
            for version in range(found + 1, KNOWN + 1):
                connection.execute("INSERT INTO schema_migrations VALUES (?, 'now')", (version,))

    def work(self):
        """Traffic is counted."""
        with self.connected() as connection:
            connection.execute("INSERT INTO traffic VALUES (?, 1 + ? % 30, 1500)", (self.number, self.number))

    def answer(self, method, path, body, headers):
        """Its health, with what the database has."""
        return 200, {"status": "ok", "schema": self.query("SELECT max(version) FROM schema_migrations")[0][0],
                     "clients": self.query("SELECT count(*) FROM clients")[0][0],
                     "forwards": self.query("SELECT count(*) FROM forwards")[0][0]}


def refuse(event, code):
    """End with an event that tells why."""
    sys.stderr.write(json.dumps({"event": event}) + "\n")
    sys.exit(code)


if __name__ == "__main__":
    main(Portunus)
