# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Versions and references of a database inside a volume, whose files are named relative to the volume."""

from __future__ import annotations

import os
import sqlite3
import tempfile

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.system.errors import DataTooNewError
from ansible_collections.appstate.backup.tests.unit.plugins.podman_machine import Containers


@pytest.fixture
def club(host, monkeypatch):
    """The words of an app in a volume, at schema version 12, with two files that it names, one of which is there."""
    database = host.place("club.db")
    connection = sqlite3.connect(database)
    for statement in ("PRAGMA user_version = 12", "CREATE TABLE blobs (path)", "INSERT INTO blobs VALUES ('/a'), ('gone')"):
        connection.execute(statement)
    connection.commit()
    connection.close()
    with open(database, "rb") as stream:
        content = stream.read()
    # podman wants short paths.
    place = tempfile.mkdtemp(prefix="ast-")
    machine = Containers(os.path.join(place, "c"))
    try:
        monkeypatch.setenv("PATH", machine.programs + ":" + os.environ["PATH"])
        machine.podman("volume", "create", "club")
        machine.podman("run", "--rm", "--interactive", "--volume", "club:/v", "docker.io/library/busybox", "sh", "-c",
                       "mkdir /v/db /v/blobs && cat > /v/db/club.db && echo a > /v/blobs/a", data=content)
        source = {"type": "volume", "volume": "club", "engine": "podman", "databases": [
            {"path": "db/club.db", "references": [{"sql": "SELECT path FROM blobs", "under": "blobs"}]}]}
        yield {"sources": [source],
               "version": {"sql": "SELECT user_version FROM pragma_user_version", "source": "volumes/club/db/club.db"}}
    finally:
        machine.close()
        os.rmdir(place)


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
