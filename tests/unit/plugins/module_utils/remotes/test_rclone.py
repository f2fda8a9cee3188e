# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The real rclone, the oldest that hosts have and a new one, against a real S3 endpoint and a directory."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from xml.sax.saxutils import escape

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.remote import Place
from ansible_collections.appstate.backup.plugins.module_utils.remotes import attempts
from ansible_collections.appstate.backup.plugins.module_utils.remotes.attempts import attempted
from ansible_collections.appstate.backup.plugins.module_utils.remotes.rclone import Call, Rclone
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import AppStateError, RemoteError, SpaceError
from ansible_collections.appstate.backup.tests.unit.plugins.leftovers import child, held, nothing_left, shown, within
from ansible_collections.appstate.backup.tests.unit.plugins.object_store import KEY_ID, SECRET, ObjectStore
from ansible_collections.appstate.backup.tests.unit.plugins.rclone_clients import CLIENTS, TURN, choose

CONTENT = os.urandom(3000)


@pytest.fixture(params=sorted(CLIENTS) if TURN == "environment" else [TURN], autouse=True)
def client(request, monkeypatch):
    """The rclone that is found first."""
    choose(monkeypatch, request.param)
    return request.param


@pytest.fixture(scope="module")
def store():
    with ObjectStore() as made:
        yield made


def place(store, remote="s3:bucket", timeout=60, **more):
    options = {name: "true" if value is True else value for name, value in store.options(**more).items()}
    return Place(remote, options, timeout=timeout)


@pytest.fixture(params=["s3", "directory"])
def where(request, store, tmp_path):
    """An Rclone for a place with nothing in it."""
    if request.param == "directory":
        (tmp_path / "place").mkdir()
        return Rclone(Place(str(tmp_path / "place")), "remote x")
    shutil.rmtree(store.path("bucket"))
    store.make("bucket")
    time.sleep(0.05)
    return Rclone(place(store), "remote x")


@pytest.fixture
def source(tmp_path):
    """A file with CONTENT, under a name that could mean something to others."""
    path = tmp_path / "notes:a, b.tar.zst"
    path.write_bytes(CONTENT)
    return str(path)


def test_files_go_there_and_come_back(where, source):
    with nothing_left():
        assert where.require() is None and not where.listing("host/notes") and not where.tree("host")
        assert where.stat("host/notes/x") is None and where.delete("host/notes/x") is False
        assert where.get_bytes("host/notes/x", 10) == b""
        where.put(source, "host/notes/x")
        where.put_bytes(b"small", "host/notes/x.json")
        where.put_bytes(b"", "host/empty")
        assert where.listing("host/notes") == {"x": 3000, "x.json": 5}
        assert {each["Path"]: each["Size"] for each in where.tree("host")} == {"notes/x": 3000, "notes/x.json": 5, "empty": 0}
        assert where.get_bytes("host/notes/x.json", 5) == b"small" and where.get_bytes("host/empty", 5) == b""
        with pytest.raises(AppStateError, match="is larger than 4 bytes"):
            where.get_bytes("host/notes/x.json", 4)
        found = where.stat("host/notes/x")
        assert found["Size"] == 3000 and found["Hashes"]["md5"] == hashlib.md5(CONTENT).hexdigest()
        assert where.stat("host/notes/x", hashes=False) == {"Size": 3000, "Hashes": {}}
        assert where.stat("host/notes") is None
        where.copy_within("host/notes/x", "host/notes/y")
        assert where.delete("host/notes/x") is True
        assert where.listing("host/notes") == {"x.json": 5, "y": 3000}
        download = where.download("host/notes/y")
        with os.fdopen(os.dup(download.fileno()), "rb") as stream:
            assert stream.read() == CONTENT
        assert download.complaint() is None
        download.close()


def test_what_is_there_is_replaced_without_a_question(where, source):
    where.put_bytes(b"x" * 3000, "a/x")
    where.put(source, "a/x")
    assert where.get_bytes("a/x", 3000) == CONTENT


def test_files_by_pattern(where, tmp_path):
    for name in ("a/1.json", "a/2.json", "a/3.tar", "a/deep/4.json"):
        where.put_bytes(b"content", name)
    where.put_bytes(b"x" * 101, "a/large.json")
    (tmp_path / "here").mkdir()
    with nothing_left():
        where.fetch("a", "*.json", 100, str(tmp_path / "here"))
    assert sorted(os.listdir(str(tmp_path / "here"))) == ["1.json", "2.json"]


@pytest.mark.parametrize("name", ["a b", "a:b,c", "{a}[b]*", "ü€", "a'b\"c`d", "-x", "#x"])
def test_odd_names(where, name):
    where.put_bytes(b"content", "h/" + name)
    assert where.listing("h") == {name: 7} and where.get_bytes("h/" + name, 7) == b"content"
    assert where.delete("h/" + name)


def test_a_place_that_does_not_exist_is_never_made(store, source, tmp_path):
    absent = Rclone(place(store, "s3:absent"), "remote x")
    with nothing_left():
        assert absent.listing("h/a") is None and absent.stat("h/a/x") is None
        with pytest.raises(RemoteError) as caught:
            absent.require()
        assert caught.value.lasting and str(caught.value) == \
            "remote x: s3:absent does not exist. Create that bucket or directory first, or correct 'remote'."
        for step in (lambda: absent.put(source, "h/a/x"), lambda: absent.put_bytes(b"x", "h/a/x")):
            with pytest.raises(RemoteError, match="there is no such bucket or directory") as caught:
                step()
            assert caught.value.lasting
    assert os.listdir(store.directory) == ["bucket"]
    gone = Rclone(Place(str(tmp_path / "disk")), "remote x")
    with pytest.raises(RemoteError, match="/disk does not exist"):
        gone.require()
    assert not (tmp_path / "disk").exists()


def test_a_prefix_in_a_bucket_need_not_be_there_yet(store):
    Rclone(place(store, "s3:bucket/backups/deep"), "remote x").require()


@pytest.mark.parametrize("words", [{"secret_access_key": "wrong" * 8}, {"access_key_id": "AKIAWRONGWRONGWRONG0"}])
def test_wrong_credentials(store, source, words):
    refused = Rclone(place(store, **words), "remote x")
    steps = (refused.require, lambda: refused.put(source, "a"), lambda: refused.put_bytes(b"x", "a"))
    for step in steps:
        with nothing_left(), pytest.raises(RemoteError) as caught:
            step()
        assert str(caught.value).startswith("remote x: the credentials are not accepted (") and caught.value.lasting
        assert caught.value.remedy == "Correct the credentials in its 'options'"
        assert not [value for value in words.values() if value in str(caught.value)]


def test_a_kind_or_a_section_that_rclone_does_not_know(store, tmp_path):
    with pytest.raises(RemoteError, match="rclone does not know it") as caught:
        Rclone(place(store, type="s4"), "remote x").require()
    assert caught.value.lasting
    (tmp_path / "rclone.conf").write_text("[other]\ntype = local\n", encoding="ascii")
    for name in ("rclone.conf", "none.conf"):
        with pytest.raises(RemoteError, match="rclone does not know it"):
            Rclone(Place("s3:bucket", config_file=str(tmp_path / name)), "remote x").require()


def test_a_configuration_in_a_file(store, tmp_path):
    lines = ["[mine]"] + ["%s = %s" % (name, "true" if value is True else value) for name, value in store.options().items()]
    path = tmp_path / "rclone.conf"
    path.write_text("\n".join(lines), encoding="ascii")
    before = path.read_bytes()
    there = Rclone(Place("mine:bucket", config_file=str(path)), "remote x")
    there.put_bytes(b"content", "from-file")
    assert there.get_bytes("from-file", 7) == b"content" and path.read_bytes() == before and len(os.listdir(str(tmp_path))) == 1


ODD = ["plain", " leading", "trailing ", "a`b", "`", "``", "`a`", "a=b;c#d", "# x", "; x", "\"q\"", "'q'", "\"\"\"", "", "\\n", "a\\", "ü€",
       "%x %s", "$HOME ${HOME}", "[x]", "a:b", "\ttab\t", "0", "x" * 5000]


def test_odd_values_reach_rclone_as_they_are():
    options = {"type": "s3"}
    options.update(("option_%d" % number, value) for number, value in enumerate(ODD))
    with tempfile.TemporaryFile() as answer:
        with Call(Place("s3-x.y_z:bucket", options), "remote x", ["config", "dump"], stdout=answer) as call:
            assert call.wait() == 0
        answer.seek(0)
        told = json.loads(answer.read().decode("utf-8"))
    assert list(told) == ["s3-x.y_z"] and told["s3-x.y_z"].pop("no_check_bucket") == "true"
    assert told["s3-x.y_z"] == options


def test_what_somebody_has_set_himself_stays():
    with tempfile.TemporaryFile() as answer:
        with Call(Place("s3:bucket", {"type": "s3", "no_check_bucket": "false"}), "remote x", ["config", "dump"], stdout=answer) as call:
            call.wait()
        answer.seek(0)
        assert json.loads(answer.read().decode())["s3"]["no_check_bucket"] == "false"


class Slow:
    """An upload of some seconds in a thread."""

    def __init__(self, store, tmp_path, size=6 << 20):
        path = tmp_path / "large"
        path.write_bytes(os.urandom(size))
        self.seen = []
        self.outcome = []
        self._rclone = Rclone(place(store), "remote x", "2M")
        self._thread = threading.Thread(target=self._run, args=(str(path),))
        self._thread.start()
        self.pid = child("rclone", b"--use-json-log")

    def _run(self, path):
        try:
            self._rclone.put(path, "h/large", self.seen.append)
            self.outcome.append(None)
        except AppStateError as error:
            self.outcome.append(error)

    def begun(self):
        until = time.monotonic() + 20
        while not self.seen and time.monotonic() < until:
            time.sleep(0.02)
        assert self.seen

    def end(self):
        self._thread.join(30)
        assert self.outcome, "it hangs"
        return self.outcome[0]


def test_nobody_sees_a_secret_of_a_running_rclone(store, tmp_path, monkeypatch):
    monkeypatch.setenv("RCLONE_S3_NO_CHECK_BUCKET", "false")
    monkeypatch.setenv("RCLONE_CONFIG_S3_TYPE", "local")
    with nothing_left():
        slow = Slow(store, tmp_path)
        slow.begun()
        seen = shown(slow.pid, "cmdline") + shown(slow.pid, "environ")
        assert b"--bwlimit=2M" in seen and b"PATH=" in seen
        assert SECRET.encode() not in seen and KEY_ID.encode() not in seen and b"RCLONE_" not in seen
        config = [name for name in os.listdir("/proc/%d/fd" % slow.pid)
                  if os.readlink("/proc/%d/fd/%s" % (slow.pid, name)) == "/memfd:rclone.conf (deleted)"]
        assert config and all(os.stat("/proc/%d/fd/%s" % (slow.pid, name)).st_mode & 0o777 == 0o600 for name in config)
        os.kill(slow.pid, signal.SIGKILL)
        error = slow.end()
    assert "rclone ended with status -9" in str(error)
    assert not [path for path in tmp_path.iterdir() if path.name != "large"]


def test_progress_is_told(store, tmp_path):
    slow = Slow(store, tmp_path, 3 << 20)
    assert slow.end() is None
    assert 0 < sum(slow.seen) <= 3 << 20 and min(slow.seen) > 0


def test_an_endpoint_that_dies_in_the_middle(store, tmp_path):
    store.stop()
    before = held()
    store.start()
    slow = Slow(store, tmp_path)
    slow.begun()
    store.stop()
    error = slow.end()
    after = held()
    store.start()
    assert after == before
    assert isinstance(error, RemoteError) and not error.lasting
    assert str(error).startswith("remote x: it cannot be reached, or the connection broke (") and SECRET not in str(error)
    Rclone(place(store), "remote x").put_bytes(os.urandom(8 << 20), "h/large")
    download = Rclone(place(store), "remote x", "1M").download("h/large")
    assert os.read(download.fileno(), 1000)
    store.stop()
    while within(30, lambda: os.read(download.fileno(), 1 << 20)):
        pass
    error = download.complaint()
    download.close()
    with pytest.raises(RemoteError, match="it cannot be reached") as caught:
        Rclone(place(store), "remote x").listing("h")
    after = held()
    store.start()
    assert after == before
    assert isinstance(error, RemoteError) and not error.lasting and not caught.value.lasting


def test_a_download_that_is_not_wanted_any_more_leaves_nothing(store):
    there = Rclone(place(store), "remote x")
    there.put_bytes(os.urandom(8 << 20), "h/large")
    with nothing_left():
        download = there.download("h/large")
        os.read(download.fileno(), 10)
        download.stop()
        download.close()
        download.close()
        download = there.download("h/none-of-that-name")
        assert os.read(download.fileno(), 10) == b""
        download.close()


def test_rclone_dies_with_who_has_called_it(store, tmp_path):
    """Also where it has nothing to say, and so does not find out by itself."""
    path = tmp_path / "large"
    path.write_bytes(bytes(20 << 20))
    pid = os.fork()
    if not pid:
        Rclone(place(store), "remote x", "1M").put(str(path), "h/large")
        os._exit(1)
    called = child_of(pid)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    until = time.monotonic() + 5
    while b"rclone" in shown(called, "cmdline") and time.monotonic() < until:
        time.sleep(0.01)
    alive = b"rclone" in shown(called, "cmdline")
    if alive:
        os.kill(called, signal.SIGKILL)
    assert not alive


def child_of(pid):
    """The rclone that another process has started."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        with open("/proc/%d/task/%d/children" % (pid, pid), encoding="ascii") as stream:
            for each in stream.read().split():
                if b"--use-json-log" in shown(int(each), "cmdline"):
                    return int(each)
        time.sleep(0.01)
    raise AssertionError("it has started nothing")


def test_a_call_that_does_not_end_is_killed(store):
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(5)
        there = Rclone(place(store, timeout=1, endpoint="http://127.0.0.1:%d" % deaf.getsockname()[1]), "remote x")
        with nothing_left(), pytest.raises(RemoteError, match="remote x: rclone did not end within 1 s and was killed. Give it more time by 'timeout'"):
            within(20, lambda: there.listing("h"))


class Refusing(http.server.BaseHTTPRequestHandler):
    """Answers everything with the server's own words."""

    def do_GET(self):  # pylint: disable=invalid-name
        code, body = self.server.answer
        self.send_response(code)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *unused):
        pass


@pytest.fixture
def refusing():
    """A function ``start(code, error, message)`` that gives the URL of a server which answers so."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()

    def start(code, error, message):
        told = "<?xml version='1.0'?><Error><Code>%s</Code><Message>%s</Message></Error>" % (error, escape(message))
        server.answer = (code, told.encode("utf-8"))
        return "http://127.0.0.1:%d" % server.server_address[1]
    yield start
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("secret", ["s3cr3t&<key>\"of`it%", "ümläut-secret", "plain/secret+key=="])
def test_what_a_remote_says_is_cleared_of_secrets(store, refusing, secret):
    endpoint = refusing(400, "Strange", "the key %s is odd" % secret)
    with pytest.raises(RemoteError) as caught:
        Rclone(place(store, endpoint=endpoint, secret_access_key=secret), "remote x").require()
    assert "the key ******** is odd" in str(caught.value) and secret not in str(caught.value) and '"level"' not in str(caught.value)


@pytest.mark.parametrize("code, error, kind, expected", [
    (403, "AccessDenied", RemoteError, "it does not allow that"), (404, "NoSuchBucket", RemoteError, "does not exist"),
    (403, "QuotaExceeded", SpaceError, "it has no space left")])
def test_what_a_remote_refuses(store, refusing, code, error, kind, expected):
    with pytest.raises(kind, match=expected) as caught:
        Rclone(place(store, endpoint=refusing(code, error, "Sorry")), "remote x").require()
    assert caught.value.lasting


def test_a_host_without_rclone_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AppStateError, match="remote x needs rclone, which is not installed on this host. Install the package 'rclone'"):
        Rclone(Place("/mnt"), "remote x")


@pytest.mark.parametrize("script, expected", [
    ("echo nonsense", "what rclone answers cannot be understood"), ("exit 9", "rclone ended with status 9: it said nothing"),
    ("echo 'panic: oh' >&2; exit 2", "rclone ended with status 2: panic: oh")])
def test_an_rclone_that_is_none(monkeypatch, tmp_path, script, expected):
    path = tmp_path / "rclone"
    path.write_text("#!/bin/sh\n" + script + "\n", encoding="ascii")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", "%s:%s" % (tmp_path, os.environ["PATH"]))
    with nothing_left(), pytest.raises(RemoteError, match=expected):
        Rclone(Place("/mnt"), "remote x").listing("h")


def test_a_directory_that_goes_while_all_is_listed_is_no_empty_place(monkeypatch, tmp_path, client):
    """rclone prints what it has, and ends as it does where there is nothing at all (status 3)."""
    real, place = shutil.which("rclone"), tmp_path / "place"
    (place / "below").mkdir(parents=True)
    (place / "below" / "kept").write_bytes(b"kept")
    (place / "gone").mkdir()
    folder = tmp_path / "bin"
    folder.mkdir()
    # An rclone that has listed the place, and goes below once a directory there has gone.
    (folder / "rclone").write_text("#!/bin/sh\ncase \"$*\" in *--recursive*) [ -e %s ] && { rmdir %s; echo '[]'; exit 3; };; esac\n"
                                   "exec %s \"$@\"\n" % (place / "gone", place / "gone", real), encoding="ascii")
    (folder / "rclone").chmod(0o755)
    monkeypatch.setenv("PATH", "%s:%s" % (folder, os.environ["PATH"]))
    monkeypatch.setattr(attempts, "PAUSE", 0.01)
    where = Rclone(Place(str(place)), "remote x")
    with pytest.raises(RemoteError, match="something went away while it was listed") as caught:
        where.tree("")
    assert not caught.value.lasting
    (place / "gone").mkdir()
    assert [each["Path"] for each in attempted(lambda: where.tree(""), 2)] == ["below/kept"]
    assert where.tree("nowhere") is None


def test_an_endpoint_that_comes_back_is_waited_for(store, monkeypatch):
    monkeypatch.setattr(attempts, "PAUSE", 0.05)
    there = Rclone(place(store), "remote x")
    store.stop()
    with pytest.raises(RemoteError, match=r"\(tried 2 times\)"):
        attempted(there.require, 2)
    back = threading.Timer(0.1, store.start)
    back.start()
    assert attempted(there.require, 30) is None
    back.join()


def test_the_program_that_serves_is_the_new_one():
    """Else nothing here has tried both."""
    said = subprocess.run([CLIENTS["environment"] + "/rclone", "version"], stdout=subprocess.PIPE, check=True).stdout
    assert not said.startswith(b"rclone v1.60")


@pytest.mark.parametrize("shape", [r"a\u0026\u003cbcd\u003eef", r"a&<bcd>ef", "a%26%3Cbcd%3Eef"])
def test_a_secret_is_found_in_every_shape(monkeypatch, tmp_path, shape):
    path = tmp_path / "rclone"
    path.write_text("#!/bin/sh\ncat >&2 <<'END'\n{\"level\":\"error\",\"msg\":\"the key %s is odd\"}\nEND\nexit 1\n" % shape, encoding="ascii")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", "%s:%s" % (tmp_path, os.environ["PATH"]))
    with pytest.raises(RemoteError, match=r"rclone ended with status 1: the key \*{8} is odd\. See"):
        Rclone(Place("s3:bucket", {"type": "s3", "secret_access_key": "a&<bcd>ef"}), "remote x").listing("h")
