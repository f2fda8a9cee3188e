# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pings, received by real HTTP servers."""

from __future__ import annotations

import socket
import threading
import urllib.parse

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.monitor import ping
from ansible_collections.appstate.backup.plugins.module_utils.settings import Ping
from ansible_collections.appstate.backup.tests.unit.plugins.pings import SECRET, receiver  # noqa: F401  # pylint: disable=unused-import


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch):
    monkeypatch.setattr(ping, "PAUSE", 0.01)


def send(url, event=ping.SUCCESS, style="healthchecks", text="backup notes-1", attempts=3, timeout=5.0):
    problem = ping.send(Ping(url, style, timeout, attempts), event, text, 1.5)
    assert problem is None or (SECRET not in problem and "127.0.0.1" not in problem)
    return problem


@pytest.mark.parametrize("event, path", [(ping.START, "/start"), (ping.SUCCESS, ""), (ping.FAILURE, "/fail")])
def test_healthchecks_are_told_by_path_with_the_log_as_body(receiver, event, path):
    server = receiver()
    assert send(server.url, event) is None
    assert send(server.url + "/", event) is None
    assert send(server.url + "?create=1", event) is None
    assert server.received == [("POST", path, "backup notes-1"), ("POST", path, "backup notes-1"),
                               ("POST", path + "?create=1", "backup notes-1")]


def test_of_a_long_log_the_tail_is_sent(receiver):
    server = receiver()
    send(server.url, ping.FAILURE, text="x" * 50000 + "\u00e4 last words")
    assert server.received[0][2].endswith("\u00e4 last words") and len(server.received[0][2].encode()) == ping.TAIL


@pytest.mark.parametrize("event, status", [(ping.SUCCESS, "0"), (ping.FAILURE, "1")])
def test_a_snitch_is_told_by_a_form(receiver, event, status):
    server = receiver()
    assert send(server.url, event, "snitch", "error: \u00e4 & more") is None
    (method, path, body), = server.received
    assert (method, path) == ("POST", "")
    assert urllib.parse.parse_qs(body) == {"s": [status], "m": ["error: \u00e4 & more"]}


@pytest.mark.parametrize("event, status", [(ping.SUCCESS, "up"), (ping.FAILURE, "down")])
def test_uptime_kuma_is_told_by_a_query_that_replaces_its_example(receiver, event, status):
    server = receiver()
    assert send(server.url + "?status=up&msg=OK&ping=", event, "uptime_kuma", "error: \u00e4 & more") is None
    (method, path, body), = server.received
    assert (method, body) == ("GET", "")
    assert urllib.parse.parse_qs(path[1:]) == {"status": [status], "msg": ["error: \u00e4 & more"], "ping": ["1500"]}


@pytest.mark.parametrize("style", ["snitch", "uptime_kuma"])
def test_those_that_know_no_start_are_not_told_of_it(receiver, style):
    server = receiver()
    assert send(server.url, ping.START, style) is None
    assert server.received == []


def test_it_tries_again(receiver):
    server = receiver(500, 503, 200)
    assert send(server.url) is None
    assert len(server.received) == 3


def test_but_not_for_ever(receiver):
    server = receiver(500)
    assert send(server.url, attempts=2) == "the ping of success could not be sent: HTTP status 500"
    assert len(server.received) == 2


def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_nobody_listens():
    problem = send("http://127.0.0.1:%d/%s" % (closed_port(), SECRET), attempts=1)
    assert problem == "the ping of success could not be sent: Connection refused"


def test_a_name_that_nobody_knows():
    assert "could not be sent" in send("http://ping.invalid/%s" % SECRET, attempts=1)


@pytest.mark.parametrize("answer", [b"", b"\0garbage\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n",
                                    b"HTTP/1.1 302 Found\r\nLocation: gopher://x/\r\n\r\n",
                                    b"HTTP/1.1 302 Found\r\nLocation: http://[::1/" + SECRET.encode() + b"\r\n\r\n"])
def test_something_else_than_http_answers(answer):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(5)

        def serve():
            connection, unused = listener.accept()
            connection.recv(65536)
            connection.sendall(answer)
            connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        problem = send("http://127.0.0.1:%d/%s" % (listener.getsockname()[1], SECRET), attempts=1)
        thread.join()
    assert "could not be sent" in problem


def test_one_that_never_answers_does_not_hold_up_the_run():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(5)
        problem = send("http://127.0.0.1:%d/%s" % (listener.getsockname()[1], SECRET), attempts=1, timeout=0.3)
    assert problem == "the ping of success could not be sent: no answer in time"


@pytest.mark.parametrize("url", ["http://", "http://[::1/" + SECRET, "https:///" + SECRET, "http://h:port/" + SECRET])
@pytest.mark.parametrize("style", ["healthchecks", "snitch", "uptime_kuma"])
def test_a_url_that_is_none_is_a_problem_like_any_other(url, style):
    assert "could not be sent" in send(url, style=style, attempts=1)
