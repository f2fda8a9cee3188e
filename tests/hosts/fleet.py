# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A number of hosts that come up together and go down together."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time

from . import network, systemd
from .controller import Controller
from .host import Host
from .keys import Keys
from .packages import INTERPRETER, require

PROGRAMS = {"ip": "iproute2", "unshare": "util-linux", "nsenter": "util-linux", "pivot_root": "util-linux",
            "setpriv": "util-linux", "mount": "mount", "sshd": "openssh-server", "ssh": "openssh-client", "git": "git",
            INTERPRETER: "python3"}
CRON_PROGRAMS = {"cron": "cron", "logrotate": "logrotate"}
SYSTEMD_PROGRAMS = {systemd.PROGRAM: "systemd"}
SSHD = ["/usr/sbin/sshd", "-D", "-f", "/etc/ssh/fleet_sshd_config", "-E", "/var/log/fleet_sshd.log"]
CRON = ["/usr/sbin/cron", "-f"]
TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
START_SECONDS = 30


class FleetError(RuntimeError):
    """A host or its surroundings did not come up."""


class Fleet:
    """Hosts named host1, host2, ...; a context manager. Leaving it twice does no harm.

    Args:
        count: how many.
        cron: whether the hosts without systemd run cron.
        systemd: names of those whose first process is systemd, which then runs nothing else but sshd.
    """

    def __init__(self, count, cron=False, systemd=()):
        self.count = count
        self._cron = cron
        self._systemd = systemd
        self.hosts = []
        self.folder = None
        self.controller = None
        self._keys = None
        self._keeper = None
        self._keeper_pid = None
        self._processes = []

    def __enter__(self):
        if os.geteuid() != 0:
            raise FleetError("Hosts are made of namespaces and mounts, which only root may set up.")
        require(dict(PROGRAMS, **(CRON_PROGRAMS if self._cron else {}), **(SYSTEMD_PROGRAMS if self._systemd else {})))
        try:
            self._set_up()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_problem):
        self.close()

    def __getitem__(self, name):
        return next(host for host in self.hosts if host.name == name)

    def __iter__(self):
        return iter(self.hosts)

    def write_inventory(self, variables=None, host_variables=None, hosts=None):
        """Write the inventory of all hosts, or of some, with variables for all and for each; gives its folder."""
        return self.controller.write_inventory(hosts or self.hosts, variables, host_variables)

    def playbook(self, name, extra_vars=None, **options):
        """Run a playbook against the inventory written last; see Controller.playbook."""
        return self.controller.playbook(name, extra_vars, **options)

    def module(self, name, arguments=None, **options):
        """Run one module against the inventory written last; see Controller.module."""
        return self.controller.module(name, arguments, **options)

    def close(self):
        """Take everything down and wait until it is gone."""
        if self._keeper is not None:
            self._keeper.stdin.close()
            self._wait_for_keeper()
        for process in self._processes:
            process.wait()
            process.stdout.close()
        self._processes = []
        self.hosts = []
        if self.folder is not None:
            if self._systemd:
                systemd.remove_groups()
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder = None

    def _wait_for_keeper(self):
        try:
            self._keeper.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            # The outer unshare kills the keeper with it, and the kernel all else.
            self._keeper.kill()
            self._keeper.wait()
        self._keeper.stdout.close()
        self._keeper = None

    def _set_up(self):
        self.folder = tempfile.mkdtemp(prefix="fleet-")
        os.mkdir(os.path.join(self.folder, "mount"))
        self._keys = Keys(self.folder)
        self._keys.make()
        self._keeper = self._start(["unshare", "--net", "--pid", "--fork", "--kill-child=KILL", "--",
                                    sys.executable, "-m", "hosts.keeper", self.folder], stdin=subprocess.PIPE)
        self._keeper_pid = _read_pid(self._keeper, "The keeper")
        self.controller = Controller(self.folder, self._keeper_pid, self._keys)
        starting = [(number, self._boot(number)) for number in range(1, self.count + 1)]
        for number, process in starting:
            name = _name(number)
            pid = _read_pid(process, name)
            self._keys.know(network.host_address(number))
            self.hosts.append(Host(name, number, pid, self._keeper_pid, self._keys))
        for host in self.hosts:
            _wait_for_ssh(host)

    def _boot(self, number):
        own = _name(number) in self._systemd
        services = [SSHD] + ([CRON] if self._cron and not own else [])
        description = {"name": _name(number), "number": number, "keeper": self._keeper_pid, "services": services,
                       "systemd": own, "group": os.path.basename(self.folder),
                       "folder": os.path.join(self.folder, "mount"), "secrets": self._keys.host_files(),
                       "files": {"/etc/hostname": _name(number) + "\n", "/etc/hosts": self._known_names(),
                                 "/etc/resolv.conf": "# Names of hosts are in /etc/hosts; there is no server.\n"}}
        process = self._start(["nsenter", "--target", str(self._keeper_pid), "--net", "--pid", "--",
                               "unshare", "--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child=KILL",
                               "--", sys.executable, "-m", "hosts.boot"], stdin=subprocess.PIPE)
        self._processes.append(process)
        # By a pipe and not as an argument, which everybody could read: the host's key is in it.
        process.stdin.write(json.dumps(description).encode("utf-8"))
        process.stdin.close()
        return process

    def _known_names(self):
        names = [(network.host_address(number), _name(number)) for number in range(1, self.count + 1)]
        return "".join("%s %s\n" % pair for pair in [("127.0.0.1", "localhost"), ("::1", "localhost")] + names)

    def _start(self, command, stdin=subprocess.DEVNULL):
        """Start a process in a session of its own, so that a ctrl-C ends the test and the test ends the fleet."""
        environment = dict(os.environ, PYTHONPATH=TESTS, PYTHONDONTWRITEBYTECODE="1")
        environment["PATH"] = environment.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
        with open(os.path.join(self.folder, "log"), "ab") as log:
            return subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, stderr=log, env=environment,
                                    start_new_session=True)


def _name(number):
    return "host%d" % number


def _read_pid(process, what):
    """Wait until a process says its number; its standard output is a pipe."""
    readable = select.select([process.stdout], [], [], START_SECONDS)[0]
    line = process.stdout.readline() if readable else b""
    if not line.strip().isdigit():
        raise FleetError("%s did not come up; the reason is in the fleet's log." % what)
    return int(line)


def _wait_for_ssh(host):
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if host.ssh("true").returncode == 0:
            return
        time.sleep(0.05)
    raise FleetError("%s does not answer over ssh:\n%s" % (host.name, host.ssh("true").stderr))
