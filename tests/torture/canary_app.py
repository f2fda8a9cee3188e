# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An application that has every secret an app can have, each of them a canary, and servers that ask for them."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import threading

from ansible_collections.appstate.backup.tests.unit.plugins import object_store, postgres_server
from ansible_collections.appstate.backup.tests.unit.plugins.host import Host
from ansible_collections.appstate.backup.tests.unit.plugins.object_store import ObjectStore
from ansible_collections.appstate.backup.tests.unit.plugins.postgres_server import PostgresServer
from canaries import Sought
from row import Bad

# Keys of an app that hold one, each with a canary of its own.
NAMES = ("ping", "drill_ping", "key_id", "secret_key", "bucket_id", "bucket_key", "token", "query", "body", "header_in_file",
         "body_in_file", "password", "boot")


class Server(http.server.ThreadingHTTPServer):
    """Takes pings below /ping, answers /data to whoever is asked for nothing, and elsewhere fails with all that it was sent."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked = []
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def url(self, path):
        """The URL of a path."""
        return "http://127.0.0.1:%d%s" % (self.server_address[1], path)

    def handle_error(self, request, client_address):
        """Clients that go are no news."""


class _Handler(http.server.BaseHTTPRequestHandler):
    """One request."""

    def _answer(self):
        told = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        everything = ("%s\n%s\n" % (self.requestline, self.headers)).encode("latin-1") + told
        self.server.asked.append(everything)
        well = self.path.startswith(("/ping", "/data"))
        content = b"answer" if well else everything
        if self.path.startswith("/odd"):
            self.wfile.write(b"HTTP/1.1 " + everything.replace(b"\n", b" ") + b"\r\n\r\n")
            return
        # Also in the reason, which stands in the first line.
        reason = None if well else everything.decode("latin-1").replace("\r", "").replace("\n", " ")
        self.send_response(200 if well else 500, reason)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = _answer

    def log_message(self, *unused):
        pass


class Servers:
    """The canaries, and the servers that are given them; a context manager that several applications in turn can share.

    Attributes:
        secrets: from what a secret is called to the canary; misplaced: the one that no server takes.
        own: the one that is part of the application's own files, and so of archives.
    """

    def __init__(self, random):
        self.secrets = {name: "canary%s%032x" % (name.replace("_", ""), random.getrandbits(128))
                        for name in NAMES + ("misplaced",)}
        self.misplaced = self.secrets["misplaced"]
        self.own = "canaryown%032x" % random.getrandbits(128)
        self._closing = []

    def __enter__(self):
        try:
            self.server = Server()
            self._closing += [self.server.server_close, self.server.shutdown]
            postgres_server.PASSWORD = self.secrets["password"]
            # The endpoint takes its keys from the module, which has them from nobody else.
            object_store.KEY_ID, object_store.SECRET = self.secrets["key_id"], self.secrets["secret_key"]
            self.store = ObjectStore()
            self._closing.append(lambda: self.store.__exit__(None, None, None))
            self.store.start()
            os.makedirs(self.store.path("bucket", "objects"))
            with open(self.store.path("bucket", "objects", "object"), "wb") as stream:
                stream.write(b"object")
            self.identity, self.recipient = self._pair("identity")
            self.other_identity, unused = self._pair("other_identity")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *unused):
        for close in reversed(self._closing):
            close()

    def _pair(self, name):
        done = subprocess.run(["age-keygen"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="ascii", check=True)
        text = done.stdout
        self.secrets[name] = next(line for line in text.splitlines() if line.startswith("AGE-SECRET-KEY-"))
        return text, next(line for line in text.splitlines() if line.startswith("# public")).split()[-1]


class CanaryApp:
    """The application and its places.

    Attributes:
        sought: ``Sought`` for all canaries but ``own``, which is for that one.
        searched: directories in which no file may have one.
    """

    def __init__(self, folder, servers):
        self._folder = folder
        self._servers = servers
        self.secrets, self.misplaced = servers.secrets, servers.misplaced
        self.sought, self.own = Sought(servers.secrets), Sought({"own": servers.own})
        self.identity = servers.identity
        self.tmp = self.place("tmp")
        self._given = self.place("given")
        for path in (self.tmp, self._given):
            os.mkdir(path)
        os.chmod(self.tmp, 0o1777)
        os.mkdir(self.place("host"), 0o711)
        self.host = Host(self.place("host"))
        self.host.fill()
        self.host.write("uploads/own.txt", servers.own.encode("ascii"))
        for name in ("apps.d", "metrics"):
            os.mkdir(self.host.place(name), 0o700)
        self.configuration = self.host.place("apps.d", "notes.json")
        self.places = ["--config", self.host.place("apps.d"), "--state-directory", self.host.state,
                       "--lock-directory", self.host.locks]
        self.searched = [self.host.destination, self.host.state, self.host.place("metrics"), self.tmp, servers.store.directory]
        self.identity_file = self._give("identity", self.identity)
        self._told = self._described()
        self.describe()

    def place(self, *names):
        """A path of this case."""
        return os.path.join(self._folder, *names)

    def _give(self, name, text):
        """A file that the operator has put on the host."""
        path = os.path.join(self._given, name)
        with open(path, "w", encoding="ascii") as stream:
            stream.write(text)
        os.chmod(path, 0o600)
        return path

    def _described(self):
        secrets, server, store = self.secrets, self._servers.server, self._servers.store
        asked = {"type": "http", "path": "asked.txt", "format": "raw", "method": "POST",
                 "headers": {"Authorization": "Bearer " + secrets["token"]},
                 "url": server.url("/data?token=" + secrets["query"]), "body": secrets["body"]}
        by_file = {"type": "http", "path": "by_file.txt", "format": "raw", "method": "POST", "url": server.url("/data"),
                   "headers_file": self._give("headers", "X-Api-Key: %s\n" % secrets["header_in_file"]),
                   "body_file": self._give("body", secrets["body_in_file"])}
        bucket = {"type": "bucket", "path": "objects", "remote": "own:bucket/objects", "options": store.options()}
        return self.host.described(
            sources=self.host.sources()[:2] + [asked, by_file, bucket], encryption={"recipients": [self._servers.recipient]},
            remotes=[{"name": "offsite", "remote": "offsite:bucket/backups", "attempts": 1, "timeout": 20,
                      "options": store.options()}],
            monitoring={"syslog": True, "metrics_directory": self.host.place("metrics"),
                        "ping": {"url": server.url("/ping/" + secrets["ping"]), "attempts": 1}},
            drill={"boot": {"argv": ["/bin/sleep", "60"], "environment": {"API_TOKEN": secrets["boot"]}},
                   "monitoring": {"ping": {"url": server.url("/ping/" + secrets["drill_ping"]), "attempts": 1}}})

    def describe(self, change=None):
        """Writes the configuration, with a change or as it is good."""
        told = json.loads(json.dumps(self._told))
        if change is not None:
            change(told)
        with open(self.configuration, "w", encoding="ascii") as stream:
            json.dump(told, stream)
        os.chmod(self.configuration, 0o600)

    def spoil(self, name):
        """Has one thing go wrong; returns the words of a run, its status and what it reads."""
        return getattr(self, "_" + name)()

    def _ping_gone(self):
        gone = "http://127.0.0.1:9/%s" % self.secrets["ping"]
        self.describe(lambda app: app["monitoring"]["ping"].update(url=gone))
        return ["run"], 0, None

    def _ping_refuses(self):
        refused = self._servers.server.url("/refused/" + self.secrets["ping"])
        self.describe(lambda app: app["monitoring"]["ping"].update(url=refused))
        return ["run"], 0, None

    def _remote_gone(self):
        self.describe(lambda app: app["remotes"][0]["options"].update(endpoint="http://127.0.0.1:9"))
        return ["run"], 1, None

    def _remote_refuses(self):
        self.describe(lambda app: app["remotes"][0]["options"].update(secret_access_key=self.misplaced))
        return ["run"], 1, None

    def _bucket_refuses(self):
        self.describe(lambda app: app["sources"][4]["options"].update(
            access_key_id=self.secrets["bucket_id"], secret_access_key=self.secrets["bucket_key"]))
        return ["run"], 1, None

    def _http(self, url):
        self.describe(lambda app: app["sources"][2].update(url=url))
        return ["run"], 1, None

    def _http_gone(self):
        return self._http("http://user:%s@127.0.0.1:9/?token=%s" % (self.misplaced, self.secrets["query"]))

    def _http_echoes(self):
        return self._http(self._servers.server.url("/echo?token=" + self.secrets["query"]))

    def _http_odd(self):
        return self._http(self._servers.server.url("/odd?token=" + self.secrets["query"]))

    def _http_no_tls(self):
        return self._http(self._servers.server.url("/data?token=" + self.secrets["query"]).replace("http:", "https:"))

    def _identity_wrong(self):
        self._seed()
        return ["verify", "notes", "--identity", "-"], 1, self._servers.other_identity

    def _seed(self):
        """A backup to ask about, by a run that nobody traces."""
        command = os.path.join(os.path.dirname(self._folder), "command", "appstate-backup")
        subprocess.run(["/usr/bin/python3", command] + self.places + ["run"], env={"PATH": "/usr/bin:/bin"},
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)

    def _hook_fails(self):
        hooks = {"before": [["sh", "-c", "env; exit 3"]], "on_error": [["sh", "-c", "env >&2; exit 3"]]}
        self.describe(lambda app: app.update(hooks=hooks))
        return ["run"], 1, None

    def _file_missing(self):
        os.unlink(os.path.join(self._given, "body"))
        self._give("headers", "no header %s" % self.secrets["header_in_file"])
        return ["run"], 1, None

    def add_postgresql(self, wrong=False):
        """A database with a password, once by the word and once by a file; returns what ends its server."""
        server = PostgresServer()
        server.create("club", "keyholder")
        server.create("wiki", "keyholder")
        given = self.misplaced if wrong else self.secrets["password"]
        self._told["sources"] += [server.source(user="keyholder", password=given),
                                  server.source(user="keyholder", database="wiki",
                                                password_file=self._give("password", given + "\n"))]
        self.describe()
        return server.close

    def really_used(self):
        """Each secret came to whom it is meant for: else it would be no wonder that nobody else saw it."""
        asked = b"".join(self._servers.server.asked)
        for each in ("ping", "drill_ping", "token", "query", "body", "header_in_file", "body_in_file"):
            if self.secrets[each].encode("ascii") not in asked:
                raise Bad("the canary %s was never used" % each)
        if not self._servers.store.keys():
            raise Bad("nothing came to the remote")
