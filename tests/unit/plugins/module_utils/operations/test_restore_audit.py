# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever was done to live state stands in the audit log, whoever asked for it."""

from __future__ import annotations

import json
import os

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.system.errors import SourceError


def audited(host):
    """What the audit log says was done, and how that ended."""
    try:
        with open(os.path.join(host.state, "audit.jsonl"), encoding="ascii") as stream:
            return [(told["action"], told["result"]) for told in map(json.loads, stream)]
    except FileNotFoundError:
        return []


def test_what_was_done_to_live_state_is_audited(host):
    host.fill()
    host.backup()
    host.restore().stage()
    host.restore().commit()
    assert audited(host) == []
    host.restore().restore()
    host.restore().restore()
    host.restore().roll_back()
    assert audited(host) == [("restore", "ok"), ("rollback", "ok")]
    with pytest.raises(SourceError):
        host.restore({"which": "notes-20200101T000000Z"}).restore()
    assert "has no backup" in audited(host)[-1][1]


def test_a_restore_that_cannot_be_audited_is_told_and_stays(host):
    host.fill()
    host.backup()
    host.damage()
    os.makedirs(os.path.join(host.state, "audit.jsonl"))
    outcome = host.restore().restore()
    assert (outcome.state, host.notes()) == ("restored", 20)
    assert [text for text in outcome.to_dict()["warnings"] if "audit log" in text]
