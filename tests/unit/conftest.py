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
                "torture"]
# Servers and containers take most of the time of all tests. The oldest Python of a host and the newest are enough for them;
# the one in between tries every moment of a kill, of which those two try a sample.
NEED_SERVERS = ["plugins/module_utils/containers", "plugins/module_utils/postgresql",
                "plugins/module_utils/catalog/test_remote.py", "plugins/module_utils/operations/test_copies.py",
                "plugins/module_utils/operations/test_inquiry_volume.py",
                "plugins/module_utils/operations/test_restore_remote.py", "plugins/module_utils/remotes/test_rclone.py",
                "plugins/module_utils/sources/test_bucket.py", "plugins/module_utils/sources/test_bucket_store.py",
                "plugins/module_utils/sources/test_postgresql.py", "plugins/module_utils/sources/test_postgresql_store.py",
                "plugins/module_utils/sources/test_volume.py", "plugins/module_utils/sources/test_volume_store.py"]
# Where all stages run, the oldest Python alone has these, too: they try what depends on the system, and hardly on Python.
LONG = ["plugins/module_utils/archive/test_age.py", "plugins/module_utils/archive/test_origin.py",
        "plugins/module_utils/operations/test_boot.py", "plugins/module_utils/operations/test_boot_container.py",
        "plugins/module_utils/operations/test_drill_killed.py", "plugins/module_utils/operations/test_drill_remote.py",
        "plugins/module_utils/operations/test_drill_stores.py", "plugins/module_utils/operations/test_rehearsal.py",
        "plugins/module_utils/operations/test_run_remotes.py", "plugins/module_utils/operations/test_selftest.py"]
collect_ignore = ([] if ANSIBLE_RUNS else NEED_ANSIBLE) + (NEED_SERVERS if BETWEEN or ANSIBLE_RUNS and not WHOLE else [])
collect_ignore += LONG if ANSIBLE_RUNS and not WHOLE else []

hypothesis.settings.register_profile("check", deadline=None, derandomize=True, database=None)
hypothesis.settings.register_profile("explore", deadline=None, database=None, max_examples=2000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "check"))


def pytest_report_header():
    """Say when only a part is tested."""
    if not ANSIBLE_RUNS:
        return "engine only: no ansible-core runs on this Python"
    if not WHOLE:
        return "short form: servers, containers and what takes long are left to the oldest Python"
    return "without servers and containers: the oldest and the newest Python have them" if BETWEEN else None
