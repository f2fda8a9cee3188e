# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real S3 endpoint on this machine: rclone's own server over a directory, in which each directory is a bucket."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

# Of realistic length, and nowhere else to be found.
KEY_ID = "AKIATESTTESTTESTTEST"
SECRET = "canary0Secret0Of0The0Object0Store0000001"


class ObjectStore:
    """The endpoint; a context manager.

    Attributes:
        directory: where buckets are directories.
        port: it listens on, on 127.0.0.1.
    """

    def __init__(self, bucket="bucket"):
        self.directory = tempfile.mkdtemp(prefix="object-store-")
        self.port = _free_port()
        self._process = None
        self.make(bucket)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *unused):
        self.stop()
        shutil.rmtree(self.directory)

    def make(self, bucket):
        """Makes a bucket."""
        os.makedirs(os.path.join(self.directory, bucket), exist_ok=True)

    def start(self):
        """Starts it and waits until it listens."""
        with open(os.devnull, "wb") as null:
            self._process = subprocess.Popen(
                [server(), "serve", "s3", self.directory, "--addr", "127.0.0.1:%d" % self.port, "--vfs-cache-mode=off",
                 # With 0 rclone does nothing but forget directories, and hardly answers.
                 "--dir-cache-time=10ms", "--config=/dev/null", "--auth-key", "%s,%s" % (KEY_ID, SECRET)],
                stdin=subprocess.DEVNULL, stdout=null, stderr=null)
        until = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert time.monotonic() < until and self._process.poll() is None, "the S3 endpoint did not come up"
                time.sleep(0.05)

    def stop(self):
        """Ends it, in the middle of whatever it does."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def options(self, **more):
        """What rclone's configuration has of it."""
        return dict({"type": "s3", "provider": "Other", "endpoint": "http://127.0.0.1:%d" % self.port, "access_key_id": KEY_ID,
                     "secret_access_key": SECRET, "force_path_style": True}, **more)

    def path(self, *parts):
        """Where an object is as a file."""
        return os.path.join(self.directory, *parts)

    def keys(self, bucket="bucket"):
        """The names of all objects in a bucket."""
        top = self.path(bucket)
        return sorted(os.path.relpath(os.path.join(folder, name), top)
                      for folder, unused, names in os.walk(top) for name in names)


def server():
    """The rclone that can serve S3 (from 1.65 on): that of the environment that runs the tests."""
    return os.path.join(os.path.dirname(os.path.abspath(sys.executable)), "rclone")


def _free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]
