# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An application that migrates its database when it starts. What is installed is the text in ROOT/installed.

    shop.py make ROOT           a database of version 1 with ten orders
    shop.py start ROOT PORT     migrates the database, then answers with its version and the number of orders
    shop.py stop ROOT           returns when it has gone
    shop.py version PORT        what the one that runs says of its version
    shop.py look ROOT           as JSON: what is installed, the version and the orders in the database, what lies beside it
    shop.py port                a port that is free

Version 1 does nothing to the database and does not start on a newer one. Version 2 adds a column. Version 3 loses half of
the orders and says that it is not well. Version 4 writes over a page of its database and says that all is well. Version 5
does not start.
"""

from __future__ import annotations

import http.server
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request


def path_of(root):
    return os.path.join(root, "shop.db")


def installed(root):
    with open(os.path.join(root, "installed"), encoding="ascii") as file:
        return int(file.read())


def make(root):
    os.makedirs(root, exist_ok=True)
    database = sqlite3.connect(path_of(root), isolation_level=None)
    database.executescript("PRAGMA journal_mode = WAL; PRAGMA user_version = 1; CREATE TABLE orders (id INTEGER PRIMARY KEY, "
                           "text TEXT NOT NULL); CREATE INDEX texts ON orders (text);")
    database.executemany("INSERT INTO orders (text) VALUES (?)", [("order %d" % number,) for number in range(10)])
    database.close()


def migrate(root, version):
    database = sqlite3.connect(path_of(root), isolation_level=None)
    found = database.execute("PRAGMA user_version").fetchone()[0]
    if found > version or version == 5:
        sys.exit("version %d does not start on data of version %d" % (version, found))
    if found < version:
        database.execute("ALTER TABLE orders ADD COLUMN paid INTEGER")
        database.execute("PRAGMA user_version = %d" % version)
        if version == 3:
            database.execute("DELETE FROM orders WHERE id % 2 = 0")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    root_page = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'texts'").fetchone()[0]
    database.close()
    if version == 4:
        with open(path_of(root), "r+b") as file:
            file.seek((root_page - 1) * 4096 + 8)
            file.write(b"\xa5" * 500)


def run(root, port):
    version = installed(root)
    migrate(root, version)
    database = sqlite3.connect(path_of(root), isolation_level=None, check_same_thread=False)

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            count = database.execute("SELECT count(*) FROM orders NOT INDEXED").fetchone()[0]
            body = json.dumps({"status": "ok" if version != 3 else "broken", "version": version, "orders": count}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments):
            pass

    server = http.server.HTTPServer(("127.0.0.1", int(port)), Answer)
    signal.signal(signal.SIGTERM, lambda _number, _frame: threading.Thread(target=server.shutdown).start())
    with open(os.path.join(root, "pid"), "w", encoding="ascii") as file:
        file.write(str(os.getpid()))
    server.serve_forever(poll_interval=0.05)
    database.close()
    os.unlink(file.name)


def pid_of(root):
    try:
        with open(os.path.join(root, "pid"), encoding="ascii") as file:
            pid = int(file.read())
        os.kill(pid, 0)
        return pid
    except (OSError, ValueError):
        return 0


def start(root, port):
    if pid_of(root):
        return
    with open(os.path.join(root, "log"), "ab") as log:
        process = subprocess.Popen([sys.executable, os.path.abspath(__file__), "run", root, port],
                                   stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    while pid_of(root) != process.pid:
        if process.poll() is not None:
            sys.exit("it does not start, see %s" % log.name)
        time.sleep(0.02)


def stop(root):
    for _attempt in range(200):
        pid = pid_of(root)
        if not pid:
            return
        os.kill(pid, signal.SIGTERM)
        time.sleep(0.05)
    sys.exit("it did not stop")


def version(port):
    with urllib.request.urlopen("http://127.0.0.1:%s/" % port, timeout=10) as answer:
        print("shop %d" % json.load(answer)["version"])


def look(root):
    database = sqlite3.connect(path_of(root))
    print(json.dumps({
        "installed": installed(root), "runs": pid_of(root) != 0,
        "data": database.execute("PRAGMA user_version").fetchone()[0],
        "integrity": database.execute("PRAGMA integrity_check").fetchone()[0],
        "orders": database.execute("SELECT count(*) FROM orders NOT INDEXED").fetchone()[0],
        "beside": [name for name in sorted(os.listdir(root)) if ".before-restore-" in name or name.startswith(".")]}))


def port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        print(listener.getsockname()[1])


COMMANDS = {"make": make, "run": run, "start": start, "stop": stop, "version": version, "look": look, "port": port}

if __name__ == "__main__":
    COMMANDS[sys.argv[1]](*sys.argv[2:])
