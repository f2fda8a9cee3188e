# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private rooms: who may enter, and what becomes of those that killed runs left behind."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.system.errors import AppStateError, SourceError
from ansible_collections.appstate.backup.plugins.module_utils.system.process import Identity, run_child
from ansible_collections.appstate.backup.plugins.module_utils.system.scratch import Scratch, may_pass, reap
from ansible_collections.appstate.backup.tests.unit.plugins.exchanging import exchange_made, is_as_planted, plant_directory

ROOT = os.geteuid() == 0
OTHER = Identity(3001, 3001) if ROOT else Identity(os.getuid(), os.getgid())


@pytest.fixture
def place():
    """A directory that everyone may pass; pytest's own may not be."""
    path = tempfile.mkdtemp(prefix="appstate-test-")
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path)


def mode(path):
    """Permission bits."""
    return stat.S_IMODE(os.stat(path).st_mode)


def test_a_room_is_passed_by_all_and_listed_by_none_until_it_is_sealed(place):
    with Scratch([place], "notes") as room:
        assert os.path.dirname(room.path) == place and os.path.basename(room.path).startswith(".appstate-notes.scratch-")
        assert mode(room.path) == 0o711
        inner = room.directory(OTHER)
        found = os.stat(inner)
        assert (found.st_uid, found.st_gid, mode(inner)) == (OTHER.uid, OTHER.gid, 0o700)
        assert os.path.dirname(inner) == room.path
        room.seal()
        assert mode(room.path) == 0o700
        ours = room.directory()
        assert os.stat(ours).st_uid == os.geteuid()
        with open(os.path.join(inner, "f"), "w"):
            pass
    assert os.listdir(place) == []


def test_a_room_goes_with_what_is_in_it_also_after_an_error(place):
    with pytest.raises(KeyError):
        with Scratch([place], "notes") as room:
            os.mkdir(os.path.join(room.path, "d"))
            os.symlink("/", os.path.join(room.path, "d", "l"))
            raise KeyError("x")
    assert os.listdir(place) == [] and os.listdir("/")


def test_a_room_that_its_owner_filled_is_left_without_following_its_links(place):
    precious = os.path.join(place, "precious")
    os.mkdir(precious)
    open(os.path.join(precious, "f"), "w").close()
    with Scratch([place], "notes") as room:
        os.symlink(precious, os.path.join(room.directory(OTHER), "l"))
    assert os.listdir(precious) == ["f"]


def test_a_room_is_none_that_was_put_there_meanwhile(place, monkeypatch):
    exchanged = exchange_made(monkeypatch, plant_directory, "*.scratch-*")
    with pytest.raises(AppStateError, match="not the directory that was made"):
        with Scratch([place], "notes"):
            pass
    assert len(exchanged) == 1 and is_as_planted(exchanged[0])


def test_names_cannot_be_guessed(place):
    names = set()
    for unused in range(20):
        with Scratch([place], "notes") as room:
            inner = room.directory()
            names |= {os.path.basename(room.path), os.path.basename(inner)}
            assert len(os.path.basename(room.path).rsplit("-", 1)[1]) == 16 and len(os.path.basename(inner)) == 24
    assert len(names) == 40


def test_the_owner_reaches_its_directory_and_cannot_list_the_room(place):
    def look(path):
        try:
            listed = os.listdir(os.path.dirname(path))
        except PermissionError:
            listed = None
        open(os.path.join(path, "snapshot"), "w").close()
        return listed

    with Scratch([place], "notes", OTHER) as room:
        inner = room.directory(OTHER)
        listed = run_child(look, (inner,), identity=OTHER if ROOT else None)
        assert listed is None or not ROOT
        assert os.listdir(inner) == ["snapshot"]
        if ROOT:
            room.seal()
            with pytest.raises(Exception) as caught:
                run_child(look, (inner,), identity=OTHER)
            assert "Permission" in str(caught.value)


def test_the_first_place_that_can_be_reached_is_taken(place):
    shut, wide = os.path.join(place, "shut"), os.path.join(place, "wide")
    os.mkdir(shut, 0o700)
    os.mkdir(wide, 0o755)
    with Scratch([os.path.join(place, "missing"), shut, wide], "notes", OTHER) as room:
        assert os.path.dirname(room.path) == (wide if ROOT else shut)
    with pytest.raises(SourceError) as caught:
        with Scratch([os.path.join(place, "missing")], "notes"):
            pass
    assert "no place for temporary files" in str(caught.value)
    with pytest.raises(SourceError) as caught:
        with Scratch([os.path.join(place, "missing")], "notes", OTHER):
            pass
    assert "cannot reach any place" in str(caught.value)


def test_who_may_pass(place):
    inner = os.path.join(place, "a", "b")
    os.makedirs(inner)
    os.symlink("a/b", os.path.join(place, "l"))
    middle = os.path.join(place, "a")
    assert may_pass(inner, None) and may_pass(inner, Identity(0, 0))
    cases = ((0o755, 0, 0, (), True), (0o700, 0, 0, (), False), (0o711, 0, 0, (), True), (0o750, 0, OTHER.gid, (), True),
             (0o750, 0, 4000, (4000,), True), (0o750, 0, 4000, (), False), (0o705, 0, OTHER.gid, (), False),
             (0o077, OTHER.uid, 0, (), False), (0o100, OTHER.uid, 0, (), True), (0o644, 0, 0, (), False))
    for bits, uid, gid, groups, expected in cases if ROOT else ():
        os.chown(middle, uid, gid)
        os.chmod(middle, bits)
        assert may_pass(inner, Identity(OTHER.uid, OTHER.gid, groups)) is expected, (bits, uid, gid)
        assert may_pass(os.path.join(place, "l"), Identity(OTHER.uid, OTHER.gid, groups)) is expected
    assert may_pass(place, OTHER)


HOLD = """
import sys, time
sys.path[:0] = {path!r}
from ansible_collections.appstate.backup.plugins.module_utils.system.scratch import Scratch
with Scratch([{place!r}], "notes") as room:
    print(room.path, flush=True)
    time.sleep(60)
"""


def held(place):
    """A process that holds a room, and the room's path."""
    script = textwrap.dedent(HOLD).format(path=sys.path, place=place)
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    return process, process.stdout.readline().decode().strip()


def test_a_room_is_reaped_once_its_run_was_killed_and_not_before(place):
    process, path = held(place)
    try:
        open(os.path.join(path, "snapshot"), "w").close()
        for other in (".appstate-notes.scratch-short", ".appstate-note.scratch-0123456789abcdef", "scratch"):
            os.mkdir(os.path.join(place, other))
        reap([os.path.join(place, "missing"), place], "notes")
        assert os.path.exists(os.path.join(path, "snapshot"))
        process.send_signal(signal.SIGKILL)
        process.wait()
        reap([place], "other")
        assert os.path.exists(path)
        reap([place], "notes")
        assert sorted(os.listdir(place)) == [".appstate-note.scratch-0123456789abcdef", ".appstate-notes.scratch-short",
                                             "scratch"]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_nothing_that_is_not_ours_is_reaped(place):
    name = ".appstate-notes.scratch-0123456789abcdef"
    precious = os.path.join(place, "precious")
    os.mkdir(precious)
    open(os.path.join(precious, "f"), "w").close()
    os.symlink("precious", os.path.join(place, name))
    reap([place], "notes")
    assert os.listdir(precious) == ["f"] and os.path.islink(os.path.join(place, name))
    os.unlink(os.path.join(place, name))
    open(os.path.join(place, name), "w").close()
    reap([place], "notes")
    assert os.path.exists(os.path.join(place, name))
    if ROOT:
        os.unlink(os.path.join(place, name))
        os.mkdir(os.path.join(place, name))
        os.chown(os.path.join(place, name), OTHER.uid, OTHER.gid)
        reap([place], "notes")
        assert os.path.exists(os.path.join(place, name))


def test_rooms_and_reaping_at_the_same_time(place):
    """A room that was just made may look abandoned; whoever made it gets another one, and none is lost in use."""
    script = textwrap.dedent("""
        import os, sys
        sys.path[:0] = {path!r}
        from ansible_collections.appstate.backup.plugins.module_utils.system.scratch import Scratch, reap
        for unused in range(150):
            reap([{place!r}], "verify")
            with Scratch([{place!r}], "verify") as room:
                inner = room.directory()
                open(os.path.join(inner, "f"), "w").close()
                assert os.listdir(inner) == ["f"]
    """).format(path=sys.path, place=place)
    running = [subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE) for unused in range(3)]
    for process in running:
        said = process.communicate()[1]
        assert process.returncode == 0, said
    assert os.listdir(place) == []
