# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A playbook that was to do one thing, and did it nowhere, is no success."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

TREE = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", ["restore", "upgrade"])
@pytest.mark.parametrize("words, called", [([], "all"), (["-e", "{name}_hosts=web2"], "web2"), (["--check"], "all")])
def test_where_no_host_is_meant_it_fails(tmp_path, name, words, called):
    (tmp_path / "inventory.yml").write_text("all: {hosts: %s}" % ("{}" if called == "all" else "{web1: {}}"), encoding="utf-8")
    command = [sys.executable, "-m", "ansible", "playbook", "-i", "inventory.yml", "appstate.backup." + name, "-e", name + "_app=notes"]
    env = dict(os.environ, ANSIBLE_COLLECTIONS_PATH=str(TREE.parents[2]), ANSIBLE_NOCOLOR="true", ANSIBLE_LOCAL_TEMP=str(tmp_path / "local"))
    done = subprocess.run(command + [word.format(name=name) for word in words], cwd=tmp_path, env=env, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode != 0 and "the inventory has no host that is called %s." % called in " ".join(done.stdout.split()), done.stdout
