# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stands in for Opstage CE: one SQLite database, Prisma's migrations, and a download of the database for its owner.

    opstage make ROOT      a console with some services
    opstage serve ROOT     over TLS, with the key and the certificate in OPSTAGE_TLS

What follows the address of the download, after a slash, is what it does instead: 500, html, cut or slow.
"""

from __future__ import annotations

import os
import sqlite3
import time

from application import Application, main

MIGRATIONS = ("20260101090000_init", "20260214120000_agents", "20260405080000_audit")
# What the program knows: another image knows more, or less.
KNOWN = MIGRATIONS[:int(os.environ.get("OPSTAGE_MIGRATIONS", "3"))]
SCHEMA = """
CREATE TABLE _prisma_migrations (id TEXT PRIMARY KEY, checksum TEXT NOT NULL, finished_at DATETIME,
    migration_name TEXT NOT NULL, logs TEXT, rolled_back_at DATETIME,
    started_at DATETIME NOT NULL DEFAULT current_timestamp, applied_steps_count INTEGER UNSIGNED NOT NULL DEFAULT 0);
CREATE TABLE User (id TEXT PRIMARY KEY, email TEXT NOT NULL UNIQUE, role TEXT NOT NULL, apiToken TEXT NOT NULL);
CREATE TABLE Agent (id TEXT PRIMARY KEY, name TEXT NOT NULL, status TEXT NOT NULL);
CREATE TABLE Service (id TEXT PRIMARY KEY, agentId TEXT NOT NULL REFERENCES Agent (id), name TEXT NOT NULL);
CREATE TABLE AuditEvent (id INTEGER PRIMARY KEY, action TEXT NOT NULL, actor TEXT NOT NULL,
                         at DATETIME DEFAULT current_timestamp);
INSERT INTO User VALUES ('u1', 'owner@example.com', 'owner', 'owner-token-1234567890');
INSERT INTO User VALUES ('u2', 'viewer@example.com', 'viewer', 'viewer-token-123456789');
INSERT INTO Agent VALUES ('a1', 'first agent', 'online');
WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 40)
INSERT INTO Service SELECT 's' || n, 'a1', 'service ' || n FROM number;
"""
PAGE = "<!doctype html><title>Opstage</title><p>Please sign in.</p>" + "<p>padding</p>" * 400
DOWNLOAD = "/api/system/backup/sqlite"


class Opstage(Application):
    """A console."""

    port = 8443
    database = "opstage.db"

    def make(self):
        """A console whose migrations have all been applied."""
        self.create(SCHEMA + "".join(applied(name) for name in KNOWN))
        self.write_file("backups/opstage-by-hand.db", b"a copy that somebody made\n")

    def begin(self):
        """Prisma's ``migrate deploy``: it applies what is new, and stops at what it does not know."""
        found = {name for (name,) in self.query("SELECT migration_name FROM _prisma_migrations")}
        unknown = found - set(KNOWN)
        if unknown:
            raise SystemExit("migrations of a newer version: %s" % ", ".join(sorted(unknown)))
        with self.connected() as connection:
            for name in KNOWN:
                if name not in found:
                    connection.executescript(applied(name))

    def certificate(self):
        """Of TLS, where there is one."""
        folder = os.environ.get("OPSTAGE_TLS")
        return (folder + "/server.crt", folder + "/server.key") if folder else None

    def work(self):
        """An agent says that it lives."""
        with self.connected() as connection:
            connection.execute("INSERT INTO AuditEvent (action, actor) VALUES ('agent.heartbeat', 'a1')")

    def answer(self, method, path, body, headers):
        """Diagnostics for everybody, the download for the owner."""
        if path == "/api/system/health":
            (newest,) = self.query("SELECT max(migration_name) FROM _prisma_migrations")[0]
            return 200, {"status": "ok", "migration": newest, "version": os.environ.get("OPSTAGE_VERSION", "1.4.0"),
                         "services": self.query("SELECT count(*) FROM Service")[0][0]}
        if not path.startswith(DOWNLOAD):
            return 200, PAGE
        rows = self.query("SELECT role FROM User WHERE apiToken = ?",
                          (headers.get("Authorization", "").partition("Bearer ")[2],))
        if not rows:
            return 401, {"error": "unauthorized"}
        if rows[0][0] != "owner":
            return 403, {"error": "only the owner may do this"}
        return self.download(path[len(DOWNLOAD):].strip("/"))

    def download(self, misfortune):
        """A snapshot by SQLite's online backup, streamed, and written down in the audit log."""
        if misfortune == "500":
            return 500, {"error": "no space left on device"}
        if misfortune == "html":
            return 200, PAGE
        target = sqlite3.connect(":memory:")
        with self.connected() as source:
            source.backup(target)
            source.execute("INSERT INTO AuditEvent (action, actor) VALUES ('backup.sqlite.created', 'u1')")
        return 200, pieces(target.serialize(), misfortune)


def pieces(content, misfortune):
    """The length of the answer, then the answer itself, or what becomes of it."""
    yield len(content)
    if misfortune == "cut":
        yield content[:len(content) // 2]
        return
    for start in range(0, len(content), 4096):
        if misfortune == "slow" and start:
            time.sleep(30)
        yield content[start:start + 4096]


def applied(name):
    """The statement that notes a migration as done."""
    return ("INSERT INTO _prisma_migrations (id, checksum, finished_at, migration_name, applied_steps_count)"
            " VALUES ('%s', 'x', current_timestamp, '%s', 1);" % (name[:14], name))


if __name__ == "__main__":
    main(Opstage)
