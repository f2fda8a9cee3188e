# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The five systems as a test sees them: an application of onhost/ as a service of systemd, and its backups."""

from __future__ import annotations

import glob
import json
import os
import time

from hosts.packages import require

BACKUP = "appstate.backup.backup"
RESTORE = "appstate.backup.restore"
MODULE = "appstate.backup.backup_restore"
PROGRAMS = "/usr/local/lib/applications"
ONHOST = os.path.join(os.path.dirname(os.path.abspath(__file__)), "onhost")
DESTINATION = "/var/backups"
UNIT = """\
[Service]
User=%s
%sExecStart=%s serve %s
RestartSec=1
"""


class System:
    """One application on one host.

    Args:
        program: its file in onhost/, without the ending.
        root: where its state lies.
        owner: whose it is; the account is made where it is missing.
        service: the name of its unit.
        port: where it answers on the host.
    """

    def __init__(self, host, program, root, owner, service, port):
        require({"curl": "curl", "sqlite3": "sqlite3"})
        self.host = host
        self.root = root
        self.owner = owner
        self.service = service
        self.scheme = "http"
        self.port = port
        self.program = "%s/%s" % (PROGRAMS, program)
        host.write("%s/application.py" % PROGRAMS, read(os.path.join(ONHOST, "application.py")))
        host.write_program(self.program, os.path.join(ONHOST, program + ".py"))
        host.run(["sh", "-c", 'id "$0" >/dev/null 2>&1 || useradd --system --no-create-home "$0"', owner])
        host.run(["install", "-d", "-o", owner, "-g", owner, root])

    def make(self, *words, environment=()):
        """Make its state."""
        self.host.run(["env"] + list(environment) + [self.program, "make", self.root] + list(words), user=self.owner)

    def unit(self, environment=()):
        """Write its unit for systemd."""
        lines = "".join("Environment=%s\n" % each for each in environment)
        self.host.write("/etc/systemd/system/%s.service" % self.service,
                        UNIT % (self.owner, lines, self.program, self.root))
        self.host.run(["systemctl", "daemon-reload"])

    def start(self):
        """Start it and wait until it answers."""
        self.host.run(["systemctl", "start", self.service])
        self.wait()

    def stop(self):
        """Stop it."""
        self.host.run(["systemctl", "stop", self.service])

    def wait(self):
        """Wait until it answers."""
        until = time.monotonic() + 20
        while self.ask("/")[0] == 0:
            assert time.monotonic() < until, self.journal()
            time.sleep(0.1)

    def journal(self):
        """What it has said."""
        return self.host.run(["journalctl", "--no-pager", "-u", self.service], check=False).stdout

    def active(self):
        """Whether systemd says that it runs."""
        return self.host.run(["systemctl", "is-active", self.service], check=False).stdout.strip() == "active"

    def ask(self, path, *words):
        """A request by curl: the status (0 where nothing answers) and the text of the answer."""
        done = self.host.run(["curl", "-sS", "--max-time", "20", "-w", "\n%{http_code}"] + list(words)
                             + ["%s://127.0.0.1:%d%s" % (self.scheme, self.port, path)], check=False)
        text, _newline, status = done.stdout.rpartition("\n")
        return int(status or 0), text

    def answer(self, path, *words):
        """The text that it answers with 200."""
        status, text = self.ask(path, *words)
        assert status == 200, (path, status, text, self.journal())
        return text

    def hold(self, wanted=True):
        """Keep it from writing of its own, or let it go on."""
        if wanted:
            self.host.run(["touch", self.root + "/hold"], user=self.owner)
            time.sleep(0.2)
        else:
            self.host.run(["rm", "-f", self.root + "/hold"])

    def sql(self, database, text):
        """What sqlite3 prints, run as the owner."""
        command = ["sqlite3", "-bail", "-cmd", ".timeout 20000", os.path.join(self.root, database), text]
        return self.host.run(command, user=self.owner).stdout.strip()

    def outer(self, path=""):
        """Where the test finds a path of its state."""
        return self.host.path(os.path.join(self.root, path))


class Backups:
    """The backups of one app at the destination."""

    def __init__(self, host, name):
        self.host = host
        self.folder = "%s/%s" % (DESTINATION, name)

    def manifests(self):
        """The manifests, oldest first."""
        found = sorted(glob.glob(self.host.path(self.folder) + "/*.json"))
        return [json.loads(read(path)) for path in found]

    def archive(self, number=-1):
        """The path on the host of one archive, by default the newest."""
        names = sorted(os.path.basename(path) for path in glob.glob(self.host.path(self.folder) + "/*.tar.*"))
        return "%s/%s" % (self.folder, names[number])

    def listed(self, number=-1):
        """The names in an archive, as GNU tar lists them; directories end with a slash."""
        return self.host.run(["tar", "-tf", self.archive(number)]).stdout.splitlines()

    def published(self):
        """Everything that lies there."""
        folder = self.host.path(self.folder)
        return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def read(path):
    """A file of the outer machine, as bytes."""
    with open(path, "rb") as stream:
        return stream.read()


def said(run, module, status="failed"):
    """What a module told on its failure, or its whole result, as one text."""
    return json.dumps(run.results(module, status=status), ensure_ascii=False)


def source(manifest, path):
    """What a manifest says of one source."""
    return next(each for each in manifest["sources"] if each["path"] == path)
