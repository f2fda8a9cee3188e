# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two commands at a time: one after the other or refused, and never something that no order of the two would give.

What they leave is compared with what they leave when they do not overlap, in both orders, and with what the one leaves
alone where the other was refused (exit status 75). The command's file is replaced while a run of it goes on, too.
"""

from __future__ import annotations

import itertools
import time

from ansible_collections.appstate.backup.plugins.module_utils.command import main
from ansible_collections.appstate.backup.plugins.module_utils.system.locks import AppLock
from crowd import Crowd
from replaced import Replaced
from row import Bad, Mutation, Row, Tried
from swapping import others
from turns import Process, take_turns

LOCKED = 75
# What is begun first, and what second, where no restore is pending, and where one waits for its commit.
PLAIN = (("run", "run"), ("run", "prune"), ("run", "restore"), ("run", "drill"), ("restore", "restore"),
         ("restore", "restore-oldest"), ("restore", "rollback"), ("restore", "commit"), ("restore", "drill"),
         ("restore", "verify"), ("restore-oldest", "prune"), ("verify-oldest", "prune"),
         ("drill-oldest", "prune"), ("hold-oldest", "prune"), ("drill", "drill"))
PENDING = (("rollback", "commit"), ("rollback", "rollback"), ("rollback", "run"), ("rollback", "prune"), ("commit", "commit"),
           ("commit", "run"), ("restore-forced", "rollback"), ("restore-forced", "commit"))
SHORT = (("plain", "run", "run"),) + 3 * (("plain", "restore", "restore-oldest"),) + (
    ("plain", "run", "prune"), ("plain", "restore-oldest", "prune"), ("plain", "prune", "verify-oldest"),
    ("pending", "rollback", "commit"))
ROUNDS = 8
UPGRADES = {"short": 3, "whole": 20}
# The last of them begins the second hardly a moment after the first.
ATTEMPTS = 10


class Concurrency(Row):
    """One case: ``world.first.second.number`` (two commands) or ``upgrade.when.number``."""

    name = "concurrency"
    title = "two commands at a time"
    shards = 2

    mutations = (
        Mutation("system/locks.py", "fcntl.LOCK_EX | fcntl.LOCK_NB", "fcntl.LOCK_SH | fcntl.LOCK_NB",
                 "two have the lock at a time"),
        Mutation("command.py", "    with restore.alone():\n", "    with open(os.devnull):\n",
                 "others come between the steps of a restore"),
        Mutation("../plugin_utils/zipapp.py", 'sys.path[0] = "/proc/self/fd/%d" % descriptor', 'sys.path.insert(0, sys.path[0])',
                 "the command is read by its file's name"),
    )

    def open(self):
        self._crowd = Crowd(self.place("crowd"))
        self._replaced = Replaced(self.place("replaced"))
        self._alone = {}

    def cases(self):
        pairs = [("plain",) + pair for pair in PLAIN] + [("pending",) + pair for pair in PENDING]
        pairs += [(world, second, first) for world, first, second in pairs if first != second]
        pairs = SHORT if self.short else ROUNDS * pairs
        cases = ["%s.%d" % (".".join(pair), number) for number, pair in enumerate(pairs)]
        return cases + ["upgrade.%s.%d" % (when, number) for number in range(UPGRADES[self.form]) for when in ("begins", "begun")]

    def run(self, case):
        if case.startswith("upgrade."):
            self._replaced.run(case.split(".")[1] == "begun", self.random(case))
            return Tried(1)
        world, first, second, unused = case.split(".")
        for attempt in range(ATTEMPTS):
            self._crowd.put(world)
            chance = self.random(case, attempt)
            processes = [self._process(name, number) for number, name in enumerate((first, second))]
            turns = take_turns(*processes, chance, self._when(first, attempt, chance))
            self._judge(world, (first, second), processes)
            if turns:
                return Tried(1, turns, "turns")
        raise Bad("the two did not overlap in %d attempts" % ATTEMPTS)

    def _when(self, first, attempt, chance):
        """What says when the second begins: after some time, or while the app stops, between two steps of the first."""
        until = time.monotonic() + chance.random() * chance.choice((0.06, 0.4)) / 2 ** attempt
        if first.startswith("restore") and chance.random() < 0.5:
            return self._crowd.stops
        return lambda: time.monotonic() >= until

    def _process(self, name, number=0):
        return Process(lambda: main(self._crowd.arguments(name)), self.place("said-%d" % number))

    def _judge(self, world, names, processes):
        codes = tuple(process.status for process in processes)
        said = " | ".join(process.said.strip() for process in processes)
        left = others(())
        if left:
            raise Bad("processes live on: %s" % left)
        for process in processes:
            if "Traceback" in process.said:
                raise Bad("not an error of ours: %s" % process.said)
            if process.status == LOCKED and not any("(process %d)" % other.pid in process.said for other in processes):
                raise Bad("refused, and does not say by whom: %s" % process.said)
        state = self._crowd.state()
        self._crowd.is_sound(state)
        self._locks_are_free()
        if not any(found == (codes, state) for found in self._expected(world, names, codes)):
            raise Bad("%s ended with %s, and the state is none that they leave one after the other: %s; %s" % (
                " and ".join(names), codes, state, said))

    def _locks_are_free(self):
        for work in (None, "drill"):
            with AppLock(self._crowd.host.locks, "notes", work):
                pass

    def _expected(self, world, names, codes):
        """``(exit statuses, state)`` of each order in which the two may have been done."""
        orders = []
        for order in itertools.permutations((0, 1)):
            orders.append(order)
            if codes[order[1]] == LOCKED:
                orders.append(order[:1])
        for order in orders:
            statuses, state = self._one_after_the_other(world, tuple(names[number] for number in order))
            told = [LOCKED, LOCKED]
            for number, status in zip(order, statuses):
                told[number] = status
            yield tuple(told), state

    def _one_after_the_other(self, world, names):
        if (world, names) not in self._alone:
            self._crowd.put(world)
            statuses = [self._process(name).wait() for name in names]
            self._alone[world, names] = statuses, self._crowd.state()
        return self._alone[world, names]


ROW = Concurrency
