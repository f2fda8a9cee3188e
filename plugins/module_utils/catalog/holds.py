# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Holds: backups that are never pruned. A hold is a small file beside the backup, ``<id>.hold``."""

from __future__ import annotations

import json
import os

from ..archive.manifest import ID
from ..system import files
from ..system.times import format_time

ENDING = ".hold"


def held_ids(directory):
    """Ids with a hold in an app's open directory."""
    return {name[:-len(ENDING)] for name in os.listdir(directory)
            if name.endswith(ENDING) and ID.match(name[:-len(ENDING)])}


def held_in(directory_path):
    """The same of an app's directory by its path; one that is not there holds nothing."""
    try:
        directory = files.open_directory(directory_path)
    except FileNotFoundError:
        return set()
    try:
        return held_ids(directory)
    finally:
        os.close(directory)


def hold(directory, id, who, why, now):
    """Puts a hold on a backup; returns whether it had none."""
    if files.exists_at(directory, id + ENDING):
        return False
    told = json.dumps({"since": format_time(now), "who": who, "why": why}, sort_keys=True).encode("ascii") + b"\n"
    files.write_atomically(directory, id + ENDING, told)
    return True


def release(directory, id):
    """Takes a hold away; returns whether there was one."""
    if not files.exists_at(directory, id + ENDING):
        return False
    files.remove_if_there(directory, id + ENDING)
    os.fsync(directory)
    return True
