# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The keys of a fleet: made anew for each, kept in its temporary folder, good for nothing else."""

from __future__ import annotations

import os

from .processes import checked

SSHD_CONFIG = """\
Port 22
HostKey /etc/ssh/fleet_host_key
AuthorizedKeysFile /etc/ssh/fleet_authorized_keys
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
MaxStartups 100
Subsystem sftp internal-sftp
PidFile /run/sshd.pid
"""


class Keys:
    """A key pair for the operator and one for the hosts, in a folder."""

    def __init__(self, folder):
        self.folder = folder
        self.operator = os.path.join(folder, "operator_key")
        self.host = os.path.join(folder, "host_key")
        self.known_hosts = os.path.join(folder, "known_hosts")

    def make(self):
        """Make both pairs, and an empty list of known hosts."""
        for path in (self.operator, self.host):
            checked(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "fleet", "-f", path])
        with open(self.known_hosts, "w", encoding="ascii"):
            pass

    def know(self, address):
        """Let the operator trust the host at an address, so that host keys are checked as on a real fleet."""
        with open(self.host + ".pub", encoding="ascii") as stream:
            kind, key = stream.read().split()[:2]
        with open(self.known_hosts, "a", encoding="ascii") as stream:
            stream.write("%s %s %s\n" % (address, kind, key))

    def ssh_options(self):
        """What ssh needs to be told to use these keys and nothing of the user who runs the test."""
        return ["-F", "none", "-o", "IdentitiesOnly=yes", "-o", "IdentityFile=" + self.operator,
                "-o", "UserKnownHostsFile=" + self.known_hosts, "-o", "GlobalKnownHostsFile=/dev/null",
                "-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes"]

    def host_files(self):
        """What a host's sshd needs, from path to content; all of it is for root alone."""
        files = {"/etc/ssh/fleet_sshd_config": SSHD_CONFIG}
        for source, path in ((self.host, "/etc/ssh/fleet_host_key"),
                             (self.operator + ".pub", "/etc/ssh/fleet_authorized_keys")):
            with open(source, encoding="ascii") as stream:
                files[path] = stream.read()
        return files
