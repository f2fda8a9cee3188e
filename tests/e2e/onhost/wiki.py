# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A small application over HTTP: tells how many pages it has, and writes that somebody has asked.

Its root is its one argument; it listens on port 8080 of its own loopback, as it always does.
"""

from __future__ import annotations

import http.server
import json
import os
import sqlite3
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers /health."""

    def do_GET(self):
        """Counts pages, and visits."""
        connection = sqlite3.connect(os.path.join(sys.argv[1], "wiki.db"))
        with connection:
            connection.execute("INSERT INTO visits DEFAULT VALUES")
        pages = connection.execute("SELECT count(*) FROM pages").fetchone()[0]
        connection.close()
        content = json.dumps({"status": "ok", "pages": pages}).encode("ascii")
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format, *args):
        """Says nothing."""


http.server.HTTPServer(("127.0.0.1", 8080), Handler).serve_forever()
