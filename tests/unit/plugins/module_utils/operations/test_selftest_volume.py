# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A self-test of an app whose database lies in a volume of containers, with files that are named relative to that."""

from __future__ import annotations

import os

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.operations.drill import DrillRequest
from ansible_collections.appstate.backup.plugins.module_utils.operations.selftest import self_test
from ansible_collections.appstate.backup.tests.unit.plugins.club_volume import club_volume

ROOT = os.geteuid() == 0
FILL = "echo a > /v/blobs/a && echo b > /v/blobs/b && echo c > /v/c"


@pytest.fixture
def club(host, monkeypatch):
    """The source: a volume with a database that names one of two files."""
    with club_volume(host, monkeypatch, ("INSERT INTO blobs VALUES ('/b')",), FILL) as source:
        yield source


def test_a_database_in_a_volume_is_broken_in_every_way(host, club):
    host.backup(sources=[club])
    found = self_test(host.app(sources=[club]), host.machine, DrillRequest())
    assert found.ok, found.problem
    told = {outcome.fault: (outcome.outcome, outcome.message) for outcome in found.outcomes}
    assert {fault for fault, (outcome, unused) in told.items() if outcome == "skipped"} == (set() if ROOT else {"wrong_owner", "full_disk"}), told
    assert told["missing_upload"][1] == "volumes/club/db/club.db names 1 file below volumes/club/blobs that the backup lacks: b"
    # Without, any file that lies below a directory of the volume is named in its place.
    del club["databases"][0]["references"]
    found = self_test(host.app(sources=[club]), host.machine, DrillRequest())
    assert found.ok, found.problem
    (message,) = [outcome.message for outcome in found.outcomes if outcome.fault == "missing_upload"]
    assert message[:-1] == "volumes/club/db/club.db names 1 file below volumes/club/blobs that the backup lacks: " and message[-1] in "ab"
    assert os.listdir(host.destination) == ["notes"]
