# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command as hosts have it: the built file, started by the system with an empty environment; and the same in this process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.command import main
from ansible_collections.appstate.backup.plugins.plugin_utils.zipapp import build


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The command's file."""
    path = tmp_path_factory.mktemp("command") / "appstate-backup"
    build(str(path))
    path.chmod(0o755)
    return str(path)


class Command:
    """The command on a host with the application ``notes``."""

    environment = {"PATH": "%s:/usr/sbin:/usr/bin:/sbin:/bin" % os.path.dirname(sys.executable)}

    def __init__(self, host, path):
        self.host = host
        self.path = path
        self.places = ["--config", host.place("apps.d"), "--state-directory", host.state, "--lock-directory", host.locks]
        os.mkdir(host.place("apps.d"), 0o700)
        os.mkdir(host.place("metrics"))
        host.fill()
        self.configure()

    def configure(self, name="notes", **words):
        told = dict({"name": name, "allow_network_destination": True, "monitoring": {"syslog": False}}, **words)
        path = os.path.join(self.host.place("apps.d"), name + ".json")
        with open(path, "w", encoding="ascii") as file:
            json.dump(self.host.described(**told), file)
        os.chmod(path, 0o600)
        return path

    def arguments(self, *words):
        return [self.path] + self.places + list(words)

    def __call__(self, *words, status=0):
        """Runs it; returns what it wrote on both streams."""
        done = subprocess.run(self.arguments(*words), env=self.environment, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, universal_newlines=True, check=False)
        assert done.returncode == status, done.stderr + done.stdout
        assert "Traceback" not in done.stderr and "\x1b" not in done.stderr + done.stdout
        self.errors = done.stderr
        return done.stdout

    def json(self, *words, status=0):
        return json.loads(self(words[0], "--json", *words[1:], status=status))

    def status(self, name="notes"):
        with open(self.host.place("state", "status", name + ".json"), encoding="ascii") as file:
            return json.load(file)

    def audit(self):
        with open(self.host.place("state", "audit.jsonl"), encoding="ascii") as file:
            return [json.loads(line) for line in file]


class Inside(Command):
    """The same in this process, where starting it is not what is tested."""

    capsys = None

    def __call__(self, *words, status=0):
        self.capsys.readouterr()
        assert main(self.places + list(words)) == status
        said = self.capsys.readouterr()
        self.errors = said.err
        return said.out


@pytest.fixture
def command(host, built):
    return Command(host, built)


@pytest.fixture
def inside(host, capsys):
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    made = Inside(host, None)
    made.capsys = capsys
    yield made
    for number, handler in handlers.items():
        signal.signal(number, handler)
