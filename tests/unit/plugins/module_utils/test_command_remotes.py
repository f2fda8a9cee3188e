# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command, and backups that are encrypted and at a remote: how they are listed, verified, pruned and restored."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys

from ansible_collections.appstate.backup.plugins.module_utils.archive.age import make_pair


class Sealed:
    """The command, with encrypted backups at a remote of another host alone."""

    def __init__(self, command):
        self.command = command
        self.identity, recipient = make_pair()
        self.remote = command.host.place("remote")
        os.mkdir(self.remote)
        command.configure(encryption={"recipients": [recipient]}, remotes=[{"name": "offsite", "remote": self.remote}])
        ran, = command.json("run")
        self.id = ran["backup"]["id"]
        assert ran["copies"][0]["problem"] is None and ran["copies"][0]["path"].startswith(self.remote)
        name, = os.listdir(self.remote)
        os.rename(os.path.join(self.remote, name), os.path.join(self.remote, "web1"))
        self.chosen = ["--remote", "offsite", "--remote-host", "web1"]
        self.key = command.host.place("key")
        with open(self.key, "w", encoding="ascii") as file:
            file.write(self.identity)


def test_remotes_and_identities(inside, monkeypatch):
    sealed = Sealed(inside)
    assert inside.json("list", *sealed.chosen)[0]["id"] == sealed.id
    assert "notes  has no backups in %s/" % sealed.remote in inside("list", "--remote", "offsite")
    assert "has no remote 'x'" in inside.json("list", "--remote", "x", status=78)["error"]["message"]
    assert "--remote-host needs --remote" in inside.json("list", "--remote-host", "web1", status=78)["error"]["message"]
    assert "no identity was given" in inside.json("verify", "notes", *sealed.chosen, status=1)["error"]["message"]
    assert sealed.id + " is good (checksum)" in inside("verify", "notes", "--level", "checksum", *sealed.chosen)
    assert inside.json("verify", "notes", "--identity", sealed.key, *sealed.chosen)["verified"]
    for given, status in ((sealed.identity.encode(), 0), (make_pair()[0].encode(), 1), (b"\xff\xfe nonsense", 1), (b"", 1)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given), "utf-8"))
        told = inside.json("verify", "notes", "--identity", "-", *sealed.chosen, status=status)
        assert ("verified" in told) is (status == 0)
    assert sealed.identity.split()[-1] not in inside.errors
    inside.json("verify", "notes", "--identity", inside.host.place("none"), *sealed.chosen, status=1)
    inside.json("prune", "--remote", "offsite", "--dry-run")


def test_a_restore_from_a_remote_by_a_key_on_standard_input(command):
    sealed = Sealed(command)
    command.host.damage()
    done = subprocess.run(command.arguments("restore", "--json", "notes", "--identity", "-", *sealed.chosen), env=command.environment, cwd="/",
                          input=sealed.identity, stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["backup"]["id"] == sealed.id and command.host.notes() == 20
    assert sealed.identity.split()[-1] not in done.stdout + done.stderr
