# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible.errors import AnsibleError

from ansible_collections.appstate.backup.plugins.test import matching as plugin

matching = plugin.TestModule().tests()["matching"]

HEALTH = {"status": "ok", "pages": 12, "errors": 0, "jobs": [{"name": "mail", "state": "done"}], "note": "", "next": None}


@pytest.mark.parametrize("expression", [
    "status == 'ok'",
    "status == 'ok' && pages > `0`",
    "jobs[?state == 'done']",
    "length(jobs) == `1`",
    "errors == `0`",
    "errors",  # JMESPath holds zero to be true
    "!next",
    "starts_with(status, 'o')",
])
def test_true_of_the_document(expression):
    assert matching(HEALTH, expression) is True


@pytest.mark.parametrize("expression", [
    "status == 'starting'",
    "pages > `100`",
    "jobs[?state == 'failed']",
    "note",
    "next",
    "unknown.key",
    "`false`",
    "`{}`",
])
def test_not_true_of_the_document(expression):
    assert matching(HEALTH, expression) is False


@pytest.mark.parametrize("document", [{}, {"jobs": None}, [], "starting", None, 7])
def test_a_document_whose_types_do_not_fit_does_not_match(document):
    assert matching(document, "length(jobs) > `0`") is False


@pytest.mark.parametrize("expression", ["errors < 'none'", "status > `0`", "contains(status, `1`)", "max_by([@, {pages: 'x'}], &pages)"])
def test_types_that_python_cannot_compare_do_not_match_either(expression):
    assert matching(HEALTH, expression) is False


@pytest.mark.parametrize("expression", ["status ==", "no_such_function(status)", "length(status, jobs)", "", "&status"])
def test_an_expression_with_an_error_in_it_fails(expression):
    with pytest.raises(AnsibleError, match="is not a JMESPath expression"):
        matching(HEALTH, expression)


def test_an_error_is_shown_where_it_is():
    with pytest.raises(AnsibleError) as failure:
        matching(HEALTH, "status = 'ok'")
    assert str(failure.value) == ("appstate.backup.matching: this is not a JMESPath expression: Unknown token '=' (column 8)\n"
                                  "    status = 'ok'\n"
                                  "           ^")


def test_an_error_is_found_before_the_document_that_needs_it_is_there():
    """The role ``restore`` looks at the expression of a health probe so, before it stops anything."""
    with pytest.raises(AnsibleError, match=r"there is no function lenght\(\), perhaps it is length\(\)"):
        matching({}, "status == 'ok' && lenght(jobs) > `0`")


def test_an_expression_must_be_a_string():
    with pytest.raises(AnsibleError, match="must be a string, not a int"):
        matching(HEALTH, 7)


def test_a_document_that_is_no_json_fails():
    with pytest.raises(AnsibleError, match="holds a set, which JSON does not know"):
        matching({"jobs": {"mail"}}, "jobs")


class WrappedText(str):
    """Like the strings that Ansible tags: a str, under another name."""


class WrappedList(list):
    """Like the lists that Ansible templates when they are read."""


def test_types_that_ansible_wraps_are_what_they_wrap():
    document = {WrappedText("state"): WrappedText("done"), "jobs": WrappedList([WrappedText("mail")])}
    assert matching(document, WrappedText("length(state) == `4` && length(jobs) == `1` && contains(jobs, 'mail')"))
