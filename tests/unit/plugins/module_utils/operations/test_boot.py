# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real application, started on restored state: what it can see and do, and that nothing of it stays."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from datetime import timedelta

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.operations import drill as drill_file
from ansible_collections.appstate.backup.plugins.module_utils.operations.boot import _Guarded, boot_of
from ansible_collections.appstate.backup.plugins.module_utils.operations.drill import DrillRequest, drill
from ansible_collections.appstate.backup.plugins.module_utils.system.commands import run_command
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import AppStateError
from ansible_collections.appstate.backup.plugins.module_utils.system.process import run_child
from ansible_collections.appstate.backup.tests.unit.plugins.leftovers import nothing_left

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start an app apart from the live one")

# Tells of what it sees, does harm where it can, and leaves a process that has gone off by itself.
APP = r"""
import http.server, json, os, socket, sqlite3, subprocess, sys
root, port, outside, sign = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
os.chdir(root)
if os.fork() == 0:
    os.setsid()
    os.execvp("sleep", ["sleep", sign])
def reached(family, address):
    try:
        socket.socket(family).connect(address)
        return True
    except OSError:
        return False
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        connection = sqlite3.connect(os.path.join(root, "data/notes.db"))
        connection.execute("INSERT INTO notes (text) VALUES ('by the copy')")
        connection.commit()
        told = {"notes": connection.execute("SELECT count(*) FROM notes").fetchone()[0], "uid": os.getuid(), "root": root,
                "outside": reached(socket.AF_INET, ("127.0.0.1", outside)), "run": sorted(os.listdir("/run")),
                "said": os.environ.get("SAID"), "environment": os.environ["APPSTATE_ROOT"]}
        connection.close()
        content = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(content)
    def log_message(self, *unused):
        pass
http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


@pytest.fixture
def sign():
    """Seconds that nobody else sleeps for."""
    return "86%d" % (100000 + os.getpid())


@pytest.fixture
def listening():
    """Two ports of the host that somebody listens on: the live application, and another."""
    with socket.socket() as live, socket.socket() as other:
        for made in (live, other):
            made.bind(("127.0.0.1", 0))
            made.listen(5)
        yield live.getsockname()[1], other.getsockname()[1]


def running(sign):
    """Processes that the application left behind, zombies not among them."""
    return [pid for pid in os.listdir("/proc") if pid.isdigit() and sign.encode() in _arguments(pid)]


def _arguments(pid):
    try:
        with open("/proc/%s/cmdline" % pid, "rb") as file:
            return file.read().split(b"\0")
    except OSError:
        return []


def gone(sign):
    until = time.monotonic() + 5
    while running(sign) and time.monotonic() < until:
        time.sleep(0.02)
    return not running(sign)


def booting(host, listening, sign, program=APP, health=None, **boot):
    """Words of an app that says how it is started."""
    path = os.path.join(host.path, "app.py")
    with open(path, "w", encoding="ascii") as file:
        file.write(program)
    os.chmod(path, 0o644)
    port = str(listening[0]) if boot.get("isolated", True) else "{port}"
    told = dict({"argv": ["/usr/bin/python3", path, "{root}", port, str(listening[1]), sign], "environment": {"SAID": "at {port} of {root}"}}, **boot)
    return {"drill": {"boot": told, "health": health or {"url": "http://127.0.0.1:%s/" % port, "retries": 20, "delay": 0.5}}}


def run(host, request=None, **words):
    with nothing_left():
        done = drill(host.app(**words), host.machine, DrillRequest(**(request or {})))
    assert host.left() == []
    return done


@pytest.fixture
def filled(host):
    host.fill()
    host.backup()
    return host


def cases(done, *checks):
    return [(case.check, case.outcome) for case in done.cases if case.check in checks]


def test_it_sees_the_restored_state_at_the_root_and_nobody_else(filled, listening, sign, tree):
    before = tree(filled.root)
    done = run(filled, owner="nobody", **booting(filled, listening, sign))
    assert done.ok, done.problem
    assert cases(done, "boot", "health") == [("boot", "passed"), ("health", "passed")]
    assert done.answer["notes"] == 21 and done.answer["root"] == filled.root == done.answer["environment"]
    assert done.answer["outside"] is False and done.answer["run"] == [] and done.answer["uid"] == 65534
    assert done.answer["said"].endswith(" of " + filled.root)
    assert tree(filled.root) == before and filled.notes() == 20
    assert done.restored < done.healthy == done.rto
    assert gone(sign)


def test_a_host_without_the_app_can_start_it_and_is_as_it_was(filled, listening, sign):
    root = os.path.join(filled.path, "elsewhere", "notes")
    done = run(filled, root=root, **booting(filled, listening, sign))
    assert done.ok, done.problem
    assert done.answer["root"] == root and not os.path.exists(os.path.dirname(root)) and gone(sign)


def test_it_can_be_started_beside_the_live_one(filled, listening, sign, tree):
    before = tree(filled.root)
    done = run(filled, **booting(filled, listening, sign, isolated=False))
    assert done.ok, done.problem
    assert done.answer["outside"] is True and done.answer["root"] != filled.root and done.answer["notes"] == 21
    assert tree(filled.root) == before
    end(sign)


def test_beside_the_live_one_its_owner_can_reach_the_restored_state(filled, listening, sign, monkeypatch):
    """Nobody else may look into a destination of backups."""
    os.chmod(filled.destination, 0o700)
    os.mkdir(filled.place("tmp"), 0o755)
    monkeypatch.setattr(drill_file, "FALLBACK", filled.place("tmp"))
    done = run(filled, owner="nobody", **booting(filled, listening, sign, isolated=False))
    assert done.ok, done.problem
    assert done.answer["uid"] == 65534 and done.answer["notes"] == 21 and done.answer["root"].startswith(filled.place("tmp"))
    done = run(filled, owner="nobody", **booting(filled, listening, sign, isolated=False, run_as="daemon"))
    # What is the owner's it cannot write.
    assert cases(done, "boot", "health") == [("boot", "passed"), ("health", "failed")]
    done = run(filled, owner="nobody", **booting(filled, listening, sign, isolated=False, run_as="nobody-of-that-name"))
    assert not done.ok and "nobody-of-that-name" in done.problem
    assert os.listdir(filled.place("tmp")) == []
    end(sign)


def end(sign):
    """It went off by itself; only a place of its own ends that, too."""
    for pid in running(sign):
        os.kill(int(pid), signal.SIGKILL)


def test_it_can_run_as_somebody_else_than_the_owner(filled, listening, sign):
    done = run(filled, owner="nobody", **booting(filled, listening, sign, run_as=0))
    assert done.ok and done.answer["uid"] == 0, done.problem


def test_what_an_application_leaves_beside_its_root_is_told(filled, listening, sign):
    root = os.path.join(filled.path, "elsewhere", "notes")
    program = APP.replace("os.chdir(root)", "os.chdir(root); open('../left', 'w').close()")
    done = run(filled, root=root, **booting(filled, listening, sign, program))
    assert cases(done, "boot", "health") == [("boot", "passed"), ("health", "passed"), ("health", "failed")]
    assert "%s: this directory was made for the drill, and cannot be removed: Directory not empty" % os.path.dirname(root) in done.problem
    assert not os.path.exists(root)


@pytest.mark.parametrize("answered", [b"{", b"[" * 100000, b'"\\ud800"', b"\xff", b"null", b'{"a": NaN}', b"x" * (2 << 20)], ids=lambda answered: answered[:8])
def test_an_odd_answer_of_the_right_status_is_well(filled, listening, sign, answered):
    program = APP.replace("content = json.dumps(told).encode()", "content = open(os.path.join(root, 'uploads/answer'), 'rb').read()")
    filled.write("uploads/answer", answered)
    filled.backup()
    done = run(filled, **booting(filled, listening, sign, program))
    assert done.ok, done.problem
    assert done.answer is None or answered in (b'"\\ud800"', b'{"a": NaN}')


@pytest.mark.parametrize("program, said", [
    ("import sys; sys.exit('no database here')", "ended with status 1; it said: no database here"),
    ("import time; time.sleep(60)", "is not well: "), (APP.replace("(200)", "(503)"), "is not well: HTTP status 503")])
def test_one_that_is_not_well_fails(filled, listening, sign, program, said):
    words = booting(filled, listening, sign, program)
    words["drill"]["health"].update(retries=1, delay=0.3, timeout=0.3)
    done = run(filled, **words)
    assert cases(done, "boot", "health") == [("boot", "passed"), ("health", "failed")] and said in done.problem, done.problem
    assert done.healthy is None and done.rto is None and done.restored is not None and gone(sign)


def test_one_without_health_has_to_go_on_running(filled, listening, sign):
    words = booting(filled, listening, sign)
    del words["drill"]["health"]
    assert run(filled, **words).ok
    words = booting(filled, listening, sign, "import sys; sys.exit(3)")
    del words["drill"]["health"]
    done = run(filled, **words)
    assert not done.ok and "ended with status 3" in done.problem


def test_what_cannot_be_started_is_named(filled, listening, sign):
    done = run(filled, **booting(filled, listening, sign, argv=["/nonexistent/program"]))
    assert cases(done, "boot", "health") == [("boot", "failed"), ("health", "skipped")]
    assert "the command /nonexistent/program could not be started: No such file" in done.problem
    done = run(filled, **booting(filled, listening, sign, unit="notes-drill.service", argv=None, environment=None))
    assert ("boot", "failed") in cases(done, "boot") and "systemd does not run on this host" in done.problem


def test_with_a_late_backup_it_is_started_all_the_same(filled, listening, sign):
    """Whether what there is would start is another question than how old it is."""
    now = filled.machine.now
    filled.machine.now = lambda: now() + timedelta(hours=27)
    done = run(filled, **dict(booting(filled, listening, sign), objectives={"rpo": "26h", "rto": "5m"}))
    assert [case.check for case in done.failed] == ["rpo"] and done.healthy is not None
    assert cases(done, "boot", "health", "rto") == [("boot", "passed"), ("health", "passed"), ("rto", "passed")]


def test_with_a_bad_backup_nothing_is_started(filled, listening, sign):
    sources = filled.sources()
    sources[0]["assertions"] = [{"sql": "SELECT 0"}]
    done = run(filled, sources=sources, **booting(filled, listening, sign))
    assert cases(done, "boot", "health") == [("boot", "skipped"), ("health", "skipped")]


def test_what_is_killed_takes_the_application_along(filled, listening, sign):
    words = booting(filled, listening, sign, APP.replace("(200)", "(503)"))
    words["drill"]["health"].update(retries=200)
    pid = os.fork()
    if not pid:
        drill(filled.app(**words), filled.machine, DrillRequest())
        os._exit(0)
    until = time.monotonic() + 10
    while not running(sign) and time.monotonic() < until:
        time.sleep(0.02)
    assert running(sign)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert gone(sign)
    assert run(filled, **booting(filled, listening, sign)).ok  # And what it left on the disk is gone, too: see run.


def test_a_signal_to_all_processes_of_a_drill_does_not_keep_it_from_taking_down_what_it_started(host):
    """As systemd sends it where the drill is a service."""
    done, program = host.place("done"), "import os, signal, sys; os.kill(os.getpid(), signal.SIGTERM); open(sys.argv[1], 'x').close()"
    with _Guarded(lambda: None, lambda: run_command([sys.executable, "-c", program, done], 10)):
        assert not os.path.exists(done)
    assert os.path.exists(done)


def test_without_root_it_says_what_to_do(filled, listening, sign):
    app = filled.app(**booting(filled, listening, sign))

    def start():
        os.setgid(65534)
        os.setuid(65534)
        with boot_of(app, "/srv", None):
            pass

    with pytest.raises(AppStateError, match="only root can start the app apart from the live one. Run the drill as root, or set 'isolated"):
        run_child(start)
