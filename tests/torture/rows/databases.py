# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hostile databases: each is the live one of an app that is backed up, and the one in an otherwise valid backup that is restored.

What a second opinion faults is in no backup and in no live state after a restore; nothing outlives its limits; no process is
left; and no file changes that is not the application's. The backup that holds a hostile database is made by the engine itself,
with the examination taken out for that moment: its digests and its passport are right.
"""

from __future__ import annotations

import collections
import io
import os
import resource
import shutil
import subprocess
import sys
import tarfile
import time

from ansible_collections.appstate.backup.plugins.module_utils.sqlite.examine import examine_live, start_examination
from ansible_collections.appstate.backup.plugins.module_utils.sqlite.sandbox import give_to_sandbox
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import AppStateError
from ansible_collections.appstate.backup.tests.unit.plugins.host import DATABASE, Host, tree
import hostile_schemas
import mutated_images
import planted_sidecars
from canaries_beside import Canaries
from examinations import limited_to, unexamined
from row import SHORT, WHOLE, Mutation, Row, Tried
from second_opinion import LIMIT, OK, opinion
from verbs import need

# Mutations of one base a case, and how many such cases of each.
SHORT_FORM = (5, 1)
WHOLE_FORM = (25, 11)
# What the engine gives an examination here instead of an hour, and a snapshot instead of five minutes; what no call may take.
EXAMINATION_SECONDS = {SHORT: 1, WHOLE: 3}
SNAPSHOT_SECONDS = 4
MOST_SECONDS = 30
# For what is good: this machine may be busy.
PATIENCE = 60
# The engine's 256 MiB (the second opinion's are 320), and what a Python process is by itself.
MOST_MEMORY_KIB = 450 << 10
# What tells of a restore that waits for its commit.
PENDING = "/restore-notes.json"
ENDINGS = ("-wal", "-shm", "-journal")
# Each hostile database is backed up, and restored.
TRIES = 2
METHODS = ("auto", "auto", "auto", "backup", "vacuum")
# In the short form: what each weakening below is seen by, and a few more.
SHORT_CASES = ["journal readable owned", "journal sticky owned", "journal others roots", "bomb check-memory", "bomb view-memory",
               "bomb partial-time", "bomb content-of-fts5", "schema broken-check", "schema other-order", "schema name-not-utf-8",
               "schema absent-module"]
# ``beside``: bytes by the ending of the file's name, "" for the database itself. ``like``: the same as the second opinion gets
# it where that is another; ``roots``: whether the files are root's.
Hostile = collections.namedtuple("Hostile", "name beside assertion like roots", defaults=(None, None, False))
_OWN_USER = "return identity_of(found.st_uid, found.st_gid)\n            return _owner_of_place(directory) or"
_TROUBLES = '        if troubles:\n            what = "database"'
_PRIVATE = '    connection = _connect(name, "mode=rw")\n    connection.execute("PRAGMA locking_mode=EXCLUSIVE")\n    return'


class Databases(Row):

    name = "databases"
    title = "Hostile databases, backed up and restored"
    shards = 2
    mutations = (
        Mutation("sqlite/sandbox.py", _OWN_USER, _OWN_USER.replace("found.st_uid, found.st_gid", "0, 0"),
                 "root opens the databases of other users"),
        Mutation("system/process.py", "        _limit_memory(limits.memory_bytes)\n", "", "children may have all memory"),
        Mutation("sqlite/examine.py", 'found["ok"] = messages == ["ok"]', 'found["ok"] = bool(messages)',
                 "integrity_check is asked, and not listened to"),
        Mutation("sqlite/sandbox.py", _PRIVATE, _PRIVATE.replace("=rw", "=ro"),
                 "copies are examined read-only, where SQLite forgets CHECK constraints"),
        Mutation("operations/staging.py", _TROUBLES, _TROUBLES.replace("troubles", "False"),
                 "a restore goes on with a database that is not good"),
    )

    def open(self):
        os.mkdir(self.place("host"))
        self._new_host()
        self._bases = {name: mutated_images.database(statements) for name, statements in mutated_images.BASES.items()}
        self._left_over = {journal: planted_sidecars.left_over(journal) for journal in ("wal", "delete")}
        self._prove_that_journals_bite()

    def _new_host(self):
        """In a file system of its own: what a database makes of itself ends there, not in the machine's memory."""
        place = self.place("host")
        if os.path.ismount(place):
            subprocess.run(["umount", "--lazy", place], check=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256m,mode=0711", "none", place], check=True)
        self._host = Host(place)
        self._host.fill(journal="delete")
        self._plain = self._content(self._host.at(DATABASE))
        self._canaries = Canaries(self._host)

    def cases(self):
        # What is in the app's own directory, the app's user may delete.
        named = ["journal %s %s" % (name, owner) for name in self._canaries.paths if name != "beside"
                 for owner in ("owned", "roots")]
        named += ["bomb " + name for name in hostile_schemas.BOMBS] + ["schema " + name for name in hostile_schemas.NONSENSE]
        batches = ["%s %s %d" % (kind, base, number) for number in range((SHORT_FORM if self.short else WHOLE_FORM)[1])
                   for kind, some in (("image", self._bases), ("sidecar", self._left_over)) for base in some]
        return (SHORT_CASES if self.short else named) + batches

    def run(self, case):
        self._slowest, self._snapshot_seconds = 0.0, SNAPSHOT_SECONDS
        kind, *words = case.split()
        with limited_to(EXAMINATION_SECONDS[self.form]):
            count = getattr(self, "_run_" + kind)(case, *words)
        return Tried(count, self._slowest, "s in the engine")

    def _run_journal(self, case, name, owner):
        """A journal that names somebody else's file as its super-journal; the database is the app's, or root's."""
        found = self._left_over["delete"]
        journal = planted_sidecars.names_super_journal(found["-journal"], os.fsencode(self._canaries.paths[name]))
        # The second opinion does not see that file, and a journal whose super-journal is gone counts for nothing.
        self._try(case, Hostile(case, dict(found, **{"-journal": journal}), like=found, roots=owner == "roots"))
        return TRIES

    def _run_bomb(self, case, name):
        """It has to go off: under the second opinion where integrity_check itself lights it, and in the engine always."""
        bomb = hostile_schemas.BOMBS[name]
        hostile = Hostile(case, {"": hostile_schemas.bomb(name)}, bomb.assertion)
        told, accepted = self._try(case, hostile)
        need(told == (LIMIT if bomb.checked else OK), "%s does not go off: %s", case, told)
        need(not accepted, "%s is accepted", case)
        return TRIES

    def _run_schema(self, case, name):
        for base in hostile_schemas.FOR_NONSENSE:
            self._try(case + base, Hostile("%s %s" % (case, base), {"": hostile_schemas.nonsense(name, base)}))
        return TRIES * len(hostile_schemas.FOR_NONSENSE)

    def _run_image(self, case, base, unused_number):
        return self._batch(case, {"": self._bases[base]}, lambda random, beside: _changed_image(random, beside[""]))

    def _run_sidecar(self, case, journal, unused_number):
        return self._batch(case, self._left_over[journal], planted_sidecars.mutated_beside)

    def _batch(self, case, beside, mutate):
        """Mutations of what is good, and what is good itself: an engine that accepts nothing would prove nothing."""
        self._snapshot_seconds = PATIENCE
        with limited_to(PATIENCE):
            accepted = self._try(case, Hostile(case + " unchanged", beside))[1]
        need(accepted == TRIES, "%s is not accepted without any mutation", case)
        self._snapshot_seconds = SNAPSHOT_SECONDS
        count, faulty = (SHORT_FORM if self.short else WHOLE_FORM)[0], 0
        for number in range(count):
            what, changed = mutate(self.random(case, number), beside)
            told = self._try("%s %d" % (case, number), Hostile("%s, number %d (%s)" % (case, number, what), changed))[0]
            faulty += told != OK
        need(faulty, "%s: no mutation made the database faulty, so these tries prove nothing", case)
        return TRIES * (1 + count)

    def _try(self, seed, hostile):
        """One hostile database, both ways; returns the second opinion, and how many of the TRIES were accepted."""
        told = opinion(hostile.like or hostile.beside)
        method = self.random(seed, "method").choice(METHODS)
        try:
            backed_up = self._back_up(hostile, method, told)
            restored = self._restore(hostile, told)
        except BaseException:
            self._new_host()  # The next one is to be judged by itself.
            raise
        return told, backed_up + restored

    def _words(self, hostile, method="auto"):
        told = {"type": "sqlite", "path": DATABASE, "method": method}
        if hostile.assertion:
            told["assertions"] = [{"sql": hostile.assertion, "min": 0}]
        return {"sources": [told], "compression": "gzip", "snapshot_deadline": self._snapshot_seconds}

    def _back_up(self, hostile, method, told):
        """It is the live database of the app; returns whether there is a backup of it."""
        self._put(hostile.beside, hostile.roots)
        words, path = self._words(hostile, method), self._host.at(DATABASE)
        seconds = EXAMINATION_SECONDS[self.form]
        self._engine(hostile, "looking at it", lambda: examine_live(path, "full", True, seconds, seconds))
        taken = self._engine(hostile, "backing it up", lambda: self._host.backup(**words))
        if len(hostile.beside) == 1:
            need(self._content(path) == hostile.beside[""], "%s: the live database was changed by a backup", hostile.name)
        if taken is None:
            need(not self._published(), "%s: there is a backup after all", hostile.name)
            return False
        with tarfile.open(taken.backup.path) as archive:
            archived = archive.extractfile(DATABASE).read()
        need(told == OK, "%s: it is backed up by the method %s although it is faulty: %s", hostile.name, method, told)
        self._require_good(hostile, "the database in a backup by the method %s" % method, archived)
        found = self._engine(hostile, "verifying", lambda: self._host.verify(app=self._host.app(**words)))
        need(found is not None and found.ok, "%s: a backup of it does not verify: %s", hostile.name, found and found.problems)
        self._remove_backups()
        return True

    def _restore(self, hostile, told):
        """It is in a backup; returns whether it was restored."""
        self._put({"": self._plain})
        words = self._words(hostile)
        request = {"archive": self._old_archive(hostile)} if len(hostile.beside) > 1 else {"which": self._graft(hostile, words)}
        before = tree(self._host.root)
        app = self._host.app(**words)
        found = self._engine(hostile, "verifying a backup with it", lambda: self._host.verify(app=app, **request))
        if found is not None and found.ok:
            need(told == OK or hostile.like, "%s: a backup with it verifies although it is faulty: %s", hostile.name, told)
        restore = self._host.restore(request, **words)
        outcome = self._engine(hostile, "restoring it", restore.restore)
        if outcome is None:
            need(tree(self._host.root) == before, "%s: a refused restore changed live state", hostile.name)
        else:
            path = self._host.at(DATABASE)
            need(not any(os.path.lexists(path + ending) for ending in ENDINGS), "%s: its sidecars were restored", hostile.name)
            self._require_good(hostile, "the restored database", self._content(path))
            need(found is not None and found.ok, "%s is restored, and does not verify", hostile.name)
            restore.roll_back()
            need(self._content(path) == self._plain, "%s: a rollback did not bring the database back", hostile.name)
        self._remove_backups()
        return outcome is not None

    def _engine(self, hostile, doing, call):
        """What a call of the engine gives, or None where it refuses; afterwards nothing is left of it, or changed."""
        began = time.monotonic()
        try:
            result = call()
        except AppStateError:
            result = None
        seconds = time.monotonic() - began
        self._slowest = max(self._slowest, seconds)
        need(seconds < MOST_SECONDS, "%s: %s took %.1f s", hostile.name, doing, seconds)
        need(not self._canaries.changed(), "%s: %s changed files of others: %s", hostile.name, doing, self._canaries.changed())
        need(not _others(), "%s: %s left processes: %s", hostile.name, doing, _others())
        left = [path for path in self._host.left() if result is None or not path.endswith(PENDING)]
        need(not left, "%s: %s left %s", hostile.name, doing, left)
        most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        need(most < MOST_MEMORY_KIB, "%s: %s took %d MiB of memory", hostile.name, doing, most >> 10)
        return result

    def _require_good(self, hostile, what, content):
        told = opinion({"": content})
        need(told == OK, "%s: %s is not good: %s", hostile.name, what, told)

    def _put(self, beside, roots=False):
        """Makes it the app's live database, its owner's or root's."""
        path = self._host.at(DATABASE)
        for ending in ("",) + ENDINGS:
            if os.path.lexists(path + ending):
                os.unlink(path + ending)
        for ending, content in beside.items():
            with open(path + ending, "wb") as file:
                file.write(content)
            os.chmod(path + ending, 0o644 if roots else 0o640)
            if not roots:
                self._host.own(path + ending)

    def _graft(self, hostile, words):
        """A valid backup with it; returns its id."""
        with unexamined(hostile.beside[""], self._passport(hostile)):
            return self._host.backup(**words).backup.id

    def _passport(self, hostile):
        """What can be read of it, faulty or not; None where that is nothing."""
        room = self._host.place("passport")
        os.mkdir(room)
        try:
            with open(os.path.join(room, "a.db"), "wb") as file:
                file.write(hostile.beside[""])
            give_to_sandbox(room, "a.db")
            return start_examination(room, "a.db", "none", wall_seconds=1).result()["passport"]
        except AppStateError:
            return None
        finally:
            shutil.rmtree(room)

    def _old_archive(self, hostile):
        """A tar as an old shell script makes it, of a database with what lay beside it; returns its path."""
        path = self._host.place("old.tar.gz")
        with tarfile.open(path, "w:gz", compresslevel=1) as archive:
            for ending, content in hostile.beside.items():
                member = tarfile.TarInfo(DATABASE + ending)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        return path

    def _published(self):
        folder = os.path.join(self._host.destination, "notes")
        return os.listdir(folder) if os.path.isdir(folder) else []

    def _remove_backups(self):
        shutil.rmtree(os.path.join(self._host.destination, "notes"), ignore_errors=True)

    def _content(self, path):
        with open(path, "rb") as file:
            return file.read()

    def _prove_that_journals_bite(self):
        """Whoever may delete the file does so by opening the database: without that, the journals above prove nothing."""
        victim, path = self.place("victim"), self.place("bait.db")
        found = self._left_over["delete"]
        journal = planted_sidecars.names_super_journal(found["-journal"], os.fsencode(victim))
        for place, content in ((victim, b"precious"), (path, found[""]), (path + "-journal", journal)):
            with open(place, "wb") as file:
                file.write(content)
        script = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('SELECT count(*) FROM notes').fetchone()"
        subprocess.run([sys.executable, "-c", script, path], check=True)
        need(not os.path.exists(victim), "a journal does not delete the super-journal that it names: the attack is none")


def _changed_image(random, content):
    what, changed = mutated_images.mutated(random, content)
    return what, {"": changed}


def _others():
    """The processes in this namespace that are neither this one nor dead."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
    return [name for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]


ROW = Databases
