# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Fossil repository that a host serves over HTTP, and a client on another host that commits to it."""

from __future__ import annotations

import os
import time

ONHOST = os.path.join(os.path.dirname(os.path.abspath(__file__)), "onhost")
OWNER = "www-data"
ROOT = "/srv/fossil"
REPOSITORY = ROOT + "/project.fossil"
PORT = "8080"
SERVICE = "/usr/local/bin/fossil_service"
CLIENT = "/usr/local/bin/fossil_client"
ANSWER = """
import sys, urllib.request
sys.stdout.buffer.write(urllib.request.urlopen("http://127.0.0.1:%s" + sys.argv[1], timeout=20).read())
""" % PORT


class Repository:
    """A repository on the host that serves it."""

    def __init__(self, host):
        self.host = host

    def settle(self):
        """Put the service on the host, without a repository."""
        self.host.write_program(SERVICE, os.path.join(ONHOST, "fossil_service.py"))
        self.host.run(["install", "-d", "-o", OWNER, "-g", OWNER, "-m", "0750", ROOT])

    def make(self, wal):
        """Make an empty repository whose administrator's password is ``secret``, in WAL mode or as Fossil does it."""
        self.settle()
        self.fossil("init", "--admin-user", "admin", REPOSITORY)
        self.fossil("user", "password", "admin", "secret", "-R", REPOSITORY)
        if wal:
            self.fossil("rebuild", "--wal", REPOSITORY)
        self.host.run(["chmod", "0640", REPOSITORY])

    def fossil(self, *words):
        """Run fossil as the owner of the repository; gives what it printed."""
        command = ["env", "--chdir=/", "HOME=" + ROOT, "USER=admin", "fossil"] + list(words)
        done = self.host.run(command, user=OWNER, check=False)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    def serve(self):
        """Start the service."""
        self.host.run([SERVICE, "start", REPOSITORY, PORT])

    def stop(self):
        """Stop the service."""
        self.host.run([SERVICE, "stop", REPOSITORY, PORT])

    def page(self, path):
        """A page that the service gives to everybody."""
        return self.host.run(["python3", "-c", ANSWER, path]).stdout

    def check_ins(self):
        """The hashes of all check-ins, as fossil lists them, cut to the 40 digits that a client sees."""
        listed = self.fossil("timeline", "-R", REPOSITORY, "-n", "0", "-t", "ci", "-F", "%H")
        return {line[:40] for line in listed.split() if len(line) >= 40 and line.isalnum()}

    def journal(self):
        """The journal mode that the repository's header tells."""
        header = self.host.read(REPOSITORY)[:20]
        return "wal" if header[18] == 2 else "delete"

    def app(self):
        """How an operator describes it in the inventory."""
        return {"name": "fossil", "root": ROOT, "owner": OWNER, "group": OWNER, "destination": "/var/backups",
                "sources": [{"type": "sqlite", "path": os.path.basename(REPOSITORY),
                             "assertions": [{"sql": "SELECT count(*) FROM blob", "min": 1}]}],
                "service": {"stop": [SERVICE, "stop", REPOSITORY, PORT],
                            "start": [SERVICE, "start", REPOSITORY, PORT]},
                "health": {"url": "http://127.0.0.1:%s/timeline" % PORT, "retries": 5, "delay": 0.5}}


class Client:
    """Commits to a repository over HTTP, one commit after the other."""

    def __init__(self, host, repository, name):
        self.host = host
        self.folder = "/root/" + name
        self.url = "http://admin:secret@%s:%s/" % (repository.host.address, PORT)
        self._process = None

    def start(self):
        """Clone, and begin to commit."""
        self.host.write_program(CLIENT, os.path.join(ONHOST, "fossil_client.sh"))
        self._process = self.host.start(["sh", "-c", '"$0" "$1" "$2" >"$2.log" 2>&1', CLIENT, self.url, self.folder])

    def commits(self):
        """The hashes of the check-ins that the server has taken so far, in their order."""
        try:
            lines = self.host.read(self.folder + "/commits").decode("ascii").splitlines()
        except FileNotFoundError:
            return []
        return [line.split()[1] for line in lines if len(line.split()) == 2]

    def wait_for(self, count):
        """Wait until the server has taken that many commits."""
        until = time.monotonic() + 60
        while len(self.commits()) < count:
            assert time.monotonic() < until and self._process.poll() is None, self.log()
            time.sleep(0.05)

    def stop(self):
        """Let it finish the commit that it is at, and end."""
        self.host.write(self.folder + "/stop", "")
        assert self._process.wait(30) == 0, self.log()

    def kill(self):
        """End it at once."""
        self._process.kill()
        self._process.wait()

    def log(self):
        """The end of what fossil told the client."""
        return self.host.run(["tail", "-n", "30", self.folder + ".log"], check=False).stdout
