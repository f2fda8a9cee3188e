# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The recipes that operators use today, as one shell command each."""

from __future__ import annotations

import shlex
from pathlib import Path

from data import DATABASE

# $1 database, $2 root, $3 scratch directory, $4 archive, then the paths below the root that are not the database.
TAKE = """
database=$1 root=$2 scratch=$3 archive=$4; shift 4
mkdir -p "$scratch/$(dirname "%(name)s")"
sqlite3 "$database" ".backup '$scratch/%(name)s'"
tar %%s -C "$scratch" "%(name)s" -C "$root" "$@" %%s
rm "$scratch/%(name)s"
""" % {"name": DATABASE}
GZIP = TAKE % ('czf "$archive"', "")
ZSTD = TAKE % ("cf -", '| zstd -q -3 -T0 -o "$archive"')


def backup_and_gzip(root: Path, scratch: Path, archive: Path, paths: list[str]) -> list[str]:
    """``sqlite3 .backup``, then ``tar czf``."""
    return _take(GZIP, root, scratch, archive, paths)


def backup_and_zstd(root: Path, scratch: Path, archive: Path, paths: list[str]) -> list[str]:
    """``sqlite3 .backup``, then ``tar | zstd -3 -T0``."""
    return _take(ZSTD, root, scratch, archive, paths)


def _take(script: str, root: Path, scratch: Path, archive: Path, paths: list[str]) -> list[str]:
    return ["sh", "-ec", script, "recipe", str(root / DATABASE), str(root), str(scratch), str(archive), *paths]


def backup_alone(root: Path, scratch: Path) -> list[str]:
    """``sqlite3 .backup``, the only part of these recipes that a writer may notice for other reasons than load."""
    return ["sqlite3", str(root / DATABASE), ".backup '%s'" % (scratch / "snapshot.db")]


def rclone_copy(configuration: Path, source: str, target: str) -> list[str]:
    """``rclone copyto``."""
    return ["rclone", "--config", str(configuration), "copyto", source, target]


def then(*commands: list[str]) -> list[str]:
    """One command that runs several, each when the one before it went well."""
    return ["sh", "-ec", "\n".join(shlex.join(command) for command in commands)]


def unpack(archive: Path, directory: Path) -> list[str]:
    """``tar xzf``."""
    return ["tar", "xzf", str(archive), "-C", str(directory)]
