# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Real podman on this machine, apart from what else is on it: its own storage, mounts and settings, first on PATH.

Control groups of the second version are mounted where podman looks for them in a mount namespace that lasts as long as
one process; containers have no control groups and no network. Images are made of a static busybox, none is downloaded.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time

import pytest

SETTINGS = """[containers]
cgroups = "disabled"
netns = "none"
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
cgroup_manager = "cgroupfs"
runtime = "crun"
events_logger = "none"
"""
KEEPER = """
umount -l /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup && mkdir "$1/storage" || exit
if [ "$2" = hidden ]; then mount -t tmpfs tmpfs "$1/storage" || exit; fi
echo ready
exec sleep 86400
"""
PODMAN = """#!/bin/sh
export CONTAINERS_CONF=%(place)s/containers.conf
exec nsenter --mount=/proc/%(pid)d/ns/mnt --wdns="$PWD" -- %(podman)s --storage-driver=vfs \
--root %(place)s/storage --runroot %(place)s/state "$@"
"""
DOCKER = """#!/bin/sh
export DOCKER_HOST=unix://%(place)s/docker.sock DOCKER_CONFIG=%(place)s
exec %(docker)s "$@"
"""
# Containers and volumes of tests wait for the disk otherwise.
FAST = "/dev/shm" if os.path.isdir("/dev/shm") else None
BUSYBOX = "docker.io/library/busybox"


class Containers:
    """An own podman below a directory; ``programs`` is to be put in front of PATH.

    Where it is ``hidden``, this host does not see what podman keeps, as if it were on another machine.
    """

    def __init__(self, place, hidden=False):
        self.place = str(place)
        self.programs = os.path.join(self.place, "bin")
        self._service = None
        os.makedirs(self.programs)
        self._write("containers.conf", SETTINGS)
        self._keeper = subprocess.Popen(["unshare", "--mount", "sh", "-c", KEEPER, "sh", self.place,
                                         "hidden" if hidden else ""], stdout=subprocess.PIPE)
        if self._keeper.stdout.readline() != b"ready\n":
            raise RuntimeError("no mount namespace with control groups of version 2")
        self._program("podman", PODMAN)
        self.make_image(BUSYBOX)

    def _write(self, name, text, mode=0o644):
        path = os.path.join(self.place, name)
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.chmod(path, mode)

    def _program(self, name, text):
        program = shutil.which(name)
        if program is None:
            raise RuntimeError("%s is not on this machine" % name)
        self._write("bin/" + name, text % {"place": self.place, "pid": self._keeper.pid, name: program}, 0o755)

    def close(self):
        """Ends every container, and what keeps them."""
        subprocess.run([os.path.join(self.programs, "podman"), "rm", "--all", "--force", "--time=0"],
                       stdout=subprocess.DEVNULL, check=False)
        for process in (self._service, self._keeper):
            if process is not None:
                process.terminate()
                process.wait()
        self._keeper.stdout.close()
        shutil.rmtree(self.place, ignore_errors=True)  # What podman started to clean up may still be at it.

    def podman(self, *words, data=None):
        """Runs podman; what it printed."""
        done = subprocess.run([os.path.join(self.programs, "podman")] + list(words), input=data, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, check=False)
        if done.returncode:
            raise RuntimeError("podman %s: %s" % (" ".join(words), done.stderr.decode("utf-8", "replace")))
        return done.stdout

    def enter(self, *words):
        """Runs a command where podman sees the file system; what it printed."""
        return subprocess.run(["nsenter", "--mount=/proc/%d/ns/mnt" % self._keeper.pid, "--"] + list(words), check=True,
                              stdout=subprocess.PIPE).stdout

    def make_image(self, name, applets=None):
        """An image with a busybox, as those applets (None: all of them)."""
        root = os.path.join(self.place, "image")
        os.makedirs(os.path.join(root, "bin"))
        busybox = os.path.join(root, "bin", "busybox")
        shutil.copy(shutil.which("busybox"), busybox)
        if applets is None:
            applets = subprocess.run([busybox, "--list"], stdout=subprocess.PIPE, check=True).stdout.decode().split()
        for applet in applets:
            if applet != "busybox":
                os.symlink("busybox", os.path.join(root, "bin", applet))
        tar = subprocess.run(["tar", "-C", root, "-c", "."], stdout=subprocess.PIPE, check=True).stdout
        self.podman("import", "--quiet", "-", name, data=tar)
        shutil.rmtree(root)

    def run(self, name, *words, image=BUSYBOX):
        """A container that does nothing for a day."""
        self.podman("run", "--detach", "--name", name, *words, image, "sleep", "86400")

    def inside(self, volume, script, *words):
        """What a shell script prints that has a volume at /v."""
        return self.podman("run", "--rm", "--volume", volume + ":/v", "--workdir", "/v", BUSYBOX, "sh", "-euc", script,
                           "sh", *words)

    def mountpoint(self, volume):
        """Where podman keeps a volume."""
        return self.podman("volume", "inspect", "--format", "{{.Mountpoint}}", volume).decode().strip()

    def serve(self):
        """Answers the docker client, which is then found on ``programs`` too."""
        if self._service is None:
            self._program("docker", DOCKER)
            self._service = subprocess.Popen([os.path.join(self.programs, "podman"), "system", "service", "--time=0",
                                              "unix://%s/docker.sock" % self.place], stderr=subprocess.DEVNULL)
            until = time.monotonic() + 20
            while not os.path.exists(os.path.join(self.place, "docker.sock")) and time.monotonic() < until:
                time.sleep(0.05)

    def clear(self):
        """Removes all containers and volumes."""
        self.podman("rm", "--all", "--force", "--time=0")
        self.podman("volume", "prune", "--force")


@pytest.fixture(scope="module")
def containers_of_module():
    """Containers for all tests of a module, in memory where that can be; podman wants short paths."""
    with tempfile.TemporaryDirectory(prefix="ast-", dir=FAST) as place:
        machine = Containers(os.path.join(place, "c"))
        try:
            yield machine
        finally:
            machine.close()


@pytest.fixture
def containers(containers_of_module, monkeypatch):  # pylint: disable=redefined-outer-name
    """Containers, of which there are none yet, of an engine that is the first on PATH."""
    monkeypatch.setenv("PATH", containers_of_module.programs + os.pathsep + os.environ["PATH"])
    yield containers_of_module
    containers_of_module.clear()
