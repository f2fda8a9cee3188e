# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which rclone is the client: Debian's, as hosts have it, or the one beside the Python that runs the tests."""

from __future__ import annotations

import os
import sys

from ansible_collections.appstate.backup.plugins.module_utils.remotes import rclone

_FOLDERS = {"system": "/usr/bin", "environment": os.path.dirname(os.path.abspath(sys.executable))}
# Those that are there: name to folder.
CLIENTS = {name: folder for name, folder in _FOLDERS.items() if os.access(os.path.join(folder, "rclone"), os.X_OK)}
# The oldest Python meets the oldest rclone, where what is tried takes long and each pair would tell nothing else.
TURN = "system" if sys.version_info < (3, 9) else "environment"


def choose(monkeypatch, client="environment"):
    """Has that one be found first. It gives up early: how often it tries by itself is its own affair."""
    monkeypatch.setenv("PATH", CLIENTS[client] + os.pathsep + os.environ["PATH"])
    monkeypatch.setattr(rclone, "USUAL", rclone.USUAL + ["--low-level-retries=1"])
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)  # What stands in it, the old one cannot read.
