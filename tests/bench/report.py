# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run of the benchmark found, and how it stands against what has to be reached."""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
import sys
from dataclasses import dataclass

from data import Size
from pauses import Pause
from rounds import NAMES, Rounds
from remotes import Remotes
from sources import Comparison
from table import Target, layout, mebibytes, megabytes, milliseconds, of_targets

MEMORY_MOST = 128
PAUSE_MOST = 250
# A restore from a remote keeps nothing but small things beside the state.
REMOTE_SCRATCH_MOST = 8


@dataclass
class Results:
    """One run: the large application's rounds, those of the one with many small files, the pauses, other sources, and remotes."""

    size: Size
    taken: str
    large: Rounds
    small: Rounds
    pauses: list[Pause]
    sources: list[Comparison]
    remotes: Remotes

    def targets(self) -> list[Target]:
        """Return what has to be reached."""
        large, small = self.large, self.small
        many = "%d files" % self.size.small_files
        return [
            Target("time of (a) / (b)", large.ratio("a", "b"), 0.25, ""),
            Target("archive of (a) / (b)", large.sizes["a"] / large.sizes["b"], 1.0, ""),
            Target("time of (d) / (e)", large.ratio("d", "e"), 0.7, ""),
            Target("peak memory of (a)", large.memory("a") / 1e6, MEMORY_MOST, "MB"),
            Target("peak memory of (d)", large.memory("d") / 1e6, MEMORY_MOST, "MB"),
            Target("peak memory of (a), " + many, small.memory("a") / 1e6, MEMORY_MOST, "MB"),
            Target("peak memory of (d), " + many, small.memory("d") / 1e6, MEMORY_MOST, "MB"),
            Target("scratch of (a) / database", large.scratch("a") / large.database_bytes, 1.01, "",
                   "a file takes some blocks more than its bytes"),
            self._pause_target(),
            Target("backups that failed beside a writer", sum(not pause.ours_ended for pause in self.pauses), 0,
                   "times", "of %d" % len(self.pauses)),
        ] + [target for source in self.sources for target in _targets_of(source)] + _targets_of_remotes(self.remotes)

    def _pause_target(self) -> Target:
        alone = max(pause.alone for pause in self.pauses)
        return Target("longest commit during (a)", max(pause.during_ours for pause in self.pauses) * 1000, PAUSE_MOST,
                      "ms", "with nobody: %s ms" % milliseconds(alone))

    def to_text(self) -> str:
        """Return all tables."""
        return "\n\n".join([
            "%s run of %s on %d cores, Python %s, SQLite %s" % (
                self.size.name, self.taken, _cores(), platform.python_version(), sqlite3.sqlite_version),
            "Database of %s MB, uploads of %s MB; medians of %d rounds, memory and scratch the highest of them" % (
                megabytes(self.large.database_bytes), megabytes(self.size.upload_bytes),
                len(self.large.figures["a"])),
            _of_rounds(self.large),
            "%d small files" % self.size.small_files,
            _of_rounds(self.small),
            "Longest commit of a WAL writer",
            _of_pauses(self.pauses),
            "Other sources, each beside its own tool",
            _of_sources(self.sources),
            "A remote on this machine, and encryption",
            _of_sources(self.remotes.comparisons),
            "Disk space beside the state: %s MiB of a restore from the remote, %s MiB of the other way" % (
                mebibytes(self.remotes.scratch), mebibytes(self.remotes.their_scratch)),
            of_targets(self.targets()),
        ])

    def to_dict(self) -> dict[str, object]:
        """Return all figures for JSON."""
        return {
            "size": self.size.name, "taken": self.taken, "cores": _cores(), "python": sys.version.split()[0],
            "sqlite": sqlite3.sqlite_version, "kernel": platform.release(), "names": NAMES,
            "large": self.large.to_dict(), "small_files": dict(self.small.to_dict(), count=self.size.small_files),
            "pauses": [pause.to_dict() for pause in self.pauses],
            "sources": [source.to_dict() for source in self.sources], "remotes": self.remotes.to_dict(),
            "targets": [target.to_dict() for target in self.targets()],
        }


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _of_rounds(rounds: Rounds) -> str:
    rows = [["(%s) %s" % (letter, name), "%.1f" % rounds.seconds(letter), "%.1f" % rounds.cpu_seconds(letter),
             megabytes(rounds.sizes[letter]) if letter in rounds.sizes else "",
             megabytes(rounds.memory(letter))] + ([megabytes(rounds.scratch(letter))] if rounds.space else [])
            for letter, name in NAMES.items()]
    heads = ["", "time s", "processor s", "archive MB", "memory MB"] + (["scratch MB"] if rounds.space else [])
    return layout(heads, rows)


def _of_pauses(pauses: list[Pause]) -> str:
    rows = [["%d commits/s" % pause.rate if pause.rate else "as fast as it can", milliseconds(pause.alone),
             milliseconds(pause.during_ours), _ending(pause.ours_ended), milliseconds(pause.during_recipe),
             _ending(pause.recipe_ended)] for pause in pauses]
    return layout(["writer", "nobody ms", "(a) ms", "(a) ended", ".backup ms", ".backup ended"], rows)


def _targets_of(source: Comparison) -> list[Target]:
    if not source.limit:
        return []
    return [Target("time of " + source.name, source.ratio, source.limit, ""),
            Target("peak memory of " + source.name.partition(" / ")[0], source.memory / 1e6, MEMORY_MOST, "MB")]


def _targets_of_remotes(remotes: Remotes) -> list[Target]:
    return [Target("time of " + each.name, each.ratio, each.limit, "") for each in remotes.comparisons if each.limit] + [
        Target("scratch of a restore from the remote", remotes.scratch / 2 ** 20, REMOTE_SCRATCH_MOST, "MiB")]


def _of_sources(sources: list[Comparison]) -> str:
    rows = [[source.name, "%.1f" % statistics.median(figures.seconds for figures in source.ours),
             "%.1f" % statistics.median(figures.seconds for figures in source.theirs), "%.2f" % source.ratio,
             megabytes(source.memory)] for source in sources]
    return layout(["ours / theirs", "ours s", "theirs s", "ratio", "memory MB"], rows)


def _ending(ended: bool) -> str:
    return "yes" if ended else "no"
