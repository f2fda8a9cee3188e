# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import http.server
import os
import threading
import time

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.operations import service
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import AppStateError, RestoreError


def app(host, **words):
    return host.app(sources=[{"type": "files", "path": "uploads"}], **words)


def test_an_app_without_a_service_is_neither_stopped_nor_started(host):
    service.stop(app(host))
    service.start(app(host))


def test_its_own_commands_are_run(host):
    log = host.place("log")
    words = {"service": {step: ["sh", "-c", "echo %s >> %s" % (step, log)] for step in ("stop", "start")}}
    service.stop(app(host, **words))
    service.start(app(host, **words))
    with open(log, encoding="ascii") as file:
        assert file.read() == "stop\nstart\n"


def test_a_command_that_fails_is_told_with_the_app(host):
    with pytest.raises(AppStateError) as caught:
        service.stop(app(host, service={"stop": ["sh", "-c", "echo will not; exit 3"], "start": ["true"]}))
    assert str(caught.value) == "app notes: the command sh ended with status 3: will not."


def programs(host, monkeypatch, *names):
    """A PATH with nothing but these programs, each of which writes down how it was called."""
    directory = host.place("bin")
    os.mkdir(directory)
    for name in names:
        path = os.path.join(directory, name)
        with open(path, "w", encoding="ascii") as file:
            file.write('#!/bin/sh\necho "%s $*" >> %s\n' % (name, host.place("log")))
        os.chmod(path, 0o755)
    monkeypatch.setenv("PATH", directory)


@pytest.mark.parametrize("names, expected", [
    (["rc-service", "service"], "rc-service notes-web stop\nrc-service notes-web start\n"),
    (["service"], "service notes-web stop\nservice notes-web start\n"),
])
def test_a_service_by_name_is_that_of_the_hosts_own_manager(host, monkeypatch, names, expected):
    if os.path.isdir("/run/systemd/system"):
        names, expected = ["systemctl"], "systemctl stop notes-web\nsystemctl start notes-web\n"
    programs(host, monkeypatch, *names)
    service.stop(app(host, service={"name": "notes-web"}))
    service.start(app(host, service={"name": "notes-web"}))
    with open(host.place("log"), encoding="ascii") as file:
        assert file.read() == expected


@pytest.mark.parametrize("status, expected", [(0, False), (3, True), (4, False)])
def test_a_manager_is_asked_whether_a_service_runs(host, monkeypatch, status, expected):
    programs(host, monkeypatch, "service", "systemctl")
    for name in ("service", "systemctl"):
        with open(host.place("bin", name), "a", encoding="ascii") as file:
            file.write("exit %d\n" % status)
    assert service.is_down(app(host, service={"name": "notes-web"})) is expected


def test_commands_do_not_tell_whether_an_app_runs(host):
    assert service.is_down(app(host)) is False
    assert service.is_down(app(host, service={"stop": ["true"], "start": ["true"]})) is False


def probe(host, url, **words):
    service.probe(app(host, health=dict({"url": url, "delay": 0.01, "retries": 3, "timeout": 2}, **words)))


def test_an_app_without_health_is_not_asked(host):
    service.probe(app(host))


def test_it_is_asked_until_it_is_well(host, receiver):
    server = receiver(503, 500, 200)
    probe(host, server.url)
    assert len(server.received) == 3


def test_but_not_for_ever(host, receiver):
    server = receiver(503)
    with pytest.raises(RestoreError) as caught:
        probe(host, server.url)
    assert str(caught.value) == "app notes: the app is not well: HTTP status 503."
    assert len(server.received) == 4


@pytest.mark.parametrize("status", [204, [204, 404]])
def test_other_statuses_can_be_well(host, receiver, status):
    server = receiver(204)
    probe(host, server.url, status=status)
    with pytest.raises(RestoreError):
        probe(host, receiver(200).url, status=status)


class Answering(http.server.BaseHTTPRequestHandler):
    """Answers with JSON, all at once or by drops."""

    drops = False

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        try:
            for byte in b'{"status": "ok"}' + b" " * (1000 if self.drops else 0):
                self.wfile.write(bytes([byte]))
                time.sleep(0.05 if self.drops else 0)
        except OSError:
            pass  # Whoever asked has had enough.

    def log_message(self, *unused):
        """Says nothing."""


@pytest.mark.parametrize("drops, document", [(False, {"status": "ok"}), (True, None)])
def test_an_answer_in_json_is_read_but_not_for_ever(monkeypatch, drops, document):
    monkeypatch.setattr(Answering, "drops", drops)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        begun = time.monotonic()
        answer = service.ask({"url": "http://127.0.0.1:%d/" % server.server_port, "timeout": 0.5})
        assert time.monotonic() - begun < 10
        server.shutdown()
    assert (answer["well"], answer["json"]) == (True, document)


def test_no_retries_are_none(host, receiver):
    server = receiver(503)
    with pytest.raises(RestoreError):
        probe(host, server.url, retries=0)
    assert len(server.received) == 1


def test_nobody_listens(host):
    with pytest.raises(RestoreError) as caught:
        probe(host, "http://127.0.0.1:9/", retries=1)
    assert "Connection refused" in str(caught.value)
