# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.operations.ownership import give_ownership
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import (
    AppStateError, ConfigurationError, SourceError)

STATED = {"owner": 3005, "group": 3006, "file_mode": "0604", "directory_mode": "0705"}


def of(path):
    found = os.lstat(path)
    return found.st_uid, found.st_gid, found.st_mode & 0o7777


@pytest.fixture
def filled(host):
    host.fill()
    host.write("data/notes.db-wal")
    host.write("beside")
    return host


def test_everything_that_the_sources_name_is_given(filled):
    beside, link = of(filled.at("beside")), os.readlink(filled.at("uploads/link"))
    given = give_ownership(filled.app(**STATED))
    for path in ("data/notes.db", "data/notes.db-wal", "data/settings.json", "uploads/a.bin", "uploads/deep/er/b.bin"):
        assert of(filled.at(path)) == (3005, 3006, 0o604)
    for path in ("uploads", "uploads/deep", "uploads/deep/er"):
        assert of(filled.at(path)) == (3005, 3006, 0o705)
    assert of(filled.at("uploads/link"))[:2] == (3005, 3006) and os.readlink(filled.at("uploads/link")) == link
    assert of(filled.at("beside")) == beside and of(filled.at("data"))[:2] == beside[:2]
    assert given.count == 9 and given.warnings == []
    assert {"path": filled.at("uploads/a.bin"), "before": {"uid": 3001, "gid": 3002, "mode": "0640"},
            "after": {"uid": 3005, "gid": 3006, "mode": "0604"}} in given.paths


def test_a_second_time_changes_nothing_and_a_prediction_is_right(filled, tree):
    before = tree(filled.root)
    predicted = give_ownership(filled.app(**STATED), dry_run=True)
    assert tree(filled.root) == before
    assert (predicted.count, predicted.paths) == (9, give_ownership(filled.app(**STATED)).paths)
    assert give_ownership(filled.app(**STATED)).count == 0


@pytest.mark.parametrize("stated, expected", [
    ({"owner": 3005}, (3005, 3002, 0o640)), ({"group": "3006"}, (3001, 3006, 0o640)), ({"file_mode": "0444"}, (3001, 3002, 0o444)),
    ({"owner": "root", "group": "root"}, (0, 0, 0o640)), ({"directory_mode": "0700"}, (3001, 3002, 0o640))])
def test_what_is_not_stated_stays(filled, stated, expected):
    give_ownership(filled.app(**stated))
    assert of(filled.at("uploads/a.bin")) == expected


def test_content_and_times_stay(filled, tree):
    give_ownership(filled.app(**STATED))
    with open(filled.at("uploads/a.bin"), "rb") as file:
        assert file.read() == b"a" * 3000
    assert os.stat(filled.at("uploads/a.bin")).st_mtime_ns == 1700000000123456789


def test_a_file_with_another_name_is_left_alone(filled):
    with open(filled.place("shadow"), "w") as file:
        file.write("secret")
    os.link(filled.place("shadow"), filled.at("uploads/mine"))
    given = give_ownership(filled.app(**STATED))
    assert of(filled.place("shadow"))[:2] == (0, 0)
    assert given.warnings == ["%s has more than one name and was left alone" % filled.at("uploads/mine")]


def test_no_link_is_followed(filled):
    os.mkdir(filled.place("elsewhere"))
    with open(filled.place("elsewhere", "x"), "w") as file:
        file.write("x")
    os.symlink(filled.place("elsewhere"), filled.at("uploads/out"))
    os.unlink(filled.at("data/settings.json"))
    os.symlink(filled.place("elsewhere", "x"), filled.at("data/settings.json"))
    give_ownership(filled.app(**STATED))
    assert of(filled.place("elsewhere"))[:2] == (0, 0) and of(filled.place("elsewhere", "x"))[:2] == (0, 0)


def test_a_link_on_the_way_to_a_source_is_an_error(filled):
    os.rename(filled.at("data"), filled.place("elsewhere"))
    os.symlink(filled.place("elsewhere"), filled.at("data"))
    before = of(filled.place("elsewhere", "notes.db"))
    with pytest.raises(AppStateError, match="app notes: .*data/notes.db"):
        give_ownership(filled.app(**STATED))
    assert of(filled.place("elsewhere", "notes.db")) == before


def test_specials_are_not_opened(filled):
    os.mkfifo(filled.at("uploads/fifo"))
    before = of(filled.at("uploads/fifo"))
    give_ownership(filled.app(**STATED))
    assert of(filled.at("uploads/fifo")) == before


def test_another_root(filled):
    os.mkdir(filled.place("other"))
    os.mkdir(filled.place("other", "uploads"))
    given = give_ownership(filled.app(**STATED), filled.place("other"))
    assert given.count == 1 and of(filled.place("other", "uploads")) == (3005, 3006, 0o705)
    assert of(filled.at("uploads"))[:2] == (3001, 3002)


def test_what_cannot_be_given(filled):
    with pytest.raises(ConfigurationError, match="app notes: states no 'owner'.*State at least one of them"):
        give_ownership(filled.app())
    with pytest.raises(ConfigurationError, match="app notes: the user 'nobody-such' does not exist on this host"):
        give_ownership(filled.app(owner="nobody-such"))
    with pytest.raises(SourceError, match="app notes: .*/none: the root cannot be opened"):
        give_ownership(filled.app(**STATED), filled.place("none"))
    with pytest.raises(ConfigurationError, match="app notes: 'target_root' is not an absolute path"):
        give_ownership(filled.app(**STATED), "none")


def test_set_user_id_bits_are_never_given(filled):
    os.chmod(filled.at("uploads/a.bin"), 0o4755)
    give_ownership(filled.app(file_mode="4755"))
    assert of(filled.at("uploads/a.bin"))[2] == 0o755


def test_without_the_right_to_do_so_it_is_an_error_and_not_a_crash(filled):
    os.chmod(filled.path, 0o755)
    os.chmod(filled.at("uploads/a.bin"), 0)
    child = os.fork()
    if not child:
        os.setgroups([])
        os.setgid(4001)
        os.setuid(4001)
        try:
            give_ownership(filled.app(file_mode="0600"))
        except AppStateError as error:
            os._exit(0 if "app notes: " in str(error) and filled.root in str(error) else 2)
        except BaseException:
            os._exit(3)
        os._exit(4)
    assert os.waitpid(child, 0)[1] == 0
