# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Small applications at rest, for tests of what runs unattended, and the place that their pings go to."""

from __future__ import annotations

import glob
import json
import os
import time

METRICS = "/var/lib/node_exporter"
RECEIVED = "/var/log/pings.jsonl"
PORT = 8000
SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "onhost", "receiver.py")
ROWS = 2000
FILL = ("PRAGMA journal_mode = wal; CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT); WITH RECURSIVE number(n) AS "
        "(SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < %d) INSERT INTO notes SELECT n, hex(randomblob(40)) "
        "FROM number;" % ROWS)


class Notebook:
    """One application on one host: a database and a file."""

    def __init__(self, host, name, owner="root"):
        self.host = host
        self.name = name
        self.owner = owner
        self.root = "/srv/" + name
        self.database = self.root + "/notes.db"

    def install(self):
        """Make its state."""
        self.host.run(["install", "-d", "-o", self.owner, "-g", self.owner, self.root])
        self.host.run(["sqlite3", self.database, FILL], user=self.owner)
        self.host.write(self.root + "/settings.conf", "colour = blue\n", owner=self.owner)
        return self

    def app(self, address, **more):
        """How an operator describes it; pings go to an address."""
        return dict({"name": self.name, "root": self.root, "destination": "/var/backups",
                     "retention": {"keep_last": 3},
                     "monitoring": {"ping": {"url": "http://%s:%d/%s" % (address, PORT, self.name), "attempts": 1},
                                    "metrics_directory": METRICS},
                     "sources": [{"type": "sqlite", "path": "notes.db"}, {"type": "files", "path": "settings.conf"}]},
                    **more)

    def status(self, state="/var/lib/appstate-backup"):
        """Its status file."""
        return json.loads(self.host.read("%s/status/%s.json" % (state, self.name)))

    def metrics(self):
        """Its metrics, from name without prefix to number."""
        lines = self.host.read("%s/appstate_backup_%s.prom" % (METRICS, self.name)).decode().splitlines()
        samples = [line.split() for line in lines if not line.startswith("#")]
        assert all(label.endswith('{app="%s"}' % self.name) for label, _value in samples)
        return {label[len("appstate_backup_"):label.index("{")]: float(value) for label, value in samples}

    def log(self):
        """What its runs have said."""
        return self.host.read("/var/log/appstate-backup/%s.log" % self.name).decode()

    def backups(self, destination="/var/backups"):
        """The ids of what is at its destination, oldest first."""
        found = glob.glob(self.host.path("%s/%s/*.json" % (destination, self.name)))
        return sorted(os.path.basename(path)[:-5] for path in found)

    def command(self, *words):
        """What ``appstate-backup`` says over ssh."""
        return self.host.ssh("appstate-backup", *words)


class Pings:
    """A real HTTP server on a host that takes every ping."""

    def __init__(self, host):
        self.host = host
        host.write_program("/usr/local/bin/receiver", SOURCE)
        host.write(RECEIVED, "")
        self.process = host.start(["/usr/local/bin/receiver", str(PORT), RECEIVED])

    def received(self, path=None):
        """What came, or what came to a path."""
        told = [json.loads(line) for line in self.host.read(RECEIVED).splitlines()]
        return [each for each in told if path in (None, each["path"])]

    def stop(self):
        """Take it down."""
        self.process.kill()
        self.process.wait()


def wait_for(what, seconds, explain=lambda: ""):
    """Wait until a function gives something true, and give that."""
    until = time.monotonic() + seconds
    while True:
        found = what()
        if found:
            return found
        assert time.monotonic() < until, explain()
        time.sleep(0.2)


def replace_text(host, path, old, new):
    """Edit a file by hand."""
    text = host.read(path).decode()
    assert old in text
    with open(host.path(path), "r+", encoding="utf-8") as stream:
        stream.write(text.replace(old, new))
        stream.truncate()
