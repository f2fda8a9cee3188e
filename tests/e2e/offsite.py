# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What tests of remotes share: the backups of one app at a store, runs of the command, and keys to encrypt to."""

from __future__ import annotations

import json
import subprocess

from hosts.packages import require

INFO = "appstate.backup.backup_info"
VERIFY = "appstate.backup.backup_verify"
PRUNE = "appstate.backup.backup_prune"


class Offsite:
    """The backups of an app at a store, as they lie there."""

    def __init__(self, store, name, host="host1"):
        self.store = store
        self.folder = "%s/%s" % (host, name)

    def names(self):
        """Everything that lies there."""
        return self.store.keys(self.folder)

    def key(self, name):
        """Where it lies, relative to the store."""
        return "%s/%s" % (self.folder, name)

    def manifests(self):
        """The manifests, oldest first."""
        found = [json.loads(self.store.read(self.key(name))) for name in self.names() if name.endswith(".json")]
        return sorted(found, key=lambda manifest: manifest["created"])

    def ids(self):
        """The ids of the backups that are whole, oldest first: each is two files, and nothing else lies there."""
        manifests = self.manifests()
        archives = [manifest["archive"]["name"] for manifest in manifests]
        wanted = archives + [name.partition(".tar.")[0] + ".json" for name in archives]
        assert self.names() == sorted(wanted), self.names()
        return [manifest["id"] for manifest in manifests]

    def archive(self, number=-1):
        """Where the archive of one backup lies, by default of the newest."""
        return self.key(self.manifests()[number]["archive"]["name"])


class Pair:
    """A key to encrypt to, and the one that opens what was encrypted; both are in the memory of the test alone."""

    def __init__(self):
        require({"/usr/bin/age": "age", "/usr/bin/age-keygen": "age"})
        done = subprocess.run(["/usr/bin/age-keygen"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
        self.identity = done.stdout.decode("ascii")
        (self.secret,) = [line for line in self.identity.splitlines() if line.startswith("AGE-SECRET-KEY-")]
        (line,) = [line for line in self.identity.splitlines() if line.startswith("# public key: ")]
        self.recipient = line.split()[-1]


def copies(run):
    """The copies of the one app that a run of the backup playbook backed up, by the remote's name."""
    (result,) = run.results("appstate.backup.backup")
    (result,) = result["results"]
    return {copied["remote"]: copied for copied in result["copies"]}
