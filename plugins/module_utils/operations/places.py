# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the members of an archive lie: below the staging directory, and below the root."""

from __future__ import annotations

from ..archive.members import DIRECTORY
from ..archive.reader import entries
from ..system import files

# Below the staging directory: what will be swapped in, and each database and each dump by itself while it is checked.
TREE = b"tree"
CHECKS = b"checks"


class Places:
    """Where members are staged: what is to be checked apart from the rest."""

    def __init__(self, plan, checks):
        self._plan = plan
        self._apart = {name: b"%s/%d/%s" % (CHECKS, number, copy.encode())
                       for number, check in enumerate(checks) for name, copy in check.names.items()}
        self._checked = {files.as_bytes(check.path) for check in checks}
        self._are_moved = False

    def checked_are_moved(self):
        """From now on what was checked is in the tree, and databases have no sidecars."""
        self._are_moved = True

    def of(self, member_path):
        """The place of a member below the staging directory, or None."""
        place = self._plan.place(member_path)
        if place is None or (self._are_moved and place in self._apart and place not in self._checked):
            return None
        if place in self._apart and not self._are_moved:
            return self._apart[place]
        return TREE + b"/" + place


def placed_members(plan, lines):
    """Yields the members of an archive, with their paths below the root where a restore moves them."""
    for member in entries(lines):
        member.path = plan.place(member.path) or member.path
        yield member


def untold_directories(plan, lines):
    """Paths, outer ones first, of directories in which members are placed and that are no members."""
    told, needed = set(), set()
    for member in entries(lines):
        place = plan.place(member.path)
        if place is None:
            continue
        if member.type == DIRECTORY:
            told.add(place)
        above = place.rpartition(b"/")[0]
        while above and above not in needed:
            needed.add(above)
            above = above.rpartition(b"/")[0]
    return sorted(needed - told)
