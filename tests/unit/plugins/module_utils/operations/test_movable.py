# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import subprocess

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.operations.movable import check_movable
from ansible_collections.appstate.backup.plugins.module_utils.system import files
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import RestoreError


def test_what_may_be_moved(host):
    host.write("uploads/a b/x")
    host.write("file")
    os.symlink("uploads", host.at("link"))
    root = os.open(host.root, files.DIRECTORY)
    try:
        for path in ("uploads", "uploads/a b/x", "none/at/all", "link", "file"):
            check_movable(root, host.root, path)
        for path, said in (("link/x", "no directory.*symbolic link"), ("link/x/y", "no directory"), ("file/x", "no directory")):
            with pytest.raises(RestoreError, match=said):
                check_movable(root, host.root, path)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", host.at("uploads/a b")], check=True)
        try:
            with pytest.raises(RestoreError, match="uploads/a b: is a mount point"):
                check_movable(root, host.root, "uploads")
            for path in ("uploads/a b", "uploads/a b/x/y"):
                with pytest.raises(RestoreError, match="uploads/a b: is on another file system"):
                    check_movable(root, host.root, path)
            check_movable(root, host.root, "uploads/a")
        finally:
            subprocess.run(["umount", host.at("uploads/a b")], check=True)
    finally:
        os.close(root)
