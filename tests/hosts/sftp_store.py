# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real sshd of a host that lets one account in, by its key, to nothing but SFTP."""

from __future__ import annotations

import os

from .fleet import SSHD
from .store import Store

PORT = 2022
ACCOUNT = "vault"
HOME = "/srv/vault"
FOLDER = "/etc/ssh/vault"
KNOWN_HOSTS = "/etc/ssh/known_vault"
CONFIG = """\
Port %d
HostKey %s/host_key
AuthorizedKeysFile %s/authorized_keys
AllowUsers %s
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
ForceCommand internal-sftp
Subsystem sftp internal-sftp
PidFile none
""" % (PORT, FOLDER, FOLDER, ACCOUNT)


class SftpStore(Store):
    """The server, and a directory in the home of its account; it takes connections when the constructor is done."""

    def __init__(self, host, size=None):
        # An account with an asterisk has no password; one with an exclamation mark is locked, also for keys.
        host.run(["useradd", "--home-dir", HOME, "--shell", "/bin/sh", "--password", "*", "--no-log-init", ACCOUNT])
        super().__init__(host, os.path.join(HOME, "backups"), HOME, size, ACCOUNT)
        host.run(["install", "-d", "-m", "0755", FOLDER])
        for name in ("host_key", "account_key"):
            host.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", "%s/%s" % (FOLDER, name)])
        host.run(["mv", FOLDER + "/account_key.pub", FOLDER + "/authorized_keys"])
        self.key = host.read(FOLDER + "/account_key").decode()
        host.run(["rm", FOLDER + "/account_key"])
        host.write(FOLDER + "/config", CONFIG)
        self._process = None
        self.start()

    def start(self):
        """Start it."""
        self._process = self.host.start(SSHD[:2] + ["-f", FOLDER + "/config", "-E", "/var/log/vault.log"])
        script = "until ssh-keyscan -p %d %s 2>/dev/null | grep -q ssh; do sleep 0.05; done" % (PORT, self.host.address)
        self.host.run(["sh", "-c", script], timeout=20)

    def kill(self):
        """Kill it with every connection that it has."""
        self._process.kill()
        self._process.wait()
        self.host.run(["pkill", "-KILL", "-f", "^sshd: " + ACCOUNT], check=False)

    def options(self, client):
        """What rclone has to know of it on a host, which is told here what its key is."""
        kind, key = self.host.read(FOLDER + "/host_key.pub").decode().split()[:2]
        client.write(KNOWN_HOSTS, "[%s]:%d %s %s\n" % (self.host.address, PORT, kind, key))
        return {"type": "sftp", "host": self.host.address, "port": PORT, "user": ACCOUNT, "key_pem": self.key,
                "known_hosts_file": KNOWN_HOSTS}

    def described(self, name, client, **more):
        """The remote, as an operator describes it for a host."""
        return dict({"name": name, "remote": "vault:backups", "options": self.options(client)}, **more)
