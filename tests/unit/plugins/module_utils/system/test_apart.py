# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A place of its own, looked at from inside of it and from outside: real namespaces, real signals."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import time

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.system import apart
from ansible_collections.appstate.backup.plugins.module_utils.system.apart import enter_network, start_apart, start_beside
from ansible_collections.appstate.backup.plugins.module_utils.system.commands import CommandError, run_as
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import AppStateError
from ansible_collections.appstate.backup.plugins.module_utils.system.process import Identity, run_child
from ansible_collections.appstate.backup.tests.unit.plugins.leftovers import nothing_left

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a program a place of its own")
OTHER = Identity(3001, 3002, (3003,))


@pytest.fixture
def room():
    """A directory that every user can pass; pytest's own cannot be."""
    path = tempfile.mkdtemp(prefix="apart-")
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def output():
    with tempfile.TemporaryFile() as file:
        yield file


def text(output):
    output.seek(0)
    return output.read().decode()


def shell(script, *words):
    return ["/bin/sh", "-c", script] + list(words)


def ended(started, seconds=10):
    """The exit status of a program that ends by itself."""
    with started:
        return started.process.wait(seconds)


def seconds_of_its_own():
    """A number that nobody else sleeps for."""
    return "87%d%03d" % (os.getpid(), int(time.monotonic() * 1000) % 1000)


def sleeping(number):
    """Whether a process that sleeps for that number of seconds is there; zombies are not."""
    for pid in os.listdir("/proc"):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as file:
                if number.encode() in file.read().split(b"\0"):
                    return True
        except OSError:
            continue
    return False


def comes_true(question, seconds=10):
    until = time.monotonic() + seconds
    while not question() and time.monotonic() < until:
        time.sleep(0.02)
    return question()


@ROOT
def test_what_it_says_on_either_stream_and_how_it_ends(output):
    with nothing_left():
        assert ended(start_apart(shell("echo out; echo err >&2; exit 3"), output, {})) == 3
    assert text(output) == "out\nerr\n"


@ROOT
def test_a_program_that_is_killed(output):
    assert ended(start_apart(shell("kill -9 $$"), output, {})) == 128 + 9


@ROOT
def test_it_sees_other_files_at_a_path_and_the_host_does_not(room, output):
    for name in ("live", "restored"):
        os.mkdir(os.path.join(room, name))
        with open(os.path.join(room, name, "state"), "w", encoding="ascii") as file:
            file.write(name)
    live = os.path.join(room, "live")
    script = "cat state; pwd; echo changed > state; mkdir deep"
    assert ended(start_apart(shell(script), output, {live: os.path.join(room, "restored")}, directory=live)) == 0
    assert text(output) == "restored%s\n" % live
    assert os.listdir(live) == ["state"] and sorted(os.listdir(os.path.join(room, "restored"))) == ["deep", "state"]
    with open(os.path.join(live, "state"), encoding="ascii") as file:
        assert file.read() == "live"


@ROOT
def test_what_it_mounts_and_makes_in_run_is_its_own(room, output):
    with open("/proc/self/mounts", encoding="utf-8") as file:
        before = file.read()
    name = "apart-%d" % os.getpid()
    script = 'ls -A /run; touch "/run/$1"; ls /run; mount -t tmpfs none "$2"; stat -c "%a %U" /run'
    assert ended(start_apart(shell(script, "sh", name, room), output, {})) == 0
    assert text(output) == "%s\n1777 root\n" % name
    assert not os.path.exists("/run/" + name)
    with open("/proc/self/mounts", encoding="utf-8") as file:
        assert file.read() == before


NETWORK = """
import json, socket, sys
def reached(family, address):
    try:
        socket.socket(family).connect(address)
        return True
    except OSError:
        return False
own = socket.socket()
own.bind(("127.0.0.1", 0))
own.listen(1)
print(json.dumps({"names": [name for unused, name in socket.if_nameindex()], "own": reached(socket.AF_INET, own.getsockname()),
                  "hosts": reached(socket.AF_INET, ("127.0.0.1", int(sys.argv[1]))), "abstract": reached(socket.AF_UNIX, "\\0" + sys.argv[2])}))
"""


@ROOT
def test_it_has_no_network_but_itself(output):
    with socket.socket() as listening, socket.socket(socket.AF_UNIX) as abstract:
        listening.bind(("127.0.0.1", 0))
        listening.listen(1)
        name = "apart-%d" % os.getpid()
        abstract.bind("\0" + name)
        abstract.listen(1)
        assert ended(start_apart([sys.executable, "-c", NETWORK, str(listening.getsockname()[1]), name], output, {})) == 0
    assert json.loads(text(output)) == {"names": ["lo"], "own": True, "hosts": False, "abstract": False}


@ROOT
def test_it_sees_no_process_of_the_host_and_can_signal_none(output):
    script = "cd /proc; ls -d [0-9]* | tr '\\n' ' '; kill -0 %d 2>/dev/null || echo nobody" % os.getpid()
    assert ended(start_apart(shell(script), output, {})) == 0
    pids = text(output).split()
    # The first process, the shell, and what the shell starts.
    assert pids[-1] == "nobody" and 2 < len(pids) <= 5 and pids[0] == "1"


@ROOT
def test_system_v_memory_is_its_own(output):
    assert ended(start_apart(shell("ipcmk -M 100 > /dev/null && ipcs -m | grep -c 0x"), output, {})) in (0, 1)
    assert text(output) == "1\n"


@ROOT
def test_it_runs_as_somebody_else_with_an_environment_of_its_own(room, output, monkeypatch):
    monkeypatch.setenv("SECRET", "of root")
    script = "id -u; id -g; id -G; echo [$SECRET] $ADDED $HOME; pwd; grep -c '^CapEff:.0*$' /proc/self/status; kill -9 1 2>/dev/null || echo cannot"
    assert ended(start_apart(shell(script), output, {}, {"ADDED": "added"}, OTHER, room)) == 0
    assert text(output) == "3001\n3002\n3002 3003\n[] added /\n%s\n1\ncannot\n" % room


@ROOT
def test_an_account_gets_its_own_home(output):
    assert ended(start_apart(shell("id -un; echo $HOME $USER"), output, {}, identity=run_as("daemon"))) == 0
    assert text(output) == "daemon\n/usr/sbin daemon\n"


@ROOT
def test_it_has_nothing_open_that_we_have(output):
    with open(os.devnull, "rb") as kept:
        os.set_inheritable(kept.fileno(), True)
        # Descriptor 3 is the listing's own.
        assert ended(start_apart(shell("ls /proc/self/fd | tr '\\n' ' '; head -c 1 | wc -c"), output, {})) == 0
    assert text(output) == "0 1 2 3 0\n"


@ROOT
@pytest.mark.parametrize("way_off", ["%s &", "setsid sh -c '%s' &", "(setsid setsid sh -c '(%s &) &' &)"])
@pytest.mark.parametrize("ending", ["exit 0", "exec sleep 300", "trap '' TERM; while :; do sleep 1; done"])
def test_whatever_it_started_ends_with_it(output, monkeypatch, way_off, ending):
    monkeypatch.setattr(apart, "GRACE", 0.5)
    number = seconds_of_its_own()
    with nothing_left():
        with start_apart(shell("%s\nsleep 0.2; %s" % (way_off % ("sleep " + number), ending)), output, {}) as started:
            assert comes_true(lambda: sleeping(number) or started.process.poll() is not None)
    assert comes_true(lambda: not sleeping(number))


@ROOT
@pytest.mark.parametrize("identity", [None, OTHER])
def test_it_is_asked_to_end_before_it_is_killed(output, identity):
    with start_apart(shell("trap 'echo asked; exit 0' TERM; echo ready; while :; do sleep 0.05; done"), output, {}, identity=identity) as started:
        assert comes_true(lambda: "ready" in text(output))
        began = time.monotonic()
    # What it ran just then was asked, too, and a shell says so.
    assert text(output).replace("Terminated\n", "") == "ready\nasked\n" and time.monotonic() - began < apart.GRACE
    assert started.process.returncode == 0


def test_one_that_has_just_ended_can_be_asked_to_end():
    """Asked twice, it is buried when the second comes; what came of it is told all the same."""
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    apart._ask_to_end(child)


@ROOT
def test_one_that_hangs_is_killed_after_a_grace(output, monkeypatch):
    monkeypatch.setattr(apart, "GRACE", 0.3)
    with start_apart(shell("trap '' TERM; echo ready; while :; do sleep 0.05; done"), output, {}) as started:
        assert comes_true(lambda: "ready" in text(output))
    assert started.process.returncode == -9


@ROOT
@pytest.mark.parametrize("argv, directory, said", [
    (["/does/not/exist"], "/", "the command /does/not/exist could not be started: No such file or directory"),
    (["no-such-program"], "/", "the command no-such-program could not be started: No such file or directory"),
    (["/etc/passwd"], "/", "the command /etc/passwd could not be started: Permission denied"),
    (["true"], "/does/not/exist", "the command true could not be started: its directory /does/not/exist cannot be entered"),
    (["true"], "/etc/passwd", "the command true could not be started: its directory /etc/passwd cannot be entered")])
@pytest.mark.parametrize("start", [lambda argv, output, directory: start_apart(argv, output, {}, directory=directory),
                                   lambda argv, output, directory: start_beside(argv, output, directory=directory)], ids=["apart", "beside"])
def test_what_cannot_be_started_is_told(output, start, argv, directory, said):
    with nothing_left(), pytest.raises(CommandError) as caught:
        start(argv, output, directory)
    assert said in str(caught.value)


@ROOT
@pytest.mark.parametrize("identity", [OTHER, run_as("daemon") if os.geteuid() == 0 else None])
def test_a_directory_that_only_root_can_enter(room, output, identity):
    os.chmod(room, 0o700)
    for start in (lambda: start_apart(["true"], output, {}, identity=identity, directory=room),
                  lambda: start_beside(["true"], output, identity=identity, directory=room)):
        with nothing_left(), pytest.raises(CommandError, match="its directory %s cannot be entered" % room):
            start()


@ROOT
def test_a_directory_that_is_to_be_seen_and_is_not_there(room, output):
    with nothing_left(), pytest.raises(CommandError, match="the command true could not be started: this host does not let it have a place of its own: "
                                                           "No such file or directory"):
        start_apart(["true"], output, {os.path.join(room, "place"): room})
    assert os.listdir(room) == []


@ROOT
def test_a_host_that_knows_no_namespaces_or_lets_nobody_have_them(output):
    """Whoever is nobody may not unshare them: the kernel's own refusal."""
    def start():
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
        with tempfile.TemporaryFile() as file:
            start_apart(["true"], file, {})

    with pytest.raises(AppStateError, match="the command true could not be started: this host does not let it have a place of its own: "
                                            "Operation not permitted"):
        run_child(start)


@ROOT
def test_its_network_can_be_entered(output):
    serve = "import http.server; http.server.HTTPServer(('127.0.0.1', 8765), http.server.SimpleHTTPRequestHandler).serve_forever()"

    def answer(pid):
        enter_network(pid)
        with socket.create_connection(("127.0.0.1", 8765), 5) as made:
            made.sendall(b"HEAD / HTTP/1.0\r\n\r\n")
            return made.recv(15).decode()

    def is_up():
        try:
            return run_child(answer, [started.network]).startswith("HTTP/1.0 200")
        except AppStateError:
            return False

    with start_apart([sys.executable, "-c", serve], output, {}) as started:
        assert comes_true(is_up)
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", 8765), 1)
    with pytest.raises(AppStateError, match="No such file"):
        run_child(enter_network, [started.network])


def in_a_process(run):
    """A process of its own that calls ``run`` and then waits; gives its pid."""
    pid = os.fork()
    if not pid:
        try:
            with tempfile.TemporaryFile() as file:
                run(file)
                signal.pause()
        finally:
            os._exit(1)
    return pid


BEHIND = "setsid sh -c 'sleep %s' & sleep %s"


@ROOT
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("identity", [None, OTHER])
def test_it_does_not_outlive_whoever_started_it(number, identity):
    sign = seconds_of_its_own()
    pid = in_a_process(lambda file: start_apart(shell(BEHIND % (sign, sign)), file, {}, identity=identity))
    assert comes_true(lambda: sleeping(sign))
    os.kill(pid, number)
    os.waitpid(pid, 0)
    assert comes_true(lambda: not sleeping(sign))


@ROOT
@pytest.mark.parametrize("before", ["die_with_parent", "_mount", "_raise_loopback", "become"])
def test_nor_is_it_left_where_that_one_is_killed_while_it_is_made(monkeypatch, room, before):
    """Each time that a step is reached, its process waits until whoever started it has gone."""
    sign, waiting, real = seconds_of_its_own(), os.path.join(room, "waiting"), getattr(apart, before)

    def slow(*arguments):
        with open(waiting, "a", encoding="ascii") as file:
            file.write("x")
        time.sleep(0.5)
        return real(*arguments)

    for times in range(1, 4):
        monkeypatch.setattr(apart, before, slow)
        pid = in_a_process(lambda file: start_apart(["sleep", sign], file, {}, identity=OTHER))
        comes_true(lambda times=times: os.path.exists(waiting) and os.path.getsize(waiting) >= times or sleeping(sign), 5)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        time.sleep(0.8)
        assert not sleeping(sign), times
        os.unlink(waiting)


def test_beside_it_says_and_ends_as_it_is(output):
    with nothing_left():
        assert ended(start_beside(shell("echo out; echo err >&2; echo $ADDED; exit 3"), output, {"ADDED": "added"})) == 3
    assert text(output) == "out\nerr\nadded\n"


def test_beside_it_sees_what_we_do(output, room):
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(1)
        script = ("import os, socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1])));"
                  "print(os.getcwd(), os.path.exists('/proc/%s' % sys.argv[2]))")
        started = start_beside([sys.executable, "-c", script, str(listening.getsockname()[1]), str(os.getpid())], output, directory=room)
        assert started.network is None and ended(started) == 0
    assert text(output) == "%s True\n" % room


@ROOT
def test_beside_it_runs_as_somebody_else(output):
    assert ended(start_beside(shell("id -u; id -g; id -G; umask"), output, identity=OTHER)) == 0
    assert text(output) == "3001\n3002\n3002 3003\n0077\n"


def test_beside_what_it_started_in_its_group_ends_with_it(output):
    number = seconds_of_its_own()
    with nothing_left():
        with start_beside(shell("sleep %s & sleep 300" % number), output):
            assert comes_true(lambda: sleeping(number))
    assert comes_true(lambda: not sleeping(number))


@pytest.mark.parametrize("script", ["sleep %s & exit 0", "trap '' TERM; sleep %s & exit 0"])
def test_beside_what_it_leaves_behind_in_its_group_ends_too(output, script):
    number = seconds_of_its_own()
    with nothing_left():
        with start_beside(shell(script % number), output) as started:
            assert started.process.wait(10) == 0 and comes_true(lambda: sleeping(number))
    assert comes_true(lambda: not sleeping(number))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_beside_it_does_not_outlive_whoever_started_it(number):
    sign = seconds_of_its_own()
    pid = in_a_process(lambda file: start_beside(shell("sleep %s & sleep %s" % (sign, sign)), file))
    assert comes_true(lambda: sleeping(sign))
    os.kill(pid, number)
    os.waitpid(pid, 0)
    assert comes_true(lambda: not sleeping(sign))


@ROOT
def test_many_at_once_are_each_apart(room):
    files = [tempfile.TemporaryFile() for unused in range(5)]
    places = [os.path.join(room, str(number)) for number in range(5)]
    for place in places:
        os.mkdir(place)
    seen = os.path.join(room, "0")
    script = "import os, socket, sys; s = socket.socket(); s.bind(('127.0.0.1', 8765)); open('state', 'w').write(sys.argv[1]); print(os.listdir('.'))"
    all_started = [start_apart([sys.executable, "-c", script, str(number)], file, {seen: place}, directory=seen)
                   for number, (file, place) in enumerate(zip(files, places))]
    assert [ended(started) for started in all_started] == [0] * 5
    for number, (file, place) in enumerate(zip(files, places)):
        assert text(file) == "['state']\n"
        with open(os.path.join(place, "state"), encoding="ascii") as stream:
            assert stream.read() == str(number)
        file.close()


@ROOT
def test_leaving_it_twice_or_after_its_end_does_no_harm(output):
    started = start_apart(["true"], output, {})
    started.process.wait(10)
    started.__exit__()
    started.__exit__()
