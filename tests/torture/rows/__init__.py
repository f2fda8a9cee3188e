# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rows of the table, by their names; each stands in a file of that name and has one class, a Row."""

from __future__ import annotations

import importlib

# In the order of the table.
ROWS = ("kill", "errors", "damage", "archives", "databases", "load", "links", "canaries", "privilege", "concurrency")


def load(name):
    """The class of a row."""
    return importlib.import_module("rows." + name).ROW
