# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A remote that is a directory, written step by step by this process itself: so that a kill can come between any two steps.

Beside it everything is real. How rclone itself ends is tested with rclone.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import traceback

from ansible_collections.appstate.backup.plugins.module_utils.remotes.rclone import Rclone


class Stepwise(Rclone):
    """Does what Rclone does; each step may be the last one."""

    left = None

    @classmethod
    def step(cls):
        if cls.left is not None:
            cls.left -= 1
            if not cls.left:
                os.kill(os.getpid(), signal.SIGKILL)

    def require(self):
        self.step()
        super().require()

    def listing(self, path):
        self.step()
        try:
            return {entry.name: entry.stat().st_size for entry in os.scandir(self.place.at(path)) if entry.is_file()}
        except FileNotFoundError:
            return None

    def stat(self, path, hashes=True):
        self.step()
        try:
            with open(self.place.at(path), "rb") as file:
                data = file.read()
        except FileNotFoundError:
            return None
        return {"Size": len(data), "Hashes": {"md5": hashlib.md5(data).hexdigest()} if hashes else {}}

    def put(self, source, path, on_bytes=None):
        with open(source, "rb") as file:
            self.put_bytes(file.read(), path)

    def put_bytes(self, data, path):
        os.makedirs(os.path.dirname(self.place.at(path)), exist_ok=True)
        for count in (0, len(data) // 2, len(data)):
            self.step()
            with open(self.place.at(path), "wb") as file:
                file.write(data[:count])

    def get_bytes(self, path, most):
        self.step()
        with open(self.place.at(path), "rb") as file:
            return file.read(most)

    def fetch(self, path, pattern, most, directory):
        self.step()
        for name in self.listing(path):
            if name.endswith(pattern[1:]):
                shutil.copy(self.place.at(path + "/" + name), directory)

    def copy_within(self, path, to):
        self.put(self.place.at(path), to)

    def delete(self, path):
        self.step()
        try:
            os.unlink(self.place.at(path))
        except FileNotFoundError:
            return False
        self.step()
        return True


def killed_at(point, run):
    """Runs ``run`` in a child that is killed at its ``point``-th step; returns whether it was (else it ended)."""
    child = os.fork()
    if not child:
        try:
            Stepwise.left = point
            run()
            os._exit(0)
        except BaseException:  # pylint: disable=broad-exception-caught
            traceback.print_exc()
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0, "the run failed; see its traceback"
    return False


class Kills:
    """Runs something again and again from the same state of a host, each time killed one step later."""

    def __init__(self, host):
        self._host = host
        self._saved = host.path + ".saved"

    def each(self, run):
        """Yields after each kill; the state is put back before the next."""
        point = 1
        shutil.copytree(self._host.path, self._saved, symlinks=True)
        try:
            while killed_at(point, run):
                yield point
                for name in os.listdir(self._host.path):
                    shutil.rmtree(self._host.place(name))
                for name in os.listdir(self._saved):
                    shutil.copytree(os.path.join(self._saved, name), self._host.place(name), symlinks=True)
                point += 1
        finally:
            shutil.rmtree(self._saved)
        assert point > 4, "it has hardly any steps"
