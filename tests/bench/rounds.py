# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rounds of (a) to (e) on one application, taken in turn, so that what else goes on meets all of them alike."""

from __future__ import annotations

import statistics
from typing import Callable

from application import Application
from measure import Figures

NAMES = {
    "a": "our backup, verified to content",
    "b": "sqlite3 .backup + tar czf",
    "c": "sqlite3 .backup + tar | zstd -3 -T0",
    "d": "our validated restore",
    "e": "tar xzf",
}


class Rounds:
    """All figures of one application.

    Attributes:
        figures: by letter, one for each round.
        sizes: of the archives of a, b and c, bytes.
        database_bytes: size of the live database.
        space: whether disk space was sampled.
    """

    def __init__(self, application: Application) -> None:
        self._application = application
        self.figures: dict[str, list[Figures]] = {letter: [] for letter in NAMES}
        self.sizes: dict[str, int] = {}
        self.space = application.space
        self.database_bytes = application.database.stat().st_size

    def run(self, say: Callable[[str], None]) -> None:
        """Take one round; ``say`` is told what comes next."""
        application = self._application
        steps = (("a", application.our_backup), ("d", application.our_restore), ("b", application.gzip_backup),
                 ("e", application.plain_unpacking), ("c", application.zstd_backup))
        for letter, step in steps:
            say("(%s) %s" % (letter, NAMES[letter]))
            outcome = step()
            if isinstance(outcome, tuple):
                outcome, self.sizes[letter] = outcome
            self.figures[letter].append(outcome)

    def seconds(self, letter: str) -> float:
        """Return the median of the rounds."""
        return statistics.median(figures.seconds for figures in self.figures[letter])

    def cpu_seconds(self, letter: str) -> float:
        """Return the median of the rounds."""
        return statistics.median(figures.cpu_seconds for figures in self.figures[letter])

    def memory(self, letter: str) -> int:
        """Return the highest of the rounds, bytes."""
        return max(figures.memory for figures in self.figures[letter])

    def scratch(self, letter: str) -> int:
        """Return the highest of the rounds, bytes."""
        return max(figures.scratch for figures in self.figures[letter])

    def ratio(self, one: str, other: str) -> float:
        """Return the median, over the rounds, of one's time divided by the other's in the same round."""
        return statistics.median(mine.seconds / theirs.seconds
                                 for mine, theirs in zip(self.figures[one], self.figures[other]))

    def to_dict(self) -> dict[str, object]:
        """Return them for JSON."""
        return {"database_bytes": self.database_bytes, "archive_bytes": self.sizes,
                "rounds": {letter: [figures.to_dict() for figures in several]
                           for letter, several in self.figures.items()}}
