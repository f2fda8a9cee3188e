# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Errors of the kernel, one at a time, and disks of every size: a clear error and the state before, or the deed in full.

``EINTR`` is what a signal leaves of a call that waits, and has to be gone on with (PEP 475); a short write is what write(2)
may do with any data.
"""

from __future__ import annotations

from injection import count_calls, inject, run_with_short_writes
from row import Mutation, Row, Tried
from small_disks import on_small_disk, sizes
from verbs import SMALL, Verbs, need

CHILDREN = 4
# What changes a file system, or brings a file to a disk; open(2) creates files, and reads what is needed for it.
MUTATING = ("write", "pwrite64", "openat", "mkdir", "mkdirat", "rename", "renameat", "renameat2", "unlink", "unlinkat", "rmdir",
            "fsync", "fdatasync", "syncfs", "sync_file_range", "ftruncate", "fallocate", "fchmod", "fchmodat", "fchown",
            "fchownat", "symlinkat", "linkat", "link", "utimensat", "copy_file_range", "sendfile", "ioctl")
ERRORS = ("EIO", "ENOSPC", "EACCES", "EINTR")
# The calls that a signal can interrupt on a local file system, signal(7); Python and SQLite make them again.
INTERRUPTED = ("write", "pwrite64", "openat", "fsync", "fdatasync", "ftruncate", "fallocate", "copy_file_range", "sendfile")
# Of each verb and kind of fault, in the short form; the whole form tries all.
SAMPLE = 5
# A change of names is where old state becomes new: with one of the errors these are tried in the short form, too.
TELLING = ("rename", "renameat")
SHORT_WRITES = 12


class Errors(Row):
    """One case is one error ``verb.process.call.number.error``, one short write ``verb.short.number``, or one disk
    ``verb.disk.place.pages``."""

    name = "errors"
    title = "EIO, ENOSPC, EACCES, EINTR, short writes and full disks"
    shards = 2
    mutations = (
        Mutation("system/files.py", "        view = view[os.write(descriptor, view):]\n",
                 "        view = view[os.write(descriptor, view) and len(view):]\n", "a short write is taken for a whole one"),
        Mutation("operations/restore.py", "        except BaseException:\n            self._undo()\n            raise\n",
                 "        except BaseException:\n            raise\n", "an error in the middle of a restore is not undone"),
        Mutation("operations/run.py", "        if self._ran.exit_code:\n            self.alarm()\n", "",
                 "a run that fails does not raise the operator's own alarm"),
    )

    def open(self):
        self._verbs = Verbs(self.folder)
        self._counted = {}

    def cases(self):
        found = []
        for kind in self._verbs.kinds:
            if kind.name == "restore-undone":
                continue  # The deed is the same as that of "restore".
            for error in ERRORS:
                found += self._erring(kind.name, error)
            found += self._some(["%s.short.%d" % (kind.name, number) for number in range(1, SHORT_WRITES + 1)], kind.name, "short")
            for place in kind.places:
                found += self._some(["%s.disk.%s.%d" % (kind.name, place, pages) for pages in sizes()], kind.name, place)
        return found

    def _erring(self, name, error):
        points = [point for point in self._points(name) if error != "EINTR" or point[1] in INTERRUPTED]
        always = [point for point in points if self.short and error == ERRORS[0] and point[0] == 0 and point[1] in TELLING]
        others = [point for point in points if point not in always]
        return ["%s.%s.%s" % (name, ".".join(map(str, point)), error) for point in always + self._some(others, name, error)]

    def _some(self, cases, *words):
        return self.random("sample", *words).sample(cases, min(len(cases), SAMPLE)) if self.short else cases

    def _points(self, name):
        """``(process, call, number)`` of each system call that can fail in a way that matters; counted once for each verb."""
        if name not in self._counted:
            self._counted[name] = list(self._count(self._verbs.get(name, SMALL)))
        return self._counted[name]

    def _count(self, verb):
        for process in range(CHILDREN):
            calls = count_calls(verb.act, self.place("calls"), process, ",".join(MUTATING))
            verb.put_back()
            for call in sorted(calls):
                for number in range(1, calls[call] + 1):
                    yield process, call, number

    def run(self, case):
        name, what, *rest = case.split(".")
        verb = self._verbs.get(name, SMALL)
        try:
            if what == "disk":
                with on_small_disk(verb, rest[0], int(rest[1])) as disk:
                    ended = disk.run()
                    disk.grow()
                    self._judge(verb, ended, "space")
                    verb.judge()
                return Tried()
            if what == "short":
                ended = run_with_short_writes(verb.act, int(rest[0]))
                self._judge(verb, ended, None)
                need(ended.error is None, "it failed: %s", ended.error)
            else:
                ended = inject(verb.act, (int(what), rest[0], int(rest[1])), "error=" + rest[2], self.place("calls"))
                self._judge(verb, ended, None)
            verb.judge()
        finally:
            verb.put_back()
        return Tried(1 if ended.happened else 0)

    def _judge(self, verb, ended, word):
        """After an error, and before anything else is done: it is told well, and the state is the one before."""
        need(ended.signal is None, "it died of signal %s", ended.signal)
        if ended.error is not None:
            need(ended.error["known"], "not an error of ours: %s", ended.error["trace"])
            need(ended.error["exit_code"], "its exit status is %s", ended.error["exit_code"])
            need(ended.error["path"], "it names no path: %s", ended.error["text"])
            need(word is None or word in ended.error["text"], "it does not tell of %s: %s", word, ended.error["text"])
        verb.judge_at_once(ended)


ROW = Errors
