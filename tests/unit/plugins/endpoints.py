# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real server over TLS with an owner-only backup endpoint, and a CA of its own."""

from __future__ import annotations

import http.server
import os
import socket
import ssl
import subprocess
import threading

import pytest

TOKEN = "t0ken-of-the-owner"
SECRETS = (TOKEN, "s3cret-query", "s3cret-body", "s3cret-password")


class Endpoint(http.server.ThreadingHTTPServer):
    """Answers ``content`` to the owner at /api/backup (and where Opstage's page has it); the other paths misbehave, each in its way.

    Attributes:
        content: what is answered, bytes.
        asked: ``(method, path, headers, body)`` of each request.
    """

    daemon_threads = True

    def __init__(self, context=None):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.scheme = "http"
        if context is not None:
            self.scheme = "https"
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.content = b""
        self.elsewhere = ""
        self.asked = []
        self.gone = threading.Event()

    def url(self, path="/api/backup", host="localhost"):
        """The URL of a path."""
        return "%s://%s:%d%s" % (self.scheme, host, self.server_address[1], path)

    def handle_error(self, request, client_address):
        """Clients that go are no news."""


class _Handler(http.server.BaseHTTPRequestHandler):
    """One request."""

    def _answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.partition("?")[0]
        self.server.asked.append((self.command, self.path, dict(self.headers), body))
        action = getattr(self, "at" + path.replace("/", "_"), None)
        if action is not None:
            action()
        elif path.startswith("/status/"):
            self._send(int(path[8:]), b"no: " + TOKEN.encode())
        elif path in ("/api/backup", "/api/diagnostics/backup"):
            self._to_owner()
        else:
            self._send(404, b"")

    do_GET = do_POST = _answer

    def _to_owner(self):
        if self.headers.get("Authorization") == "Bearer " + TOKEN:
            self._send(200, self.server.content, "application/vnd.sqlite3")
        else:
            self._send(401, b'{"error": "owner only"}', "application/json")

    def _send(self, code, body, kind="text/plain", length=None, **headers):
        self.send_response(code)
        self.send_header("Content-Type", kind)
        if length is not False:
            self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def at_public(self):
        self._send(200, self.server.content)

    def at_html(self):
        self._send(200, b"\n<!DOCTYPE html>\n<html><body>Sign in</body></html>", "text/html; charset=utf-8")

    def at_json(self):
        self._send(200, b'{"error": "try later"}', "application/json")

    def at_empty(self):
        self._send(200, b"")

    def at_cut(self):
        self._send(200, self.server.content[:5000], length=len(self.server.content))
        self.close_connection = True

    def at_chunked_cut(self):
        self._send(200, b"", length=False, Transfer_Encoding="chunked")
        self.wfile.write(b"1000\r\n" + self.server.content[:0x1000] + b"\r\n1000\r\nabc")
        self.close_connection = True

    def at_chunked(self):
        self._send(200, b"", length=False, Transfer_Encoding="chunked")
        for start in range(0, len(self.server.content), 1000):
            piece = self.server.content[start:start + 1000]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def at_until_closed(self):
        self._send(200, self.server.content, length=False)
        self.close_connection = True

    def at_endless(self):
        self._send(200, b"", length=False)
        while not self.server.gone.is_set():
            self.wfile.write(b"x" * 65536)

    def at_silent(self):
        self.server.gone.wait(30)

    def at_dripping(self):
        self._send(200, b"", length=100000)
        while not self.server.gone.wait(0.05):
            self.wfile.write(b"x")

    def at_dripping_headers(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
        while not self.server.gone.wait(0.05):
            self.wfile.write(b"x")
            self.wfile.flush()

    def at_encoded(self):
        self._send(200, self.server.content, Content_Encoding="gzip")

    def at_partial(self):
        self._send(206, self.server.content)

    def at_moved(self):
        self._send(302, b"", Location="/public")

    def at_moved_for_good(self):
        self._send(308, b"", Location="/public?again=1")

    def at_moved_away(self):
        self._send(307, b"", Location=self.server.elsewhere)

    def at_moved_in_circles(self):
        self._send(302, b"", Location="/moved/in/circles")

    def log_message(self, *unused):
        pass


def make_authority(path):
    """Makes a CA and a certificate of it for localhost, in a directory, by the openssl program."""
    def openssl(*words):
        subprocess.run(("openssl",) + words, cwd=path, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-keyout",
            "ca.key", "-out", "ca.pem", "-subj", "/CN=Test CA", "-addext", "keyUsage=critical,keyCertSign")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "server.key", "-out",
            "server.csr", "-subj", "/CN=localhost")
    with open(os.path.join(path, "extensions"), "w") as file:
        file.write("subjectAltName=DNS:localhost\nauthorityKeyIdentifier=keyid\n")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
            "-extfile", "extensions", "-out", "server.pem")


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """The directory of a CA: ``ca.pem``, and ``server.pem`` with ``server.key``."""
    path = str(tmp_path_factory.mktemp("authority"))
    make_authority(path)
    return path


@pytest.fixture
def endpoint(authority):
    """A function that starts an Endpoint; over TLS unless it is told otherwise."""
    servers = []

    def start(tls=True):
        context = None
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(os.path.join(authority, "server.pem"), os.path.join(authority, "server.key"))
        server = Endpoint(context)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        return server
    yield start
    for server in servers:
        server.gone.set()
        server.shutdown()
        server.server_close()


def closed_port():
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
