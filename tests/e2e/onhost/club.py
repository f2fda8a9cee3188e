# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stands in for Club, a server of packages: metadata in SQLite or PostgreSQL, tarballs and screenshots in blobs/.

    club make ROOT [COUNT]      a server with some packages
    club serve ROOT             somebody publishes all the time; downloads and tokens are checked in the database

With CLUB_DATABASE=postgresql in the environment the metadata is in the database that libpq's variables name. A schema
that is older than the program is migrated when it starts; SCHEMA_VERSION is a variable, so that there can be two.
"""

from __future__ import annotations

import hashlib
import os
import subprocess

from application import Application, main

SCHEMA_VERSION = int(os.environ.get("CLUB_SCHEMA_VERSION", "12"))
SCHEMA = """
CREATE TABLE schema_version (version INTEGER NOT NULL);
CREATE TABLE publishers (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT NOT NULL UNIQUE, role TEXT NOT NULL);
CREATE TABLE tokens (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users, hash TEXT NOT NULL UNIQUE);
CREATE TABLE packages (name TEXT PRIMARY KEY, publisher_id INTEGER REFERENCES publishers, description TEXT NOT NULL);
CREATE TABLE versions (package TEXT NOT NULL REFERENCES packages, version TEXT NOT NULL, tarball TEXT NOT NULL,
                       sha256 TEXT NOT NULL, PRIMARY KEY (package, version));
CREATE TABLE scores (package TEXT PRIMARY KEY REFERENCES packages, points INTEGER NOT NULL);
CREATE TABLE download_counts (package TEXT NOT NULL REFERENCES packages, day TEXT NOT NULL, count INTEGER NOT NULL,
                              PRIMARY KEY (package, day));
CREATE TABLE audit_log (at TEXT NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL);
CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL);
INSERT INTO schema_version VALUES (%d);
INSERT INTO publishers VALUES (1, 'example.com');
INSERT INTO users VALUES (1, 'owner@example.com', 'owner');
INSERT INTO settings VALUES ('site', 'packages of a test');
"""
TOKEN = "club_pat_1234567890"


class Club(Application):
    """A server of packages."""

    port = 8080
    database = "db/club.db"
    holds = os.environ.get("CLUB_DATABASE") != "postgresql"

    def make(self, count="5"):
        """A server with so many packages of one version."""
        statements = [SCHEMA % SCHEMA_VERSION, "INSERT INTO tokens VALUES (1, 1, '%s');" % digest(TOKEN.encode())]
        for number in range(int(count)):
            name = "package%d" % number
            statements.append("INSERT INTO packages VALUES ('%s', 1, 'Größe %d');" % (name, number))
            statements.append("INSERT INTO scores VALUES ('%s', 130);" % name + self.publish(name, "1.0.0"))
            self.write_file("blobs/screenshots/%s/1.0.0/1.png" % name, b"\x89PNG" + name.encode() * 100)
        for path in ("cache/dartdoc/package0/index.html", "logs/scoring.log", "tmp/upload-1"):
            self.write_file(path, b"is made again\n")
        if postgresql():
            execute("BEGIN;" + "".join(statements) + "COMMIT;")
        else:
            self.create("".join(statements))

    def publish(self, name, version):
        """Write a tarball; gives the statement that makes it known."""
        content = ("%s %s\n" % (name, version)).encode() * 200
        tarball = "packages/%s/%s.tar.gz" % (name, version)
        self.write_file("blobs/" + tarball, content)
        return "INSERT INTO versions VALUES ('%s', '%s', '%s', '%s');" % (name, version, tarball, digest(content))

    def query(self, text, values=()):
        """All rows of a query; of PostgreSQL they are texts."""
        if not postgresql():
            return super().query(text, values)
        return [line.split("\t") for line in execute(text % tuple(map(quoted, values))).splitlines()]

    def begin(self):
        """Migrate a schema that is older; refuse one that is newer."""
        (found,) = self.query("SELECT version FROM schema_version")[0]
        if int(found) > SCHEMA_VERSION:
            raise SystemExit("the schema %s is newer than this program knows" % found)
        if int(found) < SCHEMA_VERSION:
            self.change("UPDATE schema_version SET version = %d;" % SCHEMA_VERSION)

    def work(self):
        """A package gets a new version: the tarball first, then its row and a line in the audit log."""
        version = "2.%s.%d" % (self.run, self.number)
        statement = self.publish("package0", version)
        statement += "INSERT INTO audit_log VALUES ('now', 'owner', 'published %s');" % version
        self.change("BEGIN;" + statement + "COMMIT;")

    def change(self, script):
        """Run statements."""
        if postgresql():
            execute(script)
            return
        with self.connected() as connection:
            connection.executescript(script)

    def answer(self, method, path, body, headers):
        """Health, packages for who has a token, tarballs, and what the admin page says is missing."""
        if path == "/api/v1/health":
            (version,) = self.query("SELECT version FROM schema_version")[0]
            return 200, {"status": "ok", "schema": int(version)}
        if path == "/admin/missing":
            return 200, [tarball for (tarball,) in self.query("SELECT tarball FROM versions ORDER BY tarball")
                         if not os.path.exists(self.path("blobs", tarball))]
        if not self.knows(headers.get("Authorization", "").partition("Bearer ")[2]):
            return 401, "a token is needed"
        if path == "/api/packages":
            return 200, {"packages": [name for (name,) in self.query("SELECT name FROM packages ORDER BY name")]}
        with open(self.path("blobs", path.lstrip("/")), "rb") as stream:
            return 200, stream.read()

    def knows(self, token):
        """Whether there is such a token."""
        mark = "%s" if postgresql() else "?"
        return bool(self.query("SELECT id FROM tokens WHERE hash = " + mark, (digest(token.encode()),)))


def postgresql():
    """Whether the metadata is in PostgreSQL."""
    return os.environ.get("CLUB_DATABASE") == "postgresql"


def execute(text):
    """What psql prints, columns with a tab between them."""
    command = ["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--field-separator=\t",
               "--set=ON_ERROR_STOP=1", "--file=-"]
    done = subprocess.run(command, input=text, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
                          encoding="utf-8")
    if done.returncode != 0:
        raise OSError(done.stderr)
    return done.stdout


def quoted(value):
    """A text in SQL."""
    return "'%s'" % value.replace("'", "''")


def digest(content):
    """The digest that the database has of a token or a tarball."""
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    main(Club)
