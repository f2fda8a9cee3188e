# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host's own file system: the outer machine's as it is, with everything that is written kept in memory."""

from __future__ import annotations

import os

from .processes import checked

DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
MEMORY = "2g"
OLD_ROOT = "/run/outer"
# The descriptor by which the first process of a host holds what was written on that, for tests to look at.
HELD = 9


def enter(folder):
    """Lay a writable layer over the outer file system and make that the root of the calling process.

    What lies in the homes, in /run and /tmp of the outer machine is not to be seen.

    ``folder`` is an empty directory to mount on. The caller has a mount namespace of its own, from which nothing
    is passed on; when its last process ends, all of this is gone.
    """
    _mount("tmpfs", "tmpfs", folder, "size=%s,mode=0755" % MEMORY)
    upper, work, root = (os.path.join(folder, name) for name in ("upper", "work", "root"))
    for path in (upper, work, root):
        os.mkdir(path, 0o755)
    _hold(upper)
    _mount("overlay", "overlay", root, "lowerdir=/,upperdir=%s,workdir=%s" % (upper, work))
    _mount("proc", "proc", root + "/proc")
    _mount("sysfs", "sysfs", root + "/sys", "ro")
    _mount("tmpfs", "tmpfs", root + "/run", "mode=0755")
    _mount("tmpfs", "tmpfs", root + "/tmp", "mode=1777")
    _mount("tmpfs", "tmpfs", root + "/root", "mode=0700")
    _mount("tmpfs", "tmpfs", root + "/home", "mode=0755")
    _make_devices(root + "/dev")
    os.mkdir(root + OLD_ROOT)
    checked(["pivot_root", root, root + OLD_ROOT])
    os.chdir("/")
    checked(["umount", "--lazy", OLD_ROOT])
    os.rmdir(OLD_ROOT)
    for path in ("/run/lock", "/run/sshd"):
        os.mkdir(path, 0o755)


def write_files(files, mode):
    """Write files (from path to text) with a mode, in place of what was there."""
    for path, text in files.items():
        if os.path.lexists(path):
            os.remove(path)
        with open(path, "x", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, mode)) as stream:
            stream.write(text)


def _make_devices(directory):
    _mount("tmpfs", "tmpfs", directory, "mode=0755")
    for name in DEVICES:
        number = os.stat("/dev/" + name).st_rdev
        path = os.path.join(directory, name)
        os.mknod(path, 0o020666, number)
        os.chmod(path, 0o666)
    for name, target in (("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1"),
                         ("stderr", "/proc/self/fd/2"), ("ptmx", "pts/ptmx")):
        os.symlink(target, os.path.join(directory, name))
    for name, kind, options in (("pts", "devpts", "newinstance,ptmxmode=0666,mode=0620"),
                                ("shm", "tmpfs", "mode=1777")):
        os.mkdir(os.path.join(directory, name))
        _mount(kind, kind, os.path.join(directory, name), options)


def _hold(directory):
    """Keep a directory within reach of the outer machine, though no path leads to it any more."""
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    os.dup2(descriptor, HELD, inheritable=False)
    os.close(descriptor)


def _mount(kind, source, target, options="defaults"):
    checked(["mount", "-t", kind, "-o", options, source, target])
