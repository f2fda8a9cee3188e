# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who holds a file open: found by what it is, not by its name."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.system import holders, privileges
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import SourceError
from ansible_collections.appstate.backup.plugins.module_utils.system.holders import find_holders, lasting_holders
from ansible_collections.appstate.backup.plugins.module_utils.system.process import run_child


def place(path):
    """A file as ``find_holders`` is asked for it."""
    found = os.stat(path)
    return {(found.st_dev, found.st_ino): path}


@pytest.fixture
def held(tmp_path):
    """A file that another process has open, and that process."""
    path = str(tmp_path / "notes.db")
    open(path, "w").close()
    script = "import sys; file = open(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    process = subprocess.Popen([sys.executable, "-c", script, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"open\n"
    yield path, process
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def test_a_holder_is_named(held):
    path, process = held
    holder, = find_holders(place(path))
    assert (holder.pid, holder.path) == (process.pid, path)
    assert str(holder) == "%s (process %d)" % (holder.command, process.pid) and holder.command.startswith("python")


def test_a_holder_is_found_after_the_file_was_renamed(held):
    path, process = held
    asked = place(path)
    os.rename(path, path + ".moved")
    assert [holder.pid for holder in find_holders(asked)] == [process.pid]


def test_a_file_that_nobody_holds_has_no_holder(held, tmp_path):
    (tmp_path / "other").write_bytes(b"")
    assert find_holders(place(str(tmp_path / "other"))) == [] and find_holders({}) == []


def test_we_do_not_hold_against_ourselves(tmp_path):
    path = tmp_path / "ours"
    path.write_bytes(b"")
    with open(str(path)):
        assert find_holders(place(str(path))) == []


def test_a_holder_is_gone_with_its_process(held):
    path, process = held
    process.kill()
    process.wait()
    assert find_holders(place(path)) == []


def test_one_that_lets_go_in_time_is_none_that_lasts(held, monkeypatch):
    path, process = held
    asked = []

    def places():
        if len(asked) == 2:
            process.kill()
            process.wait()
        asked.append(path)
        return place(path)
    assert lasting_holders(places) == [] and len(asked) == 3
    monkeypatch.setattr(holders, "GRACE", 0)
    with open(path, "rb") as stream, subprocess.Popen(["sleep", "60"], stdin=stream) as other:
        try:
            assert [holder.pid for holder in lasting_holders(lambda: place(path))] == [other.pid]
        finally:
            other.kill()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is told")
@pytest.mark.parametrize("given_up", [{"sys_ptrace"}, {"sys_ptrace", "dac_override"}])
def test_root_who_cannot_see_all_processes_is_told_so(held, given_up):
    path, unused = held

    def look():
        kept = dict(privileges.NEEDED)
        for name in given_up:
            del privileges.NEEDED[name]
        privileges.keep_needed()
        privileges.NEEDED.update(kept)
        return [str(holder) for holder in find_holders(place(path))]

    with pytest.raises(SourceError, match=r"cannot be looked into.* CAP_SYS_PTRACE"):
        run_child(look)


def test_somebody_else_looks_at_the_own_ones(held):
    asked = place(held[0])

    def look():
        if os.geteuid() == 0:
            os.setresuid(*(3001,) * 3)
        return len(find_holders(asked))

    assert run_child(look) == (0 if os.geteuid() == 0 else 1)
