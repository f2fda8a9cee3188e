# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Least privilege: docs/security.md names what needs root, and each line of its table of capabilities is tried.

Without a listed capability what the page says fails, with a clear word and live state as it was; without the others nothing
changes; the owner of an application needs none; and processes that open databases have none, which is seen while they run.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess

from ansible_collections.appstate.backup.plugins.module_utils.system.privileges import NEEDED
from ansible_collections.appstate.backup.tests.unit.plugins.host import DATABASE, OWNER
from rights import AS_OWNER, STRANGER, World, all_capabilities, bounded, listed, unpacked
from row import Bad, Mutation, Row, Tried

APART = {"drill": {"boot": {"argv": ["/bin/sleep", "60"], "isolated": True}}}
HANGING = {"sources": [{"type": "command", "path": "dump", "argv": ["/bin/sleep", "60"], "format": "raw", "timeout": 1,
                        "run_as": OWNER}]}
# What fails where one capability is missing, and what is said then: how the app is described, verb, words.
FAILS = {
    "chown": [({}, "run", "Operation not permitted"), ({}, "restore", "Operation not permitted")],
    "dac_override": [({}, "run", "Permission denied"), ({}, "restore", "Permission denied")],
    "fowner": [({}, "restore", "Operation not permitted")],
    "fsetid": [({}, "restore", "the set-group-id bit was refused")],
    "kill": [(HANGING, "run", "Operation not permitted")],
    "setgid": [({}, "run", "Operation not permitted")],
    "setuid": [({}, "run", "Operation not permitted")],
    "net_admin": [(APART, "drill", "Operation not permitted")],
    "sys_chroot": [({}, "run", "Operation not permitted")],
    "sys_ptrace": [({}, "restore", "CAP_SYS_PTRACE")],
    "sys_admin": [(APART, "drill", "Operation not permitted")],
}
# What only makes something better, so that nothing fails without it.
BETTER = ("sys_nice", "sys_resource")
VERBS = ("restore", "run", "verify", "drill")
# So many runs are watched until their children have been seen.
RUNS = 6
ROWS = 60000
# Who a child is that opens the live database, and what it opens beside it.
SIDECAR = re.compile(re.escape(DATABASE) + r"-(wal|shm)\Z")
NOBODY = 65534


class Privilege(Row):
    """Cases: ``owner``, ``listed``, ``told``, ``children.OWNER``, ``without.CAPABILITY``, ``plain.CAPABILITY``."""

    name = "privilege"
    title = "runs without root's rights, or some of them"

    mutations = (
        Mutation("system/process.py", "        drop_capabilities()\n", "        pass\n",
                 "a child that opens root's database has all rights"),
        Mutation("system/process.py", "        forbid_new_privileges()\n", "        pass\n",
                 "such a child can get rights by a program"),
        Mutation("system/privileges.py", '"fowner": 3, ', "", "the command gives up what it needs"),
        Mutation("system/holders.py", 'not has("sys_ptrace")', "False",
                 "a restore does not say that it cannot see who holds a database"),
        Mutation("system/files.py", "if mode & stat.S_ISGID and", "if False and", "a lost set-group-id bit is not told"),
        Mutation("system/accounts.py", "self.others.add(", "str(", "who goes without is not told"),
    )

    def open(self):
        self._table = listed()
        self._have = all_capabilities()
        self._command = unpacked(self.place("command"))

    def cases(self):
        found = ["page", "children.owner", "children.root", "told"] + ["without." + name for name in self._here()] + ["owner"]
        if self.short:
            return found
        return found + ["listed"] + ["plain." + name for name in self._have if name not in self._table]

    def run(self, case):
        kind, unused, name = case.partition(".")
        folder = self.place("world")
        try:
            return Tried(getattr(self, "_" + kind)(folder, name))
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _page(self, *unused):
        """The page lists what the command keeps, and every one of it is tried."""
        if set(self._table) != set(NEEDED) or set(NEEDED) != set(FAILS) | set(BETTER):
            raise Bad("the page lists %s, the command keeps %s" % (sorted(self._table), sorted(NEEDED)))
        return len(self._table)

    def _owner(self, folder, unused):
        """The application's own user, who has no capability and gets none, does everything, and changes nothing else."""
        world = World(folder, self._command, owned=True)
        before = world.around()
        tried = world.story(AS_OWNER)
        if world.around() != before:
            raise Bad("something of others was changed")
        theirs = [path for path, told in world.live().items() if told[1] != OWNER]
        if theirs:
            raise Bad("not the owner's after all: %s" % theirs[:3])
        return tried

    def _listed(self, folder, unused):
        """Root who has what the page lists, and nothing else, does everything."""
        return World(folder, self._command).story(bounded(self._here()))

    def _told(self, folder, unused):
        """A user who restores what belongs to others is told that it could not be given back; and is refused as schedule_user."""
        world = World(folder, self._command)
        world.run([], "run").well()
        world.run([], "validate", world.host.place("apps.d", "notes.json"), "--as", str(OWNER)).refused("user id %d" % OWNER)
        for name in ("state", "locks", "apps.d", "apps.d/notes.json", "metrics", "backups"):
            for top, unused_folders, names in os.walk(world.host.place(name)):
                for path in [top] + [os.path.join(top, each) for each in names]:
                    world.host.own(path)
            world.host.own(world.host.place(name))
        # As a directory of that user's own, where nothing stands in the way.
        said = world.run(AS_OWNER, "restore", "notes", "--target-root", world.host.place("app", "copy")).well()
        if "only root can give files to others" not in said or "user %d" % STRANGER not in said:
            raise Bad("nothing is said of files that belong to others now: %s" % said)
        return 2

    def _without(self, folder, name):
        """All verbs without one listed capability: what the page says fails, the rest is right, and live state is whole."""
        if name not in FAILS and name not in BETTER:
            raise Bad("nobody knows what fails without %s" % name)
        world = World(folder, self._command)
        world.run([], "run").well()
        rights = bounded(each for each in self._here() if each != name)
        deeds = FAILS.get(name, ())
        if self.short:
            return sum(self._refused(world, rights, *deed) for deed in deeds[-1:]) or self._whole(world, rights, "restore")
        tried = sum(self._refused(world, rights, *deed) + self._works(world, *deed[:2]) for deed in deeds)
        world.describe()
        return tried + sum(self._whole(world, rights, verb) for verb in VERBS)

    def _refused(self, world, rights, words, verb, said):
        """It is refused, and says why."""
        before = world.live()
        world.describe(**words)
        world.run(rights, *self._words(verb)).refused(said)
        if world.live() != before:
            raise Bad("%s failed, and live state is not what it was" % verb)
        return 1

    def _works(self, world, words, verb):
        """With all that the page lists it works, or (where it hangs) is ended."""
        world.describe(**words)
        ran = world.run(bounded(self._here()), *self._words(verb))
        if words is HANGING:
            ran.refused("did not end within 1 s and was killed")
        else:
            ran.well()
        if verb == "restore":
            world.run([], "rollback", "notes").well()
        return 1

    def _whole(self, world, rights, verb):
        """It does all that it should, or says that it did not and changes nothing."""
        world.run([], "rollback", "notes").well()
        wanted = world.live()
        world.host.write("uploads/later.bin", b"later")
        before = world.live()
        ran = world.run(rights, *self._words(verb))
        found = world.live()
        if ran.status:
            ran.refused("")
        if found != (wanted if verb == "restore" and ran.status == 0 else before):
            raise Bad("%s ended with %d, and live state is neither as before nor as in the backup" % (verb, ran.status))
        world.run([], "rollback", "notes").well()
        os.unlink(world.host.at("uploads/later.bin"))
        return 1

    def _here(self):
        return [name for name in self._table if name in self._have]

    @staticmethod
    def _words(verb):
        return [verb] if verb == "run" else [verb, "notes"]

    def _plain(self, folder, name):
        """A capability that the page does not list is missed by nobody."""
        world = World(folder, self._command)
        rights = bounded(each for each in self._have if each != name)
        begun = world.live()
        for words in (["run"], ["verify", "notes"], ["restore", "notes"]):
            world.run(rights, *words).well()
        if world.live() != begun:
            raise Bad("without CAP_%s a restore is not the same" % name.upper())
        return 3

    def _children(self, folder, owner):
        """While a run goes on, each process that has the live database open is looked at."""
        world = World(folder, self._command)
        world.host.add_notes(ROWS)
        wanted = OWNER
        if owner == "root":
            wanted = 0
            for top, unused, names in os.walk(world.host.root):
                for path in [top] + [os.path.join(top, each) for each in names]:
                    os.chown(path, 0, 0, follow_symlinks=False)
        for unused in range(RUNS):
            seen = watched(world)
            if seen.odd or (seen.opening.get(wanted) and seen.private):
                break  # A run may also end before anybody has looked at the right moment; then there is another.
        if not seen.opening.get(wanted) or not seen.private:
            raise Bad("no child was seen with a database: %s, %d" % (seen.opening, seen.private))
        if seen.odd:
            raise Bad("; ".join(sorted(seen.odd)[:4]))
        return sum(seen.opening.values()) + seen.private


class Seen:
    """What was seen of processes: how often one had the live database open, by user; how often one was nobody; what was odd."""

    def __init__(self):
        self.opening = {}
        self.private = 0
        self.odd = set()

    def look(self, pid, main):
        """Takes one process in; it may end meanwhile."""
        try:
            ours = _is_ours(pid)
            held = [os.readlink("/proc/%s/fd/%s" % (pid, name)) for name in os.listdir("/proc/%s/fd" % pid)]
            # After what it holds: rights only become fewer, so that it had no more than these when it opened that.
            with open("/proc/%s/status" % pid, encoding="utf-8") as stream:
                told = dict(line.split(":", 1) for line in stream)
            # Still: a program that it has become meanwhile, such as zstd, has all rights of root again.
            ours = ours and _is_ours(pid)
        except (OSError, ValueError):
            return
        if not ours or int(pid) == main:
            return
        uid, has = int(told["Uid"].split()[0]), int(told["CapEff"], 16) | int(told["CapPrm"], 16)
        if any(SIDECAR.search(path) for path in held):
            self.opening[uid] = self.opening.get(uid, 0) + 1
        elif uid == NOBODY:
            self.private += 1
        elif uid == 0:
            if has & ~sum(1 << number for number in NEEDED.values()):
                self.odd.add("a child of the command has %x" % has)
            return
        if has or told["NoNewPrivs"].strip() != "1":
            self.odd.add("a child that is user id %d has %x, NoNewPrivs %s" % (uid, has, told["NoNewPrivs"].strip()))


def _is_ours(pid):
    with open("/proc/%s/cmdline" % pid, "rb") as stream:
        return b"/appstate-backup\0" in stream.read()


def watched(world):
    """What was seen of the processes of a run."""
    seen = Seen()
    with subprocess.Popen(world.command([], "run"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          cwd="/", env={"PATH": "/usr/bin:/bin"}) as process:
        while process.poll() is None:
            for name in os.listdir("/proc"):
                if name.isdigit():
                    seen.look(name, process.pid)
        if process.returncode:
            raise Bad("the run failed: %s" % process.stdout.read().decode("utf-8", "replace"))
    return seen


ROW = Privilege
