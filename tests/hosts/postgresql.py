# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real PostgreSQL server on a host, with a throw-away cluster of its own.

Who comes by the socket is the role of his account's name; who comes by the network needs a password.
"""

from __future__ import annotations

import os

from .packages import find, require

PROGRAMS = {"postgres": "postgresql"}
ACCOUNT = "postgres"
DATA = "/var/lib/fleet-postgresql"
# Nothing of it has to survive the host.
SETTINGS = """\
listen_addresses = '*'
unix_socket_directories = '/var/run/postgresql'
fsync = off
max_connections = 40
"""
ACCESS = """\
local all all peer
host all all 0.0.0.0/0 scram-sha-256
"""


class PostgresqlServer:
    """The server of one host; it listens when the constructor is done."""

    def __init__(self, host):
        require(PROGRAMS)
        self.host = host
        self._folder = os.path.dirname(os.path.realpath(find("postgres")))
        for directory in (DATA, "/var/run/postgresql"):
            host.run(["install", "-d", "-o", ACCOUNT, "-g", ACCOUNT, "-m", "0755", directory])
        self._program("initdb", "--pgdata", DATA, "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8")
        host.write(DATA + "/conf.d.conf", SETTINGS, owner=ACCOUNT)
        host.write(DATA + "/pg_hba.conf", ACCESS, owner=ACCOUNT, mode=0o600)
        host.run(["sh", "-c", "echo \"include 'conf.d.conf'\" >>" + DATA + "/postgresql.conf"], user=ACCOUNT)
        self.start()

    def start(self):
        """Start it and wait until it takes connections."""
        self._program("pg_ctl", "start", "--wait", "--pgdata", DATA, "--log", DATA + "/log")

    def stop(self):
        """Stop it at once, whoever is connected."""
        self._program("pg_ctl", "stop", "--wait", "--pgdata", DATA, "--mode=immediate")

    def sql(self, text, database="postgres"):
        """What a query prints, run as the server's administrator: rows as lines, columns with ``|`` between them."""
        words = ["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", "--file=-"]
        command = ["env", "--chdir=/"] + words + [database]
        return self.host.run(command, user=ACCOUNT, input=text).stdout.strip()

    def databases(self):
        """The names of the databases that are there, without those of every server."""
        return set(self.sql("SELECT datname FROM pg_database WHERE NOT datistemplate").splitlines()) - {"postgres"}

    def _program(self, name, *words):
        self.host.run(["env", "--chdir=/", os.path.join(self._folder, name)] + list(words), user=ACCOUNT)
