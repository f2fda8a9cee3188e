# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import shutil

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.archive.age import make_pair


@pytest.fixture
def damaged(host):
    """A host with a backup and another state since then."""
    host.fill("delete")
    host.backup()
    host.damage()
    return host


def test_check_run_check_again_and_run_again(damaged, run, tree, returned):
    before = tree(damaged.path)
    predicted = run.ok(app=damaged.described(), check=True, diff=True)
    assert tree(damaged.path) == before
    made = run.ok(app=damaged.described(), diff=True)
    assert (predicted["changed"], predicted["state"]) == (made["changed"], made["state"]) == (True, "restored")
    for key in ("root", "restored", "absent"):
        assert predicted[key] == made[key]
    assert set(returned) <= set(made) and damaged.notes() == 20
    assert made["diff"]["before"] == predicted["diff"]["before"]
    assert all(os.path.lexists(path) for path in made["moved_aside"])
    after = tree(damaged.path)
    assert not run.ok(app=damaged.described(), check=True)["changed"]
    assert tree(damaged.path) == after
    again = run.ok(app=damaged.described())
    assert not again["changed"] and again["restored"] == made["restored"]


@pytest.mark.parametrize("state", ["committed", "rolled_back"])
def test_both_ends(damaged, run, tree, state):
    old = tree(damaged.root)
    for check in (True, False):
        assert not run.ok(app=damaged.described(), state=state, check=check)["changed"]
    run.ok(app=damaged.described(), state="staged")
    run.ok(app=damaged.described())
    before = tree(damaged.path)
    # The end of a restore needs no destination.
    predicted = run.ok(app=damaged.described(destination=None), state=state, check=True)
    assert tree(damaged.path) == before
    made = run.ok(app=damaged.described(destination=None), state=state)
    assert (predicted["changed"], predicted["state"]) == (made["changed"], made["state"]) == (True, state)
    for check in (True, False):
        assert not run.ok(app=damaged.described(), state=state, check=check)["changed"]
    assert damaged.left() == []
    if state == "rolled_back":
        assert tree(damaged.root) == old
    else:
        assert damaged.notes() == 20 and not any(b".before-restore-" in path for path in tree(damaged.root))


def test_staging_leaves_live_state_alone(damaged, run, tree):
    before = tree(damaged.root)
    predicted = run.ok(app=damaged.described(), state="staged", check=True)
    made = run.ok(app=damaged.described(), state="staged")
    assert predicted["changed"] and made["changed"]
    assert {path: told for path, told in tree(damaged.root).items() if not path.startswith(b".appstate-")} == before
    assert not run.ok(app=damaged.described(), state="staged", check=True)["changed"]
    assert not run.ok(app=damaged.described(), state="staged")["changed"]


def test_validate_only(damaged, run, tree):
    before = tree(damaged.root)
    for check in (True, False):
        result = run.ok(app=damaged.described(), validate_only=True, check=check)
        assert (result["changed"], result["state"]) == (False, "none")
        assert result["restored"] == [damaged.at(path) for path in ("data/notes.db", "uploads", "data/settings.json")]
    assert tree(damaged.root) == before and damaged.left() == []


def test_some_members_to_another_root(damaged, run):
    fresh = damaged.place("fresh")
    result = run.ok(app=damaged.described(), target_root=fresh, only=["uploads/deep"])
    assert result["root"] == fresh and result["restored"] == [os.path.join(fresh, "uploads/deep")]
    assert os.path.exists(os.path.join(fresh, "uploads/deep/er/b.bin")) and not os.path.exists(os.path.join(fresh, "data"))


@pytest.mark.parametrize("words, said, code", [
    ({"which": "notes-20200101T000000Z"}, "app notes: {destination}/notes: has no backup", 1),
    ({"before": "yesterday"}, "app notes: 'yesterday' is no time. Write it as RFC 3339", 78),
    ({"which": "x", "before": "y"}, "exclude one another", 78),
    ({"only": ["nothing"]}, "app notes: the backup has nothing at 'nothing'. It has: data/notes.db, uploads", 1),
    ({"target_root": "relative"}, "app notes: 'target_root' is not an absolute path", 78),
    ({"archive": "/none.tgz"}, "app notes: /none.tgz: the archive cannot be opened", 1)])
@pytest.mark.parametrize("check", [False, True])
def test_bad_input_changes_nothing(damaged, run, tree, words, said, code, check):
    before = tree(damaged.root)
    failed = run.failed(app=damaged.described(), check=check, **words)
    assert said.format(destination=damaged.destination) in failed["msg"] and failed["exit_code"] == code
    assert tree(damaged.root) == before and damaged.left() == []


def test_a_pending_restore_of_another_backup(damaged, run):
    run.ok(app=damaged.described())
    first = damaged.app().directory
    damaged.backup()
    for check in (False, True):
        assert "neither committed nor rolled back" in run.failed(app=damaged.described(), check=check)["msg"]
    assert os.path.isdir(first)


def test_an_encrypted_backup_at_a_remote_on_a_fresh_host(host, run, tree):
    host.fill()
    identity, recipient = make_pair()
    words = {"encryption": {"recipients": [recipient]}, "remotes": [{"name": "offsite", "remote": host.place("remote")}]}
    backup = host.backup(**words).backup
    os.makedirs(host.place("remote", "web1"))
    os.rename(host.app().directory, host.place("remote", "web1", "notes"))
    shutil.rmtree(host.root)
    os.mkdir(host.root)
    chosen = {"app": host.described(destination=None, **words), "remote": "offsite", "remote_host": "web1"}
    assert "no identity was given" in run.failed(**chosen)["msg"] and os.listdir(host.root) == []
    predicted = run.ok(check=True, identity=identity, **chosen)
    assert predicted["changed"] and os.listdir(host.root) == []
    done = run.ok(identity=identity, **chosen)
    assert done["changed"] and done["backup"]["id"] == backup.id and host.notes() == 20
    assert identity.split()[-1] not in json.dumps(done)
    for folder, unused, names in os.walk(host.state):
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                assert identity.split()[-1].encode() not in file.read()
    assert run.ok(app=chosen["app"], state="committed")["changed"]
