# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What processes really have, as the kernel tells it in /proc/PID/status; each in a child, since nobody gets rights back."""

from __future__ import annotations

import os
import subprocess

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.system import privileges
from ansible_collections.appstate.backup.plugins.module_utils.system.process import NOBODY, Identity, run_child

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root has capabilities to give up")
NEEDED = sum(1 << number for number in privileges.NEEDED.values())


def rights(text=None):
    """Effective, permitted and bounding capabilities, whether programs can add to them, and the user, of this process."""
    if text is None:
        with open("/proc/self/status", encoding="utf-8") as stream:
            text = stream.read()
    told = dict(line.split(":", 1) for line in text.splitlines())
    return {"effective": int(told["CapEff"], 16), "permitted": int(told["CapPrm"], 16), "bounding": int(told["CapBnd"], 16),
            "fixed": told["NoNewPrivs"].strip() == "1", "uid": int(told["Uid"].split()[0])}


def of_a_program(*steps):
    """The rights of a program that a process starts when it has taken some steps."""
    for step in steps:
        step()
    return rights(subprocess.check_output(["cat", "/proc/self/status"]).decode("utf-8"))


def own(*steps):
    """The rights of a process that has taken some steps."""
    for step in steps:
        step()
    return rights()


@ROOT
@pytest.mark.parametrize("identity", [NOBODY, Identity(3001, 3002), Identity(0, 0)])
def test_a_child_that_is_somebody_has_no_capability_and_gets_none(identity):
    found = run_child(own, identity=identity)
    assert (found["effective"], found["permitted"], found["fixed"], found["uid"]) == (0, 0, True, identity.uid)
    found = run_child(of_a_program, identity=identity)
    assert (found["effective"], found["permitted"], found["fixed"]) == (0, 0, True)


@ROOT
def test_a_child_that_is_nobody_in_particular_has_what_its_parent_has():
    before, found = rights(), run_child(own)
    assert found == before and found["effective"]


@ROOT
def test_roots_own_file_needs_no_capability(tmp_path):
    (tmp_path / "file").write_text("content", encoding="utf-8")
    (tmp_path / "file").chmod(0o600)
    (tmp_path / "other").write_text("content", encoding="utf-8")
    (tmp_path / "other").chmod(0o600)
    os.chown(str(tmp_path / "other"), 3001, 3002)

    def reads(path):
        return os.access(str(path), os.R_OK, effective_ids=True)

    assert run_child(reads, (tmp_path / "file",), Identity(0, 0)) is True
    assert run_child(reads, (tmp_path / "other",), Identity(0, 0)) is False
    assert run_child(reads, (tmp_path / "other",)) is True


@ROOT
def test_the_command_keeps_what_it_needs_and_its_programs_have_all_that_root_has():
    before, found = rights(), run_child(own, (privileges.keep_needed,))
    assert found["effective"] == found["permitted"] == before["permitted"] & NEEDED
    assert before["permitted"] & ~NEEDED, "nothing was there to give up"
    assert (found["bounding"], found["fixed"]) == (before["bounding"], False)
    found = run_child(of_a_program, (privileges.keep_needed,))
    assert (found["effective"], found["fixed"]) == (before["bounding"], False)


@ROOT
def test_what_a_process_has_it_knows():
    def told():
        before = privileges.has("sys_ptrace"), privileges.has("chown")
        del privileges.NEEDED["chown"]
        privileges.keep_needed()
        privileges.NEEDED["chown"] = 0
        return before + (privileges.has("sys_ptrace"), privileges.has("chown"))

    assert run_child(told) == [True, True, True, False]


@ROOT
def test_what_was_not_there_does_not_come_by_keeping_it():
    assert run_child(own, (privileges.drop_capabilities, privileges.keep_needed))["permitted"] == 0


def test_without_root_nothing_changes_and_nothing_fails():
    def steps():
        if os.geteuid() == 0:
            os.setresuid(*(3001,) * 3)
        before = rights()
        privileges.keep_needed()
        privileges.drop_capabilities()
        assert rights() == before
        privileges.forbid_new_privileges()
        return rights()["fixed"]

    assert run_child(steps) is True


def test_a_kernel_that_refuses_is_an_error(monkeypatch):
    class Refusing:
        """A C library whose kernel says no."""

        capget = capset = prctl = staticmethod(lambda *unused: -1)

    monkeypatch.setattr(privileges, "_LIBC", Refusing)
    for function in (privileges.drop_capabilities, privileges.forbid_new_privileges):
        with pytest.raises(OSError):
            function()
    assert privileges.has("chown")


def test_a_system_without_capabilities_has_none_to_drop(monkeypatch):
    for library in (None, object()):
        monkeypatch.setattr(privileges, "_LIBC", library)
        privileges.keep_needed()
        privileges.drop_capabilities()
        privileges.forbid_new_privileges()
        assert privileges.has("chown")
