# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fossil, an application that nobody here wrote: served and committed to while it is backed up, then restored.

host1 serves a repository in the journal mode that Fossil uses by itself, host2 one in WAL mode; clients on host3
commit to both over HTTP. host4 is a fresh host.
"""

from __future__ import annotations

import os
import random

import pytest
from hosts.fleet import Fleet
from hosts.packages import require
from repositories import REPOSITORY, Client, Repository

BACKUP = "appstate.backup.backup"
RESTORE = "appstate.backup.restore"
MODES = {"host1": "delete", "host2": "wal"}


class Story:
    """The repositories, and what was committed to them when."""

    def __init__(self, fleet):
        self.fleet = fleet
        self.repositories = {name: Repository(fleet[name]) for name in MODES}
        self.clients = {name: Client(fleet["host3"], repository, name) for name, repository in
                        self.repositories.items()}
        self.taken_before = {}
        self.taken_during = {}
        self.restored = {}


@pytest.fixture(scope="module", name="story")
def backup_while_clients_commit():
    require({"fossil": "fossil"})
    with Fleet(4) as fleet:
        story = Story(fleet)
        fleet.write_inventory({"appstate_apps": [Repository(None).app()]})
        for name, repository in story.repositories.items():
            repository.make(wal=MODES[name] == "wal")
            repository.serve()
            story.clients[name].start()
        for client in story.clients.values():
            client.wait_for(15)
        story.taken_before = {name: client.commits() for name, client in story.clients.items()}
        fleet.playbook(BACKUP, limit="host1,host2").ok()
        story.taken_during = {name: client.commits() for name, client in story.clients.items()}
        for name, client in story.clients.items():
            client.wait_for(len(story.taken_during[name]) + 5)
            client.stop()
        yield story


@pytest.fixture(scope="module", name="restored")
def damage_and_restore(story):
    """host1's repository is overwritten in its midst, host2's is gone."""
    for repository in story.repositories.values():
        repository.stop()
    with open(story.fleet["host1"].path(REPOSITORY), "r+b") as stream:
        stream.seek(5000)
        stream.write(random.Random(3).randbytes(100_000))
    os.remove(story.fleet["host2"].path(REPOSITORY))
    story.fleet.playbook(RESTORE, {"restore_app": "fossil"}, limit="host1,host2").ok()
    return story


@pytest.fixture(scope="module", name="fresh")
def restore_on_a_fresh_host(story, restored):
    """The backup of host2, taken to a host that never had the application's state."""
    source, target = story.fleet["host2"], story.fleet["host4"]
    folder = "/var/backups/fossil/"
    for name in os.listdir(source.path(folder)):
        target.write("/root/carried/" + name, source.read(folder + name), mode=0o600)
    (archive,) = [name for name in os.listdir(source.path(folder)) if not name.endswith(".json")]
    repository = Repository(target)
    repository.settle()
    story.fleet.playbook(RESTORE, {"restore_app": "fossil", "restore_archive": "/root/carried/" + archive},
                         limit="host4").ok()
    return repository


def whole(repository, story, name):
    """Fossil finds every artifact whole, and has all that was committed before the backup began."""
    integrity = repository.fossil("test-integrity", "-R", REPOSITORY)
    assert " 0 errors" in integrity and "integrity-check: ok" in integrity
    have, committed = repository.check_ins(), story.clients[name].commits()
    assert set(story.taken_before[name]) <= have
    taken = [each for each in committed if each in have]
    assert taken == committed[:len(taken)], "a check-in is missing in between"
    for number in (1, len(taken)):
        assert "C commit\\snumber\\s%d\n" % number in repository.fossil("artifact", taken[number - 1], "-R", REPOSITORY)
    return taken


def test_clients_committed_while_the_backup_ran(story):
    for name in MODES:
        assert len(story.taken_during[name]) >= len(story.taken_before[name]) + 5


def test_fossil_finds_its_artifacts_whole(story, restored):
    for name, repository in story.repositories.items():
        taken = whole(repository, story, name)
        assert len(taken) <= len(story.taken_during[name]) + 1
        assert len(taken) < len(story.clients[name].commits())


def test_the_journal_mode_owner_and_mode_came_back(story, restored):
    for name, repository in story.repositories.items():
        assert repository.journal() == MODES[name]
        told = repository.host.run(["stat", "-c", "%U:%G %a", REPOSITORY]).stdout
        assert told == "www-data:www-data 640\n"


def test_fossil_serves_its_pages(story, restored):
    for name, repository in story.repositories.items():
        taken = whole(repository, story, name)
        assert "commit number %d" % len(taken) in repository.page("/timeline?n=5")
        assert taken[-1][:10] in repository.page("/info/trunk")
        assert repository.page("/raw/counter.txt?ci=" + taken[-1]).strip() == str(len(taken))


def test_a_client_brings_back_what_it_still_has(story, restored):
    for name, client in story.clients.items():
        client.host.run(["env", "HOME=" + client.folder, "USER=admin", "fossil", "push", client.url, "--once",
                         "-R", client.folder + "/clone.fossil"])
        assert set(client.commits()) <= story.repositories[name].check_ins()


def test_a_fresh_host_has_the_repository_of_the_backup(story, fresh):
    taken = whole(fresh, story, "host2")
    assert "commit number %d" % len(taken) in fresh.page("/timeline?n=5")
    assert fresh.journal() == "wal"


def test_fossil_can_rebuild_the_repository_on_the_fresh_host(story, fresh):
    before = fresh.check_ins()
    fresh.stop()
    fresh.fossil("rebuild", REPOSITORY)
    assert fresh.check_ins() == before
    fresh.serve()
    newcomer = Client(story.fleet["host3"], fresh, "newcomer")
    newcomer.start()
    newcomer.wait_for(2)
    newcomer.stop()
    assert set(newcomer.commits()) <= fresh.check_ins()
