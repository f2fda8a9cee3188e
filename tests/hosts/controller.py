# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The operator's side: an inventory, and ansible-playbook run beside the keeper with settings of its own."""

from __future__ import annotations

import json
import os
import pathlib
import shlex
import sys
import time

from .collection import collections_path
from .packages import INTERPRETER
from .processes import nsenter, run

HERE = os.path.dirname(os.path.abspath(__file__))


class Controller:
    """Runs Ansible against a fleet; everything it writes lies in a folder of the fleet."""

    def __init__(self, folder, keeper, keys):
        self.folder = folder
        self._keeper = keeper
        self._keys = keys
        self._runs = 0
        self._collections = None
        # Empty: every setting comes by the environment, none from the user who runs the test.
        pathlib.Path(folder, "ansible.cfg").touch()

    def write_inventory(self, hosts, variables=None, host_variables=None):
        """Write the inventory: a host_vars and a group_vars file beside the list, as an operator has them."""
        folder = os.path.join(self.folder, "inventory")
        connection = {"ansible_user": "root", "ansible_python_interpreter": INTERPRETER,
                      "ansible_ssh_private_key_file": self._keys.operator,
                      "ansible_ssh_common_args": " ".join(self._keys.ssh_options())}
        entries = {host.name: {"ansible_host": host.address} for host in hosts}
        _write_json(os.path.join(folder, "hosts.yml"), {"all": {"hosts": entries}})
        _write_json(os.path.join(folder, "group_vars", "all", "connection.yml"), connection)
        _write_json(os.path.join(folder, "group_vars", "all", "variables.yml"), variables or {})
        for host in hosts:
            _write_json(os.path.join(folder, "host_vars", host.name + ".yml"),
                        (host_variables or {}).get(host.name, {}))
        return folder

    def use_collections(self, folder):
        """From now on take collections from another folder; None is the usual one again."""
        self._collections = folder

    def playbook(self, name, extra_vars=None, limit=None, check=False, diff=False, arguments=(), timeout=300):
        """Run a playbook by name or path; gives a Run whatever its outcome."""
        words = [name]
        if extra_vars:
            words += ["--extra-vars", json.dumps(extra_vars)]
        return self._ansible("ansible-playbook", words + list(arguments), limit, check, diff, timeout)

    def module(self, name, arguments=None, limit=None, check=False, diff=False, timeout=120):
        """Run one module on the hosts; gives a Run whatever its outcome."""
        words = ["all", "-m", name] + (["-a", json.dumps(arguments)] if arguments else [])
        return self._ansible("ansible", words, limit, check, diff, timeout)

    def paste(self, line, timeout=300):
        """Run a line that Ansible has printed as it is, in another directory; gives a Run whatever its outcome."""
        program, *words = shlex.split(line)
        return self._run([beside_python(program)] + words, "/", timeout)

    def _ansible(self, program, words, limit, check, diff, timeout):
        command = [beside_python(program), "-i", os.path.join(self.folder, "inventory"), "--forks", "16"] + words
        for flag, wanted in (("--check", check), ("--diff", diff)):
            command += [flag] if wanted else []
        if limit:
            command += ["--limit", limit if isinstance(limit, str) else ",".join(limit)]
        return self._run(command, self.folder, timeout)

    def _run(self, command, place, timeout):
        self._runs += 1
        record = os.path.join(self.folder, "run%d.jsonl" % self._runs)
        began = time.monotonic()
        done = run(nsenter(self._keeper, "net", "pid") + command, timeout=timeout, env=self._environment(record), cwd=place)
        return Run(command, done.returncode, done.stdout + done.stderr, time.monotonic() - began, _read_lines(record))

    def _environment(self, record):
        if self._collections is None:
            self._collections = collections_path(os.path.join(self.folder, "collections"))
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        return dict(kept, FLEET_RECORD=record, LC_ALL="C.UTF-8", ANSIBLE_CONFIG=self.folder + "/ansible.cfg",
                    ANSIBLE_HOME=self.folder + "/ansible", ANSIBLE_SSH_CONTROL_PATH_DIR=self.folder + "/cp",
                    ANSIBLE_COLLECTIONS_PATH=self._collections, ANSIBLE_PIPELINING="1", ANSIBLE_NOCOLOR="1",
                    ANSIBLE_CALLBACK_PLUGINS=HERE + "/callback_plugins", ANSIBLE_CALLBACKS_ENABLED="fleet_record",
                    ANSIBLE_LOAD_CALLBACK_PLUGINS="1")


class Run:
    """What came of a run of Ansible: its exit code, its screen, its time, and every task's result."""

    def __init__(self, command, returncode, text, seconds, events):
        self.command = command
        self.returncode = returncode
        self.text = text
        self.seconds = seconds
        self.events = events

    def results(self, action, host=None, status=None):
        """The results of one module or action, in the order they came."""
        return [event["result"] for event in self.events if event["action"] == action
                and host in (None, event["host"]) and status in (None, event["status"])]

    def failed_hosts(self):
        """The hosts that failed or could not be reached, by the closing recap."""
        return {host for host, counts in self.recap().items() if counts["failed"] or counts["unreachable"]}

    def recap(self):
        """The closing recap: from host to its counts."""
        lines = self.text.partition("PLAY RECAP")[2].splitlines()[1:]
        counts = {}
        for line in lines:
            host, colon, rest = line.partition(" : ")
            if colon:
                counts[host.strip()] = {name: int(value) for name, _equal, value in
                                        (pair.partition("=") for pair in rest.split())}
        return counts

    def ok(self):
        """The same run, when it went well on every host; else AssertionError with its whole screen."""
        if self.returncode != 0:
            raise AssertionError("%r ended with %d:\n%s" % (self.command, self.returncode, self.text))
        return self


def beside_python(program):
    """A program of the environment that runs the tests, so that all of Ansible is of one version."""
    return os.path.join(os.path.dirname(os.path.abspath(sys.executable)), program)


def _write_json(path, value):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as stream:
        json.dump(value, stream, indent=1)


def _read_lines(path):
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]
