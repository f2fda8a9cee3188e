# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The other end of pings: receiver.py PORT FILE answers every request with 200, and appends it to a file as JSON."""

from __future__ import annotations

import http.server
import json
import sys


class Receiver(http.server.BaseHTTPRequestHandler):
    """Writes down who asked for what."""

    def do_POST(self):  # pylint: disable=invalid-name
        """A ping in the manner of Healthchecks."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode("utf-8", "replace")
        told = {"path": self.path, "body": body, "from": self.client_address[0]}
        with open(sys.argv[2], "a", encoding="utf-8") as stream:
            stream.write(json.dumps(told) + "\n")
        self.send_response(200)
        self.end_headers()

    def log_message(self, *unused):  # pylint: disable=arguments-differ
        """The file says it all."""


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("0.0.0.0", int(sys.argv[1])), Receiver).serve_forever()
