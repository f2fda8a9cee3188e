# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.remotes.complaints import explain, messages_of, said_of
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import RemoteError, SpaceError


def line(msg, **more):
    return json.dumps(dict({"level": "error", "msg": msg, "source": "operations/operations.go:403", "time": "2026-11-28T12:00:00"}, **more))


def explained(text, status=1, names=()):
    return explain(messages_of(text), status, "remote x", names)


@pytest.mark.parametrize("text, expected", [
    ("", []),
    (line("one") + "\n" + line("two\n\tstatus code: 400"), ["one", "two status code: 400"]),
    (line("x", stats={"bytes": 1}) + "\n{broken\n" + line(""), []),
    ("2026/11/28 12:00:00 ERROR : a: Failed to copy: why\n\tgoes on\n", ["a: Failed to copy: why goes on"]),
    ("2026/11/28 12:00:00 Failed to lsjson: why", ["to lsjson: why"]),
    ("2026/11/28 12:00:00 ERROR : it failed\ncaused by: that", ["it failed caused by: that"]),
    ("plain", ["plain"]),
])
def test_lines_of_every_kind(text, expected):
    assert messages_of(text) == expected


def test_the_last_error_is_what_it_said():
    assert said_of([]) == ""
    assert said_of(["Failed to copy: why", "a notice"]) == "Failed to copy: why"
    assert said_of(["Failed to copy: early", "Failed to copy with 3 errors: last error was: late"]) == "late"
    assert said_of(["a notice", "another"]) == "another"


@pytest.mark.parametrize("msg, meaning, lasting", [
    ("SignatureDoesNotMatch: no", "the credentials are not accepted", True), ("status code: 401", "the credentials are not accepted", True),
    ("ssh: handshake failed: ssh: unable to authenticate", "the credentials are not accepted", True),
    ("AccessDenied: Access Denied", "it does not allow that", True), ("StatusCode: 403, x", "it does not allow that", True),
    ("Forbidden: Forbidden", "it does not allow that", True), ("open x: permission denied", "it does not allow that", True),
    ("write x: no space left on device", "it has no space left, or refuses that much", True),
    ("Insufficient Storage: 507", "it has no space left, or refuses that much", True),
    ("NoSuchBucket: no", "there is no such bucket or directory", True), ("directory not found", "there is no such bucket or directory", True),
    ("didn't find section in config file", "rclone does not know it", True),
    ("knownhosts: key is unknown", "it cannot prove who it is", True), ("x509: certificate signed by unknown authority", "it cannot prove who it is", True),
    ("dial tcp: lookup s3.example: no such host", "it cannot be reached, or the connection broke", False),
    ("dial tcp 127.0.0.1:1: connect: connection refused", "it cannot be reached, or the connection broke", False),
    ("read tcp: i/o timeout", "it cannot be reached, or the connection broke", False),
    ("unexpected EOF", "it cannot be reached, or the connection broke", False),
    ("write tcp 127.0.0.1:1->127.0.0.1:2: use of closed network connection", "it cannot be reached, or the connection broke", False),
])
def test_what_it_says_in_the_operator_s_words(msg, meaning, lasting):
    error = explained(line(msg))
    assert str(error).startswith("remote x: %s (%s). " % (meaning, msg)) and error.remedy
    assert error.lasting is lasting
    assert isinstance(error, SpaceError if "space" in meaning else RemoteError)


@pytest.mark.parametrize("status, lasting", [(1, False), (2, True), (5, False), (6, True), (7, True), (9, False), (-9, False)])
def test_what_nobody_has_foreseen(status, lasting):
    error = explained(line("strange"), status)
    assert str(error).startswith("remote x: rclone ended with status %d: strange. See the documentation of rclone" % status)
    assert error.lasting is lasting


def test_certificates_that_an_old_one_cannot_take():
    """Debian 12's rclone, with a bundle of certificates in the environment: it ends before it asks anybody."""
    error = explained('2026/11/28 12:00:00 Failed to create file system for "x:y": LoadCustomCABundleError: unable to load custom CA '
                      "bundle, HTTPClient's transport unsupported type\ncaused by: unsupported transport, *fshttp.Transport\n")
    assert "this version of rclone cannot take AWS_CA_BUNDLE" in str(error) and "Failed to create" not in str(error).partition("(")[0]
    assert "LoadCustomCABundleError" in str(error) and "Unset AWS_CA_BUNDLE" in error.remedy and error.lasting


def test_nothing_and_very_much():
    assert "rclone ended with status 1: it said nothing." in str(explained(""))
    assert len(str(explained(line("x" * 100000)))) < 1200 and len(str(explained(line("EOF " + "x" * 100000)))) < 1200


def test_names_are_no_reasons():
    """An app may be called quota, a bucket forbidden; and a line in rclone's source may have any number."""
    refused = 'Get "http://127.0.0.1:1/forbidden?prefix=web1%2Fquota%2F": dial tcp 127.0.0.1:1: connect: connection refused'
    error = explained(line(refused, object="quota"), names=["forbidden", "quota", "web1"])
    assert not error.lasting and "cannot be reached" in str(error) and "quota" in str(error)
    assert not explained(line("read tcp: i/o timeout", source="sync/sync.go:401")).lasting
