# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Volumes are restored beside their live state, swapped while nothing uses them, and put back to the byte."""

from __future__ import annotations

import os
import signal
import time

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.containers import swapping
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import (
    BusyError, RestoreError, SourceError, SpaceError)
from ansible_collections.appstate.backup.tests.unit.plugins.podman_machine import (  # pylint: disable=unused-import
    containers, containers_of_module)  # noqa: F401

FILL = r"""
mkdir -p deep/er
echo content > deep/er/file
ln deep/er/file hard
ln -s deep/er/file link
touch "$(printf 'new\nline')" "$(printf 'no\377text')" .hidden ./-n
head -c 3000000 /dev/zero > large
chown 33:44 deep/er/file .
chmod 640 deep/er/file
chmod 2750 deep
chmod 711 .
"""
DAMAGE = "rm -rf deep; echo damage > hard; echo new > other; chown 5:6 .; chmod 700 ."


@pytest.fixture
def uploads(containers):
    """Containers, and a volume with something of everything."""
    containers.podman("volume", "create", "uploads")
    containers.inside("uploads", FILL)
    return containers


@pytest.fixture
def seen(uploads, tree):
    """The function ``seen()`` that gives the volume's state to compare, with times of files in seconds."""
    def look(volume="uploads"):
        path = uploads.mountpoint(volume)
        told = {name: entry[:4] + tuple(when // 10 ** 9 for when in entry[4:] if not entry[0].startswith("0o12"))
                for name, entry in tree(path).items()}
        found = os.stat(path)
        return told, oct(found.st_mode), found.st_uid, found.st_gid
    return look


def words(**more):
    return {"sources": [dict({"type": "volume", "engine": "podman", "volume": "uploads"}, **more)]}


def ours(containers, volume="uploads"):
    return [name for name in os.listdir(containers.mountpoint(volume)) if name.startswith(swapping.PREFIX)]


class TestRestore:
    def test_there_and_back_and_there_for_good(self, host, uploads, seen):
        good = seen()
        host.backup(**words())
        uploads.inside("uploads", DAMAGE)
        damaged = seen()
        outcome = host.restore(**words()).restore()
        assert "old in the volume uploads" in outcome.content["stores"]["volumes/uploads"]["asides"][0]
        assert strip(seen()) == good
        host.restore(**words()).roll_back()
        assert seen() == damaged
        host.restore(**words()).restore()
        host.restore(**words()).commit()
        assert seen() == good and not os.path.exists(host.at("volumes")) and not host.left()

    def test_staging_changes_nothing_live_and_can_be_given_up(self, host, uploads, seen):
        host.backup(**words())
        uploads.inside("uploads", DAMAGE)
        damaged = seen()
        host.restore(**words()).stage()
        assert len(ours(uploads)) == 1 and strip(seen()) == damaged
        host.restore(**words()).roll_back()
        assert seen() == damaged

    def test_a_volume_in_use_is_refused_with_the_container_that_uses_it(self, host, uploads, seen):
        host.backup(**words())
        uploads.inside("uploads", DAMAGE)
        damaged = seen()
        uploads.run("web", "--volume", "uploads:/data")
        with pytest.raises(BusyError, match="the running container web still uses the volume uploads"):
            host.restore(**words()).restore()
        assert strip(seen()) == damaged
        uploads.podman("stop", "--time=0", "web")
        assert host.restore(**words()).restore().state == "restored"

    def test_a_fresh_host_gets_the_volume_and_loses_it_again(self, host, uploads, seen):
        uploads.podman("volume", "create", "shop_data")
        uploads.inside("shop_data", FILL)
        good = seen("shop_data")
        host.backup(**words(volume="data"))
        uploads.podman("volume", "rm", "shop_data")
        host.restore(**words(volume="data")).restore()
        host.restore(**words(volume="data")).roll_back()
        assert b"shop_data" not in uploads.podman("volume", "ls", "--quiet")
        host.restore(**words(volume="data")).restore()
        host.restore(**words(volume="data")).commit()
        assert seen("shop_data") == good

    def test_by_the_docker_client(self, host, uploads, seen):
        uploads.serve()
        good = seen()
        host.backup(**words(engine="docker"))
        uploads.inside("uploads", DAMAGE)
        host.restore(**words(engine="docker")).restore()
        assert strip(seen()) == good

    def test_a_place_in_a_volume(self, host, uploads, seen):
        uploads.podman("create", "--name", "web", "--volume", "uploads:/data", "docker.io/library/busybox", "true")
        inside = words(volume=None, container="web", container_path="/data/deep", path="volumes/uploads")
        single = words(volume=None, container="web", container_path="/data/deep/er/file", path="volumes/uploads")
        for described in (inside, single):
            good = seen()
            host.backup(**described)
            uploads.inside("uploads", "rm deep/er/file; echo damage > deep/er/file")
            damaged = seen()
            host.restore(**described).restore()
            assert strip(seen()) == good
            host.restore(**described).roll_back()
            assert seen() == damaged

    def test_a_volume_without_room_keeps_its_state(self, host, uploads, seen):
        small = host.place("small")
        os.mkdir(small)
        uploads.enter("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small)
        host.backup(**words(path="data"))
        uploads.run("web", "--volume", small + ":/data")
        with pytest.raises(SpaceError, match="no space left in the directory"):
            host.restore(**words(volume=None, container="web", container_path="/data", path="data")).stage()
        assert uploads.enter("ls", "-A", small) == b""

    def test_what_cannot_be_read_back_is_not_restored(self, host, uploads, seen, monkeypatch):
        host.backup(**words())
        damaged = seen()
        monkeypatch.setattr(swapping, "READ_BACK", "rm \"$1/$2/new/hard\"; " + swapping.READ_BACK)
        with pytest.raises(RestoreError, match="not what it should be"):
            host.restore(**words()).restore()
        assert seen() == damaged

    def test_what_an_engine_has_lost_once_is_read_again(self, host, uploads, seen, monkeypatch):
        host.backup(**words())
        good = seen()
        uploads.inside("uploads", "echo damage > deep/er/file")
        damaged, script = seen(), swapping.READ_BACK
        monkeypatch.setattr(swapping, "READ_BACK", "exit 0")
        with pytest.raises(RestoreError, match="cannot be read back: the archive is cut short"):
            host.restore(**words()).restore()
        assert seen() == damaged
        monkeypatch.setattr(swapping, "READ_BACK", '[ -e "$1/$2/asked" ] || { : > "$1/$2/asked"; exit 0; }; ' + script)
        host.restore(**words()).restore()
        assert strip(seen()) == good

    def test_to_another_root_the_volume_becomes_files(self, host, uploads, seen):
        host.backup(**words())
        before = seen()
        os.mkdir(host.place("elsewhere"))
        host.restore({"target_root": host.place("elsewhere")}, **words()).restore()
        with open(host.place("elsewhere", "volumes/uploads/deep/er/file"), encoding="ascii") as stream:
            assert stream.read() == "content\n"
        assert seen() == before


def strip(state):
    """A state without what stands in our own directory."""
    told = {name: entry for name, entry in state[0].items() if not name.rpartition(b"/")[2].startswith(b".appstate-")
            and b".appstate-" not in name}
    return (told,) + state[1:]


class TestKilled:
    @pytest.mark.parametrize("delay", [0.1, 0.25])
    @pytest.mark.parametrize("step", ["stage", "restore", "roll_back"])
    def test_the_engine_and_its_helper_killed_at_some_moment(self, host, uploads, seen, step, delay):
        host.backup(**words())
        uploads.inside("uploads", DAMAGE)
        damaged = seen()
        if step != "stage":
            host.restore(**words()).stage()
        if step == "roll_back":
            host.restore(**words()).restore()
        child = os.fork()
        if not child:
            try:
                getattr(host.restore(**words()), step)()
            finally:
                os._exit(0)
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        host.restore(**words()).roll_back()
        assert strip(seen()) == damaged


class TestLayer:
    words = words(volume=None, container="web", container_path="/etc/config.php", path="data/config.php")

    def content(self, containers):
        containers.podman("start", "web")
        told = containers.podman("exec", "web", "sh", "-c", "stat -c '%u %g %a' /etc/config.php; cat /etc/config.php")
        containers.podman("stop", "--time=0", "web")
        return told.decode().splitlines()

    def change(self, containers, script):
        containers.podman("start", "web")
        containers.podman("exec", "web", "sh", "-euc", script)

    def test_there_and_back_and_there_for_good(self, host, containers):
        containers.run("web")
        self.change(containers, "echo good > /etc/config.php; chown 33:44 /etc/config.php; chmod 640 /etc/config.php")
        host.backup(**self.words)
        self.change(containers, "echo bad > /etc/config.php; chown 55:66 /etc/config.php; chmod 600 /etc/config.php")
        with pytest.raises(BusyError, match="container web still uses"):
            host.restore(**self.words).restore()
        containers.podman("stop", "--time=0", "web")
        outcome = host.restore(**self.words).restore()
        aside, = outcome.content["stores"]["data/config.php"]["asides"]
        with open(aside, encoding="ascii") as stream:
            assert aside.startswith(host.at("data/config.php.before-restore-")) and stream.read() == "bad\n"
        assert self.content(containers) == ["33 44 640", "good"]
        host.restore(**self.words).roll_back()
        assert self.content(containers) == ["55 66 600", "bad"] and not os.path.exists(aside)
        host.restore(**self.words).restore()
        host.restore(**self.words).commit()
        assert self.content(containers) == ["33 44 640", "good"] and not host.left()

    def test_one_that_was_not_there_stays_where_a_container_that_is_stopped_is_rolled_back(self, host, containers):
        containers.run("web")
        self.change(containers, "echo good > /etc/config.php")
        host.backup(**self.words)
        containers.podman("rm", "--force", "--time=0", "web")
        containers.run("web")
        containers.podman("stop", "--time=0", "web")
        outcome = host.restore(**self.words).restore()
        assert "a rollback leaves the new one there" in outcome.content["stores"]["data/config.php"]["asides"][0]
        host.restore(**self.words).roll_back()
        assert self.content(containers)[1:] == ["good"] and not host.left()

    def test_a_container_that_is_not_there_yet(self, host, containers):
        containers.run("web")
        self.change(containers, "echo good > /etc/config.php")
        host.backup(**self.words)
        containers.podman("rm", "--force", "--time=0", "web")
        with pytest.raises(SourceError, match="there is no container web"):
            host.restore(**self.words).restore()
