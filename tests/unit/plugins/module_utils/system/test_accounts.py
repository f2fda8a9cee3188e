# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Owners: what an operator states, what a backup recorded, and what this host knows."""

from __future__ import annotations

import grp
import os
import pwd

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.system.accounts import (
    Names, Ownership, find_group, find_user)
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import ConfigurationError
from ansible_collections.appstate.backup.plugins.module_utils.system.process import NOBODY, run_child

# Any account but root's, which is 0 like much else.
USER = next(entry for entry in pwd.getpwall() if entry.pw_uid not in (0, 65534))
GROUP = next(entry for entry in grp.getgrall() if entry.gr_gid not in (0, 65534))
ROOT = os.geteuid() == 0


def ids(ownership, *recorded):
    """What root would give; without root, everything stays."""
    given = ownership.ids(*recorded)
    assert ROOT or given == (-1, -1)
    return given if ROOT else None


def test_a_recorded_name_counts_more_than_its_number():
    ownership = Ownership()
    assert ids(ownership, USER.pw_name, GROUP.gr_name, 7, 8) in (None, (USER.pw_uid, GROUP.gr_gid))
    assert ownership.unknown == set()


def test_an_unknown_name_leaves_the_number_and_is_told():
    ownership = Ownership()
    assert ids(ownership, "no such user", "no such group", 4001, 4002) in (None, (4001, 4002))
    assert ownership.unknown == {"no such user", "no such group"}
    assert ids(ownership, "", "", 4001, 4002) in (None, (4001, 4002))
    assert ids(ownership, "no such user", "", 5, 6) in (None, (5, 6))


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "x" * 100000, "a:b", "\n"])
def test_a_name_that_no_system_has_raises_nothing(name):
    assert ids(Ownership(), name, name, 5, 6) in (None, (5, 6))


def test_what_the_operator_states_wins():
    ownership = Ownership(USER.pw_name, GROUP.gr_name)
    assert ids(ownership, "root", "root", 0, 0) in (None, (USER.pw_uid, GROUP.gr_gid))
    assert ids(Ownership("4001", 4002), "root", "root", 0, 0) in (None, (4001, 4002))
    assert ids(Ownership(owner="4001"), "", "", 3, 4) in (None, (4001, 4))


def test_without_root_everything_stays_ours():
    def give():
        return list(Ownership().ids("root", "root", 0, 0))
    assert run_child(give, (), identity=NOBODY if ROOT else None) == [-1, -1]


def test_without_root_it_is_known_who_went_without():
    def others(*stated):
        ownership = Ownership(*stated)
        ownership.ids("", "", os.geteuid(), os.getegid())
        ownership.ids()
        none = sorted(ownership.others)
        for unused in range(2):
            ownership.ids("root", "", 4001, 4002)
            ownership.ids("", "", 4001, 0 if os.getegid() else 4002)
        return none, sorted(ownership.others)

    identity = NOBODY if ROOT else None
    assert run_child(others, (), identity=identity)[0] == []
    assert set(run_child(others, (), identity=identity)[1]) >= {"group 4002", "user 4001", "user root"}
    assert run_child(others, (4003,), identity=identity)[0] == ["user 4003"]


def test_root_gives_and_nobody_goes_without():
    ownership = Ownership()
    ids(ownership, "", "", 4001, 4002)
    assert ownership.others == (set() if ROOT else {"user 4001", "group 4002"})


def test_modes():
    recorded = Ownership()
    assert recorded.mode(0o6755, False) == 0o755 and recorded.mode(0o1644, False) == 0o1644
    assert recorded.mode(0o2750, True) == 0o2750
    stated = Ownership(file_mode=0o640, directory_mode=0o750)
    assert stated.mode(0o777, False) == 0o640 and stated.mode(0o777, True) == 0o750
    assert Ownership(file_mode=0o6644).mode(0, False) == 0o644


@pytest.mark.parametrize("wanted", ["no such user", "", "-1", "1.5", "²", "a\0b"])
def test_an_unknown_account_is_a_mistake_of_the_configuration(wanted):
    for find in (find_user, find_group):
        with pytest.raises(ConfigurationError) as caught:
            find(wanted)
        assert "does not exist" in str(caught.value) and "Create it" in str(caught.value)


def test_accounts_are_found_by_name_and_number():
    assert find_user(USER.pw_name) == USER.pw_uid and find_group(GROUP.gr_name) == GROUP.gr_gid
    assert find_user("4001") == find_user(4001) == find_group("4001") == 4001


def test_numbers_have_names():
    names = Names()
    for unused in range(2):
        assert names.user(USER.pw_uid) == USER.pw_name and names.group(GROUP.gr_gid) == GROUP.gr_name
        assert names.user(2 ** 31 + 77) == "" and names.group(2 ** 31 + 77) == ""
