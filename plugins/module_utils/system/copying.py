# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Another of a file, as fast as the file system can: by a second name, by reflink, in the kernel, or by reading and writing."""

from __future__ import annotations

import errno
import fcntl
import os
import stat

from .errors import SourceError
from .files import CREATE, READ, give, write_all

# ioctl_ficlone(2): makes a file share the other's blocks until one of them is written.
_FICLONE = 0x40049409
_CHUNK = 1 << 20
_CANNOT = (errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EBADF, errno.EPERM,
           errno.ETXTBSY)
# What link(2) says where it is not the file's name that is wrong: FAT has no second names, ext4 has 65000 of a file.
CANNOT_LINK = (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS, errno.EXDEV)


def copy_file(source, target):
    """Copies a regular file to a new one (0600); returns ``reflink`` or ``copy``.

    The copy is not synchronized. What was begun at ``target`` is left there when it fails.

    Raises:
        OSError: as open(2), read(2) and write(2) say.
    """
    reading = os.open(source, READ)
    try:
        if not stat.S_ISREG(os.fstat(reading).st_mode):
            raise SourceError("is not a regular file", path=source)
        writing = os.open(target, CREATE, 0o600)
        try:
            return copy_descriptor(reading, writing)
        finally:
            os.close(writing)
    finally:
        os.close(reading)


def link_or_copy(directory, name, there, new):
    """A second name for a file, perhaps in another directory; where there cannot be one, a copy on the disk with the same
    owner, mode and times.

    Raises:
        OSError: as link(2), open(2), read(2) and write(2) say; FileExistsError where the new name is taken.
        SourceError: there cannot be a second name, and it is no regular file.
    """
    try:
        os.link(name, new, src_dir_fd=directory, dst_dir_fd=there, follow_symlinks=False)
        return
    except OSError as error:
        if error.errno not in CANNOT_LINK:
            raise
    reading = os.open(name, READ, dir_fd=directory)
    try:
        found = os.fstat(reading)
        if not stat.S_ISREG(found.st_mode):
            raise SourceError("is not a regular file", path=name)
        writing = os.open(new, CREATE, 0o600, dir_fd=there)
        try:
            copy_descriptor(reading, writing)
            give(writing, found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode))
            os.utime(writing, ns=(found.st_atime_ns, found.st_mtime_ns))
            os.fsync(writing)
        finally:
            os.close(writing)
    finally:
        os.close(reading)


def copy_descriptor(reading, writing):
    """As ``copy_file``, from one open file into another, which is empty."""
    if _reflink(reading, writing):
        return "reflink"
    done = _copy_in_kernel(reading, writing)
    os.lseek(reading, done, os.SEEK_SET)
    os.lseek(writing, done, os.SEEK_SET)
    while True:
        data = os.read(reading, _CHUNK)
        if not data:
            return "copy"
        write_all(writing, data)


def _reflink(reading, writing):
    try:
        fcntl.ioctl(writing, _FICLONE, reading)
        return True
    except OSError as error:
        if error.errno in _CANNOT:
            return False
        raise


def _copy_in_kernel(reading, writing):
    """Bytes that sendfile(2) copied; what it cannot is left to reading and writing."""
    done = 0
    while True:
        try:
            count = os.sendfile(writing, reading, done, 8 * _CHUNK)
        except OSError as error:
            if error.errno in _CANNOT:
                return done
            raise
        if count == 0:
            return done
        done += count
