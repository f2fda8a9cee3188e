# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The engine's examination of databases, with other limits than its own, or taken out for a moment."""

from __future__ import annotations

import functools
import os
from contextlib import contextmanager
from unittest import mock

from ansible_collections.appstate.backup.plugins.module_utils.sources import checking, sqlite as source
from ansible_collections.appstate.backup.plugins.module_utils.sqlite.examine import fold_sidecars, start_examination


@contextmanager
def limited_to(seconds):
    """The engine gives each examination so long, as its functions let whoever calls them say."""
    with mock.patch.object(source, "start_examination", functools.partial(start_examination, wall_seconds=seconds)), \
            mock.patch.object(checking, "fold_sidecars", functools.partial(fold_sidecars, wall_seconds=seconds)):
        yield


class _Unexamined:
    """What an examination gives that finds nothing wrong with anything."""

    def __init__(self, passport):
        self._passport = passport

    def result(self):
        return {"integrity": {"level": "full", "ok": True, "messages": [], "unchecked": []}, "foreign_keys": 0,
                "passport": self._passport, "assertions": []}

    def kill(self):
        """There is no child."""


@contextmanager
def unexamined(content, passport):
    """The engine takes these bytes for a snapshot, and believes that they are good."""
    def take(unused_path, directory, name, **unused):
        with open(os.path.join(directory, name), "wb") as file:
            file.write(content)
        return {"method": "backup", "seconds": 0.0, "bytes": len(content), "journal_mode": "delete"}

    with mock.patch.object(source, "take_snapshot", take), \
            mock.patch.object(source, "examine_copy", lambda directory, name, source: _Unexamined(passport)):
        yield
