# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command, as hosts have it, run with some of root's rights or none, on an application that has what needs each of them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import zipfile

from ansible_collections.appstate.backup.plugins.plugin_utils.zipapp import build
from ansible_collections.appstate.backup.tests.unit.plugins.host import DATABASE, GROUP, OWNER, Host, tree
from row import Bad

# The system's own: an unprivileged user cannot enter the one that runs the campaign.
PYTHON = "/usr/bin/python3"
STRANGER = 3009
PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "security.md")
# A line of the page's table of capabilities, as ``| `CAP_CHOWN` | ...``.
LISTED = re.compile(r"^\| `CAP_([A-Z_]+)` \|", re.MULTILINE)
AS_OWNER = ["--reuid=%d" % OWNER, "--regid=%d" % GROUP, "--clear-groups", "--bounding-set=-all", "--no-new-privs"]


def listed():
    """The capabilities that the page names, in its order."""
    with open(PAGE, encoding="utf-8") as stream:
        return [name.lower() for name in LISTED.findall(stream.read())]


def all_capabilities():
    """Those that we have, by name."""
    said = subprocess.run(["setpriv", "--dump"], stdout=subprocess.PIPE, encoding="ascii", check=True).stdout
    return re.search(r"^Capability bounding set: (.*)$", said, re.MULTILINE).group(1).split(",")


def bounded(names):
    """Words of setpriv(1) that leave root with these capabilities."""
    return ["--bounding-set=" + ",".join(["-all"] + ["+" + name for name in sorted(names)]), "--inh-caps=-all"]


class Ran:
    """How a command ended, and all that it said."""

    def __init__(self, done):
        self.status = done.returncode
        self.said = done.stdout

    def well(self):
        """What it said, of one that has to do what it is asked."""
        if self.status:
            raise Bad("it ended with %d: %s" % (self.status, self.said.strip()[-600:]))
        return self.said

    def refused(self, word):
        """It has to say that it could not, and which thing."""
        if self.status == 0:
            raise Bad("it says that all is well: %s" % self.said.strip()[-300:])
        if "Traceback" in self.said or not self.said.strip():
            raise Bad("it fails without a clear word: %s" % self.said.strip()[-600:])
        if word not in self.said:
            raise Bad("it fails, and does not say %r: %s" % (word, self.said.strip()[-600:]))


def unpacked(folder):
    """The command as hosts have it, unpacked and compiled: it is started hundreds of times."""
    os.makedirs(folder)
    packed = os.path.join(folder, "packed")
    build(packed)
    path = os.path.join(folder, "appstate-backup")
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(path)
    subprocess.run([PYTHON, "-m", "compileall", "-q", path], check=True)
    subprocess.run(["chmod", "-R", "a+rX", folder], check=True)
    return path


class World:
    """A host with the application, the command, and what belongs to others around them."""

    def __init__(self, folder, command, owned=False):
        """``command``: what ``unpacked`` gave. ``owned``: all of it belongs to the application's user, and what there is to write
        in, too."""
        os.makedirs(os.path.join(folder, "host"), 0o711)
        for path in (folder, os.path.join(folder, "host")):
            os.chmod(path, 0o711)
        self.host = Host(os.path.join(folder, "host"))
        self.path = command
        self.host.fill()
        for name in ("state", "locks", "apps.d", "metrics"):
            os.mkdir(self.host.place(name), 0o700)
        if not owned:
            self._mix()
        self._surround()
        self.describe()
        if owned:
            for name in ("state", "locks", "apps.d", "apps.d/notes.json", "metrics", "backups"):
                self.host.own(self.host.place(name))

    def _mix(self):
        """Files of another user, and a directory whose group they share."""
        theirs = self.host.write("uploads/theirs.bin", b"theirs", 0o600)
        os.chown(theirs, STRANGER, STRANGER)
        shared = self.host.directory("uploads/shared")
        os.chown(shared, STRANGER, 3050)
        os.chmod(shared, 0o2770)

    def _surround(self):
        """What is not the application's, in reach of whoever goes astray."""
        os.mkdir(self.host.place("others"), 0o755)
        for name, uid in (("roots", 0), ("strangers", STRANGER)):
            path = self.host.place("others", name)
            with open(path, "wb") as stream:
                stream.write(b"theirs")
            os.chown(path, uid, uid)
            os.chmod(path, 0o666)

    def describe(self, **words):
        """Writes the configuration."""
        path = self.host.place("apps.d", "notes.json")
        told = {"monitoring": {"syslog": False, "metrics_directory": self.host.place("metrics")}}
        found = os.stat(path) if os.path.exists(path) else None
        with open(path, "w", encoding="ascii") as stream:
            json.dump(self.host.described(**dict(told, **words)), stream)
        os.chmod(path, 0o600)
        if found is not None:
            os.chown(path, found.st_uid, found.st_gid)

    def command(self, rights, *words):
        """The words of a run."""
        return ["setpriv"] + list(rights) + ["--", PYTHON, self.path, "--config", self.host.place("apps.d"), "--state-directory",
                                             self.host.state, "--lock-directory", self.host.locks] + list(words)

    def run(self, rights, *words):
        """How a run with these rights ended."""
        return Ran(subprocess.run(self.command(rights, *words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, encoding="utf-8", cwd="/",
                                  env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}, check=False, timeout=120))

    def live(self):
        """The live state, to compare: content, owners and modes, without what SQLite leaves beside a database."""
        return {path: told for path, told in tree(self.host.root).items() if not path.endswith((b"-wal", b"-shm"))
                and b".before-restore-" not in path and not path == DATABASE.encode()}

    def around(self):
        """All that is neither the application's nor the command's."""
        kept = ("app", "backups", "state", "locks", "metrics")
        return {path: told for path, told in tree(self.host.path).items() if os.fsdecode(path).split("/")[0] not in kept}

    def story(self, rights):
        """Every verb once; the state is then as it was when its first backup was taken. Returns how many there were."""
        begun = self.live()
        for words in (["run"], ["list"], ["verify", "notes"], ["prune"], ["drill", "notes"],
                      ["restore", "notes", "--validate-only"]):
            self.run(rights, *words).well()
        self.run(rights, "check").well()
        self.host.damage()
        damaged = self.live()
        self.run(rights, "restore", "notes").well()
        self._same(begun, "restore")
        self.run(rights, "rollback", "notes").well()
        self._same(damaged, "rollback")
        self.run(rights, "restore", "notes").well()
        self.run(rights, "commit", "notes").well()
        self._same(begun, "commit")
        return 12

    def _same(self, wanted, after):
        found = self.live()
        if found != wanted:
            odd = sorted(path for path in set(found) | set(wanted) if found.get(path) != wanted.get(path))
            raise Bad("after %s these are not what they should be: %s" % (after, odd[:5]))
