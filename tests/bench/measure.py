# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a command and measure it with all its children: time, processor time, peak memory, peak disk space.

Memory is the sum of the proportional set sizes (PSS, proc_pid_smaps(5)) of all processes of the tree at one moment:
pages that a forked child shares with its parent count once. It is sampled; so is disk space.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")
SAMPLE_SECONDS = 0.05


class CommandFailed(Exception):
    """A measured command did not end with 0; says how it ended and what it wrote."""


@dataclass
class Figures:
    """What a command took.

    Attributes:
        seconds: by the clock.
        cpu_seconds: user and system time of the whole tree.
        memory: highest sum of all processes' PSS seen, bytes.
        space: highest sum of disk space seen in the watched directories, archives mostly left out, bytes.
        left: what was left there of it at the end.
        began, ended: ``time.monotonic()``.
        output: what the command wrote to its standard output.
    """

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    memory: int = 0
    space: int = 0
    left: int = 0
    began: float = 0.0
    ended: float = 0.0
    output: str = field(default="", repr=False)

    @property
    def scratch(self) -> int:
        """Disk space that was needed on the way only, bytes."""
        return max(0, self.space - self.left)

    def to_dict(self) -> dict[str, float]:
        """Return them for JSON."""
        return {"seconds": round(self.seconds, 3), "cpu_seconds": round(self.cpu_seconds, 3), "memory": self.memory,
                "scratch": self.scratch}


def measure(command: list[str], temporary: Path, watched: Path | None = None, timeout: float | None = None,
            archives: bool = False) -> Figures:
    """Run ``command`` to its end.

    Args:
        temporary: directory for its temporary files.
        watched: a directory whose disk space is sampled, and that of ``temporary``; without it no space is sampled.
        timeout: seconds after which the command and its children are killed.
        archives: whether archives count as disk space, too: where a backup is read, they are in nobody's way but its own.
    Raises:
        CommandFailed: it ended with anything but 0.
        subprocess.TimeoutExpired: it was killed.
    """
    os.sync()
    environment = dict(os.environ, LC_ALL="C.UTF-8", TMPDIR=str(temporary))
    environment.pop("AWS_CA_BUNDLE", None)  # rclone 1.60 does not start with it, and nothing here needs certificates.
    places = () if watched is None else (temporary, watched)
    figures = Figures(began=time.monotonic())
    before = os.times()
    # A process group, so that all of it can be killed; no session of its own, to which Linux may give another share of
    # the processor than to the commands that it is compared with.
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          preexec_fn=os.setpgrp, env=environment) as process:
        sampler = Sampler(process.pid, places, figures, archives)
        try:
            output, errors = process.communicate(timeout=timeout)
        except BaseException:
            os.killpg(process.pid, 9)
            process.wait()
            raise
        finally:
            sampler.stop()
    figures.ended = time.monotonic()
    figures.seconds = figures.ended - figures.began
    after = os.times()
    figures.cpu_seconds = after.children_user + after.children_system - before.children_user - before.children_system
    figures.output = output
    if places:
        figures.left = sum(space_of(place, archives) for place in places)
    if process.returncode != 0:
        raise CommandFailed("%s ended with %d:\n%s%s" % (command, process.returncode, output[-2000:], errors[-4000:]))
    return figures


class Sampler:
    """Looks at a tree of processes, and at directories, until it is stopped; notes the highest values."""

    def __init__(self, pid: int, watched: tuple[Path, ...], figures: Figures, archives: bool = False) -> None:
        self._watched = watched
        self._archives = archives
        self._figures = figures
        self._tree = Tree(pid)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopped.wait(SAMPLE_SECONDS):
            pids = self._tree.pids()
            self._figures.memory = max(self._figures.memory, sum(memory_of(pid) for pid in pids))
            if self._watched:
                space = sum(space_of(directory, self._archives) for directory in self._watched)
                space += unlinked_space(pids, self._watched)
                self._figures.space = max(self._figures.space, space)

    def stop(self) -> None:
        """Take no further sample."""
        self._stopped.set()
        self._thread.join()


class Tree:
    """A process and its descendants; each parent is read once, when a process is first seen."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._inside: dict[int, bool] = {root: True}

    def pids(self) -> list[int]:
        """Return the processes that are in the tree now."""
        alive = {int(name) for name in os.listdir("/proc") if name.isdigit()}
        self._inside = {pid: inside for pid, inside in self._inside.items() if pid in alive}
        # A child has nearly always a higher number than its parent, so that one pass in order finds grandchildren too.
        for pid in sorted(alive - self._inside.keys()):
            self._inside[pid] = self._inside.get(parent_of(pid), False)
        return [pid for pid, inside in self._inside.items() if inside]


def parent_of(pid: int) -> int:
    """Return a process's parent, 0 when it is gone."""
    try:
        with open("/proc/%d/stat" % pid, "rb") as stat:
            return int(stat.read().rpartition(b")")[2].split()[1])
    except OSError:
        return 0


def memory_of(pid: int) -> int:
    """Return a process's proportional set size, its resident set where we may not see that; 0 when it is gone."""
    try:
        with open("/proc/%d/smaps_rollup" % pid, "rb") as rollup:
            for line in rollup:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    except PermissionError:
        return resident_of(pid)
    except OSError:
        return 0
    return 0


def resident_of(pid: int) -> int:
    """Return the resident set size of a process, 0 when it is gone."""
    try:
        with open("/proc/%d/statm" % pid, "rb") as statm:
            return int(statm.read().split()[1]) * PAGE
    except OSError:
        return 0


def space_of(directory: Path, archives: bool = False) -> int:
    """Return the disk space of all that is below a directory, archives on their way left out unless they are asked for."""
    total = 0
    pending = [str(directory)]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    elif archives or not is_archive(entry.name):
                        total += entry.stat(follow_symlinks=False).st_blocks * 512
        except FileNotFoundError:
            continue
    return total


def unlinked_space(pids: list[int], directories: tuple[Path, ...]) -> int:
    """Return the disk space of files that were deleted from the directories but are still open in the processes."""
    devices = {os.stat(directory).st_dev for directory in directories}
    found = {}
    for pid in pids:
        try:
            for name in os.listdir("/proc/%d/fd" % pid):
                status = os.stat("/proc/%d/fd/%s" % (pid, name))
                if status.st_nlink == 0 and status.st_dev in devices:
                    found[status.st_dev, status.st_ino] = status.st_blocks * 512
        except OSError:
            continue
    return sum(found.values())


def is_archive(name: str) -> bool:
    """Tell whether a file is the archive being made (under its final or its temporary name), which is no scratch."""
    return ".tar" in name or name.endswith(".tgz")
