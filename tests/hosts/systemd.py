# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host whose first process is a real systemd.

It boots to a target of its own: the basic system and the services of the fleet, and nothing that happens to be
enabled on the outer machine. It has a control group of its own, which is the root of what it sees of them.
"""

from __future__ import annotations

import errno
import os

from .filesystem import write_files
from .processes import checked

PROGRAM = "/lib/systemd/systemd"
GROUPS = "/sys/fs/cgroup"
TARGET = "fleet.target"
UNITS = "/etc/systemd/system"
# It neither loads modules nor sets the clock of the outer machine.
DROPPED = "--bounding-set=-sys_module,-sys_time,-sys_boot"
# Only in a namespace of control groups is the own one the root of what is mounted.
MOUNT_AND_BECOME = 'umount "$0" && mount -t cgroup2 cgroup2 "$0" && exec setpriv "$@"'
# What is still busy is left to the next fleet.
MOUNT_AND_REMOVE = """\
mount -t cgroup2 cgroup2 "$0"
for group in "$0"/fleet-*; do
    if grep -q '^populated 0' "$group/cgroup.events" 2>/dev/null; then
        find "$group" -depth -type d -exec rmdir {} + || true
    fi
done
"""


def prepare(services, group):
    """Write the units, and put the calling process into a control group of the fleet."""
    names = []
    for command in services:
        names.append("fleet-%s.service" % os.path.basename(command[0]))
        write_files({"%s/%s" % (UNITS, names[-1]):
                     "[Service]\nExecStart=%s\nRuntimeDirectory=sshd\nRuntimeDirectoryPreserve=yes\n"
                     % " ".join(command)}, 0o644)
    write_files({"%s/%s" % (UNITS, TARGET): "[Unit]\nRequires=basic.target\nAfter=basic.target\nWants=%s\n"
                 % " ".join(names), "/etc/machine-id": ""}, 0o644)
    checked(["mount", "--bind", "/proc/sys", "/proc/sys"])
    checked(["mount", "-o", "remount,bind,ro", "/proc/sys"])
    checked(["mount", "-t", "cgroup2", "cgroup2", GROUPS])
    _join(os.path.join(GROUPS, group, os.uname().nodename))


def _join(group):
    """Put the calling process into a control group; another fleet that ends may remove it as long as it is empty."""
    for _attempt in range(100):
        try:
            os.makedirs(group, exist_ok=True)
            with open(os.path.join(group, "cgroup.procs"), "wb") as stream:
                stream.write(b"0")
            return
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENODEV):
                raise
    raise RuntimeError("the control group %s is removed again and again" % group)


def become():
    """Run systemd in place of the calling process, which is the first of its namespace."""
    os.execvpe("unshare", ["unshare", "--cgroup", "--", "sh", "-c", MOUNT_AND_BECOME, GROUPS, DROPPED, PROGRAM,
                           "--unit=" + TARGET], {"container": "podman", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})


def remove_groups():
    """Remove the control groups of fleets that have ended, also of those whose test was killed.

    They are reached by a mount of our own that nobody else sees.
    """
    checked(["unshare", "--mount", "sh", "-c", MOUNT_AND_REMOVE, "/mnt"])
