# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a PostgreSQL database is restored: a new one beside it, and then both get other names in one transaction.

The new database is loaded, counted and asked before the live one is touched, so that a bad dump never harms it. How far
a restore came is told by the names that there are on the server: each name has the token or the time of its restore.
"""

from __future__ import annotations

import re
import time
from contextlib import contextmanager

from ..postgresql.client import Server
from ..postgresql.database import Databases, try_each
from ..postgresql.dump import start_load
from ..postgresql.properties import creation, dressing, is_sound, read_properties
from ..postgresql.quoting import suffixed
from ..postgresql.session import Session
from ..postgresql.tables import count_rows, differences
from ..system import files
from ..system.errors import AppStateError, BusyError, ConfigurationError, DatabaseError, RestoreError
from .postgresql import SHORT, answer_of, judge
from .store import Store

# How long a client that is just leaving may take.
GRACE = 5.0
MOST_TOLD = 5
# A database that was restored for a trial: when, and a random end. After so many seconds none of them is still wanted.
TRIAL = re.compile(r"_appstate_trial_(\d{10})_[0-9a-f]{8}\Z")
STALE = 86400


class PostgresqlStore(Store):
    """Restores one PostgresqlSource."""

    rehearses = True

    @property
    def title(self):
        return "PostgreSQL database %s" % self._source.database

    def stage(self, staged, record, state):
        record = record or {}
        deadline = time.monotonic() + self._source.timeout
        name = self._staged_name(state) if self._root is not None else self._trial_name(state)
        try:
            warnings = self._load(staged, record, name, deadline)
        except BaseException:
            self._drop_if_possible(name)
            raise
        return dict(state, staged=name, warnings=warnings)

    def _load(self, staged, record, name, deadline):
        if self._source.maintenance_database == self._source.database:
            raise ConfigurationError("nobody can rename %s while connected to it" % self.title, path=self._source.path,
                                     remedy="Set 'maintenance_database' to another, for example template1")
        server = Server(self._source)
        with self._databases("be restored") as databases:
            properties = record.get("properties")
            if not is_sound(properties):
                raise RestoreError("the manifest tells of the database's properties what nobody can read",
                                   path=self._source.path)
            if properties is None:
                properties = read_properties(databases.session, self._source.database)
            databases.refuse_fixed(self._source.database)
            version = databases.session.version
            databases.session.run(creation(name, properties))
        dump = files.open_beneath(staged.tree, staged.path)
        with open(dump, "rb", buffering=0) as stream, start_load(server, name, version, stream) as loading:
            warnings = ["pg_restore said: %s" % text for text in loading.wait(deadline)]
        self._prove(server, name, record.get("passport"), deadline)
        failed = try_each(server, self._source.maintenance_database, dressing(name, properties), deadline)
        return warnings + ["the restored database lacks what an administrator has to give it: %s" % text
                           for text in failed]

    def _prove(self, server, name, passport, deadline):
        with Session(server, name, deadline) as session:
            # Without it the server plans blindly, until it comes to that by itself.
            session.run("ANALYZE")
            recorded = (passport or {}).get("tables")
            troubles = [] if recorded is None else differences(recorded, count_rows(session))
            if troubles:
                raise DatabaseError("the restored database is not what was backed up: %s"
                                    % "; ".join(troubles[:MOST_TOLD]), path=self._source.path,
                                    remedy="Live state is untouched; choose another backup")
            troubles = judge(session, self._source)[1]
            if troubles:
                raise DatabaseError(troubles[0], path=self._source.path,
                                    remedy="Live state is untouched; choose another backup, or change the assertion")

    def query(self, state, sql):
        with Session(Server(self._source), self._staged_name(state), time.monotonic() + SHORT) as session:
            return answer_of(session, sql)

    def refuse_held(self, state):
        until = time.monotonic() + GRACE
        with self._databases("be swapped") as databases:
            while True:
                holders = databases.holders(self._source.database)
                if not holders:
                    return
                if time.monotonic() > until:
                    raise BusyError("%s is still in use by %s" % (self.title, "; ".join(holders[:3])),
                                    remedy="Stop what is connected, then try again; nothing was changed")
                time.sleep(0.2)

    def name_aside(self, state, stamp):
        with self._databases("be swapped") as databases:
            if not databases.exists(self._source.database):
                return dict(state, aside=None)
            for number in range(1, 1000):
                ending = "_%d" % number if number > 1 else ""
                name = suffixed(self._source.database, "_before_restore_" + stamp + ending)
                if not databases.exists(name):
                    return dict(state, aside=name)
        raise RestoreError("there are a thousand databases like %s" % name)

    def forward(self, state):
        live, staged = self._source.database, self._staged_name(state)
        # The server would say the same of somebody who came back, but not who it is.
        self.refuse_held(state)
        with self._databases("be swapped") as databases:
            databases.rename(*([(live, state["aside"])] if state["aside"] else []) + [(staged, live)])

    def back(self, state):
        if "aside" not in state:
            return  # Nothing was renamed before that was written down.
        live, staged, aside = self._source.database, self._staged_name(state), state["aside"]
        with self._databases("be put back") as databases:
            if aside is None:
                pairs = [] if databases.exists(staged) or not databases.exists(live) else [(live, staged)]
            elif databases.exists(aside):
                pairs = ([(live, staged)] if databases.exists(live) else []) + [(aside, live)]
            elif databases.exists(staged):
                pairs = []  # Both were renamed, or neither.
            else:
                raise RestoreError("the database %s, which is what %s was before the restore, is gone" % (aside, live),
                                   remedy="Commit the restore, or restore a backup")
            if pairs:
                databases.rename(*pairs)

    def forget(self, state):
        if state.get("aside"):
            self._drop(state["aside"])

    def discard(self, state):
        self._drop(self._staged_name(state))

    def asides(self, state):
        return ["PostgreSQL database %s" % state["aside"]] if state.get("aside") else []

    def _staged_name(self, state):
        return state.get("staged") or suffixed(self._source.database, "_appstate_" + state["token"])

    def _trial_name(self, state):
        """A name for a database that no journal knows; what killed trials left behind is dropped meanwhile."""
        with self._databases("be restored") as databases:
            now = databases.now()
            left = [name for name in databases.names() if self._is_left_over(name, now)]
        for name in left:
            self._drop_if_possible(name)
        return suffixed(self._source.database, "_appstate_trial_%010d_%s" % (now, state["token"][:8]))

    def _is_left_over(self, name, now):
        found = TRIAL.search(name)
        return bool(found) and name == suffixed(self._source.database, found.group(0)) \
            and now - int(found.group(1)) > max(STALE, 2 * self._source.timeout)

    @contextmanager
    def _databases(self, doing):
        server = Server(self._source)
        with Databases(server, self._source.maintenance_database, time.monotonic() + SHORT, doing) as databases:
            databases.alone(self._source.database)
            yield databases

    def _drop(self, name):
        with self._databases("be dropped") as databases:
            databases.drop(name)

    def _drop_if_possible(self, name):
        """What failed is told, not what came of it."""
        try:
            self._drop(name)
        except AppStateError:
            return
