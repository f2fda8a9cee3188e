# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module backup_hold, on a real backup."""

from __future__ import annotations

import json
import os

import pytest


@pytest.fixture(name="id")
def id_of_a_backup(host):
    host.fill()
    return host.backup().backup.id


def test_a_backup_is_held_and_released_once(host, id, run):
    path = os.path.join(host.destination, "notes", id + ".hold")
    words = {"app": host.described(), "which": id}
    for check in (True, False):
        result = run.ok(check=check, reason="before the upgrade", **words)
        assert (result["changed"], result["id"], result["held"]) == (True, id, True)
        assert os.path.exists(path) is not check
    with open(path, encoding="ascii") as file:
        assert json.load(file)["why"] == "before the upgrade"
    for check in (True, False):
        assert run.ok(check=check, **words)["changed"] is False
    for check in (True, False):
        assert run.ok(check=check, state="absent", **words)["changed"] is True
        assert os.path.exists(path) is check
    for check in (True, False):
        assert run.ok(check=check, state="absent", **words)["changed"] is False


def test_what_is_done_is_in_the_audit_log(host, id, run):
    run.ok(app=host.described(), which="latest")
    run.ok(app=host.described(), which=id, state="absent")
    with open(host.place("state", "audit.jsonl"), encoding="ascii") as file:
        lines = [json.loads(line) for line in file]
    assert [(line["action"], line["backup"], line["result"]) for line in lines[-2:]] == [
        ("hold", id, "ok"), ("release", id, "ok")]


def test_a_backup_that_is_not_there_is_named(host, id, run):
    result = run.failed(app=host.described(), which="notes-20200101T000000Z")
    assert "app notes" in result["msg"] and "notes-20200101T000000Z" in result["msg"]
