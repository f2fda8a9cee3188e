# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.appstate.backup.plugins.module_utils.operations.journal import (
    COMMITTING, RESTORED, ROLLING_BACK, STAGED, STAGING, SWAPPING)
from ansible_collections.appstate.backup.plugins.module_utils.operations.outcome import NONE, Outcome, ending, without_targets


def test_the_outcome_names_what_was_done(host):
    host.fill()
    backup = host.backup().backup
    told = host.restore().restore().to_dict()
    stamp = told["moved_aside"][0].rpartition("-")[2]
    assert told["backup"]["id"] == backup.id
    assert told["root"] == host.root
    assert sorted(told["restored"]) == [host.at("data/notes.db"), host.at("data/settings.json"), host.at("uploads")]
    asides = [path for path in told["moved_aside"] if not path.startswith(host.at("data/notes.db-"))]
    assert sorted(asides) == [path + ".before-restore-" + stamp for path in sorted(told["restored"])]
    assert told["absent"] == [] and told["warnings"] == []


def test_differences_say_what_is_replaced_and_where_the_old_state_goes(host):
    host.fill()
    backup = host.backup().backup
    restored = host.restore().restore().diff()
    assert "%s: old state\n" % host.at("uploads") in restored["before"]
    assert "%s: %s\n" % (host.at("uploads"), backup.id) in restored["after"]
    assert "%s.before-restore-" % host.at("uploads") in restored["after"]
    back = host.restore().roll_back().diff()
    assert (back["before"], back["after"]) == (restored["after"], restored["before"])
    assert host.restore().roll_back().diff() == {"before": "", "after": ""}


def test_an_outcome_without_a_restore_is_empty():
    told = Outcome(NONE, False).to_dict()
    assert told == {"state": "none", "root": None, "backup": None, "transaction": None, "restored": [], "absent": [],
                    "moved_aside": [], "warnings": []}


def test_what_was_ended_is_a_warning():
    assert Outcome(NONE, True, {"warnings": ["one"]}, "two").to_dict()["warnings"] == ["one", "two"]


def test_an_end_that_was_reached_before_is_told_as_that():
    assert (ending("committed", True, None, None).state, ending("committed", False, None, None).state) == ("committed", "none")


def test_a_rollback_tells_of_targets_only_where_some_were_swapped():
    content = {"targets": [1]}
    for phase in (RESTORED, SWAPPING, ROLLING_BACK):
        assert without_targets(content, phase) == content
    for phase in (STAGING, STAGED, COMMITTING, None):
        assert without_targets(content, phase) == {"targets": [], "stores": {}}
    assert without_targets(None, None) is None
