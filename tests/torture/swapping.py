# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An unprivileged user who puts one thing in the place of another, over and over, while root works with those names.

A path that is looked up twice may be two places (path_resolution(7)). renameat2(2) with RENAME_EXCHANGE swaps two names in
one step; rename(2), symlink(2) and unlink(2) do it in several, with moments in which there is nothing.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import random
import shutil
import signal
import time
import traceback

from row import Bad

EXCHANGE = 2
AT_FDCWD = -100
# Runs take a fraction of a second; one that waits for a FIFO waits for ever.
SECONDS = 30
SWAPPERS = 2
# The calls after which root is made to wait for the next swap: they look at a name, or change what it means.
CALLS = ("open", "stat", "lstat", "mkdir", "rename", "listdir", "readlink", "unlink", "rmdir", "link", "symlink", "chown")

_LIBC = ctypes.CDLL(None, use_errno=True)


def exchange(one, other):
    """Both names change their meaning at the same moment."""
    if _LIBC.renameat2(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), EXCHANGE):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), one)


class Place:
    """One name, and what is put in its place for a moment.

    Args:
        path: absolute; in a directory that belongs to the swapper.
        decoys: functions that are given a path and make something there.
    """

    def __init__(self, path, *decoys):
        self._path = path
        self._decoys = decoys

    def swap(self, chance, pause):
        """Swaps there and, after a pause, back; returns how many swaps there were. ``pause`` is called while the decoy is there."""
        decoy = "%s.decoy-%08x" % (self._path, chance.getrandbits(32))
        chance.choice(self._decoys)(decoy)
        try:
            return chance.choice((self._at_once, self._in_steps))(decoy, pause)
        finally:
            _remove(decoy)

    def _at_once(self, decoy, pause):
        if not os.path.lexists(self._path):
            return self._planted(decoy, pause)
        exchange(self._path, decoy)
        pause()
        exchange(self._path, decoy)
        return 2

    def _in_steps(self, decoy, pause):
        if not os.path.lexists(self._path):
            return self._planted(decoy, pause)
        kept = decoy + ".kept"
        os.rename(self._path, kept)
        try:
            return self._planted(decoy, pause) + 1
        finally:
            os.rename(kept, self._path)

    def _planted(self, decoy, pause):
        """Where there is nothing, as where a log or a journal can be."""
        os.rename(decoy, self._path)
        pause()
        os.rename(self._path, decoy)
        return 1


class Names:
    """All names in a directory that have a word in them, whatever they are: those that the engine itself makes up."""

    def __init__(self, directory, word, *decoys):
        self._directory = directory
        self._word = word
        self._decoys = decoys

    def swap(self, chance, pause):
        found = [name for name in os.listdir(self._directory) if self._word in name and ".decoy-" not in name]
        return Place(os.path.join(self._directory, chance.choice(found)), *self._decoys).swap(chance, pause) if found else 0


def link(target):
    """Makes symbolic links."""
    return lambda path: os.symlink(target, path)


def fifo(path):
    """Makes FIFOs: whoever opens one waits for its other end (fifo(7))."""
    os.mkfifo(path, 0o666)


def hard_link(target):
    """Makes hard links."""
    return lambda path: os.link(target, path)


def own_directory(path):
    """Makes directories of the user's own that look as one does that was just made."""
    os.mkdir(path, 0o700)


def directory_of_links(target, *names):
    """Makes directories of the user's own, with links of those names in them."""
    def make(path):
        os.mkdir(path)
        for name in names:
            os.symlink(os.path.join(target, name), os.path.join(path, name))
    return make


def _remove(path):
    """Removes what can be removed; root's own may have come there by a swap."""
    try:
        os.unlink(path)
    except IsADirectoryError:
        shutil.rmtree(path, ignore_errors=True)
    except OSError:
        pass


class Swapper:
    """Some processes that swap while this is entered; ``count`` is how often they did.

    Args:
        places: Places and Names; one of the processes has the first for itself.
        longest: how many seconds there are at most between two swaps.
        chance: where all that is random comes from.
    """

    def __init__(self, user, group, places, longest, chance):
        self._who = user, group
        self._places = places
        self._seed = chance.getrandbits(64)
        self._longest = longest
        self._shared = mmap.mmap(-1, mmap.PAGESIZE)
        self._counts = (ctypes.c_uint64 * (SWAPPERS + 1)).from_buffer(self._shared)
        self.pids = []

    @property
    def count(self):
        return sum(self._counts[:SWAPPERS])

    def __enter__(self):
        for number in range(SWAPPERS):
            pid = os.fork()
            if not pid:
                self._live(number)
            self.pids.append(pid)
        return self

    def __exit__(self, *unused):
        self._counts[SWAPPERS] = 1
        for pid in self.pids:
            os.waitpid(pid, 0)
        self.pids = []

    def _live(self, number):
        try:
            os.setgroups([])
            os.setgid(self._who[1])
            os.setuid(self._who[0])
            os.umask(0o022)
            chance = random.Random("%s %d" % (self._seed, number))
            places = self._places if number else self._places[:1]

            def swapped():
                self._counts[number] += 1  # Before the pause: whoever waits for it goes on while the decoy is there.
                self._pause(chance)

            while not self._counts[SWAPPERS]:
                # Another swapper, or root, may have been faster.
                try:
                    self._counts[number] += max(0, chance.choice(places).swap(chance, swapped) - 1)
                except OSError:
                    pass
                self._pause(chance)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)

    def _pause(self, chance):
        time.sleep(chance.random() * self._longest)

    def run(self, work, seed):
        """Does something as root meanwhile, in a process of its own that waits for swaps now and then.

        Returns:
            A dictionary: ``told`` (what the work returned), or ``error`` (class), ``known`` (whether it is an error of the
            engine's own) and ``text``; and ``swaps`` that happened meanwhile.
        """
        before = self.count
        answer, theirs = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(answer)
            self._work(work, theirs, random.Random(seed))
        os.close(theirs)
        try:
            told = json.loads(_read_all(answer, pid))
        finally:
            os.close(answer)
        os.waitpid(pid, 0)
        return dict(told, swaps=self.count - before)

    def _work(self, work, answer, chance):
        try:
            for name in CALLS:
                setattr(os, name, self._waiting(getattr(os, name), chance))
            told = {"told": work()}
        except BaseException as error:
            told = {"error": type(error).__name__, "known": hasattr(error, "exit_code") and hasattr(error, "remedy"),
                    "text": "%s" % error, "trace": traceback.format_exc(limit=-3)}
        os.write(answer, json.dumps(told).encode("ascii"))
        os._exit(0)

    def _waiting(self, call, chance):
        """The same call; every so often it is followed by a swap, where one comes soon."""
        often = 0.9 if call.__name__ == "stat" else 0.4  # What was looked at is what is relied on.

        def called(*arguments, **words):
            try:
                return call(*arguments, **words)
            finally:
                if chance.random() < often:
                    before, until = self.count, time.monotonic() + 0.01
                    while self.count == before and time.monotonic() < until:
                        time.sleep(0.00005)
        return called


def _read_all(answer, pid):
    """All that comes through a pipe until its other end is closed by the process, which is ended if it takes too long."""
    parts, until = [], time.monotonic() + SECONDS
    os.set_blocking(answer, False)
    while time.monotonic() < until:
        try:
            part = os.read(answer, 65536)
        except BlockingIOError:
            time.sleep(0.002)
            continue
        if not part:
            return b"".join(parts)
        parts.append(part)
    where = _waits_in(pid)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    raise Bad("a run takes longer than %d s; it waits in %s" % (SECONDS, where))


def _waits_in(pid):
    with open("/proc/%d/wchan" % pid, encoding="ascii") as file:
        return file.read()


def others(mine):
    """Processes of this namespace that are neither this one nor among ``mine``, once those that have ended are reaped."""
    until = time.monotonic() + 10
    while True:
        running = {int(name) for name in os.listdir("/proc") if name.isdigit()}
        found = sorted(running - set(mine) - {os.getpid()})
        for pid in found:
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                continue  # Somebody else's child.
        if not found or time.monotonic() > until:
            return found
        time.sleep(0.01)
