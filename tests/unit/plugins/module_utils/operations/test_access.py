# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether somebody without root's rights can back an app up, each obstacle by itself, and that a run then agrees."""

from __future__ import annotations

import os

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.operations.access import refuse_access
from ansible_collections.appstate.backup.plugins.module_utils.operations.backup import take_backup
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import AppStateError, ConfigurationError, SourceError
from ansible_collections.appstate.backup.plugins.module_utils.system.process import Identity, run_child
from ansible_collections.appstate.backup.tests.unit.plugins.host import DATABASE, GROUP, OWNER

ROOT = os.geteuid() == 0
STRANGER = 3009
pytestmark = pytest.mark.skipif(not ROOT, reason="only root can become another user")


@pytest.fixture(name="owned")
def an_app_whose_user_runs_it(host):
    """All that its user has to write belongs to it."""
    host.fill()
    for place in (host.state, host.locks):
        os.makedirs(place, exist_ok=True)
        host.own(place)
    host.own(host.destination)
    return host


def refuse(host, account=OWNER, **words):
    """What ``refuse_access`` says, or nothing."""
    try:
        refuse_access(host.app(**words), account, host.state, host.locks)
    except AppStateError as error:
        return error
    return None


def backs_up(host):
    """Whether its user can really take a backup."""
    def take():
        return take_backup(host.app(), host.machine).warnings

    try:
        return run_child(take, identity=Identity(OWNER, GROUP)) == []
    except AppStateError:
        return False


def test_the_apps_own_user_can(owned):
    assert refuse(owned) is None and backs_up(owned)
    assert refuse(owned, str(OWNER)) is None
    # What a first run made is no obstacle to the next.
    assert refuse(owned) is None and os.listdir(owned.place("backups", "notes"))


def test_an_app_that_is_not_there_yet_is_no_obstacle(owned):
    os.rename(owned.root, owned.root + ".away")
    assert refuse(owned) is None


def test_a_source_that_is_not_there_yet_is_no_obstacle(owned):
    assert refuse(owned, sources=owned.sources() + [{"type": "files", "path": "later/on"}]) is None


def test_whoever_may_read_files_need_not_own_them(owned):
    for folder, unused, names in os.walk(owned.at("uploads")):
        for path in [folder] + [os.path.join(folder, name) for name in names]:
            os.chown(path, STRANGER, GROUP, follow_symlinks=False)
            if not os.path.islink(path):
                os.chmod(path, 0o755)
    assert refuse(owned) is None and backs_up(owned)


def test_a_file_that_cannot_be_read_is_named(owned):
    os.chown(owned.at("uploads/deep/er/b.bin"), STRANGER, STRANGER)
    found = refuse(owned)
    assert isinstance(found, SourceError) and "app notes: %s: cannot be read by user id %d. Have it run by root" % (
        owned.at("uploads/deep/er/b.bin"), OWNER) in str(found)
    assert not backs_up(owned)
    exclude = [{"type": "files", "path": "uploads", "exclude": ["b.bin"]}]
    assert refuse(owned, sources=exclude) is None


def test_a_directory_that_cannot_be_entered_is_named(owned):
    os.chown(owned.at("uploads/deep"), STRANGER, STRANGER)
    os.chmod(owned.at("uploads/deep"), 0o700)
    assert refuse(owned).path == owned.at("uploads/deep") and not backs_up(owned)


def test_a_single_file_that_cannot_be_read_is_named(owned):
    os.chown(owned.at("data/settings.json"), STRANGER, STRANGER)
    assert refuse(owned).path == owned.at("data/settings.json") and not backs_up(owned)


def test_a_root_that_cannot_be_entered_is_named(owned):
    os.chown(owned.root, STRANGER, STRANGER)
    os.chmod(owned.root, 0o700)
    assert refuse(owned).path == owned.root and not backs_up(owned)


def test_a_database_of_somebody_else_is_left_alone(owned):
    os.chown(owned.at(DATABASE), STRANGER, GROUP)
    os.chmod(owned.at(DATABASE), 0o660)
    found = refuse(owned)
    assert found.path == owned.at(DATABASE) and "belongs to user id %d" % STRANGER in found.message


@pytest.mark.parametrize("place", ["destination", "state", "locks"])
def test_a_place_that_cannot_be_written_is_named(owned, place):
    os.chown(getattr(owned, place), 0, 0)
    found = refuse(owned)
    assert isinstance(found, ConfigurationError) and found.path == getattr(owned, place)
    assert "cannot be written by user id %d" % OWNER in found.message
    # What a run says of itself goes to the state; the backup alone would not mind.
    assert backs_up(owned) == (place == "state")


def test_backups_of_root_that_are_there_already_are_an_obstacle(owned):
    os.mkdir(owned.place("backups", "notes"), 0o700)
    assert refuse(owned).path == owned.place("backups", "notes") and not backs_up(owned)


def test_a_directory_of_metrics_that_cannot_be_written_is_named(owned):
    os.mkdir(owned.place("metrics"))
    assert refuse(owned, monitoring={"metrics_directory": owned.place("metrics")}).path == owned.place("metrics")


def test_without_a_home_places_have_to_be_named(owned):
    with pytest.raises(ConfigurationError, match="cannot be written"):
        refuse_access(owned.app(), OWNER)


@pytest.mark.parametrize("source", [{"type": "command", "path": "x.sql", "argv": ["true"], "format": "raw"}, {"type": "postgresql", "database": "x"}])
def test_a_command_as_somebody_else_needs_root(owned, source):
    found = refuse(owned, sources=[dict(source, run_as=STRANGER)])
    assert isinstance(found, ConfigurationError) and "only root can" in found.message
    assert refuse(owned, sources=[source]) is None and refuse(owned, sources=[dict(source, run_as=OWNER)]) is None


def test_a_drill_apart_needs_root(owned):
    boot = {"boot": {"argv": ["/bin/true"], "isolated": True}}
    assert "apart from the live one" in refuse(owned, drill=dict(boot, schedule={})).message
    assert refuse(owned, drill=boot) is None


def test_a_source_that_cannot_be_reached_is_named(owned):
    os.chown(owned.at("data"), STRANGER, STRANGER)
    os.chmod(owned.at("data"), 0o700)
    found = refuse(owned)
    assert found.path == owned.at(DATABASE) and "cannot be reached by user id %d: Permission denied" % OWNER in found.message


def test_root_may_do_all(owned):
    os.chown(owned.at("uploads/deep/er/b.bin"), STRANGER, STRANGER)
    assert refuse(owned, "root") is None


def test_an_account_that_does_not_exist_is_named(owned):
    assert "does not exist" in refuse(owned, "nobody-of-this-name").message
