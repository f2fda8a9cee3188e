# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Load: backups of two databases that one application writes to in the same transactions, and another process checkpoints.

Every snapshot has to hold what the transfers promise, and each commit that had ended before its backup began. Nothing is
promised of one database against the other: each is taken at a transaction of its own. How long the writer waited at the
longest is measured, and nothing is asked of it.
"""

from __future__ import annotations

import itertools
import os
import shutil
import tarfile
import time
from contextlib import contextmanager

from ansible_collections.appstate.backup.plugins.module_utils.sources import sqlite as source
from ansible_collections.appstate.backup.tests.unit.plugins.host import GROUP, OWNER, Host
import ledger
from row import Bad, Mutation, Row, Tried

JOURNALS = ("wal", "delete")
# Commits a second; 0 is as many as the writer can.
RATES = (0, 500, 50)
DATABASES = ("data/ledger.db", "data/other.db")
# The second database is taken in each way that its journal mode has.
METHODS = {"wal": ("auto", "vacuum"), "delete": ("auto", "backup", "vacuum")}
# So many backups a case, and so many cases of each combination.
SHORT_FORM = (5, 1)
WHOLE_FORM = (10, 10)
# A backup beside which nothing was written proves nothing; so often in a row it is taken again.
VOIDS = 10
FIRST_COMMITS_SECONDS = 30
READ_TRANSACTION = '_begin(path, "ro", "BEGIN", deadline)'
LOCKED_COPY = "    # By another process: when this one closed the file, its locks would go. It dies with this one.\n"


class Load(Row):

    name = "load"
    title = "Snapshots beside writers and a checkpointing process"
    mutations = (
        Mutation("sqlite/snapshot.py", LOCKED_COPY, '    live.execute("ROLLBACK")\n    live.execute("BEGIN")\n',
                 "a rollback-journal database is copied without a lock"),
        Mutation("sqlite/sandbox.py", READ_TRANSACTION, READ_TRANSACTION.replace("ro", "ro&immutable=1", 1),
                 "a live database is read as if nobody wrote to it, without its WAL"),
    )

    def open(self):
        self._running = []

    def close(self):
        for process in self._running:
            process.kill()
            process.wait()
        self._running = []

    def cases(self):
        return ["%s %s %d" % (journal, rate or "saturating", number)
                for number in range((SHORT_FORM if self.short else WHOLE_FORM)[1]) for rate in RATES for journal in JOURNALS]

    def run(self, case):
        journal, rate, number = case.split()
        rate = 0 if rate == "saturating" else int(rate)
        host = self._host(case)
        paths = [host.at(name) for name in DATABASES]
        for path in paths:
            ledger.create(path, journal)
            host.own(path)
        slots = ledger.Slots.create(host.place("slots"), OWNER, GROUP)
        for what in ("write", "checkpoint"):
            self._running.append(ledger.start(what, host.place("slots"), (OWNER, GROUP), rate, paths))
        try:
            return self._back_up(host, slots, journal, rate, int(number))
        finally:
            self.close()
            shutil.rmtree(host.path)

    def _host(self, case):
        path = self.place(case.replace(" ", "-"))
        os.mkdir(path)
        os.chmod(path, 0o711)
        host = Host(path)
        host.directory("data")
        return host

    def _back_up(self, host, slots, journal, rate, number):
        """All backups of a case; the measure is the writer's longest pause during any of them."""
        self._wait_for_commit(slots, 0)
        count = (SHORT_FORM if self.short else WHOLE_FORM)[0]
        methods = itertools.islice(itertools.cycle(METHODS[journal]), number, number + count)
        longest, in_snapshots = 0, 0
        for method in methods:
            pause, committed = self._one(host, slots, method, rate)
            longest, in_snapshots = max(longest, pause), in_snapshots + committed
        if not in_snapshots:
            raise Bad("nothing was written while snapshots were taken: these tries prove nothing")
        if not slots[ledger.CHECKPOINTS]:
            raise Bad("the second process never got a checkpoint through: these tries prove nothing")
        return Tried(count, longest / 1000, "ms of pause")

    def _one(self, host, slots, method, rate):
        """One backup beside which the writer did write; returns its longest pause, and its commits during the snapshots."""
        for unused in range(VOIDS):
            slots[ledger.LONGEST] = 0
            ended = slots[ledger.COMMITS]
            with commits_counted(slots) as windows:
                taken = host.backup(sources=[{"type": "sqlite", "path": DATABASES[0]},
                                             {"type": "sqlite", "path": DATABASES[1], "method": method}],
                                    compression="gzip", snapshot_deadline=60)
            committed = slots[ledger.COMMITS] - ended
            # What was held up until now has to end before its pause can be read.
            self._wait_for_commit(slots, slots[ledger.COMMITS])
            self._judge(host, taken.backup, ended, method)
            if committed and (min(windows) or (rate and rate < max(RATES))):
                return slots[ledger.LONGEST], sum(windows)
        raise Bad("the writer did not commit during %d backups in a row: these tries prove nothing" % VOIDS)

    def _judge(self, host, backup, ended, method):
        with tarfile.open(backup.path) as archive:
            for name in DATABASES:
                found = ledger.faults(archive.extractfile(name).read(), ended, host.place("found.db"))
                if found:
                    raise Bad("%s (the second database by %s), %s: %s" % (backup.id, method, name, "; ".join(found)))
        shutil.rmtree(os.path.dirname(backup.path))

    def _wait_for_commit(self, slots, beyond):
        """Waits until the writer has ended one more commit."""
        until = time.monotonic() + FIRST_COMMITS_SECONDS
        while slots[ledger.COMMITS] <= beyond:
            if time.monotonic() > until or any(process.poll() is not None for process in self._running):
                raise Bad("the writer does not write")
            time.sleep(0.002)


@contextmanager
def commits_counted(slots):
    """Gives a list that gets, for each snapshot that is taken, how many commits ended meanwhile."""
    windows, take = [], source.take_snapshot

    def counted(*words, **named):
        before = slots[ledger.COMMITS]
        try:
            return take(*words, **named)
        finally:
            windows.append(slots[ledger.COMMITS] - before)

    source.take_snapshot = counted
    try:
        yield windows
    finally:
        source.take_snapshot = take


ROW = Load
