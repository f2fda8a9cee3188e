# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files of root and of another user around an application, which nothing that a database says may change."""

from __future__ import annotations

import os

# Somebody else than the application's user.
OTHER = 3999


class Canaries:
    """``paths`` by their names; made once, then compared as often as one likes."""

    def __init__(self, host):
        self.paths = {"closed": host.place("closed"), "readable": host.place("readable"), "writable": host.place("writable"),
                      "sticky": host.place("sticky", "roots"), "others": host.place("other", "file"),
                      "destination": os.path.join(host.destination, "readable"), "beside": host.at("data", "roots")}
        for name, mode, owner in (("sticky", 0o1777, 0), ("other", 0o755, OTHER)):
            os.mkdir(host.place(name))
            os.chown(host.place(name), owner, owner)
            os.chmod(host.place(name), mode)
        for name, path in self.paths.items():
            with open(path, "wb") as file:
                file.write(b"precious " + name.encode())
            os.chmod(path, {"closed": 0o600, "writable": 0o666}.get(name, 0o644))
        os.chown(self.paths["others"], OTHER, OTHER)
        self._before = self._state()

    def changed(self):
        """The names of those that are not what they were."""
        return [name for name, told in self._state().items() if told != self._before[name]]

    def _state(self):
        return {name: _told(path) for name, path in self.paths.items()}


def _told(path):
    try:
        found = os.lstat(path)
        with open(path, "rb") as file:
            return found.st_ino, found.st_mode, found.st_uid, found.st_gid, found.st_mtime_ns, found.st_ctime_ns, file.read()
    except OSError as error:
        return error.errno
