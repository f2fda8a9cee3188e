# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The status of an app: one small JSON file that says how its last run ended.

``/var/lib/appstate-backup/status/<app>.json``. It also remembers how much each database held after the last run that
was good, which is what the next one is measured by.
"""

from __future__ import annotations

import json
import os

from ..system import files
from ..system.errors import AppStateError

MOST = 1024 * 1024
OK, FAILED, NEVER = "ok", "failed", "never"


class Status:
    """The status file of one app; ``content`` is a dictionary.

    Its keys: ``state`` (``ok``, ``failed`` or ``never``), ``ended``, ``last_success`` (times), ``problem``,
    ``warnings``, ``backup`` (id), ``duration``, ``size``, ``verified``, ``kept`` (backups), ``ping`` (a problem or
    None), ``remotes`` (by name, how the last copy there ended), ``reference`` (path of a database to ``rows`` and ``bytes``).
    """

    def __init__(self, state_directory, app_name):
        self._place = os.path.join(state_directory, "status")
        self._name = app_name + ".json"
        self.content = self._read()

    def _read(self):
        try:
            directory = files.open_directory(self._place)
        except (AppStateError, OSError):
            return {"state": NEVER}
        try:
            content = json.loads(files.read_file(directory, self._name, MOST).decode("utf-8"))
            return content if isinstance(content, dict) and "state" in content else {"state": NEVER}
        except (AppStateError, OSError, ValueError):
            return {"state": NEVER}
        finally:
            os.close(directory)

    def write(self, **changes):
        """Replaces the file; what is not named stays as it was."""
        self.content = dict(self.content, **changes)
        os.close(files.private_directory(os.path.dirname(self._place)))
        directory = files.private_directory(self._place)
        try:
            data = json.dumps(self.content, sort_keys=True, indent=1).encode("ascii") + b"\n"
            files.write_atomically(directory, self._name, data)
        finally:
            os.close(directory)
