# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real PostgreSQL server with a throw-away cluster, which listens on a socket in a temporary folder."""

from __future__ import annotations

import glob
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.system.process import as_program, identity_of

PRIVILEGED = os.geteuid() == 0
# A server does not run as root.
ACCOUNT = pwd.getpwnam("postgres") if PRIVILEGED else pwd.getpwuid(os.geteuid())
IDENTITY = identity_of(ACCOUNT.pw_uid, ACCOUNT.pw_gid)
ADMINISTRATOR = "postgres"
PASSWORD = r"pa:ss\word 5ecre7"
# Whom the server trusts: the administrator by the account he has, ``keyholder`` by a password, others as they come.
ACCESS = """\
local all keyholder scram-sha-256
local all stranger reject
local all postgres %s
local all all trust
""" % ("peer" if PRIVILEGED else "trust")
PROGRAMS = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda folder: int(folder.split("/")[4]))[-1]
FAST = "/dev/shm" if os.path.isdir("/dev/shm") else None


class PostgresServer:
    """The server; ``host`` is the folder of its socket."""

    def __init__(self):
        self.host = tempfile.mkdtemp(prefix="appstate-postgres-", dir=FAST)
        os.chown(self.host, IDENTITY.uid, IDENTITY.gid)
        os.chmod(self.host, 0o711)
        self._data = os.path.join(self.host, "data")
        self._process = None
        self._run("initdb", "--pgdata", self._data, "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8",
                  "--username=" + ADMINISTRATOR)
        with open(os.path.join(self._data, "pg_hba.conf"), "w", encoding="utf-8") as stream:
            stream.write(ACCESS)
        self.start()
        self.sql("CREATE ROLE club LOGIN CREATEDB; CREATE ROLE plain LOGIN; CREATE ROLE stranger LOGIN;"
                 "CREATE ROLE tenant LOGIN IN ROLE club;"
                 "CREATE ROLE keyholder LOGIN CREATEDB PASSWORD '%s'" % PASSWORD)

    def start(self):
        """Starts it, and waits until it takes connections."""
        command = [os.path.join(PROGRAMS, "postgres"), "-D", self._data, "-k", self.host, "-c", "listen_addresses=",
                   "-c", "fsync=off", "-c", "max_connections=30", "-c", "autovacuum=off", "-c", "shared_buffers=16MB",
                   "-c", "dynamic_shared_memory_type=mmap"]
        with open(os.path.join(self.host, "log"), "ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
                                             env={"LC_ALL": "C"}, preexec_fn=as_program(IDENTITY))
        for unused in range(400):
            asked = subprocess.run([os.path.join(PROGRAMS, "pg_isready"), "-q", "-h", self.host], check=False)
            if asked.returncode == 0:
                return
            time.sleep(0.05)
        raise AssertionError("the server did not start; see %s/log" % self.host)

    def stop(self):
        """Ends it, under whoever is connected."""
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def close(self):
        """Ends it for good."""
        self.stop()
        shutil.rmtree(self.host)

    def _run(self, program, *words):
        subprocess.run([os.path.join(PROGRAMS, program)] + list(words), cwd="/", env={"LC_ALL": "C"}, check=True,
                       stdout=subprocess.DEVNULL, preexec_fn=as_program(IDENTITY))

    def psql(self, database, user):
        """The command that talks to a database, and its environment."""
        return ([os.path.join(PROGRAMS, "psql"), "-XqAt", "-v", "ON_ERROR_STOP=1", "-f", "-"],
                {"LC_ALL": "C", "PGHOST": self.host, "PGUSER": user, "PGDATABASE": database, "PGPASSWORD": PASSWORD,
                 "PGAPPNAME": "clubhouse"})

    def sql(self, text, database="postgres", user=ADMINISTRATOR):
        """What statements print, rows as lines; each is a transaction."""
        argv, environment = self.psql(database, user)
        done = subprocess.run(argv, input=text.replace(";", ";\n") + "\n", env=environment, cwd="/", encoding="utf-8",
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
                              preexec_fn=as_program(IDENTITY if user == ADMINISTRATOR else None))
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def client(self, database, user="club"):
        """Somebody who is connected to a database until his standard input is closed."""
        argv, environment = self.psql(database, user)
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, cwd="/",
                                   encoding="utf-8")
        process.stdin.write("SELECT 'here';\n")
        process.stdin.flush()
        assert process.stdout.readline() == "here\n"
        return process

    def databases(self):
        """The names of the databases, without those of every server."""
        return set(self.sql("SELECT datname FROM pg_database WHERE datname NOT IN "
                            "('postgres', 'template0', 'template1')").splitlines())

    def clear(self):
        """Drops all of these."""
        for name in self.databases():
            self.sql('DROP DATABASE "%s" WITH (FORCE)' % name.replace('"', '""'))

    def create(self, name="club", owner="club", rows=3):
        """Makes a database with packages and users in it."""
        quoted = '"%s"' % name.replace('"', '""')
        self.sql('CREATE DATABASE %s OWNER "%s" TEMPLATE template0' % (quoted, owner))
        self.sql("CREATE TABLE packages (id serial PRIMARY KEY, name text NOT NULL, data jsonb);"
                 "CREATE TABLE users (id integer PRIMARY KEY, name text UNIQUE);"
                 "CREATE SCHEMA odd;"
                 'CREATE TABLE odd."Up loads" (path text);'
                 "INSERT INTO packages (name, data) SELECT 'package ' || n, '{\"version\": 1}' "
                 "FROM generate_series(1, %d) n;"
                 "INSERT INTO users VALUES (1, 'ann'), (2, 'bob');"
                 "INSERT INTO odd.\"Up loads\" VALUES ('a/b.tar.gz')" % rows, name, owner)

    def source(self, **words):
        """The database ``club`` as a source of an app."""
        return dict({"type": "postgresql", "database": "club", "host": self.host, "user": "club"}, **words)


@pytest.fixture(scope="session")
def postgres_server():
    """One server for all tests of a run."""
    server = PostgresServer()
    yield server
    server.close()


@pytest.fixture
def postgres(postgres_server):
    """That server, with no databases of other tests."""
    yield postgres_server
    postgres_server.clear()
