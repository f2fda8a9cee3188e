# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One host of a fleet."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess

from . import network
from .packages import INTERPRETER
from .processes import CommandFailed, nsenter, run


class Host:
    """A host that is up: its name, its address, and the number of its first process on the outer machine."""

    def __init__(self, name, number, pid, keeper, keys):
        self.name = name
        self.address = network.host_address(number)
        self.pid = pid
        self._keeper = keeper
        self._keys = keys

    def __repr__(self):
        return "<Host %s %s>" % (self.name, self.address)

    def run(self, command, user=None, check=True, timeout=60, input=None):  # pylint: disable=redefined-builtin
        """Run a command on the host as root or another user, without ssh; CommandFailed when it fails."""
        done = run(self.command_line(user) + list(command), timeout=timeout, input=input)
        if check and done.returncode != 0:
            raise CommandFailed("%s: %r ended with %s:\n%s%s"
                                % (self.name, command, done.returncode, done.stdout, done.stderr))
        return done

    def start(self, command, user=None):
        """Start a command on the host that goes on running: a subprocess.Popen, whose ``kill()`` ends it there too."""
        return subprocess.Popen(self.command_line(user, "--pdeathsig=KILL") + list(command), stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def ssh(self, *words, timeout=60, input=None):  # pylint: disable=redefined-builtin
        """Run a shell command on the host over ssh, from beside the keeper."""
        command = nsenter(self._keeper, "net", "pid") + ["ssh"] + self._keys.ssh_options()
        return run(command + ["root@" + self.address] + list(words), timeout=timeout, input=input)

    def path(self, path):
        """Where the outer machine finds a path of the host. Absolute symbolic links lead out of it: do not follow."""
        return os.path.join("/proc/%d/root" % self.pid, os.fspath(path).lstrip("/"))

    def write(self, path, content, owner="root", mode=0o644):
        """Write a file on the host, with its directory."""
        outer = self.path(path)
        os.makedirs(os.path.dirname(outer), exist_ok=True)
        with open(outer, "wb") as stream:
            stream.write(content.encode("utf-8") if isinstance(content, str) else content)
        # Hosts show the outer machine's accounts, so the numbers are the same there.
        entry = pwd.getpwnam(owner)
        os.chown(outer, entry.pw_uid, entry.pw_gid)
        os.chmod(outer, mode)

    def write_program(self, path, source):
        """Install a script of the tests as a program of the host; one of Python is run by Debian's."""
        with open(source, "rb") as stream:
            content = stream.read()
        if not content.startswith(b"#!"):
            content = b"#!%s\n" % INTERPRETER.encode("ascii") + content
        self.write(path, content, mode=0o755)

    def read(self, path):
        """A file of the host, as bytes."""
        with open(self.path(path), "rb") as stream:
            return stream.read()

    def stop(self):
        """Pull the plug: end every process of the host at once."""
        os.kill(self.pid, signal.SIGKILL)

    def command_line(self, user=None, *privileges):
        """The words in front of a command that make it run on the host, as root or another user."""
        enter = nsenter(self.pid, "mount", "uts", "ipc", "net", "pid", "root", "wd")
        become = [] if user is None else ["--reuid=" + user, "--regid=" + user, "--init-groups"]
        return enter + ["setpriv"] + become + list(privileges) + ["--"]
