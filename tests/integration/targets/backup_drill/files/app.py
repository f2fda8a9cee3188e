# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A small web application: it runs in the directory of its state and says how many notes there are."""

from __future__ import annotations

import http.server
import json
import sqlite3
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers every GET."""

    def do_GET(self):
        """Counts the notes."""
        connection = sqlite3.connect("data/notes.db")
        told = {"notes": connection.execute("SELECT count(*) FROM notes").fetchone()[0]}
        connection.close()
        self.send_response(503 if "unwell" in sys.argv else 200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(told).encode())


http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
