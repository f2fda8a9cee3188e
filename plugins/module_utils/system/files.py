# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Opening, making and publishing files by directory descriptors.

Root works in trees that an unprivileged user can change at any moment. A path that is looked up twice may be two
places; a descriptor stays the place it was opened at. So every path below an app's root is walked one component at a
time with ``O_NOFOLLOW`` (open(2)), and everything else is done relative to the descriptor that came out.

Names are ``bytes``: a file name is a string of bytes, not text.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat

from .errors import AppStateError, SourceError, SpaceError

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: opening a FIFO that somebody put in the place of a file must not hang.
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
# A place without its content, so that anything can be looked at, a link and a FIFO too.
PLACE = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
# A directory on the way to another: whoever may pass it need not be allowed to list it.
WAY = PLACE | os.O_DIRECTORY
CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
MAXIMUM_LINKS = 40


def as_bytes(path):
    """A path from a configuration (UTF-8 text) or from the system (bytes) as bytes."""
    return path if isinstance(path, bytes) else path.encode("utf-8", "surrogateescape")


def open_directory(path):
    """A descriptor of the directory at an absolute path that an operator configured.

    A symbolic link on the way is followed only where nobody but root, or we, could have put it: in a directory that
    is ours or root's and that no other may write (or that is sticky, with a link of ours or root's).

    Raises:
        OSError: as open(2) says.
        AppStateError: a link that somebody else may swap.
    """
    way = _open_way(path)
    try:
        return os.open(b".", DIRECTORY, dir_fd=way)
    finally:
        os.close(way)


def _open_way(path):
    """The same, to what may be entered and need not be listed: things can be made and opened in it, and nothing else."""
    pending = [part for part in as_bytes(path).split(b"/") if part]
    pending.reverse()
    followed = 0
    current = os.open(b"/", WAY)
    try:
        while pending:
            part = pending.pop()
            if part == b".":
                continue
            step, link = _step(current, part, path)
            if link is not None:
                followed += 1
                if followed > MAXIMUM_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
                pending.extend(reversed([piece for piece in link.split(b"/") if piece]))
                if not link.startswith(b"/"):
                    continue
                step = os.open(b"/", WAY)
            os.close(current)
            current = step
        return current
    except BaseException:
        os.close(current)
        raise


def _step(directory, part, path):
    """One component further: a descriptor, or the target of a link that may be trusted."""
    try:
        return os.open(part, WAY, dir_fd=directory), None
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENOTDIR):
            raise
        entry = os.stat(part, dir_fd=directory, follow_symlinks=False)
        if not stat.S_ISLNK(entry.st_mode):
            raise
        if not _only_trusted_write(os.fstat(directory), entry):
            raise AppStateError("a symbolic link on the way (%s) could be swapped by an unprivileged user"
                                % part.decode("utf-8", "backslashreplace"), path=path,
                                remedy="Name the place it points to")
        return None, os.readlink(part, dir_fd=directory)


def _only_trusted_write(directory, link):
    trusted = (0, os.geteuid())
    if directory.st_uid not in trusted or link.st_uid not in trusted:
        return False
    return not directory.st_mode & 0o022 or bool(directory.st_mode & stat.S_ISVTX)


def open_beneath(directory, relative, flags=READ, mode=0o600):
    """A descriptor of what lies at a relative path, no component of which is a symbolic link."""
    parent, name = open_parent(directory, relative)
    try:
        return os.open(name, flags, mode, dir_fd=parent)
    finally:
        os.close(parent)


def mount_of(descriptor):
    """The number of the mount that a descriptor was opened on (proc(5), ``mnt_id``).

    rename(2) works within one mount. ``st_dev`` does not tell mounts apart: a bind mount has that of its origin, and on
    an overlay a file may have another than its directory.
    """
    with open("/proc/self/fdinfo/%d" % descriptor, "rb") as stream:
        return next(int(line.split()[1]) for line in stream if line.startswith(b"mnt_id:"))


def open_parent(directory, relative):
    """``(descriptor of the directory that holds it, its name)`` of a relative path; no link is followed."""
    parts = as_bytes(relative).split(b"/")
    if not parts[-1] or any(part in (b"", b".", b"..") for part in parts):
        raise AppStateError("is not a plain relative path", path=relative)
    current = os.dup(directory)
    try:
        for part in parts[:-1]:
            step = os.open(part, DIRECTORY, dir_fd=current)
            os.close(current)
            current = step
        return current, parts[-1]
    except BaseException:
        os.close(current)
        raise


def make_parents(directory, relative, mode=0o755, uid=-1, gid=-1, durable=True):
    """Makes the directories above a relative path that are missing; returns those it made, outermost first.

    Each is on the disk when this returns, unless it need not be ``durable`` yet.
    """
    parts = as_bytes(relative).split(b"/")[:-1]
    if any(part in (b"", b".", b"..") for part in parts):
        raise AppStateError("is not a plain relative path", path=relative)
    made = []
    current = os.dup(directory)
    try:
        for depth, part in enumerate(parts, 1):
            try:
                step = os.open(part, DIRECTORY, dir_fd=current)
            except FileNotFoundError:
                step = _made_and_given(current, part, uid, gid, mode)
                if durable:
                    os.fsync(current)
                made.append(b"/".join(parts[:depth]))
            os.close(current)
            current = step
        return made
    finally:
        os.close(current)


def _made_and_given(parent, name, uid, gid, mode):
    descriptor = make_directory(parent, name)
    try:
        give(descriptor, uid, gid, mode)
        return descriptor
    except BaseException:
        os.close(descriptor)
        raise


def make_directory(parent, name):
    """Makes a directory that only we can enter (0700), and opens it: that one, and none that somebody put there meanwhile.

    Raises:
        OSError: as mkdir(2) and open(2) say; also where a link, or nothing, is there by now.
        AppStateError: as ``open_made`` says.
    """
    os.mkdir(name, 0o700, dir_fd=parent)
    return open_made(parent, name)


def open_made(parent, name):
    """Opens a directory that mkdir(2) made a moment ago with mode 0700.

    mkdir(2) gives no descriptor, so whoever may write in the parent can put another directory there before it is opened. One of
    theirs has another owner, and what they have mounted (FUSE tells any owner) another device. What is left to them is an empty
    directory that we made: of the same parent, or one that they may write in, which rename(2) asks for elsewhere. Nobody puts anything
    into it once it is shut, so it is as good as the one that was made.

    Raises:
        AppStateError: it is another one. So is any that a file system gives to somebody else (NFS with root_squash): it cannot be told
            from a stranger's, and chown(2) would be refused there, too.
    """
    descriptor = os.open(name, DIRECTORY, dir_fd=parent)
    try:
        found = os.fstat(descriptor)
        if found.st_uid != os.geteuid() or found.st_dev != os.fstat(parent).st_dev:
            raise _exchanged(parent, name, found)
        # Not refused: FAT and CIFS have one mode for all, and keep it. The set-group-id bit is the parent's.
        if found.st_mode & 0o077 and not os.listdir(descriptor):
            os.fchmod(descriptor, stat.S_IMODE(found.st_mode) & ~0o077)
        if os.listdir(descriptor):
            raise _exchanged(parent, name, found)
        return descriptor
    except BaseException:
        os.close(descriptor)
        raise


def _exchanged(parent, name, found):
    above = os.readlink(b"/proc/self/fd/%d" % parent)
    return AppStateError("is not the directory that was made there a moment ago, but another (of user id %d): somebody exchanged it, "
                         "or the file system gives away what is made" % found.st_uid, path=os.path.join(above, as_bytes(name)),
                         remedy="Find out who did, and try again; on NFS, export it without root_squash")


def by_descriptor(descriptor):
    """A path to an open directory that leads there whatever becomes of its name (proc(5), ``/proc/self/fd``).

    The dot at its end makes it usable with ``O_NOFOLLOW``.
    """
    return "/proc/self/fd/%d/." % descriptor


def give(descriptor, uid, gid, mode):
    """Owner, group (-1 leaves either) and mode of an open file; chown first, since it clears set-id bits.

    Raises:
        PermissionError: also where root's chmod(2) would leave out the set-group-id bit without a word, for want of CAP_FSETID.
    """
    if (uid, gid) != (-1, -1):
        os.fchown(descriptor, uid, gid)
    os.fchmod(descriptor, mode)
    if mode & stat.S_ISGID and os.geteuid() == 0 and not os.fstat(descriptor).st_mode & stat.S_ISGID:
        raise PermissionError(errno.EPERM, "the set-group-id bit was refused")


def lookup(directory, relative):
    """``lstat`` of a relative path whose parents are no links, or None where nothing is."""
    try:
        parent, name = open_parent(directory, relative)
    except FileNotFoundError:
        return None
    try:
        return os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return None
    finally:
        os.close(parent)


class WriteOut:
    """Has a growing file go to the disk while it is written, 16 MiB at a time.

    Otherwise all of it waits for the last fsync, and every other fsync on that file system, an application's commit
    too, waits behind it. Source: sync_file_range(2), which makes nothing durable by itself.
    """

    EVERY = 16 * 1024 * 1024
    WAIT_WRITE_WAIT = 7

    def __init__(self, descriptor):
        self._descriptor = descriptor
        self._waiting = 0

    def wrote(self, count):
        """Told of bytes that were written, here or further up a pipe."""
        self._waiting += count
        if self._waiting < self.EVERY:
            return
        self._waiting = 0
        try:
            call = ctypes.CDLL(None, use_errno=True).sync_file_range
        except AttributeError:
            return  # Only Linux has it; all it gives is shorter waits.
        call(self._descriptor, ctypes.c_int64(0), ctypes.c_int64(0), ctypes.c_uint(self.WAIT_WRITE_WAIT))


def exists_at(directory, name):
    """Whether a directory has an entry of that name, a dangling link too."""
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
        return True
    except FileNotFoundError:
        return False


def write_all(descriptor, data):
    """write(2) until all of it is written."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view):]


def in_memory(name, data):
    """A descriptor, at its beginning, of a file with that content which is in no directory (memfd_create(2)), and which nobody
    but us may read; ``name`` is what /proc calls it."""
    descriptor = os.memfd_create(name)
    try:
        os.fchmod(descriptor, 0o600)
        write_all(descriptor, data)
        os.lseek(descriptor, 0, os.SEEK_SET)
        return descriptor
    except BaseException:
        os.close(descriptor)
        raise


def read_all(descriptor, most):
    """What is left to read of a descriptor; more than ``most`` bytes is an error."""
    parts, left = [], most + 1
    while left > 0:
        part = os.read(descriptor, min(left, 1 << 20))
        if not part:
            return b"".join(parts)
        parts.append(part)
        left -= len(part)
    raise AppStateError("is larger than %d bytes" % most)


def read_file(directory, name, most):
    """The content of one regular file in a directory."""
    descriptor = os.open(name, READ, dir_fd=directory)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise SourceError("is not a regular file", path=name)
        return read_all(descriptor, most)
    finally:
        os.close(descriptor)


def write_atomically(directory, name, data, mode=0o600):
    """Puts a whole file at a name of a private directory, or leaves what was there: temporary file, fsync, rename.

    The caller is the only one who writes that name, so what a killed run left under the temporary one is replaced.
    """
    temporary = _temporary(name)
    remove_if_there(directory, temporary)
    descriptor = os.open(temporary, CREATE, mode, dir_fd=directory)
    try:
        try:
            os.fchmod(descriptor, mode)
            write_all(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(temporary, as_bytes(name), src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        remove_if_there(directory, temporary)
        raise
    os.fsync(directory)


def remove_written(directory, name):
    """Removes what ``write_atomically`` wrote, and what a killed run left of its attempt."""
    for each in (as_bytes(name), _temporary(name)):
        remove_if_there(directory, each)
    os.fsync(directory)


def _temporary(name):
    return b".%s.tmp" % as_bytes(name)


def remove_if_there(directory, name):
    """unlink(2) of a file that may be gone already."""
    try:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        pass


def remove_if_empty(directory, relative):
    """rmdir(2) of a directory that we made, unless something has come into it, or it is gone."""
    try:
        parent, name = open_parent(directory, relative)
        try:
            os.rmdir(name, dir_fd=parent)
        finally:
            os.close(parent)
    except OSError:
        pass


def private_directory(path):
    """Opens, and makes where missing, a directory of our own (0700); its parents come as the system's default."""
    above, name = os.path.split(path.rstrip("/"))
    os.makedirs(above, exist_ok=True)
    parent = _open_way(above)
    try:
        return private_directory_in(parent, name, path)
    finally:
        os.close(parent)


def private_directory_in(parent, name, path):
    """The same in an open directory; ``path`` is for messages."""
    try:
        os.mkdir(name, 0o700, dir_fd=parent)
        _sync_directory(parent)
    except FileExistsError:
        pass
    descriptor = os.open(name, DIRECTORY, dir_fd=parent)
    owner = os.fstat(descriptor).st_uid
    if owner not in (0, os.geteuid()):
        os.close(descriptor)
        raise AppStateError("belongs to user id %d, who could change what is written there" % owner, path=path,
                            remedy="Give it to the user that runs the backup, mode 0700")
    return descriptor


def _sync_directory(place):
    """fsync(2) of a directory whose descriptor may be a mere place."""
    descriptor = os.open(b".", DIRECTORY, dir_fd=place)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def free_bytes(descriptor):
    """Bytes that we may still write to the file system of an open file (statvfs(3): root may use the reserve)."""
    figures = os.fstatvfs(descriptor)
    return figures.f_frsize * (figures.f_bfree if os.geteuid() == 0 else figures.f_bavail)


def need_space(descriptor, need, path, what):
    """Raises SpaceError where a file system has not ``need`` bytes left."""
    free = free_bytes(descriptor)
    if free < need:
        raise SpaceError("not enough space for %s: %s needed, %s free" % (what, readable(need), readable(free)),
                         path=path, remedy="Free some space there, or choose another place")


def free_inodes(descriptor):
    """How many files the file system of an open file still takes: some make inodes as they need them, and tell none."""
    figures = os.fstatvfs(descriptor)
    return figures.f_ffree if figures.f_files else float("inf")


def need_inodes(descriptor, need, path, what):
    """Raises SpaceError where a file system does not take ``need`` more files."""
    free = free_inodes(descriptor)
    if free < need:
        raise SpaceError("not enough inodes for %s: %d needed, %d free" % (what, need, free), path=path,
                         remedy="Remove some files there, or choose another place")


def readable(size):
    """A number of bytes in binary units, as people read it."""
    size = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return "%d %s" % (size, unit) if unit == "B" else "%.1f %s" % (size, unit)
        size /= 1024
    return "%.1f TiB" % size
