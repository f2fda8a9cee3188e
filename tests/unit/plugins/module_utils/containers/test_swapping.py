# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The shell's part of a restore: cut off at any of its commands, it can be gone on with, and undone to the byte."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.containers import swapping

OWN = swapping.PREFIX + "0123456789abcdef"
# Each of these counts down, and ends the script in the place of the command where it has come to zero.
COMMANDS = ("mv", "rm", "mkdir", "chown", "chmod", "stat", "sync", "find")
COUNTING = "count() { left=$((left - 1)); if [ $left -lt 0 ]; then exit 99; fi; }\nleft=%d\n" + "".join(
    "%s() { count; command %s \"$@\"; }\n" % (name, name) for name in COMMANDS)
MOVE_ALL = """'mv -n -- "$@" "$0/"'"""
MOVE_ONE = """'mv -n -- "$1" "$0/"; exit 98'"""


@pytest.fixture(params=["the system's", "busybox"])
def shell(request, tmp_path):
    """``(argv of a shell, its environment)``."""
    if request.param != "busybox":
        return ["sh"], dict(os.environ, LC_ALL="C")
    programs = tmp_path / "programs"
    programs.mkdir()
    busybox = shutil.which("busybox")
    for name in ("sh", "mv", "rm", "mkdir", "chown", "chmod", "stat", "sync", "find", "head"):
        os.symlink(busybox, programs / name)
    return [str(programs / "sh")], dict(os.environ, LC_ALL="C", PATH=str(programs))


class Volume:
    """A directory with a live state, and a new one that was uploaded."""

    def __init__(self, path, shell):
        self.path = path
        self._shell, self._environment = shell
        os.mkdir(path)
        for name in ("a", ".hidden", "-n", "new\nline", "same", b"\xff"):
            self.write(name, b"old")
        os.makedirs(os.path.join(path, "deep", "er"))
        self.write("deep/er/x", b"old")
        os.symlink("nowhere", os.path.join(path, "link"))
        os.chmod(path, 0o750)
        os.makedirs(os.path.join(path, OWN, "new", "deep"))
        for name in ("same", "deep/x", "b", "..odd"):
            self.write(OWN + "/new/" + name, b"new")

    def write(self, name, content):
        with open(os.path.join(os.fsencode(self.path), os.fsencode(name)), "wb") as stream:
            stream.write(content)

    def step(self, name, only="", attributes=("", "", ""), cut=None, script=swapping.STEP):
        """Runs a step; its exit status. ``cut`` is how many commands it may run."""
        script = (COUNTING % cut if cut is not None else "") + script
        return subprocess.run(self._shell + ["-c", script, "sh", self.path, OWN, name, only] + list(attributes),
                              env=self._environment, stderr=subprocess.DEVNULL, check=False).returncode


@pytest.fixture
def volume(tmp_path, shell):
    return Volume(str(tmp_path / "volume"), shell)


def live(tree, volume):
    """The state of a volume without ours, and its own mode."""
    told = {path: seen for path, seen in tree(volume.path).items() if not path.startswith(swapping.PREFIX.encode())}
    return told, oct(os.stat(volume.path).st_mode)


def ready(volume):
    assert volume.step("ready") == 0


class TestSwap:
    def test_forward_and_forget(self, volume, tree):
        ready(volume)
        assert volume.step("forward", attributes=("0", "0", "711")) == 0
        told, mode = live(tree, volume)
        assert set(told) == {b"same", b"deep", b"deep/x", b"b", b"..odd"} and mode == "0o40711"
        assert volume.step("forget") == 0 and volume.step("forget") == 0
        assert set(os.listdir(volume.path)) == {"same", "deep", "b", "..odd"}

    def test_forward_and_back(self, volume, tree):
        before = live(tree, volume)
        ready(volume)
        assert volume.step("forward", attributes=("0", "0", "711")) == 0 and volume.step("back") == 0
        assert live(tree, volume) == before
        assert volume.step("discard") in (0, swapping.EMPTY) and OWN not in os.listdir(volume.path)

    def test_one_file_only(self, volume, tree):
        before = live(tree, volume)
        ready(volume)
        assert volume.step("forward", only="same") == 0
        told = live(tree, volume)[0]
        assert set(told) == set(before[0]) and told[b"same"] != before[0][b"same"] and told[b"a"] == before[0][b"a"]
        assert volume.step("back", only="same") == 0 and live(tree, volume) == before

    def test_nothing_is_swapped_in_before_it_was_read_back(self, volume, tree):
        before = live(tree, volume)
        assert volume.step("forward") != 0 and live(tree, volume) == before

    def test_old_state_is_never_discarded(self, volume):
        ready(volume)
        assert volume.step("forward") == 0
        assert volume.step("discard") == swapping.HOLDS_OLD_STATE and os.path.exists(volume.path + "/" + OWN + "/old/a")

    def test_old_state_is_not_forgotten_before_the_new_one_is_live(self, volume):
        ready(volume)
        assert volume.step("forget") != 0 and os.path.exists(volume.path + "/" + OWN + "/new/b")

    def test_what_an_application_writes_meanwhile_is_not_replaced(self, volume):
        ready(volume)
        assert volume.step("forward") == 0
        volume.write(OWN + "/undone", b"in the way")
        assert volume.step("back") != 0 and os.path.exists(volume.path + "/" + OWN + "/old/a")


def commands_of(volume, step):
    """How many commands a step runs that can be cut off."""
    count = 0
    while volume.step(step, attributes=("0", "0", "711"), cut=count) == 99:
        count += 1
        assert count < 60
    return count


def test_forward_cut_off_anywhere_goes_on_or_back(tmp_path, shell, tree):
    """One volume goes forward by one command more each time, and from there all the way, or back."""
    number = 0
    while True:
        volume = Volume(str(tmp_path / ("volume%d" % number)), shell)
        before = live(tree, volume)
        ready(volume)
        status = volume.step("forward", attributes=("0", "0", "711"), cut=number)
        if status == 0:
            break
        assert status == 99
        if number % 2:
            assert volume.step("forward", attributes=("0", "0", "711")) == 0
            assert set(live(tree, volume)[0]) == {b"same", b"deep", b"deep/x", b"b", b"..odd"}
        assert commands_of(volume, "back") >= 0
        assert live(tree, volume) == before
        assert volume.step("discard") in (0, swapping.EMPTY)
        number += 1
    assert number > 8


@pytest.mark.parametrize("step", ["forward", "back"])
def test_moving_cut_off_between_two_entries(volume, tree, step):
    before = live(tree, volume)
    ready(volume)
    cut = swapping.STEP.replace(MOVE_ALL, MOVE_ONE)
    assert cut != swapping.STEP
    if step == "back":
        assert volume.step("forward", attributes=("0", "0", "711")) == 0
    assert volume.step(step, script=cut) != 0
    assert volume.step(step, script=cut) != 0
    assert volume.step("back") == 0 and live(tree, volume) == before
