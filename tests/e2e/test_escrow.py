# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two hosts with encrypted backups: the key in escrow opens all of them, another one none, and plain text is told."""

from __future__ import annotations

import os
import subprocess

import pytest
from hosts.fleet import Fleet
from hosts.packages import require
from hosts.secrets_watch import SecretsWatch

BACKUP, ESCROW = "appstate.backup.backup", "appstate.backup.escrow"
HOSTS = ["host1", "host2"]
PLACE = "/mnt/remote"


def key(folder, name):
    """``(path of a new secret key, its public key)``."""
    path = os.path.join(folder, name)
    subprocess.run(["age-keygen", "-o", path], check=True, stderr=subprocess.DEVNULL)
    return path, subprocess.run(["age-keygen", "-y", path], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def app(name, recipient, **more):
    """An app of one file, encrypted."""
    return dict({"name": name, "root": "/srv/app", "destination": "/var/backups", "sources": [{"type": "files", "path": "uploads"}],
                 "encryption": {"recipients": [recipient]}}, **more)


class Story:
    """The fleet, and both keys."""

    def __init__(self, fleet):
        require({"/usr/bin/age": "age", "/usr/bin/rclone": "rclone"})
        self.fleet = fleet
        self.right, self.recipient = key(fleet.folder, "right")
        self.wrong, _recipient = key(fleet.folder, "wrong")
        self.apps = [app("wiki", self.recipient), app("shop", self.recipient, remotes=[{"name": "disk", "remote": PLACE}])]

    def escrow(self, **variables):
        """What the playbook does, and what it says in the end."""
        run = self.fleet.playbook(ESCROW, variables)
        said = {host: "\n".join(result["msg"] for result in run.results("ansible.builtin.debug", host)
                                if isinstance(result.get("msg"), str))
                + "\n".join("\n".join(result["msg"]) for result in run.results("ansible.builtin.debug", host)
                            if isinstance(result.get("msg"), list)) for host in HOSTS}
        return run, said


@pytest.fixture(scope="module", name="story")
def encrypted_backups():
    with Fleet(2) as fleet:
        story = Story(fleet)
        fleet.write_inventory({"appstate_apps": story.apps})
        for host in fleet:
            host.run(["mkdir", "-p", PLACE, "/srv/app/uploads"])
            host.write("/srv/app/uploads/a.txt", "plain text of " + host.name)
        fleet.playbook(BACKUP).ok()
        yield story


def test_the_right_key_opens_all_and_says_which(story):
    with open(story.right, encoding="ascii") as stream:
        identity = stream.read()
    for words in ({"escrow_identity": identity}, {"escrow_identity_file": story.right}):
        run, said = story.escrow(**words)
        run.ok()
        for host in HOSTS:
            for name in ("wiki", "shop"):
                assert "%s: %s-" % (name, name) in said[host] and "was opened, 2 members" in said[host], said
        assert "AGE-SECRET-KEY-" not in run.text
        assert not any(counts["changed"] for counts in run.recap().values())


def test_neither_the_key_nor_what_it_opens_gets_to_a_disk(story):
    """Whatever the inventory says of pipelining; what was backed up is on the host no more."""
    host = story.fleet["host1"]
    host.run(["rm", "/srv/app/uploads/a.txt"])
    with open(story.right, encoding="ascii") as stream:
        identity = stream.read().splitlines()[-1]
    story.fleet.write_inventory({"appstate_apps": story.apps, "ansible_pipelining": False})
    with SecretsWatch(host, {"key": identity, "plain text": "plain text of host1"}) as watch:
        story.escrow(escrow_identity=identity)[0].ok()
    story.fleet.write_inventory({"appstate_apps": story.apps})
    assert watch.programs.get("age") and not watch.seen and not watch.found, (watch.seen, watch.found)


def test_it_opens_what_is_at_a_remote(story):
    run, said = story.escrow(escrow_identity_file=story.right, escrow_remote="disk", escrow_apps="shop")
    run.ok()
    assert all("shop: shop-" in said[host] and "wiki" not in said[host] for host in HOSTS)
    run, said = story.escrow(escrow_identity_file=story.right, escrow_remote="disk")
    assert run.failed_hosts() == set(HOSTS)
    assert all("wiki: FAILED: app wiki: has no remote 'disk'" in said[host] for host in HOSTS)


def test_another_key_opens_none_and_each_is_named(story):
    run, said = story.escrow(escrow_identity_file=story.wrong)
    assert run.failed_hosts() == set(HOSTS)
    for host in HOSTS:
        for name in ("wiki", "shop"):
            assert "%s: FAILED: app %s: " % (name, name) in said[host] or "%s: FAILED: " % name in said[host], said
        assert said[host].count("belongs to none of the recipients") == 2, said
    assert "AGE-SECRET-KEY-" not in run.text


def test_without_a_key_it_does_not_begin(story):
    for words in ({}, {"escrow_identity_file": story.right, "escrow_identity": "AGE-SECRET-KEY-1"}):
        run = story.fleet.playbook(ESCROW, words)
        assert run.failed_hosts() == set(HOSTS) and not run.results("appstate.backup.backup_verify")
    run = story.fleet.playbook(ESCROW, {"escrow_identity_file": story.right, "escrow_apps": "wiki,nobody"})
    assert run.failed_hosts() == set(HOSTS) and "escrow_apps names nobody" in run.text


def test_a_backup_that_is_not_encrypted_though_its_app_says_so_fails(story):
    plain = [{word: value for word, value in told.items() if word != "encryption"} for told in story.apps]
    story.fleet.write_inventory({"appstate_apps": story.apps}, {"host2": {"appstate_apps": plain}})
    story.fleet.playbook(BACKUP, limit="host2").ok()
    run, said = story.escrow(escrow_identity_file=story.right)
    run.ok()
    assert said["host2"].count("is not encrypted, and nor does the app say so") == 2, said
    story.fleet.write_inventory({"appstate_apps": story.apps})
    run, said = story.escrow(escrow_identity_file=story.right)
    assert run.failed_hosts() == {"host2"} and said["host1"].count("was opened") == 2
    assert said["host2"].count("is not encrypted, and the app says it should be") == 2, said


def test_a_damaged_backup_fails_whatever_the_key(story):
    host = story.fleet["host1"]
    folder = host.path("/var/backups/wiki")
    (archive,) = [name for name in os.listdir(folder) if name.endswith(".age")]
    with open(os.path.join(folder, archive), "r+b") as stream:
        stream.seek(-5, os.SEEK_END)
        stream.write(b"xxxxx")
    run, said = story.escrow(escrow_identity_file=story.right)
    assert "host1" in run.failed_hosts() and "wiki: FAILED: " in said["host1"] and "shop-" in said["host1"]
