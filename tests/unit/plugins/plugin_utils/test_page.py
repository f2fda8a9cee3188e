# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The page as text: nothing that a host tells becomes a part of it, nothing in it leads out, and its colours can be told apart.

What it does in a browser, tests/e2e/test_report_page.py shows.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest

from ansible_collections.appstate.backup.plugins.plugin_utils.fleet import report_of
from ansible_collections.appstate.backup.plugins.plugin_utils.page import FILES, page_of
from ansible_collections.appstate.backup.tests.unit.plugins.plugin_utils.answers import MADE, app, backup, coverage, drill, standing

NASTY = ("</script><script>alert(1)</script>", "<!--<script>", "]]>", "\u2028\u2029", "@data@ <!--@styles@-->", "&lt;", "\ud800", "\0", "\\u003c")


class Elements(HTMLParser):
    """The elements of a page: ``found`` has name, attributes and text of each."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self._inside = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.found.append([tag, dict(attrs), ""])
        self._inside = True

    def handle_endtag(self, tag):
        self._inside = False

    def handle_data(self, data):
        if self._inside:
            self.found[-1][2] += data

    def named(self, name):
        return [each for each in self.found if each[0] == name]


def page(*answers):
    return page_of(report_of(answers or [("web1", standing(), coverage())], MADE))


def data_of(text):
    found, = [each for each in Elements(text).named("script") if each[1].get("id") == "data"]
    return json.loads(found[2])


@pytest.mark.parametrize("text", NASTY)
def test_what_a_host_tells_never_becomes_a_part_of_the_page(text):
    told = dict(app(problems=[text], drills=[drill(problem=text)]), name=text)
    made, plain = page((text, standing(told), coverage(text))), page()
    assert [each[0] for each in Elements(made).found] == [each[0] for each in Elements(plain).found]
    assert made.count("<!--") == plain.count("<!--") and "\u2028" not in made and "\0" not in made
    data = data_of(made)
    row, = data["rows"]
    assert (row["host"], row["app"], row["reasons"][0]["reason"], row["drill"]["problem"]) == (text, text, text, text)
    assert data["hosts"][0]["coverage"]["uncovered"][0]["path"] == text
    made.encode("utf-8")


def test_its_policy_lets_nothing_run_but_what_it_brings():
    elements = Elements(page())
    policy, = [each[1]["content"] for each in elements.named("meta") if each[1].get("http-equiv") == "Content-Security-Policy"]
    told = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert set(told) == {"default-src", "img-src", "style-src", "script-src", "base-uri", "form-action"}
    assert told["default-src"] == told["base-uri"] == told["form-action"] == "'none'" and told["img-src"] == "data:"
    for kind, name in (("style-src", "style"), ("script-src", "script")):
        texts = [each[2] for each in elements.named(name) if each[1].get("type") != "application/json"]
        assert len(texts) == 2
        assert told[kind].split() == ["'sha256-%s'" % base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
                                      for text in texts]


def test_it_loads_nothing_from_anywhere():
    elements = Elements(page())
    assert not [each for each in elements.found if set(each[1]) & {"src", "srcset", "action", "style", "onclick", "onload"}]
    assert [each[1]["href"] for each in elements.found if "href" in each[1]] == ["data:,"]
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest|sendBeacon|WebSocket|import\(", page())


def test_our_script_makes_no_markup_out_of_text():
    script = (FILES / "page.js").read_text(encoding="utf-8")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|Function\(|DOMParser", script)


def test_it_says_which_library_draws_and_under_which_licence():
    library = (FILES / "uPlot.iife.min.js").read_text(encoding="utf-8")
    version = re.search(r"\(v([0-9.]+)\)", library).group(1)
    made = page()
    assert library in made and made.count("uPlot " + version) == 2
    assert "Copyright (c) 2022 Leon Sorokin" in made and "Permission is hereby granted" in made
    for name in ("uPlot.iife.min.js", "uPlot.min.css"):
        told = (FILES / (name + ".license")).read_text(encoding="utf-8")
        assert "SPDX-License-Identifier: MIT" in told and "uPlot " + version in told


def test_a_row_has_what_is_drawn_of_an_app_the_oldest_first():
    row, = data_of(page(("web1", standing(app(backups=[backup(28), backup(27, good=False, problem="x"), backup(26, rows_total=None)])), None)))["rows"]
    times, sizes, rows = row["history"]
    assert sizes == [26000, 28000] and rows == [None, 28] and times[1] - times[0] == 2 * 86400
    assert row["broken"] == [["wiki-20261127T010000Z", "x"]] and row["newest"]["id"] == "wiki-20261128T010000Z"
    assert (row["age"], row["limit"], row["rto"], row["drills"]) == (7200, 93600, 600, [[1795831200, True, 3.2]])


def test_the_limit_is_the_objective_or_else_what_the_app_says_is_overdue():
    without = {"objectives": {"rpo_seconds": None}, "max_age_seconds": 50}
    rows = data_of(page(("web1", standing(app(max_age_seconds=50), app(**without)), None)))["rows"]
    assert [row["limit"] for row in rows] == [93600, 50]


def test_a_host_that_told_nothing_is_a_row():
    data = data_of(page(("web1", None, None), ("web2", standing(), None)))
    assert [(row["host"], row["app"], row["state"]) for row in data["rows"]] == [("web1", None, "bad"), ("web2", "wiki", "good")]
    assert [host["coverage"] for host in data["hosts"]] == [None, None]


def test_what_is_not_covered_is_cut_where_it_is_too_much_for_a_page():
    found, = data_of(page(("web1", standing(), coverage(*["/srv/%d.db" % number for number in range(500)]))))["hosts"]
    assert len(found["coverage"]["uncovered"]) == 200 and found["coverage"]["all"] == 500


def luminance(colour):
    """Relative luminance as WCAG 2 defines it."""
    parts = [int(colour[start:start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    brighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


TEXTS = [(front, back) for front in ("text", "muted", "link", "good", "warning", "bad") for back in ("page", "raised")]
TEXTS += [(name, name + "-area") for name in ("good", "warning", "bad")]


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
def test_its_colours_have_the_contrast_that_wcag_aa_asks_for(mode):
    blocks = re.findall(r":root[^{]*\{([^}]*)\}", (FILES / "page.css").read_text(encoding="utf-8"))
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", blocks[mode]))
    for front, back in TEXTS:
        assert contrast(colours[front], colours[back]) >= 4.5, (front, back)
    # Lines of plots, and edges of what can be operated.
    for front in ("plot", "edge"):
        assert contrast(colours[front], colours["page"]) >= 3, front
