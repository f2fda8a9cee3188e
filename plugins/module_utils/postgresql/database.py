# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Databases as a whole: whether they are there, who uses them, and how they are made, renamed and dropped.

All of it is asked of another database, the one for maintenance: nobody can rename the database that he is connected to.
"""

from __future__ import annotations

from ..system.errors import AppStateError, StoreUnreachable
from .client import APPLICATION
from .quoting import identifier, literal
from .session import Session

# With FORCE, a database is dropped under whoever is connected to it.
_FORCE = 130000
_SAY = "Say to the server, as its administrator: "


class Databases:
    """The databases of one server. Use it as a context manager.

    Args:
        server: a ``client.Server``.
        maintenance: the name of the database that is connected to.
        deadline: by ``time.monotonic()``.
    """

    def __init__(self, server, maintenance, deadline, doing="be reached"):
        self._session = Session(server, maintenance, deadline, doing=doing)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self._session.close()

    @property
    def session(self):
        """The ``Session``."""
        return self._session

    def alone(self, name):
        """Waits until no other session of ours has to do with the database of that name, and keeps them waiting.

        What a program asked for that was killed, the server may still be doing: only then it lets go of this lock.
        """
        self._session.rows("SELECT pg_catalog.pg_advisory_lock(pg_catalog.hashtext(%s), pg_catalog.hashtext(%s))"
                           % (literal(APPLICATION), literal(name)))

    def exists(self, name):
        """Whether there is a database of that name."""
        return bool(self._session.rows("SELECT FROM pg_catalog.pg_database WHERE datname = %s" % literal(name)))

    def names(self):
        """The names of all databases."""
        return [name for (name,) in self._session.rows("SELECT datname FROM pg_catalog.pg_database ORDER BY 1")]

    def now(self):
        """The server's time, whole seconds since the epoch: hosts that share a server need not agree on theirs."""
        return self._session.value("SELECT pg_catalog.date_part('epoch', pg_catalog.now())::pg_catalog.int8")

    def size(self, name):
        """Its size in bytes, with its indexes; None where there is none."""
        return self._session.value(
            "SELECT pg_catalog.pg_database_size(oid) FROM pg_catalog.pg_database WHERE datname = %s" % literal(name))

    def holders(self, name):
        """Texts, one for each client that is connected to it."""
        return [_holder(*row) for row in self._session.rows(
            "SELECT pid, usename, application_name, pg_catalog.host(client_addr) AS client "
            "FROM pg_catalog.pg_stat_activity WHERE datname = %s "
            "AND pid <> pg_catalog.pg_backend_pid() AND backend_type = 'client backend' ORDER BY 1"
            % literal(name))]

    def refuse_fixed(self, name):
        """Raises StoreUnreachable where this role could not rename a database of that name; nothing there is fine."""
        may = self._session.rows(
            "SELECT r.rolname, r.rolsuper OR r.rolcreatedb, r.rolsuper OR pg_catalog.pg_has_role(d.datdba, 'USAGE') "
            "FROM pg_catalog.pg_database d, pg_catalog.pg_roles r WHERE d.datname = %s AND r.rolname = CURRENT_USER"
            % literal(name))
        for role, creates, owns in may:
            if not owns:
                raise StoreUnreachable(
                    "the role %s does not own the database %s, and so cannot put another in its place" % (role, name),
                    remedy=_SAY + "ALTER DATABASE %s OWNER TO %s" % (identifier(name), identifier(role)))
            if not creates:
                raise StoreUnreachable("the role %s may not make databases, nor rename one" % role,
                                       remedy=_SAY + "ALTER ROLE %s CREATEDB" % identifier(role))

    def rename(self, *pairs):
        """Renames databases, all of them or none; ``pairs`` are ``(old, new)``, in that order.

        Raises:
            BusyError: somebody is connected to one of them.
        """
        self._session.run("BEGIN", *["ALTER DATABASE %s RENAME TO %s" % (identifier(old), identifier(new))
                                     for old, new in pairs])
        self._session.run("COMMIT")

    def drop(self, name):
        """Drops a database, if it is there, under whoever uses it."""
        if not self.exists(name):
            return
        if self._session.version >= _FORCE:
            self._session.run("DROP DATABASE IF EXISTS %s WITH (FORCE)" % identifier(name))
            return
        self._session.rows("SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity "
                           "WHERE datname = %s" % literal(name))
        self._session.run("DROP DATABASE IF EXISTS %s" % identifier(name))


def try_each(server, maintenance, statements, deadline):
    """Runs statements one by one, also where one fails; returns those that failed, with why, as texts."""
    failed = []
    pending = list(statements)
    while pending:
        with Databases(server, maintenance, deadline) as databases:
            try:
                while pending:
                    databases.session.run(pending[0])
                    pending.pop(0)
            except StoreUnreachable:
                raise
            except AppStateError as error:
                failed.append("%s: %s" % (pending.pop(0), error.message))
    return failed


def _holder(pid, user, application, client):
    return "process %s (%s%s, from %s)" % (pid, user, ", " + application if application else "", client or "this host")
