# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import jmespath
import pytest
from ansible.errors import AnsibleError
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.appstate.backup.plugins.plugin_utils import expression as expressions
from ansible_collections.appstate.backup.plugins.plugin_utils.expression import ExpressionError, TypesError, evaluate

DOCUMENT = {"status": "ok", "pages": 12, "note": None, "jobs": [{"name": "mail", "age": 3}, {"name": "trim", "age": "old"}]}


def refused(kind, expression):
    """What is said of an expression, line by line."""
    with pytest.raises(kind) as failure:
        evaluate(expression, DOCUMENT, "me")
    return str(failure.value).split("\n")


# The text up to the place that the caret shows, where it goes on, and what is said.
@pytest.mark.parametrize("before, after, problem", [
    ("status ==", "", "it ends too early"),
    ("jobs[", "", "it ends too early"),
    ("status.", "", "it ends too early"),
    ("jobs[?", "", "it ends too early"),
    ("status ", "= 'ok'", "Unknown token '='"),
    ("status == ", "'ok", "Unclosed ' delimiter"),
    ("status == ", '"ok', 'Unclosed " delimiter'),
    ("pages > ", "`1", "Unclosed ` delimiter"),
    ("pages > ", "#", "Unknown token #"),
    ("status == ", "`a\"b` && pages", "Bad token a\"b"),
    ("status ", "status", "Unexpected token: status"),
    ("pages > ", ") || status", "invalid token"),
    ("jobs[?age > `1`", ") | [0]", "Expecting: rbracket, got: rparen"),
    ("jobs[0:", "a]", "syntax error"),
    ("status && ", "'length'(jobs)", "Invalid function name 'length'"),
    ("status && ", '"length"(jobs)', "Quoted identifier not allowed for function names"),
    ("status && ", "lenght(jobs)", "there is no function lenght(), perhaps it is length()"),
    ("note && ", "now()", "there is no function now()"),
    ("note && ", "length()", "length() takes 1 argument, and is given 0"),
    ("note && ", "length(status, jobs)", "length() takes 1 argument, and is given 2"),
    ("note && ", "contains(jobs)", "contains() takes 2 arguments, and is given 1"),
    ("note && ", "not_null()", "not_null() takes at least 1 argument, and is given 0"),
    ("note && ", "one(two(), length())", "there is no function one()"),
    ("jobs[?", "one(@)].name.two(@)", "there is no function one()"),
    ("note", "[::0]", "the step of a slice cannot be 0"),
    ("status &&", "& pages", "only an argument of a function can begin with &"),
    ("", "&pages", "only an argument of a function can begin with &"),
    ("sort_by(jobs, [", "&age])", "only an argument of a function can begin with &"),
])
def test_a_mistake_is_shown_where_it_is_whatever_the_document(before, after, problem):
    assert refused(ExpressionError, before + after) == [
        "me: this is not a JMESPath expression: %s (column %d)" % (problem, len(before) + 1),
        "    " + before + after, "    " + " " * len(before) + "^"]


@pytest.mark.parametrize("before, after, problem", [
    ("status && ", "length(note)", "length() takes string or array or object, and is given null"),
    ("status && ", "length(`7`)", "length() takes string or array or object, and is given number"),
    ("jobs[*].name | ", "sum(@)", "sum() takes array-number, and is given string"),
    ("jobs[?age && ", "starts_with(age, 'o')].name", "starts_with() takes string, and is given number"),
    ("status && ", "sort_by(jobs, &age)", "sort_by() takes number, and is given string"),
    ("map(&", "abs(age), jobs) | length(@)", "abs() takes number, and is given string"),
    ("jobs[?age ", "> `1`].name", "'>' not supported between instances of 'str' and 'int'"),
    ("status ", "<= pages && pages", "'<=' not supported between instances of 'str' and 'int'"),
    ("pages && ", "contains(status, `1`)", "'in <string>' requires string as left operand, not int"),
    ("pages && ", "max_by(jobs, &age)", "'>' not supported between instances of 'str' and 'int'"),
    ("pages && ", "ceil(to_number('inf'))", "cannot convert float infinity to integer"),
    ("pages && ", "merge(@, pages)", "'int' object is not iterable"),
])
def test_what_the_types_of_a_document_do_not_allow_is_shown_where_it_is(before, after, problem):
    assert refused(TypesError, before + after) == [
        "me: the types in the document do not allow this: %s (column %d)" % (problem, len(before) + 1),
        "    " + before + after, "    " + " " * len(before) + "^"]


def test_what_jmespath_itself_has_parsed_before_is_shown_where_it_is_too():
    jmespath.compile("pages && abs(status)")
    assert refused(TypesError, "pages && abs(status)")[2] == "             ^"
    assert jmespath.search("status == 'ok'", DOCUMENT) is evaluate("status == 'ok'", DOCUMENT, "me") is True


def test_a_value_out_of_the_document_is_not_told():
    told = "\n".join(refused(TypesError, "abs(status)"))
    assert "number" in told and "ok" not in told


def test_the_line_of_several_is_named_and_the_caret_stands_below_it():
    assert refused(ExpressionError, "jobs[?\n\tname ==\n\t'mail' &&& age\n].name\n") == [
        "me: this is not a JMESPath expression: only an argument of a function can begin with & (line 3, column 11)",
        "    jobs[?", "    \tname ==", "    \t'mail' &&& age", "    \t         ^", "    ].name"]


def test_an_end_that_comes_too_early_is_that_of_the_last_line_with_something_on_it():
    assert refused(ExpressionError, "status\n  ==\n\n") == [
        "me: this is not a JMESPath expression: it ends too early (line 2, column 5)", "    status", "      ==", "        ^"]


@pytest.mark.parametrize("text, width", [("Übergröße", 9), ("日本語", 6), ("e\u0301te\u0301", 3), ("a\u200db\x07c", 5), ("\ud800", 1)])
def test_the_caret_stands_right_after_texts_that_are_wider_or_narrower_than_their_characters(text, width):
    message, shown, caret = refused(ExpressionError, "status == '%s' = x" % text)
    assert message.endswith("(column %d)" % (len(text) + 14))
    assert caret == "    " + " " * (width + 13) + "^"
    assert shown.replace("\N{COMBINING ACUTE ACCENT}", "").replace("\u0301", "").isprintable()


@pytest.mark.parametrize("expression", ["", " ", "\n\t\n"])
def test_an_empty_expression_says_that_it_is(expression):
    assert refused(ExpressionError, expression)[0] == "me: this is not a JMESPath expression: it is empty (column 1)"


def test_a_number_that_python_does_not_read_is_a_mistake():
    assert "Exceeds the limit" in refused(ExpressionError, "jobs[%s]" % ("9" * 5000))[0]


def test_nothing_of_jmespath_s_own_error_is_said_beside_it():
    with pytest.raises(AnsibleError) as failure:
        evaluate("status ==", DOCUMENT, "me")
    assert failure.value.__cause__ is None and failure.value.__suppress_context__


@pytest.mark.parametrize("expression", [7, None, ["status"]])
def test_an_expression_must_be_a_string(expression):
    with pytest.raises(AnsibleError, match="^me: the expression must be a string, not a %s.$" % type(expression).__name__):
        evaluate(expression, DOCUMENT, "me")


def test_a_controller_without_jmespath_is_told_what_to_install(monkeypatch):
    monkeypatch.setattr(expressions, "JMESPATH_MISSING", ImportError("No module named 'jmespath'"))
    with pytest.raises(AnsibleError, match="^me needs the Python package jmespath on the controller: python3 -m pip install"):
        evaluate("status", DOCUMENT, "me")


PIECES = ["status", "jobs", "age", "note", '"name"', "'ok'", "`1`", "`{`", "-1", "0", " ", "\n", ".", "*", "[", "]", "[?", "[]", "(", ")", "{",
          "}", ",", ":", "@", "&", "&&", "|", "||", "!", "=", "==", "!=", "<", ">=", "length(", "sort_by(", "none(", "'", '"', "`", "\\", "ä"]


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_any_text_gives_what_jmespath_gives_or_an_error_of_ours(expression):
    try:
        made = evaluate(expression, DOCUMENT, "me")
    except (ExpressionError, TypesError) as error:
        assert "^" in str(error).split("\n", 1)[1]
    else:
        assert json.dumps(made) == json.dumps(jmespath.search(expression, DOCUMENT))
