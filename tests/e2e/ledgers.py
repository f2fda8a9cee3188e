# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The application onhost/ledger.py as a test sees it: installed on a host, run, damaged, looked at."""

from __future__ import annotations

import glob
import json
import os
import pwd
import time

from trees import make_uploads, tree

OWNER = "www-data"
SUM = 50 * 1000
PROGRAM = "/usr/local/bin/ledger"
SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "onhost", "ledger.py")


class Ledger:
    """One ledger on one host; ``layout`` says where its state lies."""

    def __init__(self, host, layout):
        self.host = host
        self.layout = layout
        self.name = layout["name"]
        self.root = layout["root"]

    def install(self, journal):
        """Put the application on the host, with a state of its own in one of SQLite's journal modes."""
        account = pwd.getpwnam(OWNER)
        self.settle()
        directory = os.path.dirname(self.layout["database"])
        self.host.run(["install", "-d", "-o", OWNER, "-g", OWNER, "-m", "0750", self.root,
                       os.path.join(self.root, directory), os.path.join(self.root, self.layout["uploads"])])
        self.host.run([PROGRAM, "init", self.name, journal], user=OWNER)
        self.host.run(["chmod", "0640", os.path.join(self.root, self.layout["database"])])
        make_uploads(self.outer(self.layout["uploads"]), account.pw_uid, account.pw_gid)
        self.host.write(os.path.join(self.root, self.layout["settings"]), "<?php return ['title' => 'Größe'];\n",
                        owner=OWNER, mode=0o640)
        os.utime(self.outer(self.layout["settings"]), ns=(1_699_999_999_123456789, 1_699_999_999_123456789))
        return self

    def settle(self):
        """Put the application on the host without any state."""
        self.host.write_program(PROGRAM, SOURCE)
        settings = {key: self.layout.get(key) for key in ("root", "database", "uploads", "port")}
        self.host.write("/etc/ledger/%s.json" % self.name, json.dumps(dict(settings, owner=OWNER)))

    def start(self):
        """Start it; it writes at once unless it is held."""
        self.host.run([PROGRAM, "start", self.name])

    def stop(self):
        """Stop it."""
        self.host.run([PROGRAM, "stop", self.name])

    def set_flag(self, word, wanted=True):
        """Set or clear one of the flags hold, broken and stubborn."""
        path = self.host.path("/etc/ledger/%s.%s" % (self.name, word))
        if wanted:
            self.host.write("/etc/ledger/%s.%s" % (self.name, word), "")
        elif os.path.exists(path):
            os.remove(path)

    def pid(self):
        """The number of its background process, as its host counts."""
        return int(self.host.read("/run/ledger-%s.pid" % self.name))

    def report(self):
        """What its database holds."""
        return json.loads(self.host.run([PROGRAM, "report", self.name], user=OWNER).stdout)

    def wait_for_writes(self, more=20):
        """Wait until it has committed some more transfers."""
        least = rows(self.report()) + more
        until = time.monotonic() + 20
        while rows(self.report()) < least:
            assert time.monotonic() < until, "%s on %s does not write" % (self.name, self.host.name)
            time.sleep(0.1)

    def outer(self, path):
        """Where the test finds a path of its state."""
        return self.host.path(os.path.join(self.root, path))

    def tree(self):
        """Everything below its root, to the byte."""
        return tree(self.host.path(self.root))

    def app(self):
        """How an operator describes it in the inventory."""
        described = {
            "name": self.name, "root": self.root, "owner": OWNER, "group": OWNER, "destination": "/var/backups",
            "service": {"stop": [PROGRAM, "stop", self.name], "start": [PROGRAM, "start", self.name]},
            "sources": [
                {"type": "sqlite", "path": self.layout["database"],
                 "assertions": [{"sql": "SELECT sum(balance) FROM accounts", "equals": SUM},
                                {"sql": "SELECT count(*) FROM transfers", "min": 3000}]},
                {"type": "files", "path": self.layout["uploads"], "exclude": ["*.part"]},
                {"type": "files", "path": self.layout["settings"], "required": False}]}
        if self.layout.get("port"):
            described["health"] = {"url": "http://127.0.0.1:%d/health" % self.layout["port"], "status": 200,
                                   "expression": "status == 'ok' && accounts[0] > `0`", "retries": 3, "delay": 0.5}
        return described

    def published(self):
        """The names of everything in its folder at the destination."""
        return sorted(os.listdir(self.host.path("/var/backups/" + self.name)))

    def manifests(self):
        """Its manifests at the destination, oldest first."""
        found = []
        for path in sorted(glob.glob(self.host.path("/var/backups/%s/*.json" % self.name))):
            with open(path, encoding="utf-8") as stream:
                found.append(json.load(stream))
        return found


SCRIPTOR = {"name": "scriptor", "root": "/opt/scriptor", "database": "data/imanager.db", "uploads": "public/uploads",
            "settings": "data/settings/custom.scriptor-config.php", "port": 8081}
CLUB = {"name": "club", "root": "/srv/club", "database": "club.sqlite3", "uploads": "storage/files",
        "settings": "settings.json", "port": None}


def rows(report, runs=None):
    """How many transfers a report counts: all, or those of some runs of the application."""
    return sum(count for run, count in report["runs"].items() if runs is None or run in runs)


def passport(manifest):
    """The passport of the one database in a manifest."""
    return next(source["passport"] for source in manifest["sources"] if source["type"] == "sqlite")
