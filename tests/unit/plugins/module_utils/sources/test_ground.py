# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Databases in memory or on the network are refused, by backups and by restores, until the operator allows them."""

from __future__ import annotations

import os
import subprocess
import tempfile

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.operations.backup import check_backup
from ansible_collections.appstate.backup.plugins.module_utils.sources import ground
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import FileSystemError
from ansible_collections.appstate.backup.tests.unit.plugins.host import Host

SOURCES = [{"type": "sqlite", "path": "data/notes.db", "allow_any_file_system": False}]
ALLOWED = [{"type": "sqlite", "path": "data/notes.db", "allow_any_file_system": True}]


@pytest.fixture(params=["tmpfs", "ramfs"])
def volatile(request):
    """A host whose application's data directory is in memory, and the type of that file system."""
    made = Host(tempfile.mkdtemp(prefix="appstate-test-"))
    os.chmod(made.path, 0o711)
    data = made.directory("data", 0o755)
    subprocess.run(["mount", "-t", request.param, request.param, data], check=True)
    made.own(data)
    made.database()
    yield made, request.param
    subprocess.run(["umount", data], check=True)
    made.close()


def test_a_backup_refuses_a_database_in_memory(volatile):
    host, kind = volatile
    for step in (lambda: host.backup(sources=SOURCES), lambda: check_backup(host.app(sources=SOURCES), host.machine)):
        with pytest.raises(FileSystemError) as caught:
            step()
        assert str(caught.value) == (
            "app notes: %s: the database lies in memory (%s), where it does not outlive a restart of the host. Keep it on a "
            "local disk, or set 'allow_any_file_system: true' for this source." % (host.at("data/notes.db"), kind))
        assert (caught.value.exit_code, caught.value.event) == (78, "unsupported_filesystem")
    assert host.backup(sources=ALLOWED).complete


def test_a_network_file_system_is_refused_likewise(volatile, monkeypatch):
    host, unused = volatile
    monkeypatch.setattr(ground, "file_system_of", lambda place: "nfs4")
    with pytest.raises(FileSystemError, match="on a network file system .nfs4., where SQLite's locks do not hold"):
        host.backup(sources=SOURCES)


def test_a_restore_into_memory_is_refused_before_anything_is_touched(volatile, tree):
    host, unused = volatile
    host.backup(sources=ALLOWED)
    host.add_notes(3)
    before = tree(host.root)
    for step in (lambda restore: restore.predict("restored", False), lambda restore: restore.stage(),
                 lambda restore: restore.restore()):
        with pytest.raises(FileSystemError, match="data/notes.db: the database lies in memory"):
            step(host.restore(sources=SOURCES))
    assert tree(host.root) == before and host.left() == []


@pytest.mark.parametrize("directory", ["data", None])
def test_elsewhere_may_be_in_memory(host, directory):
    host.fill()
    host.backup(sources=ALLOWED)
    look = host.place("look")
    os.makedirs(os.path.join(look, directory or ""))
    host.restore({"target_root": look}, sources=SOURCES).restore()
    assert host.notes(root=look) == 20


def test_a_local_disk_is_fine():
    host = Host(tempfile.mkdtemp(prefix="appstate-test-", dir="/var/tmp"))
    os.chmod(host.path, 0o711)
    try:
        host.fill()
        assert host.backup(sources=SOURCES).complete
        host.restore(sources=SOURCES).restore()
    finally:
        host.close()
