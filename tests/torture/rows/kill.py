# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""SIGKILL at every system call: whatever the moment, live state is wholly old or wholly new, and what is listed is good.

On a small application each call of each verb is a point; on a larger one they are sampled. The run's children are killed as
well: they take snapshots, examine, and watch over commands.
"""

from __future__ import annotations

from injection import count_calls, inject
from row import Mutation, Row, Tried
from verbs import SMALL, Verbs

# Children that a verb forks: more than any of them does.
CHILDREN = 8
# So many kills of each verb, beside those that are tried in full.
SAMPLE = {"short": 5, "whole": 2500}
# A change of names is what makes old state new, and a file is half there while it is written: these are tried in the short
# form, too.
TELLING = ("rename", "renameat", "renameat2", "unlink", "unlinkat", "write")


class Kill(Row):
    """One case is one kill: ``verb.size.process.call.number``."""

    name = "kill"
    title = "SIGKILL at a system call of snapshot, backup, prune, restore, rollback, commit"
    shards = 2
    mutations = (
        Mutation("catalog/catalog.py", 'for name in (self._ending, ".json"):', 'for name in (".json", self._ending):',
                 "the manifest appears before its archive"),
        Mutation("operations/restore.py", "self._journal.write(phase=SWAPPING, targets=targets, stores=stores)",
                 "self._journal.write(phase=STAGED, targets=targets, stores=stores)", "the journal does not tell of the swap"),
        Mutation("operations/swap.py", 'self._name_twice(sidecar["path"], sidecar["aside"])',
                 'self._rename(sidecar["path"], sidecar["aside"])', "a log leaves its place before its database does"),
        Mutation("system/files.py", "    temporary = _temporary(name)\n", "    temporary = as_bytes(name)\n",
                 "journals and status are written in place"),
    )

    def open(self):
        self._verbs = Verbs(self.folder)

    def cases(self):
        return ["%s.%s.%s" % (kind.name, size, ".".join(map(str, point)))
                for kind in self._verbs.kinds for size in kind.sizes for point in self._chosen(kind.name, size)]

    def _chosen(self, name, size):
        points = list(self._points(name, size))
        if size == SMALL and not self.short:
            return points
        always = [point for point in points if size == SMALL and point[0] == 0 and point[1] in TELLING]
        others = [point for point in points if point not in always]
        return always + self.random("sample", name, size).sample(others, min(len(others), SAMPLE[self.form]))

    def _points(self, name, size):
        """``(process, call, number)`` of each system call, as many as a run without any fault makes."""
        verb = self._verbs.get(name, size)
        for process in range(CHILDREN):
            calls = count_calls(verb.act, self.place("calls"), process)
            verb.put_back()
            if not calls:
                return
            for call in sorted(calls):
                for number in range(1, calls[call] + 1):
                    yield process, call, number

    def run(self, case):
        name, size, process, call, number = case.split(".")
        verb = self._verbs.get(name, size)
        try:
            ended = inject(verb.act, (int(process), call, int(number)), "signal=KILL", self.place("calls"))
            verb.judge()
        finally:
            verb.put_back()
        # How often some calls are made depends on the time: a run that came to its end before is no try.
        return Tried(1 if ended.happened else 0)


ROW = Kill
