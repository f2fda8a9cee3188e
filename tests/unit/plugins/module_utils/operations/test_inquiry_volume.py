# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Versions and references of a database inside a volume, whose files are named relative to the volume."""

from __future__ import annotations

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.system.errors import DataTooNewError
from ansible_collections.appstate.backup.tests.unit.plugins.club_volume import club_volume


@pytest.fixture
def club(host, monkeypatch):
    """The words of an app in a volume, at schema version 12, with two files that it names, one of which is there."""
    statements = ("PRAGMA user_version = 12", "INSERT INTO blobs VALUES ('/a'), ('gone')")
    with club_volume(host, monkeypatch, statements, "echo a > /v/blobs/a") as source:
        yield {"sources": [source],
               "version": {"sql": "SELECT user_version FROM pragma_user_version", "source": "volumes/club/db/club.db"}}


def test_a_database_in_a_volume_is_asked_at_every_step(host, club):
    lacking = "volumes/club/db/club.db names 1 file below volumes/club/blobs that the backup lacks: gone"
    taken = host.backup(**club)
    assert taken.backup.manifest.content["schema_version"] == 12
    assert lacking in taken.warnings
    found = host.verify(app=host.app(version_max=11, **club))
    assert [problem["member"] for problem in found.problems] == ["volumes/club/db/club.db"] * 2
    with pytest.raises(DataTooNewError, match="volumes/club/db/club.db: the backup has schema version 12"):
        host.restore(version_max=11, **club).stage()
    assert host.left() == []
    told = host.restore(version_max=13, **club).restore().to_dict()["warnings"]
    assert lacking in told and any("will migrate it on start" in text for text in told)
