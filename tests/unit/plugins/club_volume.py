# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A volume ``club`` of a real podman: a database of paths, and files below ``blobs`` that are named relative to the volume."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile

from ansible_collections.appstate.backup.tests.unit.plugins.podman_machine import Containers


@contextlib.contextmanager
def club_volume(host, monkeypatch, statements, fill):
    """The source, as an app describes it.

    Args:
        statements: SQL beside what makes the table ``blobs`` with its column ``path``.
        fill: shell commands in the volume, which is at ``/v`` and has the database already.
    """
    database = host.place("club.db")
    connection = sqlite3.connect(database)
    for statement in ("CREATE TABLE blobs (path)",) + statements:
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
                       "mkdir /v/db /v/blobs && cat > /v/db/club.db && " + fill, data=content)
        yield {"type": "volume", "volume": "club", "engine": "podman", "databases": [
            {"path": "db/club.db", "references": [{"sql": "SELECT path FROM blobs", "under": "blobs"}]}]}
    finally:
        machine.close()
        os.rmdir(place)
