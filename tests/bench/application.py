# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An application to measure on: its state, and what is done to it, each measured."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Callable, List

import data
import engine
import recipes
from measure import Figures, measure

GZIP_ARCHIVE = "backup.tgz"

Recipe = Callable[[Path, Path, Path, List[str]], List[str]]


class Application:
    """An application's state on disk, and places to back it up to and restore it to.

    Args:
        place: a directory to make, for all of it.
        paths: the application's sources besides its database, below its root.
        space: whether disk space is sampled, which takes long where there are many files.

    Attributes:
        root: the application's root directory.
        temporary: directory for temporary files of what is measured.
    """

    def __init__(self, place: Path, paths: list[str], space: bool = True) -> None:
        self.place = place
        self.paths = paths
        self.root = place / "app"
        self.space = space
        self.temporary = place / "temporary"
        self._destination = self.place / "backups"
        self._recipe = self.place / "recipe"
        self._restored = self.place / "restored"
        self._app = self.place / "app.json"
        self.temporary.mkdir(parents=True)
        (self.place / "state").mkdir()
        self._app.write_text(json.dumps(self.describe()), encoding="utf-8")

    def describe(self) -> dict[str, object]:
        """Return it as an operator describes it."""
        database = {"type": "sqlite", "path": data.DATABASE,
                    "assertions": [{"sql": "SELECT count(*) FROM items", "min": 1}]}
        files = [{"type": "files", "path": path} for path in self.paths]
        return {"name": "bench", "root": str(self.root), "destination": str(self._destination),
                "sources": [database, *files]}

    @property
    def database(self) -> Path:
        """The live database."""
        return self.root / data.DATABASE

    def our_backup(self) -> tuple[Figures, int]:
        """(a): return what a backup took, and the archive's size."""
        renew(self._destination)
        figures = self._measure(engine.backup_command(self._app, self.place / "state"), self._destination)
        return figures, int(json.loads(figures.output)["size"])

    def gzip_backup(self) -> tuple[Figures, int]:
        """(b): likewise."""
        return self._recipe_backup(recipes.backup_and_gzip, GZIP_ARCHIVE)

    def zstd_backup(self) -> tuple[Figures, int]:
        """(c): likewise."""
        return self._recipe_backup(recipes.backup_and_zstd, "backup.tar.zst")

    def _recipe_backup(self, recipe: Recipe, name: str) -> tuple[Figures, int]:
        archive = self._recipe / name
        renew(self._recipe)
        command = recipe(self.root, self._recipe / "scratch", archive, self.paths)
        return self._measure(command, self._recipe), archive.stat().st_size

    def sqlite_backup(self, timeout: float) -> Figures:
        """``.backup`` alone: return what it took.

        Raises:
            subprocess.TimeoutExpired: it had not ended by then, and was killed.
        """
        renew(self._recipe)
        return measure(recipes.backup_alone(self.root, self._recipe), self.temporary, timeout=timeout)

    def our_restore(self) -> Figures:
        """(d): return what a restore of our last backup to an empty root took."""
        renew(self._restored)
        command = engine.restore_command(self._app, self.place / "state", self._restored)
        return self._checked(self._measure(command, self._restored))

    def plain_unpacking(self) -> Figures:
        """(e): return what unpacking the last gzip archive took."""
        renew(self._restored)
        command = recipes.unpack(self._recipe / GZIP_ARCHIVE, self._restored)
        return self._checked(self._measure(command, self._restored))

    def _measure(self, command: list[str], directory: Path) -> Figures:
        return measure(command, self.temporary, directory if self.space else None)

    def _checked(self, figures: Figures) -> Figures:
        """Return the figures."""
        checked(self._restored, self.root)
        return figures


def checked(restored: Path, root: Path) -> None:
    """Raise RuntimeError where a restore has left something out: that is no measurement."""
    found, live = (_bytes_below(top) for top in (restored, root))
    if found != live:
        raise RuntimeError("%d bytes were restored of %d" % (found, live))


def _bytes_below(top: Path) -> int:
    """Return the sum of the sizes of all files below a directory, what SQLite keeps beside a database left out."""
    return sum(os.stat(os.path.join(folder, name)).st_size for folder, _folders, names in os.walk(top)
               for name in names if not name.endswith(("-wal", "-shm")))


def renew(directory: Path) -> None:
    """Make a directory anew, empty."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
