# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import zipfile

import pytest
from ansible_collections.appstate.backup.plugins.plugin_utils.zipapp import ENGINE, build


# In a process of its own: one that has loaded a plugin is a controller, in which modules warn in other ways.
SCRIPT = """
import sys
from ansible import constants
constants.DEFAULT_LOCAL_TMP = sys.argv[1]
from ansible_collections.appstate.backup.plugins.lookup.command_file import LookupModule
print(*LookupModule().run([], {}), sep="\\n")
"""


@pytest.fixture
def lookup(tmp_path):
    """A function that runs the plugin with a folder of its own for temporary files."""
    def run():
        done = subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path)], stdout=subprocess.PIPE, check=True, text=True,
                              env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)))
        return done.stdout.splitlines()
    return run


def test_it_gives_the_path_of_a_file_that_runs(lookup, tmp_path):
    path, = lookup()
    assert os.path.dirname(path) == str(tmp_path) and os.listdir(tmp_path) == [os.path.basename(path)]
    done = subprocess.run(["python3", path, "--version"], env={"PATH": os.environ["PATH"]}, stdout=subprocess.PIPE, check=True)
    assert done.stdout.strip()
    assert pathlib.Path(path).read_bytes().startswith(b"#!/usr/bin/env python3\n")


def test_the_same_engine_gives_the_same_bytes(lookup, tmp_path):
    first = pathlib.Path(lookup()[0]).read_bytes()
    build(str(tmp_path / "elsewhere"))
    assert (tmp_path / "elsewhere").read_bytes() == first == pathlib.Path(lookup()[0]).read_bytes()


def test_it_holds_the_engine_and_nothing_of_ansible(lookup):
    with zipfile.ZipFile(lookup()[0]) as archive:
        names = archive.namelist()
        assert archive.testzip() is None
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    expected = {"appstate_backup/%s" % path.relative_to(ENGINE) for path in ENGINE.rglob("*.py")} - {"appstate_backup/module.py"}
    assert set(names) == expected | {"__main__.py"} and len(names) == len(set(names))
