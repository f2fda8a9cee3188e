# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The engine stays what it is: pure standard library, which a host runs without Ansible and without any package."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

ENGINE = pathlib.Path(__file__).resolve().parents[2] / "plugins" / "module_utils"
PACKAGE = "ansible_collections.appstate.backup.plugins.module_utils"
# The face of the modules; all else is the engine.
FACES = ("module.py",)
IMPORTER = """
import importlib, sys
sys.path.append(sys.argv[1])
importlib.import_module(sys.argv[2])
strangers = sorted(name for name in sys.modules if name.split(".")[0] == "ansible" or name == "ansible_collections.ansible")
sys.exit("imported %s" % ", ".join(strangers) if strangers else 0)
"""


def engine_modules():
    """The full name of every module of the engine."""
    for path in sorted(ENGINE.rglob("*.py")):
        inside = path.relative_to(ENGINE)
        if str(inside) not in FACES:
            yield ".".join((PACKAGE,) + inside.with_suffix("").parts)


@pytest.mark.parametrize("name", list(engine_modules()))
def test_module_imports_without_any_package(name):
    """With -I -S Python sees neither site-packages nor PYTHONPATH: what is imported then needs nothing else."""
    command = [sys.executable, "-I", "-S", "-B", "-c", IMPORTER, str(ENGINE.parents[4]), name]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", sorted(ENGINE.rglob("__init__.py")), ids=lambda path: path.parent.name)
def test_init_files_are_empty(path):
    """Ansible ships a module's helpers with empty package files, so that code in one would run here and not there."""
    assert path.read_bytes() == b""
