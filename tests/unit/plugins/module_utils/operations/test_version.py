# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Versions: newer data is refused, older is told of, and what is no number is never taken for one."""

from __future__ import annotations

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.operations.version import (
    VersionGuard, application_version, understood_version)
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import (
    ConfigurationError, DataTooNewError, QueryError, from_dict)

SQL = "SELECT version FROM schema_migrations ORDER BY version DESC LIMIT 1"


def guard(host, *values, **words):
    """A guard that has asked a database which answers with these values."""
    made = VersionGuard(host.app(version={"sql": SQL}, **words))
    assert made.concerns("data/notes.db") and not made.concerns("uploads")
    asked = []
    made.ask(lambda sql: asked.append(sql) or list(values))
    assert asked == [SQL]
    return made


def shell(script):
    return {"argv": ["/bin/sh", "-c", script]}


@pytest.mark.parametrize("values, found", [([b"12"], 12), ([b" 0012\n"], 12), ([b"0"], 0), ([b"-1"], -1),
                                           ([b"20261119030000"], 20261119030000)])
def test_a_number_is_a_number(host, values, found):
    assert guard(host, *values).found == found


@pytest.mark.parametrize("values, says", [
    ([], "gives no values"), ([b"1", b"2"], "gives several values"), ([b""], "gives ''"), ([b"1.5"], "gives '1.5'"),
    ([b"v12"], "gives 'v12'"), ([b"12_add_users"], "gives '12_add_users'"), ([b"\xff"], "no whole number"),
    ([b"9" * 5000], "no whole number")])
def test_what_is_no_number_is_an_error(host, values, says):
    with pytest.raises(ConfigurationError, match=says) as caught:
        guard(host, *values)
    assert str(caught.value).startswith("app notes: data/notes.db: ") and "'sql' of 'version'" in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_query_that_fails_is_an_error_of_the_description(host):
    def ask(sql):
        raise QueryError("the query failed: no such table: schema_migrations")
    made = VersionGuard(host.app(version={"sql": SQL}))
    with pytest.raises(ConfigurationError, match="no such table"):
        made.ask(ask)


def test_without_a_query_nothing_is_asked_and_nothing_judged(host):
    for words in ({}, {"version": {"application": ["true"]}, "version_max": 3}):
        made = VersionGuard(host.app(**words))
        assert not made.concerns("data/notes.db")
        assert made.judge() is None


@pytest.mark.parametrize("most", [12, shell("echo 12")])
def test_a_newer_one_is_refused_an_older_one_told_of(host, most):
    assert guard(host, b"12", version_max=most).judge() is None
    assert guard(host, b"9", version_max=most).judge() == (
        "the backup has schema version 9; the application understands 12 and will migrate it on start")
    with pytest.raises(DataTooNewError, match="schema version 13.* no newer one than 12") as caught:
        guard(host, b"13", version_max=most).judge()
    assert caught.value.exit_code == 78
    assert caught.value.to_dict()["event"] == "schema_version_too_new"
    assert from_dict(caught.value.to_dict()).event == "schema_version_too_new"


def test_nobody_says_what_is_understood(host):
    assert guard(host, b"13").judge() is None


@pytest.mark.parametrize("script, number", [
    ("echo 12", 12), ("echo schema: 12, since 3", 12), ("echo; echo 7", 7), ("echo 2026 a warning >&2; echo 12", 12)])
def test_the_first_number_on_standard_output_counts(host, script, number):
    assert understood_version(host.app(version_max=shell(script))) == number


@pytest.mark.parametrize("argv, says", [
    (shell("echo none"), "prints no number: /bin/sh -c echo none prints 'none"), (shell("true"), "prints no number"),
    (shell("echo 3; echo broken >&2; exit 2"), "ended with status 2: broken"),
    ({"argv": ["/nonexistent/portunus"]}, "could not be started")])
def test_a_command_that_tells_none_is_an_error(host, argv, says):
    with pytest.raises(ConfigurationError, match=says) as caught:
        understood_version(host.app(version_max=argv))
    assert caught.value.exit_code == 78 and "'version_max'" in str(caught.value) and caught.value.app == "notes"


@pytest.mark.parametrize("script, told", [
    ("echo portunus 1.4.2; echo built yesterday", "portunus 1.4.2"), ("echo; echo ' v2 '", "v2"),
    ("echo %s" % ("x" * 5000), "x" * 200)])
def test_the_first_line_is_the_applications_version(host, script, told):
    assert application_version(host.app(version={"application": ["/bin/sh", "-c", script]})) == (told, None)


@pytest.mark.parametrize("argv, says", [(["/nonexistent"], "could not be started"), (["true"], "prints nothing"),
                                        (["false"], "ended with status 1")])
def test_an_application_that_does_not_tell_is_no_error(host, argv, says):
    told, why = application_version(host.app(version={"application": argv}))
    assert told is None and says in why
    assert application_version(host.app()) == (None, None)
