# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The app's user swaps names while root works there: nothing outside is read into an archive, written, given or deleted.

Each name that the user can swap leads, for moments, to what only root, or another user, may read. A run may fail, with an
error that says why; what was backed up before is still there afterwards, and as soon as nobody swaps any more all works.
"""

from __future__ import annotations

import datetime
import os
import shutil
import stat

from ansible_collections.appstate.backup.plugins.module_utils.catalog.catalog import list_backups
from ansible_collections.appstate.backup.plugins.module_utils.operations.drill import DrillRequest
from ansible_collections.appstate.backup.plugins.module_utils.operations.drill_run import run_drill
from ansible_collections.appstate.backup.plugins.module_utils.operations.ownership import give_ownership
from ansible_collections.appstate.backup.plugins.module_utils.operations.prune import prune_recorded
from ansible_collections.appstate.backup.plugins.module_utils.operations.reset import reset_database
from ansible_collections.appstate.backup.plugins.module_utils.operations.run import run_backup
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import AppStateError
from ansible_collections.appstate.backup.plugins.module_utils.system.machine import Machine
from ansible_collections.appstate.backup.tests.unit.plugins.host import DATABASE, GROUP, OWNER, Host
from outside import Outside
from row import Bad, Mutation, Row, Tried
from swapping import Names, Place, Swapper, directory_of_links, fifo, hard_link, others, own_directory

# Where the user swaps, and what root does there meanwhile.
DEEDS = {"tree": ("backup", "ownership", "restore", "reset", "prune"), "names": ("restore", "prune"), "made": ("restore",),
         "destination": ("backup", "restore", "verify", "drill", "prune"), "above": ("backup", "restore", "ownership", "drill")}
# Where twice as many rounds are tried: most names are in the tree, and in that of a directory just made there is hardly a moment.
OFTEN = ("tree", "made")
ROUNDS = {"short": 2, "whole": 25}
FILES = 10
RUNS = {"short": 2, "whole": 4}
# A run can be over before the first swap.
MOST_RUNS = 40
# As long as a step of the engine, up to what a child of its takes to begin and to open a database.
PAUSES = (0.0003, 0.003, 0.03)
# What was to be swapped in, and is the user's already, goes there.
UNDO = "undo"
ASIDE = "uploads.before-restore-2020010%dT000000Z"


class Scene:
    """An application whose backup is good, and all that can be done to it."""

    def __init__(self, path):
        os.mkdir(path)
        os.chmod(path, 0o711)
        home = os.path.join(path, "home")
        os.mkdir(home)
        os.chmod(home, 0o711)
        self.host = host = Host(home)
        # An operator keeps these where no user has a say.
        host.state, host.locks = os.path.join(path, "state"), os.path.join(path, "locks")
        host.machine = Machine("host", host.machine.now, host.state, host.locks)
        self.words = {"compression": "gzip", "snapshot_deadline": 5, "monitoring": {"syslog": False},
                      "drill": {"monitoring": {"syslog": False}},
                      "shrink_guard": {"rows": 100, "size": 100}}
        self._mode = 0
        self._fill()
        self._back_up()
        self._catalog = os.stat(host.place("backups", "notes")).st_ino

    def _fill(self):
        self.host.fill()
        for number in range(FILES):
            self.host.write("uploads/%d.bin" % number)

    def backup(self):
        """Returns None where it went well, or why it did not."""
        problem = run_backup(self._app(), self.host.machine).problem
        if problem is not None and "defect of this program" in problem:
            raise Bad(problem)
        return problem

    def _back_up(self):
        problem = self.backup()
        if problem is not None:
            raise Bad("a backup does not work while nobody swaps: %s" % problem)

    def _app(self, **words):
        return self.host.app(**dict(self.words, **words))

    def _restore(self):
        return self.host.restore(**self.words)

    def ownership(self):
        self._mode ^= 0o040
        give_ownership(self._app(owner=OWNER, group=GROUP, file_mode="%04o" % (0o600 | self._mode), directory_mode="0750"))

    def restore(self):
        """And the way back, then once more and for good; one that fails does not keep the next from its turn."""
        problems = []
        for step in ("restore", "roll_back", "stage", "restore", "commit"):
            try:
                getattr(self._restore(), step)()
            except AppStateError as error:
                problems.append("%s: %s" % (step, error))
        return problems

    def make_asides(self):
        """What restores left long ago, for whoever prunes."""
        for number in range(1, 4):
            if not os.path.lexists(self.host.at(ASIDE % number)):
                self.host.write(ASIDE % number + "/deep/old.bin")

    def prune(self):
        prune_recorded(self._app(retention={"keep_last": 1, "before_restore": "1d"}), self.host.machine)

    def verify(self):
        self.host.verify(app=self._app())

    def drill(self):
        done = run_drill(self._app(), self.host.machine, DrillRequest())
        if done.problem is not None and "defect of this program" in done.problem:
            raise Bad(done.problem)

    def reset(self):
        reset_database(self.host.at(DATABASE))

    def put_right(self):
        """What an operator does who comes by, once nobody swaps any more: the backups in their place, and the tree anew."""
        home = self.host.path
        os.chown(home, 0, 0)
        self._put_back_backups(home)
        os.chown(self.host.destination, 0, 0)
        for folder in (home, self.host.destination):
            for name in os.listdir(folder):
                # What the engine made itself, it removes itself.
                if ".decoy-" in name or (name.startswith(".appstate-") and os.path.islink(os.path.join(folder, name))):
                    _remove(os.path.join(folder, name))
        if os.path.islink(self.host.root) or not os.path.isdir(self.host.root):
            os.rename(self.host.root, home + ".was") if os.path.lexists(self.host.root) else None
            os.mkdir(self.host.root)
        for name in os.listdir(self.host.root):
            _remove(self.host.at(name))
        self.host.own(self.host.root)
        self._fill()

    def _put_back_backups(self, home):
        found = [folder for folder, unused, names in os.walk(home) if os.stat(folder).st_ino == self._catalog]
        if not found:
            raise Bad("the backups are gone")
        if found[0] == os.path.join(self.host.destination, "notes"):
            return
        os.rename(found[0], home + ".kept")
        for place in (self.host.destination, os.path.join(self.host.destination, "notes")):
            if os.path.islink(place):
                os.unlink(place)
            elif place != self.host.destination and os.path.isdir(place):
                os.rename(place, home + ".other")
        os.makedirs(self.host.destination, exist_ok=True)
        os.rename(home + ".kept", os.path.join(self.host.destination, "notes"))

    def works(self):
        """Backups and restores are as good as ever."""
        self._back_up()
        for backup in list_backups(self._app().directory, "notes"):
            found = self.host.verify(app=self._app(), which=backup.id)
            if not found.ok:
                raise Bad("backup %s does not verify: %s" % (backup.id, found.problems))
        self._restore().restore()
        self._restore().commit()
        self.drill()
        if self.host.notes() != 20 or self.host.left():
            raise Bad("after a plain restore there are %d notes, and left is %s" % (self.host.notes(), self.host.left()))

    def end_pending(self):
        """Whatever restore is pending is undone; where its old state has gone meanwhile, it is committed."""
        try:
            self._restore().roll_back()
        except AppStateError:
            self._restore().commit()


def _remove(path):
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)


class Links(Row):
    """One case: ``where.deed.number``; what is counted are the swaps while root was at work."""

    name = "links"
    title = "swaps by the app's user"
    shards = 2

    mutations = (
        Mutation("system/files.py", "READ = os.O_RDONLY | os.O_NOFOLLOW |", "READ = os.O_RDONLY |",
                 "files are opened through links"),
        Mutation("system/files.py", "DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW |",
                 "DIRECTORY = os.O_RDONLY | os.O_DIRECTORY |", "directories are opened through links"),
        Mutation("system/files.py", "READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK |",
                 "READ = os.O_RDONLY | os.O_NOFOLLOW |", "opening a FIFO waits for its other end"),
        Mutation("system/files.py", "if found.st_uid != os.geteuid() or found.st_dev !=", "if found.st_dev !=",
                 "whatever stands where a directory was made is taken for it"),
    )

    def open(self):
        os.umask(0o077)
        canary = "canary-%032x" % self.random("canary").getrandbits(128)
        self._outside = Outside(self.place("outside"), canary)
        # What is looked for would be found: in names, in files, in a database, and in archives.
        if len(self._outside.leaked(self.place("outside"))) != 3 * 6:
            raise Bad("the canaries are not where they should be: %s" % self._outside.leaked(self.place("outside")))

    def cases(self):
        rounds = ROUNDS[self.form]
        return ["%s.%s.%d" % (where, deed, number) for number in range(2 * rounds) for where, deeds in DEEDS.items()
                if where in OFTEN or number < rounds for deed in deeds]

    def run(self, case):
        where, deed, unused = case.split(".")
        scene = Scene(self.place(case))
        try:
            swaps = self._attack(case, scene, self._places(where, scene.host), deed)
            scene.put_right()
            scene.end_pending()
            scene.put_right()  # The old state may have been a tree with a gap in it.
            scene.works()
            self._judge(scene)
        finally:
            shutil.rmtree(self.place(case))
        return Tried(swaps)

    def _attack(self, case, scene, places, deed):
        swaps = 0
        # Where a whole directory is swapped, a run ends early unless it stays for a while what it is.
        pauses = PAUSES if case.startswith("tree.") else PAUSES[::-1]
        for number in range(MOST_RUNS):
            if swaps and number >= RUNS[self.form]:
                break
            chance = self.random(case, number)
            if deed == "prune":
                scene.make_asides()
            some = places[:1] + chance.sample(places[1:], chance.randint(0, min(2, len(places) - 1)))
            with Swapper(OWNER, GROUP, some, pauses[number % len(PAUSES)], chance) as swapper:
                told = swapper.run(getattr(scene, deed), chance.getrandbits(64))
                left = others(swapper.pids)
            if left:
                raise Bad("processes live on: %s" % left)
            if told.get("error") and not told["known"]:
                raise Bad("%s: %s\n%s" % (told["error"], told["text"], told["trace"]))
            _judge_made(scene.host)
            swaps += told["swaps"]
            scene.host.time += datetime.timedelta(minutes=1)  # What passed over there is not known here.
        if not swaps:
            raise Bad("nothing was swapped while root was at work")
        self._judge(scene)
        return swaps

    def _judge(self, scene):
        """Nothing outside was changed, and nothing of it is anywhere inside."""
        changed = self._outside.changed()
        if changed:
            raise Bad("changed outside: %s" % changed[:5])
        for top in (os.path.dirname(scene.host.path), "/var/tmp"):
            leaked = self._outside.leaked(top)
            if leaked:
                raise Bad("a canary is in %s" % leaked[:5])

    def _places(self, where, host):
        links = self._outside.links
        if where == "tree":
            return _places_in_tree(host, links)
        if where == "names":
            return _engines_names(host, links)
        if where == "made":
            return [Names(host.root, ".appstate-", own_directory)]
        own = host.destination if where == "destination" else host.path
        host.own(own)
        os.chmod(own, 0o755)
        if where == "destination":
            return [Place(os.path.join(own, "notes"), *links("backups", "notes")), Names(own, ".appstate-", *links("app"), own_directory)]
        return [Place(host.root, *links("app")), Place(host.destination, *links("backups")),
                Names(host.path, ".appstate-", *links("app"), own_directory)]


def _judge_made(host):
    """Root put nothing into a directory of the user's that stood in the place of one that root had made for itself."""
    for path in (os.path.join(top, name) for top in (host.root, host.destination, host.path) if os.path.isdir(top)
                 for name in os.listdir(top) if ".appstate-" in name):
        look = os.lstat(path)
        if stat.S_ISDIR(look.st_mode) and look.st_uid == OWNER:
            found = [name for name in os.listdir(path) if name != UNDO and not os.lstat(os.path.join(path, name)).st_uid]
            if found:
                raise Bad("root worked in a directory of the user's: %s in %s" % (found, path))


def _places_in_tree(host, links):
    """Everything that a source names, all that is in it, and what SQLite looks for beside a database."""
    places = [Names(host.at("uploads"), ".bin", *links("app", "uploads", "a.bin"), *(3 * [fifo]))]
    places += [Place(host.at(*name), *links("app", *name), directory_of_links(host.at(), "a.bin", "notes.db"))
               for name in (("uploads",), ("uploads", "deep"), ("uploads", "deep", "er"), ("data",), ("data",))]
    places += [Place(host.at(*name), *links("app", *name), fifo, hard_link(host.at("uploads", "a.bin")))
               for name in (("uploads", "a.bin"), ("uploads", "deep", "er", "b.bin"), ("data", "settings.json"),
                            ("data", "notes.db"))]
    places += [Place(host.at("data", "notes.db" + ending), *links("app", "data", "notes.db"), fifo)
               for ending in ("-wal", "-journal")]
    return places


def _engines_names(host, links):
    """Staging directories, and what a restore sets aside."""
    own = host.at("of-mine")
    os.mkdir(own)
    host.own(own)
    return [Names(host.root, ".appstate-", *links("app"), directory_of_links(own, "tree", "checks"), own_directory),
            Names(host.root, ".before-restore-", *links("app", "uploads"), fifo),
            Names(host.at("data"), ".before-restore-", *links("app", "data", "notes.db"), fifo),
            Place(host.at("uploads"), *links("app", "uploads")), Place(host.at("data"), *links("app", "data"))]


ROW = Links
