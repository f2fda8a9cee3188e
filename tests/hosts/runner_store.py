# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real S3 endpoint on the outer machine's loopback, for what runs there and on no host."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import time

from .controller import beside_python


class RunnerStore:
    """The endpoint, with one bucket ``backups``; a context manager."""

    def __init__(self, folder):
        self.bucket = folder / "backups"
        self.bucket.mkdir(parents=True)
        self.key_id = "AKIA" + secrets.token_hex(8).upper()
        self.secret = secrets.token_hex(20)
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            self._address = "127.0.0.1:%d" % listening.getsockname()[1]
        self._process = None

    def __enter__(self):
        self._process = subprocess.Popen(
            [beside_python("rclone"), "serve", "s3", str(self.bucket.parent), "--addr", self._address, "--vfs-cache-mode=off",
             "--dir-cache-time=10ms", "--config=/dev/null", "--auth-key", "%s,%s" % (self.key_id, self.secret)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        host, unused, port = self._address.partition(":")
        until = time.monotonic() + 20
        while True:
            try:
                socket.create_connection((host, int(port)), 1).close()
                return self
            except OSError:
                if time.monotonic() > until or self._process.poll() is not None:
                    raise RuntimeError("the S3 endpoint does not come up")
                time.sleep(0.05)

    def __exit__(self, *unused):
        self._process.kill()
        self._process.wait()

    def environment(self):
        """The variables that an inventory takes it from."""
        return {"S3_ENDPOINT": "http://" + self._address, "S3_KEY_ID": self.key_id, "S3_SECRET": self.secret}

    def damage(self, ending):
        """Turns a byte in the middle of each file with that in its name."""
        for path in self._files(ending):
            content = bytearray(path.read_bytes())
            content[len(content) // 2] ^= 1
            path.write_bytes(content)

    def drop(self, ending):
        """Removes each file with that in its name."""
        for path in self._files(ending):
            os.unlink(path)

    def _files(self, ending):
        found = [path for path in sorted(self.bucket.rglob("*")) if path.is_file() and ending in path.name]
        if not found:
            raise RuntimeError("the bucket has no %s" % ending)
        return found
