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


NAMES = sorted(path.stem for path in TREE.glob("playbooks/*.yml"))


def play(folder, name, hosts, *words):
    """What a playbook ends with, and what it says, on an inventory of those hosts."""
    (folder / "inventory.yml").write_text("all: {hosts: %s}" % hosts, encoding="utf-8")
    command = [sys.executable, "-m", "ansible", "playbook", "-i", "inventory.yml", "appstate.backup." + name, "-e", name + "_app=notes"]
    env = dict(os.environ, ANSIBLE_COLLECTIONS_PATH=str(TREE.parents[2]), ANSIBLE_NOCOLOR="true", ANSIBLE_LOCAL_TEMP=str(folder / "local"))
    done = subprocess.run(command + list(words), cwd=folder, env=env, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.returncode, " ".join(done.stdout.split())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("words, called", [([], "all"), (["-e", "{name}_hosts=web2"], "web2"), (["--check"], "all")])
def test_where_no_host_is_meant_it_fails(tmp_path, name, words, called):
    status, said = play(tmp_path, name, "{}" if called == "all" else "{web1: {}}", *[word.format(name=name) for word in words])
    assert status != 0 and "the inventory has no host that is called %s." % called in said, said


@pytest.mark.parametrize("name, words", [("backup", []), ("backup", ["--check"]), ("drill", []), ("selftest", []),
                                         ("escrow", ["-e", "escrow_identity=AGE-SECRET-KEY-1"])])
def test_where_no_host_has_an_app_it_fails(tmp_path, name, words):
    hosts = "{one: {ansible_connection: local, appstate_apps: []}, two: {ansible_connection: local, appstate_apps: []}}"
    status, said = play(tmp_path, name, hosts, *words)
    assert status != 0 and "none of these hosts has an app: one, two. Look at the inventory" in said, said
    status, said = play(tmp_path, name, hosts, *words, "--limit", "two")
    assert status != 0 and "none of these hosts has an app: two. Look at the inventory" in said, said
