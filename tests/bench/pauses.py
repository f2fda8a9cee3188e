# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a writer's commits take while a backup is taken, and whether that backup ends."""

from __future__ import annotations

import subprocess
import time
from dataclasses import asdict, dataclass

from application import Application
from measure import CommandFailed
from writer import Writer

# Commits a second; 0 is as many as the writer can.
RATES = (200, 0)


@dataclass
class Pause:
    """One measurement.

    Attributes:
        rate: commits a second that the writer tried; 0 for as many as it could.
        alone, during_ours, during_recipe: the longest commit in seconds: with nobody, while (a) ran, while
            ``sqlite3 .backup`` ran.
        ours_ended, recipe_ended: whether they made a backup.
        ours_seconds: what (a) took.
    """

    rate: int
    alone: float = 0.0
    during_ours: float = 0.0
    during_recipe: float = 0.0
    ours_ended: bool = False
    recipe_ended: bool = False
    ours_seconds: float = 0.0

    def to_dict(self) -> dict[str, object]:
        """Return it for JSON."""
        return {name: round(value, 4) if isinstance(value, float) else value for name, value in asdict(self).items()}


def measure_pause(application: Application, rate: int, seconds: float) -> Pause:
    """Run a writer; let it be for some seconds, then take our backup, then try ``.backup`` for as many seconds."""
    pause = Pause(rate)
    with Writer(application.database, rate) as writer:
        alone = _nothing(seconds)
        ours = _ours(application, pause)
        time.sleep(0.5)
        recipe = _recipe(application, pause, seconds)
    pause.alone = writer.longest(*alone)
    pause.during_ours = writer.longest(*ours)
    pause.during_recipe = writer.longest(*recipe)
    return pause


def _nothing(seconds: float) -> tuple[float, float]:
    began = time.monotonic()
    time.sleep(seconds)
    return began, time.monotonic()


def _ours(application: Application, pause: Pause) -> tuple[float, float]:
    began = time.monotonic()
    try:
        figures, _size = application.our_backup()
        began, pause.ours_ended, pause.ours_seconds = figures.began, True, figures.seconds
    except CommandFailed as error:
        print(error, flush=True)
    return began, time.monotonic()


def _recipe(application: Application, pause: Pause, timeout: float) -> tuple[float, float]:
    began = time.monotonic()
    try:
        application.sqlite_backup(timeout)
        pause.recipe_ended = True
    except (subprocess.TimeoutExpired, CommandFailed):
        pause.recipe_ended = False
    return began, time.monotonic()
