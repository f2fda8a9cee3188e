# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os

from ansible_collections.appstate.backup.plugins.module_utils.archive.age import make_pair
from ansible_collections.appstate.backup.plugins.module_utils.operations import faults


def test_every_fault_is_seen_and_nothing_is_changed(host, run, tree, returned):
    host.fill()
    first = host.backup().backup
    second = host.backup().backup
    before = tree(host.path)
    found = run.ok(app=host.described())
    told = found["selftest"]
    assert found["changed"] is False and set(found) >= set(returned) - {"backup"} and told["ok"] and told["untouched"] and told["problem"] is None
    assert (told["app"], told["backup"]["id"]) == ("notes", second.id) and len(told["faults"]) == len(faults.FAULTS) == 11
    skipped = {each["fault"] for each in told["faults"] if each["outcome"] == "skipped"}
    assert skipped == (set() if os.geteuid() == 0 else {"wrong_owner", "full_disk"})
    assert all(each["red"] == [each["expected"]] for each in told["faults"] if each["outcome"] == "seen")
    assert run.ok(app=host.described(), which=first.id)["selftest"]["backup"]["id"] == first.id
    assert tree(host.path) == before


def test_check_mode_says_what_would_be_copied(host, run, monkeypatch):
    host.fill()
    backup = host.backup().backup
    found = run.ok(app=host.described(), check=True)
    assert found["backup"]["id"] == backup.id and "selftest" not in found
    assert "has no backup" in run.failed(app=host.described(), which="notes-20200101T000000Z", check=True)["msg"]


def test_a_fault_that_is_not_seen_fails_the_task(host, run, monkeypatch):
    host.fill()
    host.backup()
    monkeypatch.setattr(faults.breaking, "flip_page", lambda path: None)
    found = run.failed(app=host.described())
    assert found["msg"] == "app notes: self-test: not seen: flipped_page (integrity did not find it: the drill was green)"
    assert [each["fault"] for each in found["selftest"]["faults"] if each["outcome"] == "missed"] == ["flipped_page"]


def test_a_backup_that_cannot_be_opened(host, run):
    host.fill()
    identity, recipient = make_pair()
    words = {"encryption": {"recipients": [recipient]}}
    host.backup(**words)
    assert "no identity was given" in run.failed(app=host.described(**words))["msg"]
    with open(host.place("key"), "w", encoding="ascii") as file:
        file.write(identity)
    found = run.ok(app=host.described(**words), identity_file=host.place("key"))
    assert found["selftest"]["ok"] and "AGE-SECRET-KEY-" not in json.dumps(found)
    assert "exclude one another" in run.failed(app=host.described(**words), identity=identity, identity_file=host.place("key"))["msg"]
