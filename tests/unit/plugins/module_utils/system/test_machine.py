# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the engine keeps its own things, for root and for everyone else."""

from __future__ import annotations

import os
import socket
from datetime import timedelta

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.system.machine import this_machine
from ansible_collections.appstate.backup.plugins.module_utils.system.process import NOBODY, run_child


def places(**variables):
    """The places of an unprivileged user with these variables."""
    def look():
        for name in ("XDG_STATE_HOME", "XDG_RUNTIME_DIR"):
            os.environ.pop(name, None)
        os.environ.update(variables)
        machine = this_machine()
        return [machine.state_directory, machine.lock_directory]
    return run_child(look, (), identity=NOBODY if os.geteuid() == 0 else None)


def test_a_user_has_the_folders_of_xdg():
    assert places(HOME="/home/alice") == ["/home/alice/.local/state/appstate-backup",
                                          "/home/alice/.local/state/appstate-backup/locks"]
    # A login has XDG_RUNTIME_DIR and cron has not: both have to take the same lock.
    assert places(XDG_STATE_HOME="/s", XDG_RUNTIME_DIR="/r") == ["/s/appstate-backup", "/s/appstate-backup/locks"]
    assert places(HOME="/h", XDG_STATE_HOME="") == ["/h/.local/state/appstate-backup",
                                                    "/h/.local/state/appstate-backup/locks"]


def test_root_has_the_folders_of_the_system():
    machine = this_machine()
    if os.geteuid() == 0:
        assert (machine.state_directory, machine.lock_directory) == ("/var/lib/appstate-backup", "/run/appstate-backup")
    else:
        assert "appstate-backup" in machine.state_directory


def test_each_place_can_be_moved():
    machine = this_machine("/a", "/b")
    assert (machine.state_directory, machine.lock_directory) == ("/a", "/b")


def test_name_and_time_are_the_hosts():
    machine = this_machine()
    assert machine.hostname == socket.gethostname()
    first = machine.now()
    assert first.utcoffset() == timedelta(0) and first <= machine.now()
    with pytest.raises(TypeError):
        assert first < first.replace(tzinfo=None)
