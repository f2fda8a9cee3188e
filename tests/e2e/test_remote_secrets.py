# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""No secret is ever where others could read it: no argument, no environment, no log, no result, and no file but one.

All that a run does is watched, from the outside and with Ansible at its most talkative: a schedule, backups that are
encrypted and sent away, copies that fail, a verification and a restore with the key that opens them.
"""

from __future__ import annotations

import json
import os
import stat
import time

import pytest
from hosts.fleet import Fleet
from hosts.object_store import ObjectStore
from hosts.secrets_watch import SecretsWatch, in_files, in_text
from hosts.sftp_store import SftpStore
from notebooks import METRICS, Notebook, Pings
from offsite import VERIFY, Offsite, Pair

BACKUP = "appstate.backup.backup"
RESTORE = "appstate.backup.restore"
SCHEDULE = "appstate.backup.schedule"
CONFIG = "/etc/appstate-backup/apps.d/notes.json"
# Where Ansible itself puts what it copies to a host, for as long as a task runs, and Python's own file beside its target.
OF_ANSIBLE = ("/root/.ansible/tmp/", os.path.dirname(CONFIG) + "/.ansible_tmp", os.path.dirname(CONFIG) + "/.source")
ASK = """
- hosts: host1
  gather_facts: false
  tasks:
    - name: Verify what is at each remote
      appstate.backup.backup_verify:
        app: "{{ appstate_apps | first }}"
        remote: "{{ remote }}"
        identity: "{{ restore_identity }}"
      loop: [s3, vault]
      loop_control: {loop_var: remote}
    - name: Have it refused with another key
      appstate.backup.backup_verify:
        app: "{{ appstate_apps | first }}"
        remote: s3
        identity: "{{ another_identity }}"
      # It has to fail; the tests look at what it shows then.
      ignore_errors: true
"""


class Story:
    """The fleet, the application, its remotes, and everything that must not be seen."""

    def __init__(self, fleet):
        self.fleet = fleet
        self.host = fleet["host1"]
        self.notes = Notebook(self.host, "notes").install()
        self.host.run(["mkdir", "-p", METRICS])
        self.pings = Pings(fleet["host2"])
        self.store = ObjectStore(fleet["host2"])
        self.vault = SftpStore(fleet["host2"])
        self.pair, self.other = Pair(), Pair()
        self.of_remotes = {"secret of S3": self.store.secret, "key of SFTP": self.vault.key.splitlines()[2]}
        self.identities = {"identity": self.pair.secret, "another identity": self.other.secret}
        self.secrets = dict(self.of_remotes, **self.identities)
        self.runs = []

    def write_inventory(self):
        """The inventory, which is the one place where an operator has all of them."""
        remotes = [self.store.described("s3", attempts=1), self.vault.described("vault", self.host, attempts=1)]
        app = self.notes.app(self.fleet["host2"].address, remotes=remotes, encryption={"recipients": [self.pair.recipient]})
        self.fleet.write_inventory({"appstate_apps": [app], "restore_app": "notes", "restore_identity": self.pair.identity,
                                    "another_identity": self.other.identity})

    def play(self, name, extra_vars=None):
        """Run a playbook that tells all that it can."""
        time.sleep(1.1)
        run = self.fleet.playbook(name, extra_vars, limit="host1", arguments=["-vvv"], diff=True)
        self.runs.append(run)
        return run

    def ask(self):
        """Verify at both remotes."""
        path = os.path.join(self.fleet.folder, "ask.yml")
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(ASK)
        return self.play(path)

    def by_hand(self):
        """A run by the command, and a verification with the key on its standard input."""
        time.sleep(1.1)
        ran = self.host.ssh("appstate-backup run notes >>/var/log/appstate-backup/notes.log 2>&1; echo $?")
        told = self.host.ssh("appstate-backup", "verify", "notes", "--remote", "vault", "--identity", "-",
                             input=self.pair.identity)
        return ran.stdout, told.stdout + told.stderr


@pytest.fixture(scope="module", name="story")
def everything_watched():
    with Fleet(2, cron=True) as fleet:
        story = Story(fleet)
        story.write_inventory()
        # What is encrypted takes a moment, so that age is seen on a busy machine, too.
        story.host.write(story.notes.root + "/settings.conf", os.urandom(16 << 20))
        with SecretsWatch(story.host, story.secrets) as watch:
            story.watch = watch
            story.play(SCHEDULE).ok()
            story.play(BACKUP).ok()
            story.asked = story.ask().ok()
            story.notes.host.run(["sqlite3", story.notes.database, "DELETE FROM notes"])
            story.play(RESTORE, {"restore_remote": "s3"}).ok()
            story.by_hand_said = story.by_hand()
            story.store.kill()
            story.vault.kill()
            story.failed = story.play(BACKUP)
        yield story


def test_all_of_it_really_happened(story):
    assert story.by_hand_said[0] == "0\n" and "is good (content)" in story.by_hand_said[1], story.by_hand_said
    results = story.asked.results(VERIFY)
    assert [each["verified"] for each in results[0]["results"]] == [True, True] and "identity" in results[1]["msg"]
    assert story.failed.failed_hosts() == {"host1"}
    for store in (story.store, story.vault):
        assert len(Offsite(store, "notes").ids()) == 2
        assert store.read(Offsite(store, "notes").archive()).startswith(b"age-encryption.org/v1\n")


def test_no_process_had_a_secret_in_its_arguments_or_its_environment(story):
    assert story.watch.seen == set()
    # It did look at those that were given one.
    assert min(story.watch.programs.get(name, 0) for name in ("rclone", "age", "sshd")) > 5, story.watch.programs


def test_nothing_that_ansible_said_has_a_secret_in_it(story):
    assert len(story.runs) == 5
    for run in story.runs:
        assert len(run.text) > 2000 and in_text(run.text, story.secrets) == [], run.command
        assert in_text(json.dumps(run.events, ensure_ascii=False), story.secrets) == [], run.command


def test_the_one_file_with_secrets_of_remotes_is_for_root_alone_and_no_file_has_an_identity(story):
    assert in_files(story.host, story.secrets) == [(name, CONFIG) for name in sorted(story.of_remotes)]
    assert stat.S_IMODE(os.stat(story.host.path(CONFIG)).st_mode) == 0o600
    assert os.stat(story.host.path(CONFIG)).st_uid == 0


def test_no_other_file_had_a_secret_even_for_a_moment(story):
    odd = {(name, path) for name, path in story.watch.found if path != CONFIG and not path.startswith(OF_ANSIBLE)}
    assert odd == set()
    assert not {name for name, _path in story.watch.found} & set(story.identities)


def test_neither_logs_nor_pings_nor_the_status_tell_a_secret(story):
    told = [story.notes.log(), story.host.read("/var/lib/appstate-backup/audit.jsonl").decode(),
            json.dumps(story.notes.status()), story.host.read(METRICS + "/appstate_backup_notes.prom").decode()]
    told += [ping["body"] for ping in story.pings.received()]
    assert "s3" in told[0] and "remote s3" in told[1] and '"failed"' in told[2]
    assert story.pings.received("/notes/fail")
    assert [in_text(text, story.secrets) for text in told] == [[]] * len(told)
