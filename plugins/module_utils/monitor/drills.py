# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The drills of an app that this host remembers: one small JSON file, ``/var/lib/appstate-backup/drills/<app>.json``."""

from __future__ import annotations

import json
import os

from ..system import files
from ..system.errors import AppStateError
from ..system.times import parse_time

MOST_BYTES = 16 * 1024 * 1024
# Of each app, as many are kept: a quarter of a year where one is done every night.
KEPT = 100


class Drills:
    """Those of one app; ``records`` is a list of what ``operations.drill.Drill.to_dict`` gives, the oldest first."""

    def __init__(self, state_directory, app_name):
        self._place = os.path.join(state_directory, "drills")
        self._name = app_name + ".json"
        self.records = self._read()

    def _read(self):
        try:
            directory = files.open_directory(self._place)
        except (AppStateError, OSError):
            return []
        try:
            told = json.loads(files.read_file(directory, self._name, MOST_BYTES).decode("utf-8"))
            return [each for each in told["drills"] if _is_record(each)]
        except (AppStateError, OSError, ValueError, KeyError, TypeError, RecursionError):
            return []
        finally:
            os.close(directory)

    def add(self, record):
        """Replaces the file by one that has this record, too, in the place of an earlier one of the same drill."""
        earlier = [each for each in self.records if each.get("drilled") != record["drilled"]]
        self.records = (earlier + [record])[-KEPT:]
        data = self._data()
        while len(data) > MOST_BYTES and len(self.records) > 1:
            del self.records[0]
            data = self._data()
        os.close(files.private_directory(os.path.dirname(self._place)))
        directory = files.private_directory(self._place)
        try:
            files.write_atomically(directory, self._name, data)
        finally:
            os.close(directory)

    def _data(self):
        return json.dumps({"drills": self.records}, sort_keys=True, indent=1).encode("ascii") + b"\n"


def _is_record(told):
    """Whether it tells when its drill was: the rest is for those who read it."""
    try:
        parse_time(told["drilled"])
    except (TypeError, KeyError, ValueError, AttributeError):
        return False
    return isinstance(told, dict)
