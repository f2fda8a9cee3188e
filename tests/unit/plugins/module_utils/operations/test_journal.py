# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.operations.journal import (
    COMMITTING, FORMAT, KEYS, PHASES, RESTORED, ROLLING_BACK, STAGED, STAGING, SWAPPING, Journal, refuse_unfinished)
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import RestoreError

CONTENT = dict({key: None for key in KEYS}, app="notes", made=[])


def journal(host, root=None):
    return Journal(host.app(), host.machine, root or host.root)


def test_what_is_written_is_read_by_the_next(host):
    assert journal(host).phase is None and not os.path.exists(host.state)
    journal(host).write(phase=STAGING, **CONTENT)
    again = journal(host)
    assert again.phase == STAGING and again.content == dict(CONTENT, phase=STAGING, format=FORMAT)
    again.write(phase=STAGED)
    assert journal(host).content == dict(CONTENT, phase=STAGED, format=FORMAT)
    assert os.stat(again.path).st_mode & 0o777 == 0o600 and os.stat(host.state).st_mode & 0o777 == 0o700
    again.remove()
    assert journal(host).phase is None and os.listdir(host.state) == []


def test_each_root_has_its_own(host):
    journal(host).write(phase=STAGING, **CONTENT)
    assert journal(host, "/srv/other").phase is None
    journal(host, "/srv/other").write(phase=RESTORED, **CONTENT)
    assert (journal(host).phase, journal(host, "/srv/other").phase) == (STAGING, RESTORED)


def test_another_content_takes_its_place_whole(host):
    first = journal(host)
    first.write(phase=RESTORED, **CONTENT)
    earlier = first.content
    first.write(phase=STAGING, earlier=earlier, extra=1)
    first.replace(earlier)
    assert journal(host).content == earlier


@pytest.mark.parametrize("damage", [
    b"", b"{", b"[]", b"5", b"null", b"\xff", b"[" * 100000, b"{}", b'{"format": 1}', b'{"format": "1", "phase": "staged"}',
    json.dumps(dict(CONTENT, format=1, phase="dancing")).encode(), json.dumps({"format": 1, "phase": STAGED}).encode()])
def test_a_damaged_journal_is_an_error_and_stays(host, damage):
    path = journal(host).path
    os.mkdir(host.state)
    with open(path, "wb") as file:
        file.write(damage)
    with pytest.raises(RestoreError, match="%s: the journal of a restore is damaged. .*before-restore" % path):
        journal(host)
    for step in (host.restore().restore, host.restore().roll_back):
        with pytest.raises(RestoreError, match="app notes: "):
            step()
    with open(path, "rb") as file:
        assert file.read() == damage


def test_a_newer_journal_is_not_guessed_at(host):
    path = journal(host).path
    os.mkdir(host.state)
    with open(path, "w") as file:
        json.dump({"format": FORMAT + 1}, file)
    with pytest.raises(RestoreError, match="newer version. Upgrade the collection"):
        journal(host)


def test_only_live_state_that_is_half_and_half_hinders_a_backup(host):
    refuse_unfinished(host.app(), host.machine)
    for phase in PHASES:
        journal(host).write(phase=phase, **CONTENT)
        if phase in (SWAPPING, ROLLING_BACK):
            with pytest.raises(RestoreError, match="app notes: "):
                refuse_unfinished(host.app(), host.machine)
        else:
            refuse_unfinished(host.app(), host.machine)
    assert set(PHASES) == {STAGING, STAGED, SWAPPING, RESTORED, ROLLING_BACK, COMMITTING}


def test_a_kill_while_it_is_written_leaves_one_whole_content(host, kill_at):
    journal(host).write(phase=STAGING, **CONTENT)
    point = 1
    while kill_at(point, lambda: journal(host).write(phase=STAGED)):
        assert journal(host).phase in (STAGING, STAGED)
        point += 1
    journal(host).remove()
    point = 1
    while kill_at(point, lambda: journal(host).write(phase=STAGING, **CONTENT)):
        left = journal(host)
        assert left.phase in (None, STAGING)
        left.sweep()
        if left.phase is None:
            assert os.listdir(host.state) == []
        else:
            left.remove()
        point += 1


def test_sweeping_makes_no_directory(host):
    journal(host).sweep()
    assert not os.path.exists(host.state)
