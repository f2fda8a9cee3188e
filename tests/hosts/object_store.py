# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real S3 endpoint on a host: rclone's own server over a directory, in which each directory is a bucket."""

from __future__ import annotations

import os
import secrets
import shutil
import time

from .controller import beside_python
from .store import Store

PORT = 9000
TOP = "/srv/objects"


class ObjectStore(Store):
    """The endpoint, with one bucket to which all keys are relative; it answers when the constructor is done.

    Args:
        size: of the disk that its objects are on; see Store.
    """

    def __init__(self, host, bucket="backups", size=None):
        super().__init__(host, os.path.join(TOP, bucket), TOP, size)
        self.bucket = bucket
        self.key_id = "AKIA" + secrets.token_hex(8).upper()
        self.secret = secrets.token_hex(20)
        self._process = None
        self.start()

    def start(self):
        """Start it and wait until it answers; what it had not ended writing when it was killed is no object."""
        self.host.run(["find", TOP, "-name", ".rclone_temp_put_*", "-delete"])
        self._process = self.host.start(
            [self._server(), "serve", "s3", TOP, "--addr", "%s:%d" % (self.host.address, PORT), "--vfs-cache-mode=off",
             "--dir-cache-time=10ms", "--config=/dev/null", "--auth-key", "%s,%s" % (self.key_id, self.secret)])
        until = time.monotonic() + 20
        while not self._answers():
            if time.monotonic() > until or self._process.poll() is not None:
                raise RuntimeError("the S3 endpoint of %s does not come up" % self.host.name)
            time.sleep(0.05)

    def kill(self):
        """Kill it, in the middle of whatever it does."""
        self._process.kill()
        self._process.wait()
        while self._answers():
            time.sleep(0.02)

    def keys(self, under=""):
        """The objects; what the server has not ended writing, or never will since its client is gone, is none."""
        return [key for key in super().keys(under) if not os.path.basename(key).startswith(".rclone_temp_put_")]

    def make(self, bucket):
        """Make a bucket."""
        os.mkdir(self.host.path(os.path.join(TOP, bucket)))

    def drop(self, bucket):
        """Remove a bucket with all that is in it."""
        shutil.rmtree(self.host.path(os.path.join(TOP, bucket)))

    def options(self, **more):
        """What rclone has to know of it."""
        return dict({"type": "s3", "provider": "Other", "endpoint": "http://%s:%d" % (self.host.address, PORT),
                     "access_key_id": self.key_id, "secret_access_key": self.secret, "force_path_style": True}, **more)

    def described(self, name, **more):
        """The remote, as an operator describes it."""
        return dict({"name": name, "remote": "s3:" + self.bucket, "options": self.options()}, **more)

    def _answers(self):
        """Whether somebody listens, as the host itself sees it."""
        line = ":%04X 00000000:0000 0A" % PORT
        return line in self.host.read("/proc/1/net/tcp").decode()

    def _server(self):
        """The rclone that can serve S3 (from 1.65 on), which the environment of the tests has; a host may not see that."""
        program = beside_python("rclone")
        if not os.path.exists(self.host.path(program)):
            shutil.copy2(program, self.host.path("/usr/local/bin/serving-rclone"))
            return "/usr/local/bin/serving-rclone"
        return program
