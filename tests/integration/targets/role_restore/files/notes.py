# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An application with state, for the tests of the roles. It holds its database open for as long as it runs.

    notes.py make ROOT STATUS COUNT   COUNT notes in a WAL database, three uploads, and settings with a status
    notes.py start ROOT PORT          answers with the status and the number of notes, in the background
    notes.py stop ROOT                returns when it has gone
    notes.py look ROOT [PORT]         as JSON: path, mode and digest of every file of the state, what lies beside it,
                                      and, where there is a port, the process that answers and its answer
    notes.py port                     a port that is free
"""

from __future__ import annotations

import fcntl
import hashlib
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


def connect(root):
    return sqlite3.connect(os.path.join(root, "data", "notes.db"), isolation_level=None, check_same_thread=False)


def make(root, status, count):
    for directory in ("data", "uploads"):
        os.makedirs(os.path.join(root, directory), exist_ok=True)
    database = connect(root)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL)")
    database.execute("DELETE FROM notes")
    database.executemany("INSERT INTO notes (text) VALUES (?)", [("note %d" % number,) for number in range(int(count))])
    database.close()
    for number in range(3):
        with open(os.path.join(root, "uploads", "upload-%d" % number), "w", encoding="ascii") as upload:
            upload.write("upload %d beside %s notes\n" % (number, count))
    with open(os.path.join(root, "data", "settings.json"), "w", encoding="ascii") as settings:
        json.dump({"status": status}, settings)


def run(root, port):
    with open(os.path.join(root, "pid"), "a", encoding="ascii") as pid_file:
        fcntl.flock(pid_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        database = connect(root)
        database.execute("SELECT count(*) FROM notes").fetchone()
        with open(os.path.join(root, "data", "settings.json"), encoding="ascii") as settings:
            status = json.load(settings)["status"]

        class Answer(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                count = database.execute("SELECT count(*) FROM notes").fetchone()[0]
                body = json.dumps({"status": status, "notes": count}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_arguments):
                pass

        server = http.server.HTTPServer(("127.0.0.1", int(port)), Answer)
        signal.signal(signal.SIGTERM, lambda _number, _frame: threading.Thread(target=server.shutdown).start())
        pid_file.truncate(0)
        pid_file.write(str(os.getpid()))
        pid_file.flush()
        server.serve_forever(poll_interval=0.05)
        database.close()


def start(root, port):
    with open(os.path.join(root, "log"), "ab") as log:
        process = subprocess.Popen([sys.executable, os.path.abspath(__file__), "run", root, port],
                                   stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    while read_pid(root) != str(process.pid):
        if process.poll() is not None:
            with open(log.name, encoding="utf-8") as told:
                sys.exit(told.read())
        time.sleep(0.02)


def stop(root):
    if not read_pid(root):
        return
    with open(os.path.join(root, "pid"), "rb") as pid_file:
        for _attempt in range(200):
            try:
                fcntl.flock(pid_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                os.kill(int(read_pid(root)), signal.SIGTERM)
                time.sleep(0.05)
    sys.exit("it did not stop")


def read_pid(root):
    try:
        with open(os.path.join(root, "pid"), encoding="ascii") as pid_file:
            return pid_file.read()
    except FileNotFoundError:
        return ""


def look(root, port=None):
    found = {"state": [], "beside": []}
    for folder, folders, names in sorted(os.walk(root)):
        for name in sorted(folders + names):
            path = os.path.join(folder, name)
            shown = os.path.relpath(path, root)
            if ".before-restore-" in path or "/.appstate" in path:
                found["beside"].append(shown)
            elif name in names and shown.startswith(("data/", "uploads/")) and not name.endswith(("-wal", "-shm")):
                with open(path, "rb") as content:
                    found["state"].append([shown, "%o" % os.lstat(path).st_mode,
                                           hashlib.sha256(content.read()).hexdigest()])
    if port:
        with urllib.request.urlopen("http://127.0.0.1:%s/" % port, timeout=10) as answer:
            found["answer"] = json.load(answer)
        found["pid"] = read_pid(root)
    print(json.dumps(found))


def port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        print(listener.getsockname()[1])


COMMANDS = {"make": make, "run": run, "start": start, "stop": stop, "look": look, "port": port}

if __name__ == "__main__":
    COMMANDS[sys.argv[1]](*sys.argv[2:])
