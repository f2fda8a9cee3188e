# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Downloads from a real server over TLS, as sources of real backups."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import time

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.operations.backup import check_backup
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import (
    AppStateError, AssertionFailed, ConfigurationError, DatabaseError, SourceError, SpaceError)
from ansible_collections.appstate.backup.tests.unit.plugins.endpoints import (  # pylint: disable=unused-import
    SECRETS, TOKEN, authority, closed_port, endpoint)  # noqa: F401

DATABASE = "data/opstage.db"


@pytest.fixture(name="live")
def fixture_live(host, endpoint):
    """A server that answers the host's own database."""
    server = endpoint()
    host.database(DATABASE, rows=500)
    connection = sqlite3.connect(host.at(DATABASE))
    server.content = _copy_of(connection)
    connection.close()
    return server


def _copy_of(connection):
    path = connection.execute("PRAGMA database_list").fetchone()[2] + ".copy"
    copy = sqlite3.connect(path)
    connection.backup(copy)
    copy.close()
    with open(path, "rb") as file:
        content = file.read()
    os.unlink(path)
    return content


@pytest.fixture(name="source")
def fixture_source(live, authority):
    """A function that describes the one source of these tests."""
    def describe(path="/api/backup", **words):
        told = {"type": "http", "path": DATABASE, "url": live.url(path), "format": "sqlite",
                "headers": {"Authorization": "Bearer " + TOKEN}, "timeout": 5,
                "ca_file": os.path.join(authority, "ca.pem")}
        told.update(words)
        return [{key: value for key, value in told.items() if value is not None}]
    return describe


def record(taken):
    return taken.backup.manifest.sources[0]


def refused(host, sources, kind=SourceError):
    """The error that a backup ends with; it left nothing, and shows no secret."""
    with pytest.raises(kind) as caught:
        host.backup(sources=sources)
    assert all(not names for unused, unused, names in os.walk(host.destination)) and host.left() == []
    text = str(caught.value)
    assert not any(secret in text for secret in SECRETS), text
    assert "notes" in text and DATABASE in text, text
    return text


def test_the_owners_download_is_backed_up_verified_and_restored(host, source, live):
    taken = host.backup(sources=source())
    told = record(taken)
    assert (told["type"], told["path"], told["format"], told["present"], told["members"]) == (
        "http", DATABASE, "sqlite", True, 1)
    assert told["bytes"] == len(live.content) and told["passport"]["tables"] == {"notes": 500}
    assert taken.warnings == []
    assert host.verify(which=taken.backup.id, app=host.app(sources=source())).ok
    host.add_notes(7, DATABASE)
    before = os.stat(host.at(DATABASE))
    host.restore(sources=source()).restore()
    assert host.notes(DATABASE) == 500
    after = os.stat(host.at(DATABASE))
    assert (after.st_uid, after.st_gid, after.st_mode) == (before.st_uid, before.st_gid, before.st_mode)
    host.restore(sources=source()).roll_back()
    assert host.notes(DATABASE) == 507


def test_headers_and_a_body_may_stand_in_files(host, source, live, tmp_path):
    headers, body = tmp_path / "headers", tmp_path / "body"
    headers.write_text("# of the owner\n\nAuthorization: Bearer %s\nX-Reason:  nightly \n" % TOKEN)
    body.write_bytes(b"s3cret-body")
    headers.chmod(0o600)
    body.chmod(0o640)
    taken = host.backup(sources=source(headers={"X-More": "caf\xe9"}, headers_file=str(headers), body_file=str(body),
                                       method="POST"))
    (method, path, asked, content), = live.asked
    assert (method, path, content, asked["X-Reason"]) == ("POST", "/api/backup", b"s3cret-body", "nightly")
    assert asked["X-More"].encode("latin-1") == "caf\xe9".encode()
    assert len(taken.warnings) == 1 and "'body_file'" in taken.warnings[0] and "0600" in taken.warnings[0]


def test_a_user_and_a_password_in_the_url_become_a_header(host, source, live):
    url = live.url("/public?key=s3cret-query").replace("://", "://owner:s3cret%2Dpassword@")
    host.backup(sources=source(url=url, headers=None))
    path, asked = live.asked[0][1:3]
    assert path == "/public?key=s3cret-query"
    assert asked["Authorization"] == "Basic b3duZXI6czNjcmV0LXBhc3N3b3Jk"


@pytest.mark.parametrize("path", ["/chunked", "/until/closed", "/moved", "/moved/for/good"])
def test_answers_may_come_in_other_ways(host, source, live, path):
    assert record(host.backup(sources=source(path)))["bytes"] == len(live.content)
    assert live.asked[-1][2]["Authorization"] == "Bearer " + TOKEN


def test_a_raw_answer_without_an_end_that_is_told_is_doubtful(host, source):
    assert "if it was cut" in host.backup(sources=source("/until/closed", format="raw")).warnings[0]
    assert host.backup(sources=source("/chunked", format="raw")).warnings == []


@pytest.mark.parametrize("path, words", [
    ("/status/401", ["answered 401 Unauthorized", "credentials"]), ("/status/403", ["answered 403", "credentials"]),
    ("/status/404", ["nothing (404)", "required: false"]), ("/status/500", ["answered 500", "application's log"]),
    ("/status/429", ["answered 429"]), ("/status/204", ["answered 204, and only 200"]), ("/partial", ["answered 206"]),
    ("/status/302", ["answered 302", "not followed"]), ("/moved/in/circles", ["answered 302", "not followed"]),
    ("/empty", ["gave nothing"]), ("/cut", ["was cut: 5000 of"]), ("/chunked/cut", ["was cut"]),
    ("/encoded", ["Content-Encoding"])])
def test_what_is_no_whole_answer_is_refused(host, source, path, words):
    text = refused(host, source(path + "?token=s3cret-query"))
    assert path in text and all(word in text for word in words), text


@pytest.mark.parametrize("format", ["sqlite", "sql", "tar"])
@pytest.mark.parametrize("path, words", [
    ("/html", "it is HTML (text/html)"), ("/json", "it is JSON (application/json)")])
def test_a_page_instead_of_a_dump_is_told_as_what_it_is(host, source, path, words, format):
    assert words in refused(host, source(path, format=format), DatabaseError)


def test_a_wrong_token_is_refused(host, source):
    assert "answered 401" in refused(host, source(headers={"Authorization": "Bearer s3cret-password"}))


def test_too_much_is_refused_whether_it_is_told_or_not(host, source):
    assert "more than 'max_size' (4.9 KiB)" in refused(host, source(max_size=5000))
    assert "more than 'max_size' (97.7 KiB)" in refused(host, source("/endless", max_size=100000))


@pytest.mark.parametrize("path, words, text", [
    ("/silent", {"timeout": 0.4}, "sent nothing for 0.4 s"),
    ("/dripping", {"deadline": 0.6}, "not done within 0.6 s"),
    ("/dripping/headers", {"deadline": 0.6}, "not done within 0.6 s")])
def test_too_slow_is_refused(host, source, path, words, text):
    began = time.monotonic()
    assert text in refused(host, source(path, **words))
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("path, words", [
    ("/public", "not enough space for the download of"), ("/chunked", "no room for what")])
def test_a_full_destination_is_told_as_what_it_is(host, source, live, path, words):
    live.content = bytes(3000000)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=755", "tmpfs", host.destination], check=True)
    try:
        assert words in refused(host, source(path, format="raw"), SpaceError)
    finally:
        subprocess.run(["umount", host.destination], check=True)


def test_a_certificate_of_a_ca_that_is_not_named_is_refused(host, source):
    assert "not trusted" in refused(host, source(ca_file=None)) and "'ca_file'" in refused(host, source(ca_file=None))


def test_a_certificate_of_another_host_is_refused(host, source, live):
    assert "not trusted" in refused(host, source(url=live.url(host="127.0.0.1")))


def test_a_server_without_tls_is_refused(host, source, endpoint):
    assert "TLS failed" in refused(host, source(url=endpoint(tls=False).url("/public").replace("http:", "https:")))


def test_a_server_with_tls_that_is_asked_without_is_refused(host, source, live):
    refused(host, source(url=live.url("/public").replace("https:", "http:")))


def test_nobody_who_listens_and_no_such_host_are_told(host, source):
    assert "connection was refused" in refused(host, source(url="https://localhost:%d/x" % closed_port()))
    assert "name of the host is not known" in refused(host, source(url="https://no-such-host.invalid/x"))


def test_a_redirect_takes_no_secret_to_another_origin(host, source, live, endpoint):
    other = endpoint()
    other.content = live.content
    live.elsewhere = other.url("/public?signed=1")
    assert "request with a body" in refused(host, source("/moved/away", method="POST", body="s3cret-body"))
    assert other.asked == []
    host.backup(sources=source("/moved/away", headers={"Authorization": "Bearer " + TOKEN, "X-Key": "s3cret-body"}))
    (path, asked), = [each[1:3] for each in other.asked]
    assert path == "/public?signed=1" and asked["User-Agent"] == "appstate-backup"
    assert not {"Authorization", "X-Key", "X-key"} & set(asked)


def test_a_redirect_to_less_safety_is_not_followed(host, source, live, endpoint):
    other = endpoint(tls=False)
    for place in (other.url("/public"), "file:///etc/passwd", "ftp://localhost/x"):
        live.elsewhere = place
        assert "not followed" in refused(host, source("/moved/away"))
    assert other.asked == []


def test_proxies_of_the_environment_are_not_used(host, source, monkeypatch):
    for name in ("https_proxy", "http_proxy", "all_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://localhost:%d" % closed_port())
    assert record(host.backup(sources=source()))["present"]


def test_secrets_that_go_unencrypted_are_warned_of_unless_they_stay_here(host, source, endpoint):
    server = endpoint(tls=False)
    server.content = b"content"
    words = {"format": "raw", "ca_file": None}
    assert host.backup(sources=source(url=server.url("/public"), **words)).warnings == []
    # Every system has this name for itself; that it leads here is not to be seen in it.
    warnings = host.backup(sources=source(url=server.url("/public", "0.0.0.0"), **words)).warnings
    assert len(warnings) == 1 and "sent to 0.0.0.0 unencrypted" in warnings[0]


def test_a_dump_that_is_not_good_is_refused(host, source, live):
    live.content = live.content[:8192]
    assert "no good" in refused(host, source(), DatabaseError)
    live.content = b"PK\x03\x04" + bytes(100)
    assert "it is a zip file" in refused(host, source(), DatabaseError)


def test_assertions_hold_for_a_download(host, source):
    assert "at least 501" in refused(host, source(assertions=[{"sql": "SELECT count(*) FROM notes", "min": 501}]),
                                     AssertionFailed)


def test_what_need_not_be_there_is_noted_as_absent(host, source):
    host.write("data/settings.json")
    sources = source("/status/404", required=False) + [{"type": "files", "path": "data/settings.json"}]
    told = [each for each in host.backup(sources=sources).backup.manifest.sources if each["type"] == "http"]
    assert told[0]["present"] is False
    assert "answered 401" in str(pytest.raises(SourceError, host.backup, sources=source(
        "/status/401", required=False)).value)


@pytest.mark.parametrize("words, text", [
    ({"headers_file": "/does/not/exist"}, "'headers_file' /does/not/exist cannot be read"),
    ({"body_file": "/"}, "'body_file' / is no file"), ({"ca_file": "/does/not/exist"}, "'ca_file' /does/not/exist"),
    ({"ca_file": "/etc/hostname"}, "cannot be read as certificates")])
def test_a_description_that_cannot_work_is_refused(host, source, words, text):
    error = refused(host, source(**words), ConfigurationError)
    assert text in error


def test_a_line_that_is_no_header_is_told_by_its_number_alone(host, source, tmp_path):
    (tmp_path / "headers").write_text("X-Good: yes\nBearer s3cret-body\n")
    text = refused(host, source(headers_file=str(tmp_path / "headers")), ConfigurationError)
    assert "line 2 of" in text


def test_looking_asks_nothing(host, source, live):
    check_backup(host.app(sources=source()), host.machine)
    assert live.asked == []
    with pytest.raises(AppStateError):
        check_backup(host.app(sources=source(headers_file="/does/not/exist")), host.machine)


def test_a_file_that_was_downloaded_by_hand_is_restored(host, source, live):
    with open(host.place("by-hand.db"), "wb") as file:
        file.write(live.content)
    host.add_notes(5, DATABASE)
    host.restore({"archive": host.place("by-hand.db")}, sources=source()).restore()
    assert host.notes(DATABASE) == 500
