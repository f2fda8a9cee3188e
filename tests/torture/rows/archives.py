# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hostile archives: members that lead out, specials, bombs, grafted into a sound backup whose list, manifest and digests fit.

Each is verified, predicted and restored, out of the catalog, and as an archive that an old recipe made. Nothing outside of the
staging changes, the staging goes, live state is what it was, nothing special is made, and each takes at most 30 s and 256 MB.
"""

from __future__ import annotations

import os
import stat
import subprocess

from ansible_collections.appstate.backup.plugins.module_utils.archive import tar
from ansible_collections.appstate.backup.plugins.module_utils.catalog.catalog import list_backups
from ansible_collections.appstate.backup.plugins.module_utils.operations.staging import Staging
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import AppStateError
from ansible_collections.appstate.backup.tests.unit.plugins.host import Host, tree
from canaries_beside import Canaries
from grafting import Apart, ending_of, file, folder, gzipped, link, lines_of, moved, publish, totals
from hostile_bombs import BARE, BOMBS, list_of, pieces
from hostile_members import HARMLESS, HOSTILE, MARK, Aim
from measured import measure
from row import Mutation, Row, Tried
from verbs import need

MOST_SECONDS = 30
MOST_MEMORY = 256 << 20
# The application's file system, and what a restore leaves of it whatever an archive holds (half of the engine's reserve).
DISK = 192 << 20
INODES = 60 * 1000
LEAST_FREE = 8 << 20
# Frames of 64 MiB, or of 4,000 members. A verification reads all that the manifest of a backup says there is, however much, so
# with many of them only a restore is tried, which there is no room for.
FEW_TIMES, MANY_TIMES = 16, 1024
MIXED = {"short": 3, "whole": 200}
# In the short form: so many members each way, and what the weakenings below are seen by.
MEMBERS = {"catalog": 30, "file": 15}
SHORT_CASES = ["catalog member dotdot 4", "file member dotdot 4", "catalog member link out", "file member link absolute",
               "catalog member set-user-id", "catalog bomb 16 zeros as the list", "file bomb 1024 long names without end",
               "catalog bomb 1024 zeros by zstd", "file bomb 1024 zeros by gzip"]
ID = "notes-20261120T030000Z"
# What a refusal may not say: then the graft does not fit its manifest, and proves nothing.
BY_MANIFEST = ("its digest differs", "does not fit the list", "of different backups", "is in the archive only",
               "in the list of members only", "stands where the list", "the list says")
REPLACING = ("database as", "directory of the database", "source as")
OLD = "old-recipe.tar.gz"
CATALOG, AS_FILE = "catalog", "file"


class Archives(Row):
    """``WAY member NAME``, ``WAY bomb TIMES NAME`` or ``WAY mixed NUMBER``, ``file bare TIMES NAME``; the way is out of the catalog,
    or as a file."""

    name = "archives"
    title = "Hostile archives grafted into sound backups"
    shards = 2
    mutations = (
        Mutation("archive/members.py", '    if b".." in parts:\n', "    if False:\n", "members' names may have '..'"),
        Mutation("archive/members.py", "    return climbs <= depth and b\"..\" not in parts[climbs:]", "    return True",
                 "links may lead up and out"),
        Mutation("system/accounts.py", "mode & 0o1777", "mode", "set-id bits of files come back"),
        Mutation("archive/tar.py", "self._stream.read(min(CHUNK, self._left))", "self._stream.read(min(1 << 30, self._left))",
                 "contents are read as a whole"),
        Mutation("archive/reader.py", "self._most.check(self._contents.count", "UNBOUND.check(self._contents.count",
                 "nothing bounds what comes out of an archive without a manifest"),
        Mutation("archive/reader.py", "        most.check(1, size)\n", "", "nothing bounds what a compressed database comes to"),
    )

    def open(self):
        os.mkdir(self.place("world"))
        words = "size=%d,nr_inodes=%d,mode=711" % (DISK, INODES)
        subprocess.run(["mount", "-t", "tmpfs", "-o", words, "none", self.place("world")], check=True)
        self._host = Host(self.place("world"))
        self._host.destination = self.place("destination")
        os.mkdir(self._host.destination)
        self._host.fill(journal="delete")
        backup = self._host.backup(compression="gzip").backup
        self._directory = os.path.dirname(backup.path)
        self._apart = Apart(backup)
        self._outside = Canaries(self._host)
        outside = os.fsencode(os.path.dirname(self._outside.paths["others"]))
        self._aim = Aim(b"uploads", outside, b"uploads/" + b"../" * 30 + outside[1:] + b"/")
        self._live, self._names = tree(self._host.root), self._around()
        self._prove()

    def _prove(self):
        """A graft that is not hostile comes back, in both ways, and nobody takes it for damage."""
        parts = [folder(b"uploads/more"), file(b"uploads/more/f"), link(b"uploads/more/l", b"../a.bin")]
        for way in (CATALOG, AS_FILE):
            request = self._graft(way, self._apart.parts + parts)
            restored = measure(lambda: self._restore(request), self._host.path).told
            need(restored["refused"] is None and restored["new"] == 3, "a graft that is not hostile is refused: %s", restored)
            self._remove()

    def cases(self):
        found = []
        for way in (CATALOG, AS_FILE):
            members = ["%s member %s" % (way, name) for name in HOSTILE]
            bombs = ["%s bomb %d %s" % (way, times, name) for times in (FEW_TIMES, MANY_TIMES) for name in BOMBS]
            if self.short:
                members, bombs = self.random("members", way).sample(members, MEMBERS[way]), []
            found += members + bombs + ["%s mixed %d" % (way, number) for number in range(MIXED[self.form])]
        found += ["file bare %d %s" % (times, name) for times in (FEW_TIMES, MANY_TIMES)[self.short:] for name in BARE]
        return SHORT_CASES + [case for case in found if case not in SHORT_CASES] if self.short else found

    def run(self, case):
        way, kind, name = case.split(" ", 2)
        try:
            deeds = (self._verify, self._predict, self._restore)
            if kind == "bomb":
                times, name = name.split(" ", 1)
                # In a fork: what it takes to make one is not what it takes to read it.
                request = measure(lambda: self._bomb(way, BOMBS[name](int(times))), self._host.path).told
                return self._try(request, deeds if int(times) == FEW_TIMES else deeds[-1:], False)
            if kind == "bare":
                times, name = name.split(" ", 1)
                request = self._as_file(pieces(BARE[name](int(times)), [], b""))
                return self._try(request, deeds if int(times) == FEW_TIMES else deeds[-1:], True)
            if kind == "mixed":
                return self._try(self._graft(way, self._mixed(case)), deeds, False)
            return self._try(self._graft(way, self._alone(name)), deeds, way == CATALOG and name not in HARMLESS)
        finally:
            self._remove()

    def _alone(self, name):
        """The backup's own members with hostile ones at their end, or in the place of one."""
        parts = HOSTILE[name](self._aim)
        gone = parts[-1].told.path if name.startswith(REPLACING) else None
        return [part for part in self._apart.parts if part.told.path != gone] + parts

    def _mixed(self, case):
        """Some of all, anywhere."""
        random, parts = self.random(case), list(self._apart.parts)
        for name in random.sample(sorted(HOSTILE), random.randrange(2, 5)):
            place = random.randrange(len(parts) + 1)
            parts[place:place] = HOSTILE[name](self._aim)
        return parts

    def _graft(self, way, parts):
        """Puts the archive there; returns the words of a request for it."""
        plain, lines = b"".join(part.raw for part in parts), lines_of(parts)
        if way == AS_FILE:
            return self._as_file([gzipped(plain + tar.END)])
        inside = moved(dict(self._apart.inside, members=totals(parts, lines)), ID)
        return self._as_backup([gzipped(plain + ending_of(lines, inside))], inside, ".tar.gz")

    def _bomb(self, way, bomb):
        if way == AS_FILE:
            return self._as_file(pieces(bomb, self._apart.parts, tar.END))
        lines, members = list_of(bomb, self._apart.parts)
        inside = moved(dict(self._apart.inside, members=members), ID)
        kind = ".tar.gz" if bomb.pack is gzipped else ".tar.zst"
        return self._as_backup(pieces(bomb, self._apart.parts, ending_of(lines, inside)), inside, kind)

    def _as_file(self, packed):
        path = self.place(OLD)
        with open(path, "wb") as archive:
            for piece in packed:
                archive.write(piece)
        return {"archive": path}

    def _as_backup(self, packed, inside, kind):
        publish(self._directory, self._apart, packed, inside, ID, kind)
        newest = list_backups(self._directory, "notes")[0]
        need((newest.id, newest.problem) == (ID, None), "the graft is not the newest good backup: %s", newest.problem)
        return {"which": ID}

    def _remove(self):
        """Takes the graft away."""
        ours = [os.path.join(self._directory, name) for name in os.listdir(self._directory) if name.startswith(ID)]
        for path in ours + [self.place(OLD)] * os.path.exists(self.place(OLD)):
            os.unlink(path)

    def _try(self, request, deeds, strict):
        """Everything that an operator can do with it."""
        worst = 0.0
        for deed in deeds:
            done = measure(lambda: deed(request), self._host.path)
            self._judge(deed.__name__.strip("_"), done)
            worst = max(worst, done.seconds)
        refused = done.told["refused"]
        need(not strict or refused, "it was restored")
        need(not strict or not any(words in refused for words in BY_MANIFEST), "it is its manifest that refuses it: %s", refused)
        return Tried(len(deeds), worst, "s of processor")

    def _judge(self, deed, done):
        changed, names = self._outside.changed(), self._around()
        need(not changed, "%s: outside, it changed %s", deed, changed)
        need(names == self._names, "%s: it left %s", deed, sorted(names ^ self._names)[:5])
        need(tree(self._host.root) == self._live, "%s: live state has changed", deed)
        need(not self._host.left(), "%s: it left %s", deed, self._host.left())
        need(not done.told["special"], "%s: it made %s", deed, done.told["special"])
        need(done.seconds <= MOST_SECONDS, "%s: it took %.1f s", deed, done.seconds)
        need(done.memory <= MOST_MEMORY, "%s: it took %d MiB", deed, done.memory >> 20)
        need(done.free >= LEAST_FREE, "%s: it left %d KiB of the file system", deed, done.free >> 10)

    def _around(self):
        """Names of all that is not the application's, nor where the engine keeps its own."""
        host, found = self._host, set()
        for folder_path, folders, names in os.walk(host.path):
            folders[:] = [name for name in folders if os.path.join(folder_path, name) not in (host.root, host.state, host.locks)]
            found.update(os.path.join(folder_path, name) for name in folders + names)
        for place in ("/", "/etc", "/tmp", "/var/tmp", "/dev/shm", os.getcwd(), self.folder, host.destination, self._directory):
            found.update(os.path.join(place, name) for name in os.listdir(place) if MARK.decode() in name)
        return found

    def _verify(self, request):
        try:
            return {"refused": str(self._host.verify("content", self._host.app(), **request).problems), "special": []}
        except AppStateError as error:
            return {"refused": str(error), "special": []}

    def _predict(self, request):
        try:
            self._host.restore(request).predict("restored", False)
            return {"refused": None, "special": []}
        except AppStateError as error:
            return {"refused": str(error), "special": []}

    def _restore(self, request):
        """Restores it, looks at what came of it, and rolls it back; what was staged is looked at before it goes."""
        seen, discard = [], Staging.discard

        def look(staging):
            seen.extend(specials(staging.path) if os.path.isdir(staging.path) else [])
            discard(staging)

        Staging.discard = look  # In this fork only.
        before = set(tree(self._host.root))
        try:
            self._host.restore(request).restore()
        except AppStateError as error:
            return {"refused": str(error), "special": seen}
        seen.extend(specials(self._host.root))
        new = [path for path in names_of(self._host.root) if path not in before and b".before-restore-" not in path]
        self._host.restore().roll_back()
        return {"refused": None, "special": seen, "new": len(new)}


def names_of(top):
    """Relative paths of all below a directory, also of those that no system call takes as a whole."""
    for folder_path, folders, names, unused in os.fwalk(os.fsencode(top)):
        for name in folders + names:
            yield os.path.relpath(os.path.join(folder_path, name), os.fsencode(top))


def specials(top):
    """What should not be in a tree that came out of an archive."""
    found, inside = [], os.fsencode(os.path.realpath(top)) + b"/"
    for folder_path, folders, names, directory in os.fwalk(os.fsencode(top)):
        for name in folders + names:
            seen, path = os.stat(name, dir_fd=directory, follow_symlinks=False), os.path.join(folder_path, name)
            what = kind_of(seen)
            if stat.S_ISLNK(seen.st_mode) and len(path) < 3000 and not os.path.realpath(path).startswith(inside):
                what = "a link out, to %r" % os.readlink(name, dir_fd=directory)
            if what is not None:
                found.append("%s: %s" % (os.fsdecode(path).encode("ascii", "backslashreplace").decode(), what))
    return found


def kind_of(seen):
    """What is odd about a stat, or None."""
    if not (stat.S_ISREG(seen.st_mode) or stat.S_ISDIR(seen.st_mode) or stat.S_ISLNK(seen.st_mode)):
        return "a special file"
    if stat.S_ISREG(seen.st_mode) and seen.st_mode & (stat.S_ISUID | stat.S_ISGID):
        return "a file with the mode %o" % seen.st_mode
    return "a hard link" if stat.S_ISREG(seen.st_mode) and seen.st_nlink > 1 else None


ROW = Archives
