# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the small applications that stand in for five real ones have in common: a server that answers and writes.

Each is a program ``NAME ACTION ROOT [WORD ...]``. ``serve`` runs until it is ended by SIGTERM; every other action is a
method of the application. While a file ROOT/hold is there, a server does not write.
"""

from __future__ import annotations

import abc
import contextlib
import http.server
import json
import os
import signal
import sqlite3
import ssl
import sys
import threading
import time
import urllib.parse


class Application(abc.ABC):
    """An application whose state lies below a root."""

    port = 8080
    database = "app.db"
    # Seconds between two writes of its own.
    pause = 0.05
    # Whether it keeps a connection to its database for as long as it runs.
    holds = True

    def __init__(self, root):
        self.root = root
        self.number = 0
        # In a container every run has the same process number.
        self.run = os.urandom(4).hex()
        self.port = int(os.environ.get("PORT", self.port))

    def path(self, *parts):
        """An absolute path of its state."""
        return os.path.join(self.root, *parts)

    def open(self):
        """A connection to the database, which is never created by it."""
        connection = sqlite3.connect("file:%s?mode=rw" % self.path(self.database), uri=True, timeout=10,
                                     isolation_level=None)
        connection.execute("PRAGMA foreign_keys = ON")
        return connection

    def connected(self):
        """A connection for the length of a ``with``: one that is left open by an error would hold its locks."""
        return contextlib.closing(self.open())

    def query(self, text, values=()):
        """All rows of a query."""
        with self.connected() as connection:
            return connection.execute(text, values).fetchall()

    def create(self, script, mode="wal"):
        """Make the database."""
        os.makedirs(os.path.dirname(self.path(self.database)), exist_ok=True)
        connection = sqlite3.connect(self.path(self.database), isolation_level=None)
        connection.execute("PRAGMA journal_mode = " + mode)
        connection.executescript("BEGIN;" + script + "COMMIT;")
        connection.close()

    def write_file(self, path, content):
        """Write a file of its state as such applications do: whole, under its name only when it is done."""
        target = self.path(path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target + ".part", "wb") as stream:
            stream.write(content)
        os.replace(target + ".part", target)

    def begin(self):
        """What happens before it answers, such as migrations; sys.exit refuses to start."""

    def work(self):
        """One write of its own, into the database and, before that, into files."""

    @abc.abstractmethod
    def answer(self, method, path, body, headers):
        """What is answered to a request: a status, and a text, bytes, something for JSON, or an iterator of bytes."""

    def certificate(self):
        """The paths of certificate and key where it speaks TLS."""
        return None

    def serve(self):
        """Answer and write until the end."""
        signal.signal(signal.SIGTERM, lambda number, frame: os._exit(0))
        self.begin()
        held = self.open() if self.holds else None
        if held:
            held.execute("SELECT count(*) FROM sqlite_master").fetchall()
        server = http.server.ThreadingHTTPServer(("0.0.0.0", self.port), handler(self))
        if self.certificate():
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self.certificate())
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        while True:
            if not os.path.exists(self.path("hold")):
                self.try_to_work()
            time.sleep(self.pause)

    def try_to_work(self):
        """Write; what cannot be written now is written the next time."""
        try:
            self.number += 1
            self.work()
        except (sqlite3.Error, OSError) as error:
            sys.stderr.write("%s: %s\n" % (type(error).__name__, error))
            sys.stderr.flush()


def handler(application):
    """The class that asks an application for its answers."""

    class Handler(http.server.BaseHTTPRequestHandler):
        """One request."""

        def do_GET(self):  # pylint: disable=invalid-name
            """Answer; whatever goes wrong is a 503 that says so."""
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode("utf-8")
            path = urllib.parse.unquote(self.path)
            try:
                status, content = application.answer(self.command, path, body, self.headers)
            except (sqlite3.Error, OSError) as error:
                status, content = 503, "%s: %s" % (type(error).__name__, error)
            self.send_response(status)
            if isinstance(content, (str, bytes, dict, list)):
                self.send_whole(content)
            else:
                self.send_stream(content)

        do_POST = do_GET

        def send_whole(self, content):
            """An answer whose length is known."""
            kind = "application/json" if isinstance(content, (dict, list)) else "text/html; charset=utf-8"
            if isinstance(content, (dict, list)):
                content = json.dumps(content)
            content = content.encode("utf-8") if isinstance(content, str) else content
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def send_stream(self, content):
            """An iterator that first gives the length, then the bytes; it may end too early."""
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Content-Length", str(next(content)))
            self.end_headers()
            for piece in content:
                self.wfile.write(piece)
            self.close_connection = True

        def log_message(self, format, *args):  # pylint: disable=redefined-builtin
            """Say nothing."""

    return Handler


def main(kind):
    """Do the action of the command line; what it gives is printed, as it is or as JSON."""
    action, root, *words = sys.argv[1:]
    result = getattr(kind(root), action)(*words)
    if result is not None:
        print(result if isinstance(result, str) else json.dumps(result))
