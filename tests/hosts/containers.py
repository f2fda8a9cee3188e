# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Real containers on a host: podman, the docker client against podman's service, and images made of what is there.

No image comes from a registry: one is a small root with a static busybox and, where asked for, programs of the host
with their libraries. Containers have no control groups of their own. Those that podman makes have the network of their
host; the docker client has to ask for it (--network host).
"""

from __future__ import annotations

import time

from .packages import require

PROGRAMS = {"podman": "podman", "crun": "crun", "busybox": "busybox-static"}
DOCKER_PROGRAMS = {"docker": "docker.io"}
# As docker names it when it is written without a registry, and what helper containers are made of by default.
BUSYBOX = "docker.io/library/busybox:latest"
SOCKET = "/run/docker.sock"
SETTINGS = {
    "/etc/containers/containers.conf": """\
[containers]
cgroups = "disabled"
netns = "host"
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
""",
    "/etc/containers/storage.conf": """\
[storage]
driver = "vfs"
runroot = "/run/containers/storage"
graphroot = "/var/lib/fleet-containers"
"""}
# $0 is the name of the image, the other words are programs; what the root holds beside busybox is theirs.
MAKE_IMAGE = """
root=$(mktemp -d)
chmod 0755 "$root"
mkdir "$root/bin" "$root/etc" "$root/tmp"
chmod 1777 "$root/tmp"
cp -L "$(command -v busybox)" "$root/bin/busybox"
for applet in $("$root/bin/busybox" --list); do
    [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
done
for program in "$@"; do
    path=$(command -v "$program")
    cp -L --parents "$path" $(ldd "$path" | grep -o '/[^ ]*') "$root"
done
tar -C "$root" -c . | podman import --quiet - "$0"
rm -r "$root"
"""


class Containers:
    """The containers of one host, with the image ``BUSYBOX`` there from the beginning."""

    def __init__(self, host):
        require(PROGRAMS)
        self.host = host
        for path, text in SETTINGS.items():
            host.write(path, text)
        host.run(["mount", "-t", "cgroup2", "cgroup2", "/sys/fs/cgroup"])
        self._service = None
        self.make_image(BUSYBOX)

    def podman(self, *words, check=True, timeout=60):
        """Run podman as root; what came of it."""
        return self.host.run(["podman"] + list(words), check=check, timeout=timeout)

    def docker(self, *words, check=True, timeout=60):
        """Run the docker client as root; ``serve`` comes before."""
        return self.host.run(["docker"] + list(words), check=check, timeout=timeout)

    def make_image(self, name, programs=()):
        """Import an image of busybox and some programs of the host."""
        self.host.run(["sh", "-euc", MAKE_IMAGE, name] + list(programs), timeout=120)

    def serve(self):
        """Answer the docker client where it looks for its daemon by default; once is enough."""
        require(DOCKER_PROGRAMS)
        if self._service is None:
            self._service = self.host.start(["podman", "system", "service", "--time=0", "unix://" + SOCKET])
            until = time.monotonic() + 20
            while self.docker("version", check=False).returncode != 0:
                if time.monotonic() > until:
                    raise RuntimeError("podman's service does not answer the docker client")
                time.sleep(0.1)
