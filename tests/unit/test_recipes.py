# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The table of old recipes promises a test for each line: those tests are there, and so are the pages that are linked."""

from __future__ import annotations

import pathlib
import re

import pytest

TREE = pathlib.Path(__file__).resolve().parents[2]
DOCS = TREE / "docs"
RECIPES = DOCS / "recipes.md"
# What a line can have in the place of tests.
WITHOUT_TEST = ("planned", "by hand")
LINK = re.compile(r"\[[^]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)
PAGES = [TREE / "README.md"] + sorted(DOCS.rglob("*.md")) + sorted((TREE / "roles").glob("*/README.md"))


def rows():
    """The lines of all tables: what a page says, the way to do it here, what shows it."""
    for line in RECIPES.read_text(encoding="utf-8").splitlines():
        if line.startswith("| ") and not line.startswith(("| the page says |", "| --- |")):
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def named_tests():
    """Every test that a line names, once."""
    return sorted({name for row in rows() for name in re.findall(r"`([^`]+)`", row[-1])})


def anchors(path):
    """The names that a page's headings can be linked by, as GitHub makes them."""
    titles = HEADING.findall(re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_each_line_says_what_is_done_and_what_shows_it():
    told = list(rows())
    assert len(told) > 100
    for row in told:
        assert len(row) == 3 and all(row), row
        assert "`" in row[2] or row[2].startswith(WITHOUT_TEST), row


@pytest.mark.parametrize("name", named_tests())
def test_a_test_that_is_named_exists(name):
    path, unused, function = name.partition("::")
    if function:
        text = (TREE / "tests" / path).read_text(encoding="utf-8")
        assert re.search(r"^ *def %s\(" % re.escape(function), text, re.MULTILINE)
    else:
        assert (TREE / "tests" / path).is_file()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TREE)))
def test_what_a_page_links_to_exists(page):
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        name, unused, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), target
