# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What all unit tests share: the collection under its own name, and the same examples for everyone."""

from __future__ import annotations

import os
import pathlib
import sys

import hypothesis
import pytest

HERE = pathlib.Path(__file__).resolve().parent
TREE = HERE.parents[1]
INSIDE = pathlib.Path("ansible_collections", "appstate", "backup")

if TREE.parts[-3:] != INSIDE.parts:
    raise pytest.UsageError("The tests run in a tree that ends with %s: use make unit, which makes one." % INSIDE)
sys.path.insert(0, str(TREE.parents[2]))

# It is found by the path above.
from ansible_collections.appstate.backup.tests.unit.plugins.form import BETWEEN, WHOLE  # noqa: E402

# Hosts have a Python on which ansible-core does not run; there, only the engine is tested.
ANSIBLE_RUNS = sys.version_info >= (3, 11)
NEED_ANSIBLE = ["plugins/action", "plugins/filter", "plugins/lookup", "plugins/modules", "plugins/plugin_utils", "plugins/test",
                "plugins/module_utils/test_module.py", "plugins/test_examples.py", "plugins/test_filters_page.py", "test_pages.py",
                "test_playbooks.py", "test_roles.py", "torture"]
# What looks at texts and files, which are the same for all.
NEED_ONCE = ["bench", "torture", "test_architecture.py", "test_completeness.py", "test_pages.py", "test_playbooks.py",
             "test_recipes.py", "test_roles.py"]
# Servers and containers take most of the time of all tests. The oldest Python of a host and the newest are enough for them;
# the one in between tries every moment of a kill, of which those two try a sample.
NEED_SERVERS = ["plugins/module_utils/containers", "plugins/module_utils/postgresql",
                "plugins/module_utils/catalog/test_remote.py", "plugins/module_utils/operations/test_copies.py",
                "plugins/module_utils/operations/test_inquiry_volume.py",
                "plugins/module_utils/operations/test_restore_remote.py", "plugins/module_utils/remotes/test_rclone.py",
                "plugins/module_utils/sources/test_bucket.py", "plugins/module_utils/sources/test_bucket_store.py",
                "plugins/module_utils/sources/test_postgresql.py", "plugins/module_utils/sources/test_postgresql_store.py",
                "plugins/module_utils/sources/test_volume.py", "plugins/module_utils/sources/test_volume_store.py"]
# Where all stages run, the oldest Python alone has these, too: they try what depends on the system, and hardly on Python. The one in
# between is there for the oldest ansible-core then; the hosts of the stage "e2e" run the engine on it.
LONG = ["plugins/module_utils/archive/test_age.py", "plugins/module_utils/archive/test_origin.py",
        "plugins/module_utils/operations/test_boot.py", "plugins/module_utils/operations/test_boot_container.py",
        "plugins/module_utils/operations/test_drill_killed.py", "plugins/module_utils/operations/test_drill_remote.py",
        "plugins/module_utils/operations/test_drill_stores.py", "plugins/module_utils/operations/test_rehearsal.py",
        "plugins/module_utils/operations/test_run_remotes.py", "plugins/module_utils/operations/test_selftest.py",
        "plugins/module_utils/system/test_apart.py", "plugins/module_utils/test_command.py",
        "plugins/module_utils/test_command_drills.py", "plugins/module_utils/test_command_remotes.py"]
ENGINE = [path.relative_to(HERE).as_posix() for path in (HERE / "plugins" / "module_utils").rglob("test_*.py")
          if path.name != "test_module.py"]


def left_out():
    """Paths of the tests that do not run here."""
    if not ANSIBLE_RUNS:
        return NEED_ANSIBLE + ([] if WHOLE else NEED_ONCE)
    if WHOLE:
        return NEED_SERVERS if BETWEEN else []
    return ENGINE + NEED_ONCE if BETWEEN else NEED_SERVERS + LONG


collect_ignore = left_out()

hypothesis.settings.register_profile("check", deadline=None, derandomize=True, database=None)
hypothesis.settings.register_profile("explore", deadline=None, database=None, max_examples=2000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "check"))


def pytest_report_header():
    """Say when only a part is tested."""
    if not ANSIBLE_RUNS:
        return "engine only: no ansible-core runs on this Python"
    if not WHOLE:
        return "short form: %s left to the other Pythons" % ("the engine is" if BETWEEN else "servers, containers and what takes long are")
    return "without servers and containers: the oldest and the newest Python have them" if BETWEEN else None
