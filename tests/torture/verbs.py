# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an operator can ask for, as the campaign does it: the state before, the deed, and what has to hold after it was cut off.

Each verb works on a small application (see ``Host``) that is put back to the state before between two tries.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess

from ansible_collections.appstate.backup.plugins.module_utils.catalog.catalog import list_backups
from ansible_collections.appstate.backup.plugins.module_utils.operations.prune import prune_recorded
from ansible_collections.appstate.backup.plugins.module_utils.operations.report import INCOMPLETE
from ansible_collections.appstate.backup.plugins.module_utils.operations.run import run_backup
from ansible_collections.appstate.backup.plugins.module_utils.operations.snapshot import Target, keep_snapshot
from ansible_collections.appstate.backup.tests.unit.plugins.host import DATABASE, Host, tree
from row import Bad

SMALL, LARGE = "small", "large"
# Files of the larger application.
FILES = 120
# What SQLite itself leaves beside a database that a killed process had open, and takes away with the next use.
SIDECARS = (b"-wal", b"-shm")


def need(holds, text, *values):
    """Raises Bad where something does not hold."""
    if not holds:
        raise Bad(text % values)


class World:
    """A host that comes back to a saved state."""

    def __init__(self, folder, size):
        os.mkdir(folder)
        os.chmod(folder, 0o711)
        self.saved = os.path.join(folder, "saved")
        os.mkdir(os.path.join(folder, "host"))
        os.chmod(os.path.join(folder, "host"), 0o711)
        self.host = Host(os.path.join(folder, "host"))
        self.host.fill()
        if size == LARGE:
            self.host.database("data/second.db", rows=300, journal="delete")
            for number in range(FILES):
                self.host.write("uploads/%d/%d.bin" % (number % 7, number), b"%d" % number * (1 + number * 40))

    def sources(self, size):
        more = [{"type": "sqlite", "path": "data/second.db"}] if size == LARGE else []
        return self.host.sources() + more

    def save(self):
        subprocess.run(["cp", "-a", self.host.path, self.saved], check=True)

    def put_back(self):
        shutil.rmtree(self.host.path)
        subprocess.run(["cp", "-a", self.saved, self.host.path], check=True)


class Verb:
    """One deed. ``prepare`` makes the state before, ``act`` does it, and ``judge`` says what holds after it was cut off."""

    name = None
    # Whether it is tried on the larger application as well.
    sizes = (SMALL, LARGE)
    # Where a full disk is tried, see ``small_disks``.
    places = ("destination", "root", "scratch", "state")

    def __init__(self, folder, size):
        self.world = World(folder, size)
        self.host = self.world.host
        os.mkdir(self.host.place("metrics"))
        self.words = {"sources": self.world.sources(size), "hooks": {"on_error": [["/usr/bin/touch", self.host.place("alarm")]]},
                      "monitoring": {"metrics_directory": self.host.place("metrics"), "syslog": False}}
        self.prepare()
        self.old = self.live()
        self.world.save()

    # What each subclass has to say, and none shares: without it nothing of a verb can be tried.

    def prepare(self):
        raise NotImplementedError

    def act(self):
        """Does it; what comes back goes through JSON."""
        raise NotImplementedError

    def judge(self):
        """After a cut: what holds at once, then that the next run ends it or undoes it."""
        raise NotImplementedError

    def judge_at_once(self, ended):
        """After an error, before the next run: ``ended`` is how the deed ended."""
        self.live_is_old()

    def put_back(self):
        self.world.put_back()

    # What several verbs share.

    def app(self, **words):
        return self.host.app(**dict(self.words, **words))

    def live(self):
        """The live state, to compare; without staging, and without what SQLite leaves beside a database."""
        return {path: told for path, told in tree(self.host.root).items()
                if not path.startswith(b".appstate-") and not path.endswith(SIDECARS)}

    def backups(self):
        return list_backups(os.path.join(self.host.destination, "notes"), "notes")

    def back_up(self, **words):
        ran = run_backup(self.app(**words), self.host.machine)
        need(ran.exit_code == 0, "a backup without any fault fails: %s", ran.problem)
        return ran.backup

    def all_good(self):
        """No backup is listed that does not verify, and no archive has its final name that is not whole."""
        listed = self.backups()
        for backup in listed:
            need(backup.problem is None, "%s is listed as not good: %s", backup.id, backup.problem)
            found = self.host.verify(app=self.app(), which=backup.id)
            need(found.ok, "%s is listed and does not verify: %s", backup.id, found.problems)
        stems = {backup.stem for backup in listed}
        directory = os.path.join(self.host.destination, "notes")
        for name in sorted(os.listdir(directory)):
            stem, dot, ending = name.partition(".")
            if not name.startswith(".") and ending.startswith("tar") and not ending.endswith(".partial") and stem not in stems:
                found = self.host.verify(app=self.app(), archive=os.path.join(directory, name))
                need(found.ok, "%s has its final name and is not whole: %s", name, found.problems)
        self.state_is_readable()
        return listed

    def state_is_readable(self):
        """No file that tells of the state is half written."""
        for folder, unused, names in os.walk(self.host.state):
            for name in names:
                with open(os.path.join(folder, name), encoding="utf-8") as file:
                    text = file.read()
                if name.endswith(".json"):
                    json.loads(text)
                elif name.endswith(".jsonl"):
                    for line in text.splitlines():
                        json.loads(line)

    def nothing_left(self, pending=False):
        """No leftovers; a restore that is pending has its journal."""
        left = [path for path in self.host.left() if not (pending and path.endswith("/restore-notes.json"))]
        need(not left, "left behind: %s", left)
        rooms = [name for name in os.listdir("/var/tmp") if name.startswith(".")]
        need(not rooms, "left behind in /var/tmp: %s", rooms)

    def live_is_old(self):
        need(self.live() == self.old, "the live state was changed: %s", differences(self.old, self.live()))


def differences(old, new):
    """The paths by which two states differ."""
    return sorted(os.fsdecode(path) for path in set(old) | set(new) if old.get(path) != new.get(path))[:8]


class Snapshot(Verb):
    """One snapshot of one database takes the place of an older one."""

    name = "snapshot"
    places = ("destination", "root", "scratch")

    def prepare(self):
        self._target = Target(os.path.join(self.host.destination, "kept.db"), True)
        self._take()
        self._rows = [self.host.notes("kept.db", self.host.destination)]
        self.host.add_notes(7)
        self._rows.append(self._rows[0] + 7)

    def _take(self):
        return keep_snapshot(self.host.at(DATABASE), self._target, force=True)

    def act(self):
        self._take()

    def judge(self):
        self.live_is_old()
        self._is_whole(self._rows)
        self._take()
        self._is_whole(self._rows[1:])
        self.nothing_left()

    def _is_whole(self, rows):
        found = self.host.notes("kept.db", self.host.destination)
        need(found in rows, "the snapshot has %s rows, not %s", found, rows)


class Backup(Verb):
    """A run: backup, verification, pruning, status, metrics, audit."""

    name = "backup"

    def prepare(self):
        self.back_up()
        self.host.damage()

    def act(self):
        ran = run_backup(self.app(), self.host.machine)
        return {"exit_code": ran.exit_code, "problem": ran.problem, "warnings": ran.warnings}

    def judge_at_once(self, ended):
        self.live_is_old()
        exit_code, problem = ended.told["exit_code"], ended.told["problem"]
        if exit_code == 0:
            need(len(self.all_good()) == 2, "the run is green and there is no new backup")
            return
        need("defect" not in problem, "not an error of ours: %s", problem)
        if exit_code == INCOMPLETE:
            need(ended.told["warnings"], "the run says that it is not complete, and not what is missing")
        else:
            need("notes" in problem, "the error does not name the app: %s", problem)
        need(self._is_red(problem), "nobody was told of the error: %s", problem)

    def _is_red(self, problem):
        """Whether an alarm was raised: in the status, the metrics, and by the operator's own command. What could not be
        recorded comes after that command, and is told by the others."""
        with open(self.host.place("state", "status", "notes.json"), encoding="ascii") as file:
            status = json.load(file)["state"] == "failed"
        with open(self.host.place("metrics", "appstate_backup_notes.prom"), encoding="ascii") as file:
            metrics = 'appstate_backup_last_run_success{app="notes"} 0' in file.read()
        if "could not be recorded" in problem:
            return status or metrics
        return status and metrics and ("/usr/bin/touch" in problem or os.path.exists(self.host.place("alarm")))

    def judge(self):
        self.live_is_old()
        before = {backup.id for backup in self.all_good()}
        made = self.back_up()
        need(made.id not in before, "the next run made nothing new")
        need({backup.id for backup in self.all_good()} == before | {made.id}, "the next run lost a backup")
        self.nothing_left()
        self.live_is_old()


class Prune(Verb):
    """Retention removes all backups but one."""

    name = "prune"
    sizes = (SMALL,)

    def prepare(self):
        self._made = [self.back_up().id for unused in range(4)]
        self.words = dict(self.words, retention={"keep_last": 1})

    def act(self):
        prune_recorded(self.app(), self.host.machine)

    def judge(self):
        listed = self.all_good()
        need(listed and listed[0].id == self._made[-1], "the newest backup was pruned")
        prune_recorded(self.app(), self.host.machine)
        need([backup.id for backup in self.all_good()] == self._made[-1:], "the next run did not end it")
        left = os.listdir(os.path.join(self.host.destination, "notes"))
        need(len(left) == 2, "left behind: %s", left)
        self.nothing_left()


class _Restoring(Verb):
    """A backup, another state since then with sidecars and more, and a restore to it."""

    def prepare(self):
        self._backup = self.back_up()
        backed_up = self.live()
        backed_up_rows = self.host.notes()
        self.host.damage()
        self.host.crash()
        self.host.write("data/notes.db-journal", b"stale")
        self._rows = self.host.notes(), backed_up_rows
        if b"uploads/3/3.bin" in backed_up:
            shutil.rmtree(self.host.at("uploads/3"))
        self.before = self.live()
        self.restorer().restore()
        self.new = without_asides(self.live())
        self.both = self.live()
        self.begin()

    def begin(self):
        """From the restored state to the one that the deed begins with."""

    def restorer(self):
        return self.host.restore(**self.words)

    def roll_back(self):
        self.restorer().roll_back()
        need(self.live() == self.before, "not rolled back to the byte: %s", differences(self.before, self.live()))
        need(self.host.notes() == self._rows[0], "after rolling back it has %s rows, not %s", self.host.notes(), self._rows[0])
        self.nothing_left()

    def restore(self):
        self.restorer().restore()
        need(without_asides(self.live()) == self.new, "not what the backup holds: %s",
             differences(self.new, without_asides(self.live())))
        need(self.host.notes() == self._rows[1], "after the restore it has %s rows, not %s", self.host.notes(), self._rows[1])
        self.nothing_left(pending=True)

    def commit(self):
        self.restorer().commit()
        need(self.live() == self.new, "after the commit it is not the new state: %s", differences(self.new, self.live()))
        self.nothing_left()

    def judge_at_once(self, ended):
        """An error is undone at once; what went through is the new state."""
        found = self.live()
        need(found == self.before or without_asides(found) == self.new, "neither old nor new after %s: %s",
             ended.error, differences(self.before, found))

    def starts(self):
        """An application that starts now, as on a machine that boots, has all that was committed before, or all that the
        backup holds, or no database yet."""
        if not os.path.exists(self.host.at(DATABASE)):
            return
        try:
            found = self.host.notes()
        except sqlite3.Error as error:
            raise Bad("the application that starts finds its database malformed: %s" % error)
        need(found in self._rows, "the application that starts finds %s rows, not %s", found, self._rows)

    def refuses_backups_while_half(self):
        """Live state is wholly old or wholly new, or else it is known not to be."""
        self.starts()
        found = self.live()
        if found == self.before or without_asides(found) == self.new:
            return
        try:
            self.back_up()
        except Bad as error:
            need("cut off in the middle" in str(error), "half restored, and a backup fails otherwise: %s", error)
            return
        raise Bad("half restored, and a backup was taken of it: %s" % differences(self.before, found))


class RestoreIt(_Restoring):
    """From nothing to the swapped state."""

    name = "restore"

    def begin(self):
        self.roll_back()

    def act(self):
        self.restorer().restore()

    def judge(self):
        self.refuses_backups_while_half()
        self.all_good()
        self.restore()
        self.roll_back()


class RestoreUndone(RestoreIt):
    """The same; whoever comes next does not want it any more."""

    name = "restore-undone"

    def judge(self):
        self.refuses_backups_while_half()
        self.roll_back()
        self.restore()
        self.commit()


class RollBack(_Restoring):
    """From the restored state back to the old one."""

    name = "rollback"

    def act(self):
        self.restorer().roll_back()

    def judge_at_once(self, ended):
        """It cannot go forward any more, and says how it gets to the end."""
        if ended.error is not None and "roll back again" in ended.error["text"]:
            self.refuses_backups_while_half()
        else:
            super().judge_at_once(ended)

    def judge(self):
        self.refuses_backups_while_half()
        self.roll_back()
        self.all_good()


class Commit(_Restoring):
    """The old state is deleted."""

    name = "commit"

    def act(self):
        self.restorer().commit()

    def judge(self):
        need(without_asides(self.live()) == self.new, "a commit changed the new state")
        self.commit()
        self.all_good()


def without_asides(found):
    return {path: told for path, told in found.items() if b".before-restore-" not in path}


class Verbs:
    """All verbs, each made when it is first asked for."""

    kinds = (Snapshot, Backup, Prune, RestoreIt, RestoreUndone, RollBack, Commit)

    def __init__(self, folder):
        self._folder = folder
        self._made = {}

    def get(self, name, size):
        if (name, size) not in self._made:
            kind = next(kind for kind in self.kinds if kind.name == name)
            self._made[name, size] = kind(os.path.join(self._folder, "%s-%s" % (name, size)), size)
        return self._made[name, size]
