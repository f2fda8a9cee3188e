# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""JMESPath expressions, whose errors show where they are.

jmespath itself finds an unknown function, or a wrong number of arguments, no sooner than it calls the function, which it may
not do before the one document comes that needs it; and then it does not say where. So its parser notes here where a thing
stands, and functions are looked at before anything is evaluated.
"""

from __future__ import annotations

import difflib
import unicodedata

from ansible.errors import AnsibleError

try:
    from jmespath.exceptions import IncompleteExpressionError, JMESPathTypeError, LexerError, ParseError
    from jmespath.functions import TYPES_MAP, Functions
    from jmespath.parser import Parser
    from jmespath.visitor import TreeInterpreter
except ImportError as error:
    JMESPATH_MISSING = error
    Parser = TreeInterpreter = object
else:
    JMESPATH_MISSING = None


class ExpressionError(AnsibleError):
    """A text is no JMESPath expression."""


class TypesError(AnsibleError):
    """The types in a document do not allow an expression."""


def evaluate(expression, document, plugin):
    """What an expression makes of a document in Python's own types (see ``plain``); errors name the ``plugin``.

    Raises:
        ExpressionError: there is an error in the expression, whatever the document.
        TypesError: the types in the document do not allow it.
        AnsibleError: jmespath is missing, or the expression is no text.
    """
    if JMESPATH_MISSING:
        raise AnsibleError("%s needs the Python package jmespath on the controller: python3 -m pip install jmespath"
                           % plugin) from JMESPATH_MISSING
    if not isinstance(expression, str):
        raise AnsibleError("%s: the expression must be a string, not a %s." % (plugin, type(expression).__name__))
    expression = str(expression)
    try:
        tree = _parse(expression)
    except _Found as found:
        raise ExpressionError("%s: this is not a JMESPath expression: %s" % (plugin, found.shown(expression))) from None
    try:
        return _Interpreter().visit(tree, document)
    except _Found as found:
        raise TypesError("%s: the types in the document do not allow this: %s" % (plugin, found.shown(expression))) from None


def is_true(expression, document, plugin):
    """Whether an expression is true of a document: one that its types do not allow is not. Otherwise as ``evaluate``.

    Truth as JMESPath has it: empty strings, lists and objects, ``false`` and ``null`` are false; zero is true.
    """
    try:
        value = evaluate(expression, document, plugin)
    except TypesError:
        return False
    return value is not None and value is not False and value not in ("", [], {})


class _Found(Exception):
    """Something is wrong at a position of an expression; without a position, it is at its end."""

    def __init__(self, problem, position=None):
        super().__init__(problem)
        self.problem = problem
        self.position = position

    def shown(self, expression):
        """The problem in words, and on the next lines the expression with a caret below the position."""
        expression = expression.rstrip()
        position = len(expression) if self.position is None else min(self.position, len(expression))
        line, column = expression.count("\n", 0, position), position - expression.rfind("\n", 0, position) - 1
        place = "column %d" % (column + 1) if "\n" not in expression else "line %d, column %d" % (line + 1, column + 1)
        return "%s (%s)\n%s" % (_printable(self.problem), place, _with_caret(expression, line, column))


def _with_caret(expression, line, column):
    """The lines of an expression, with a caret below one of its columns."""
    lines = expression.split("\n")
    lines.insert(line + 1, "".join(_blank(character) for character in lines[line][:column]) + "^")
    return "\n".join("    " + _printable(text) for text in lines)


def _blank(character):
    """What is as wide as a character in a terminal."""
    if character == "\t":
        return character
    if unicodedata.combining(character):
        return ""
    return "  " if unicodedata.east_asian_width(character) in "WF" else " "


def _printable(text):
    """A text in which nothing moves the caret from its place."""
    return "".join(character if character == "\t" or character.isprintable() else "\N{REPLACEMENT CHARACTER}"
                   for character in text)


def _parse(expression):
    """The tree of an expression in which nothing is wrong whatever the document."""
    if not expression.strip():
        raise _Found("it is empty")
    try:
        tree = _Parser().parse(expression).parsed
    except LexerError as error:
        raise _Found(error.message, error.lexer_position)
    except ParseError as error:
        raise _Found(_in_words(error), error.lex_position)
    except ValueError as error:  # A number with more digits than Python reads.
        raise _Found(str(error))
    mistakes = sorted(_mistakes(tree), key=lambda mistake: mistake.position)
    if mistakes:
        raise mistakes[0]
    return tree


def _in_words(error):
    """What a ParseError says; jmespath knows two ways to say that more was expected."""
    if isinstance(error, IncompleteExpressionError) or error.token_type == "EOF":
        return "it ends too early"
    return error.msg.rstrip(".")


def _mistakes(node, is_argument=False):
    """Everything that a parser lets pass in a tree, and no document could make right."""
    if node["type"] == "function_expression":
        problem = _wrong_call(node["value"], len(node["children"]))
        if problem:
            yield _Found(problem, node["start"])
    elif node["type"] == "slice" and node["children"][2] == 0:
        yield _Found("the step of a slice cannot be 0", node["start"])
    elif node["type"] == "expref" and not is_argument:
        # It would be true of every document.
        yield _Found("only an argument of a function can begin with &", node["start"])
    for child in node["children"]:
        if isinstance(child, dict):
            yield from _mistakes(child, node["type"] == "function_expression")


def _wrong_call(name, given):
    """What is wrong with a call of a function with that many arguments, or None."""
    known = Functions.FUNCTION_TABLE
    if name not in known:
        similar = difflib.get_close_matches(name, known, 1)
        return "there is no function %s()%s" % (name, ", perhaps it is %s()" % similar[0] if similar else "")
    takes = known[name]["signature"]
    more = bool(takes) and takes[-1].get("variadic", False)
    if given == len(takes) or more and given > len(takes):
        return None
    return "%s() takes %s%d argument%s, and is given %d" % (
        name, "at least " if more else "", len(takes), "" if len(takes) == 1 else "s", given)


class _Parser(Parser):
    """jmespath's parser; what can be wrong in its tree says where it begins."""

    # jmespath keeps the trees of its own parser, which say nothing of that, in one of that name.
    _CACHE = {}

    def _token_led_lparen(self, left):
        start = self._lookahead_token(-2)["start"]
        return dict(super()._token_led_lparen(left), start=start)

    def _parse_comparator(self, left, comparator):
        start = self._lookahead_token(-1)["start"]
        return dict(super()._parse_comparator(left, comparator), start=start)

    def _parse_slice_expression(self):
        start = self._lookahead_token(-1)["start"]
        return dict(super()._parse_slice_expression(), start=start)

    def _token_nud_expref(self, token):
        return dict(super()._token_nud_expref(token), start=token["start"])

    def _token_nud_quoted_identifier(self, token):
        try:
            return super()._token_nud_quoted_identifier(token)
        except ParseError as error:
            error.lex_position = token["start"]  # jmespath says 0 here, wherever it is.
            raise


class _Interpreter(TreeInterpreter):
    """jmespath's interpreter; what the types of a document do not allow is found at the place of the node."""

    def visit(self, node, *args, **kwargs):
        """The value of a node; jmespath lets errors of Python's own through, such as that of ``'1' < 2``."""
        try:
            return super().visit(node, *args, **kwargs)
        except (TypeError, ValueError, ArithmeticError) as error:
            if "start" not in node:
                raise
            raise _Found(_wrong_type(error) if isinstance(error, JMESPathTypeError) else str(error), node["start"])


def _wrong_type(error):
    """What a function was given, and what it takes; the value itself may be a secret."""
    given = TYPES_MAP.get(error.actual_type, error.actual_type)
    return "%s() takes %s, and is given %s" % (error.function_name, " or ".join(error.expected_types), given)
