# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An application with three backups, as more than one command finds it, and what there is to say of it afterwards."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess

from ansible_collections.appstate.backup.plugins.module_utils.catalog.catalog import list_backups
from ansible_collections.appstate.backup.plugins.module_utils.catalog.holds import held_in
from ansible_collections.appstate.backup.plugins.module_utils.monitor.drills import Drills
from ansible_collections.appstate.backup.plugins.module_utils.operations.journal import Journal
from ansible_collections.appstate.backup.tests.unit.plugins.host import DATABASE, Host, tree
from row import Bad

WORDS = {"retention": {"keep_last": 2}, "monitoring": {"syslog": False}, "drill": {"monitoring": {"syslog": False}}}
# An application takes some time to stop: until somebody else stops it as well, but no longer than half a second.
STOP = ': > "$0/stops.$$"; for each in 1 2 3 4 5; do set -- "$0"/stops.*; test $# -gt 1 && break; sleep 0.1; done'
ASIDE = re.compile(rb"\.before-restore-\d{8}T\d{6}Z")


class Crowd:
    """The worlds that commands begin with: ``plain``, and ``pending``, in which a restore waits for its commit."""

    def __init__(self, path):
        os.mkdir(path)
        os.chmod(path, 0o711)
        self._path = path
        home = os.path.join(path, "home")
        os.mkdir(home)
        os.chmod(home, 0o711)
        self.host = host = Host(home)
        os.makedirs(host.place("apps.d"), 0o700)
        with open(host.place("apps.d", "notes.json"), "w", encoding="ascii") as file:
            json.dump(host.described(service={"stop": ["sh", "-c", STOP, home], "start": ["true"]}, **WORDS), file)
        os.chmod(file.name, 0o600)
        host.fill()
        for unused in range(3):
            host.backup()
            host.add_notes(1)
        self.oldest = self._listed()[-1].id
        host.damage()
        self._save("plain")
        host.restore(**WORDS).restore()
        self._save("pending")

    def _save(self, world):
        subprocess.run(["cp", "-a", self.host.path, os.path.join(self._path, world)], check=True)

    def stops(self):
        """Whether the app has begun to stop."""
        return any(name.startswith("stops.") for name in os.listdir(self.host.path))

    def put(self, world):
        """Begins anew with one of the worlds."""
        shutil.rmtree(self.host.path)
        subprocess.run(["cp", "-a", os.path.join(self._path, world), self.host.path], check=True)

    def arguments(self, name):
        """The command line for ``run``, ``restore-oldest``, ``restore-forced`` and so on."""
        verb, unused, which = name.partition("-")
        words = ["--config", self.host.place("apps.d"), "--state-directory", self.host.state, "--lock-directory", self.host.locks,
                 verb, "notes"]
        if which == "oldest":
            words += [self.oldest] if verb == "hold" else ["--id", self.oldest]
        return words + (["--force"] if which == "forced" else [])

    def _listed(self):
        return list_backups(self.host.app(**WORDS).directory, "notes")

    def state(self):
        """All that a command can change, and nothing that depends on when it did."""
        found, asides = {}, []
        for path, told in tree(self.host.root, times=False).items():
            if ASIDE.search(path):
                asides.append(ASIDE.sub(b".before-restore", path).decode())
            elif not path.endswith((b"-wal", b"-shm")):
                # A snapshot has the same rows, and need not be the same file.
                found[path.decode()] = told[:3] if path == DATABASE.encode() else told
        records = Drills(self.host.state, "notes").records
        return {"live": found, "notes": self.host.notes(), "asides": sorted(asides),
                "held": len(held_in(self.host.app().directory)), "backups": [self._told(backup) for backup in self._listed()],
                # Drills of one second are one record: two of them leave one or two.
                "drills": sorted({record["ok"] for record in records}),
                "pending": Journal(self.host.app(), self.host.machine, self.host.root).phase}

    @staticmethod
    def _told(backup):
        rows = backup.manifest.sources[0]["passport"]["tables"]["notes"]
        return rows, backup.manifest.content["members"]["count"]

    def is_sound(self, state):
        """Every backup that is listed verifies, and nothing is left but a restore that waits for its commit."""
        for backup in self._listed():
            found = self.host.verify(which=backup.id)
            if backup.problem is not None or not found.ok:
                raise Bad("%s is listed and not good: %s %s" % (backup.id, backup.problem, found.problems))
        waits = state["pending"] == "restored"
        left = [path for path in self.host.left() if not (waits and path.endswith("/restore-notes.json"))]
        if left:
            raise Bad("left behind: %s" % left)
