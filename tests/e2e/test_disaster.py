# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One host dies, and a fresh one takes its place: one run of a playbook brings the application back from an S3 bucket.

The backup is encrypted to a key whose other half no host ever had. One story, told in order.
"""

from __future__ import annotations

import os
import time

import pytest
from hosts.fleet import Fleet
from hosts.object_store import ObjectStore
from hosts.secrets_watch import in_files
from ledgers import OWNER, SCRIPTOR, SUM, Ledger, passport, rows
from offsite import Offsite, Pair
from trees import below

BACKUP = "appstate.backup.backup"
RESTORE = "appstate.backup.restore"
MODULE = "appstate.backup.backup_restore"
UPLOADS = SCRIPTOR["uploads"].encode()
GROWING = (UPLOADS + b"/receipts", UPLOADS + b"/growing.log", UPLOADS + b"/draft.part")


class Story:
    """The fleet, the application on the host that dies and on the one that takes over, and the bucket."""

    def __init__(self, fleet):
        self.fleet = fleet
        self.old = Ledger(fleet["host1"], SCRIPTOR)
        self.new = Ledger(fleet["host2"], SCRIPTOR)
        self.store = ObjectStore(fleet["host3"])
        self.offsite = Offsite(self.store, "scriptor")
        self.pair = Pair()
        self.escrow = Pair()
        self.tree = self.runs = None

    def described(self):
        """The app, encrypted to two keys."""
        return dict(self.old.app(), remotes=[self.store.described("offsite")],
                    encryption={"recipients": [self.pair.recipient, self.escrow.recipient]})

    def restore(self, identity=None, **more):
        """The one run: on the fresh host, what the other one had sent away."""
        told = {"restore_app": "scriptor", "restore_remote": "offsite", "restore_remote_host": "host1"}
        return self.fleet.playbook(RESTORE, dict(told, **(dict(more, restore_identity=identity) if identity else more)),
                                   limit="host2")


@pytest.fixture(scope="module", name="story")
def two_hosts_and_a_bucket():
    with Fleet(3) as fleet:
        story = Story(fleet)
        fleet.write_inventory({"appstate_apps": [story.described()]})
        story.old.install("wal")
        story.old.start()
        story.old.wait_for_writes()
        yield story


@pytest.fixture(scope="module", name="taken")
def backup_beside_a_writer(story):
    story.tree = story.old.tree()
    run = story.fleet.playbook(BACKUP, limit="host1").ok()
    story.runs = set(story.old.report()["runs"])
    return run


@pytest.fixture(scope="module", name="dead")
def first_host_gone(story, taken):
    story.old.wait_for_writes(5)
    story.old.host.stop()
    story.new.settle()
    return taken


@pytest.fixture(scope="module", name="restored")
def one_run_on_the_fresh_host(story, dead):
    return story.restore(story.escrow.identity).ok()


def test_what_is_in_the_bucket_is_encrypted_and_says_to_whom(story, taken):
    (backup,) = story.offsite.ids()
    name = backup + ".tar.zst.age"
    content = story.store.read(story.offsite.key(name))
    assert content.startswith(b"age-encryption.org/v1\n")
    assert b"SQLite format 3" not in content and b"ustar" not in content and "Größe".encode() not in content
    (manifest,) = story.offsite.manifests()
    assert manifest["encryption"]["recipients"] == [story.pair.recipient, story.escrow.recipient]
    assert manifest["verified"]["level"] == "content"


def test_the_key_that_opens_it_was_never_on_the_host(story, taken):
    secrets = {"identity": story.pair.secret, "identity in escrow": story.escrow.secret}
    assert in_files(story.old.host, secrets) == []


@pytest.mark.parametrize("identity, said", [("another", "the identity does not open it"), (None, "no identity was given"),
                                            ("broken", "no secret key")])
def test_without_the_key_the_run_ends_in_plain_words_and_changes_nothing(story, dead, identity, said):
    given = {"another": Pair().identity, None: None, "broken": "AGE-SECRET-KEY-1QQQQ\n"}[identity]
    run = story.restore(given)
    assert run.failed_hosts() == {"host2"} and said in run.text and "Traceback" not in run.text, run.text
    assert not os.path.exists(story.new.host.path(story.new.root))
    assert not [result for result in run.results(MODULE) if result.get("changed")]
    (backup,) = story.offsite.ids()
    assert backup in run.text


def test_the_fresh_host_has_every_row_of_the_backup_and_the_assertions_hold(story, restored):
    report = story.new.report()
    assert (report["sum"], report["integrity"], report["accounts"]) == (SUM, "ok", 50)
    (manifest,) = story.offsite.manifests()
    assert rows(report, story.runs) == passport(manifest)["tables"]["transfers"] >= 3000
    assert (report["user_version"], report["application_id"]) == (7, 1280590663)


def test_every_file_is_there_to_the_byte_with_owner_mode_and_time(story, restored):
    kept = (UPLOADS, SCRIPTOR["settings"].encode())
    wanted = below(story.tree, *kept, leave_out=GROWING)
    assert len(wanted) > 170 and below(story.new.tree(), *kept, leave_out=GROWING) == wanted
    for name in story.new.report()["receipts"]:
        assert name.split("-")[0] not in story.runs or os.path.getsize(story.new.outer(SCRIPTOR["uploads"] + "/receipts/" + name))


def test_the_application_runs_again(story, restored):
    story.new.wait_for_writes(5)
    told = story.new.host.run(["stat", "-c", "%U", os.path.join(story.new.root, SCRIPTOR["database"])]).stdout
    assert told == OWNER + "\n"


def test_the_closing_message_says_which_backup_it_was(story, restored):
    said = " ".join(repr(result.get("msg")) for result in restored.results("ansible.builtin.debug", status="ok"))
    (backup,) = story.offsite.ids()
    assert backup in said, said


def test_no_plain_text_and_no_key_is_left_beside_the_application(story, restored):
    secrets = {"identity": story.pair.secret, "identity in escrow": story.escrow.secret}
    assert in_files(story.new.host, secrets) == []
    assert in_files(story.new.host, {"settings": "Größe"}) == [("settings", os.path.join(story.new.root, SCRIPTOR["settings"]))]


def test_the_same_run_once_more_changes_nothing(story, restored):
    again = story.restore(story.pair.identity).ok()
    assert not [result for result in again.results(MODULE) if result.get("changed")]
    story.new.wait_for_writes(5)


def test_what_the_fresh_host_backs_up_lies_beside_what_the_other_one_had(story, restored):
    story.fleet.playbook(RESTORE, {"restore_app": "scriptor", "restore_state": "committed"}, limit="host2").ok()
    time.sleep(1.1)
    before = story.offsite.ids()
    story.fleet.playbook(BACKUP, limit="host2").ok()
    (own,) = Offsite(story.store, "scriptor", "host2").ids()
    assert story.offsite.ids() == before and own not in before
