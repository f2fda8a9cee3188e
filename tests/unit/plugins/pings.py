# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real HTTP server that receives pings."""

from __future__ import annotations

import http.server
import os
import threading

import pytest

# What makes the URL of a ping a secret; no message, file or log may have it.
SECRET = "5ecre7"


class Receiver(http.server.ThreadingHTTPServer):
    """Answers with one status after the other (the last one for good), and keeps what it was told."""

    def __init__(self, *statuses):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.statuses = list(statuses)
        self.received = []

    @property
    def url(self):
        """The URL that an app is configured with."""
        return "http://127.0.0.1:%d/ping/%s" % (self.server_address[1], SECRET)


class _Handler(http.server.BaseHTTPRequestHandler):
    """Keeps the method, what follows the URL, and the body."""

    def _receive(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.received.append((self.command, self.path.replace("/ping/" + SECRET, ""), body.decode()))
        statuses = self.server.statuses
        self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
        self.end_headers()

    do_GET = do_POST = _receive

    def log_message(self, *unused):
        pass


@pytest.fixture
def receiver():
    """A function that starts a Receiver."""
    servers = []

    def start(*statuses):
        server = Receiver(*(statuses or (200,)))
        threading.Thread(target=server.serve_forever, args=(0.02,)).start()
        servers.append(server)
        return server
    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def keeps_the_secret(texts, *directories):
    """Whether the secret is in none of the texts, and in no file below the directories."""
    for top in directories:
        for folder, unused, names in os.walk(top):
            for name in names:
                with open(os.path.join(folder, name), "rb") as file:
                    texts = texts + [file.read().decode("latin-1")]
    return not [text for text in texts if SECRET in text]
