# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A child's own view of the file system: some directories, each at its own path, and nothing else; or a disk that is full.

What lies in a container's volume belongs to users of that container, whom the host does not let pass the directories
above it, and the container's root is not the host's. In a mount namespace of its own (mount_namespaces(7)) the child
gets an empty root in memory, in which just those directories are bound.
"""

from __future__ import annotations

import ctypes
import os

from .errors import ChildError
from .files import as_bytes

# Any directory that every host has will do: in our own namespace, the new root is mounted over it.
_PLACE = b"/tmp"
_CLONE_NEWNS = 0x00020000
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_BIND, _MS_REC, _MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18


def enter_view(directories):
    """Moves this process, which is root and has no threads, into a root that has only these directories."""
    libc = _with_own_mounts()
    # Opened before anything is mounted over: one of them may lie below that place.
    opened = [(as_bytes(path), os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)) for path in directories]
    _mount(libc, b"tmpfs", _PLACE, b"tmpfs", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC, b"mode=0755,size=1m")
    for path, descriptor in opened:
        place = _PLACE + path
        os.makedirs(place, 0o755, exist_ok=True)
        _mount(libc, b"/proc/self/fd/%d" % descriptor, place, None, _MS_BIND)
        os.close(descriptor)
    os.chroot(_PLACE)
    os.chdir("/")


def enter_full_disk(directory):
    """Moves this process, which is root and has no threads, to where a directory is a file system without any room in it.

    Nobody else sees that, and the kernel takes it away when this process has ended, however that was.
    """
    _mount(_with_own_mounts(), b"tmpfs", as_bytes(directory), b"tmpfs", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC, b"mode=0700,size=4k")


def _with_own_mounts():
    libc = ctypes.CDLL(None, use_errno=True)
    _checked(libc.unshare(_CLONE_NEWNS))
    _mount(libc, None, b"/", None, _MS_REC | _MS_PRIVATE)
    return libc


def _mount(libc, source, target, kind, flags, options=None):
    _checked(libc.mount(source, target, kind, ctypes.c_ulong(flags), options))


def _checked(status):
    if status != 0:
        raise ChildError("this host does not let it have a view of its own: %s" % os.strerror(ctypes.get_errno()))
