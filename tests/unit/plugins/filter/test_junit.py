# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from ansible.errors import AnsibleError
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.appstate.backup.plugins.filter import junit as plugin

junit = plugin.FilterModule().filters()["junit"]

GOOD = {"app": "wiki", "host": "web1.example.org", "drilled": "2026-11-28T03:00:00Z", "ok": True, "problem": None, "remote": "offsite",
        "backup": {"id": "wiki-20261128T010000Z", "size": 12345}, "rpo_seconds": 7200, "rto_seconds": 3.25, "bytes": 123456,
        "cases": [{"check": "checksum", "about": None, "outcome": "passed", "seconds": 0.5, "message": ""},
                  {"check": "integrity", "about": "wiki.db", "outcome": "passed", "seconds": 0.1234, "message": ""},
                  {"check": "boot", "about": "", "outcome": "skipped", "seconds": None, "message": "the app has no boot"}]}
BAD = dict(GOOD, host="web2", ok=False, problem="no row", remote=None,
           cases=[{"check": "assertion", "about": "wiki.db", "outcome": "failed", "seconds": 1.5, "message": "no row\nin pages"}])
SILENT = {"app": "wiki", "host": "web3", "ok": False, "problem": "the host could not be reached", "cases": []}

# What the schema junit-10.xsd of Jenkins' xUnit plugin allows: attributes (those with ! are required), and elements inside.
SCHEMA = {
    "testsuites": ("name time tests failures errors", "testsuite"),
    "testsuite": ("name! tests! failures! errors! group time skipped timestamp hostname id package file log url",
                  "testsuite properties testcase system-out system-err"),
    "properties": ("", "property"),
    "property": ("name! value!", ""),
    "testcase": ("name! time classname group", "skipped error failure system-out system-err"),
    "failure": ("type message", ""),
    "skipped": ("type message", ""),
}
TIME = re.compile(r"(([0-9]{0,3},)*[0-9]{3}|[0-9]{0,3})*(\.[0-9]*)?")


def check_shape(element):
    """An element and all inside it are what the schema allows."""
    attributes, inside = SCHEMA[element.tag]
    required = {name.rstrip("!") for name in attributes.split() if name.endswith("!")}
    assert required <= set(element.attrib) <= set(attributes.replace("!", "").split())
    assert TIME.fullmatch(element.get("time", ""))
    for child in element:
        assert child.tag in inside.split()
        check_shape(child)


def read(records):
    """The document that a CI server reads, after its form and its sums have been checked."""
    text = junit(records)
    assert text.startswith('<?xml version="1.0" encoding="UTF-8"?>\n') and text.endswith(">\n")
    root = ElementTree.fromstring(text.encode("utf-8"))
    assert root.tag == "testsuites"
    check_shape(root)
    for element in [root] + list(root):
        cases = list(element.iter("testcase"))
        assert int(element.get("tests")) == len(cases)
        assert int(element.get("failures")) == sum(case.find("failure") is not None for case in cases)
        assert int(element.get("errors")) == 0
        assert float(element.get("time")) == pytest.approx(sum(float(case.get("time")) for case in cases), abs=0.01 + len(cases) / 1000)
    for suite in root:
        assert int(suite.get("skipped")) == len(suite.findall("testcase/skipped"))
    return root


def failures(root):
    """Name and message of each case that failed."""
    return [(case.get("name"), case.find("failure").get("message")) for case in root.iter("testcase")
            if case.find("failure") is not None]


def test_the_text_is_this():
    assert junit([BAD, SILENT]) == """\
<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="appstate.drill" tests="2" failures="2" errors="0" time="1.500">
  <testsuite name="wiki@web2" hostname="web2" tests="1" failures="1" skipped="0" errors="0" time="1.500" timestamp="2026-11-28T03:00:00">
    <properties>
      <property name="backup" value="wiki-20261128T010000Z" />
      <property name="rpo_seconds" value="7200" />
      <property name="rto_seconds" value="3.25" />
      <property name="bytes" value="123456" />
    </properties>
    <testcase classname="appstate.drill.web2.wiki" name="assertion: wiki.db" time="1.500">
      <failure message="no row&#10;in pages" type="assertion">no row
in pages</failure>
    </testcase>
  </testsuite>
  <testsuite name="wiki@web3" hostname="web3" tests="1" failures="1" skipped="0" errors="0" time="0.000">
    <properties />
    <testcase classname="appstate.drill.web3.wiki" name="drill" time="0.000">
      <failure message="the host could not be reached" type="drill">the host could not be reached</failure>
    </testcase>
  </testsuite>
</testsuites>
"""


def test_a_drill_is_a_suite_and_each_check_is_a_case():
    root = read([GOOD, BAD])
    assert [suite.get("name") for suite in root] == ["wiki@web1.example.org", "wiki@web2"]
    assert [(case.get("classname"), case.get("name"), case.get("time")) for case in root[0].iter("testcase")] == [
        ("appstate.drill.web1.example.org.wiki", "checksum", "0.500"),
        ("appstate.drill.web1.example.org.wiki", "integrity: wiki.db", "0.123"),
        ("appstate.drill.web1.example.org.wiki", "boot", "0.000")]
    assert root.get("time") == "2.123" and root[0].get("skipped") == "1"
    (skipped,) = root.iter("skipped")
    assert skipped.get("message") == skipped.text == "the app has no boot"
    assert {told.get("name"): told.get("value") for told in root[0].iter("property")} == {
        "backup": "wiki-20261128T010000Z", "rpo_seconds": "7200", "rto_seconds": "3.25", "bytes": "123456", "remote": "offsite"}


@pytest.mark.parametrize("record, said", [
    (dict(GOOD, ok=False, problem="cannot be read"), "cannot be read"),
    (dict(GOOD, ok=False), "nothing was checked"),
    (dict(GOOD, cases=[]), "nothing was checked"),
    (dict(GOOD, ok=None, cases=None, problem="the module crashed"), "the module crashed"),
    ({"app": "wiki", "host": "web3"}, "nothing was checked"),
])
def test_a_drill_that_is_red_or_silent_without_a_check_that_failed_fails(record, said):
    assert failures(read([record])) == [("drill", said)]


def test_a_check_that_failed_is_red_whatever_the_record_says():
    assert failures(read([dict(BAD, ok=True)])) == failures(read([BAD])) == [("assertion: wiki.db", "no row\nin pages")]


def test_no_drill_is_a_report_without_suites():
    assert len(read([])) == 0


@pytest.mark.parametrize("seconds", [None, "long", -1, float("nan"), float("inf"), 10 ** 400])
def test_a_measure_that_is_none_keeps_no_failure_from_its_reader(seconds):
    root = read([dict(BAD, cases=[dict(BAD["cases"][0], seconds=seconds)])])
    assert root.get("failures") == "1" and root.get("time") == "0.000"


@pytest.mark.parametrize("records, said", [
    ({"wiki": GOOD}, "drills are given as a list of records, not as a dict."),
    ("wiki", "drills are given as a list of records, not as a str."),
    ([GOOD, "wiki"], "record 2 is a str, not a dictionary."),
    ([{"host": "web1"}], "record 1 has no 'app', a text."),
    ([{"app": "wiki", "host": None}], "record 1 has no 'host', a text."),
    ([dict(GOOD, cases="all")], "'cases' of record 1 (wiki on web1.example.org) is a str, not a list."),
    ([dict(GOOD, cases=["all"])], "case 1 of record 1 (wiki on web1.example.org) is a str, not a dictionary."),
    ([dict(GOOD, cases=[{"outcome": "passed"}])], "case 1 of record 1 (wiki on web1.example.org) has no 'check', a text."),
    ([dict(GOOD, cases=[{"check": "boot", "outcome": "good"}])],
     "the outcome of case 1 of record 1 (wiki on web1.example.org) is 'good', which is none of passed, failed, skipped."),
])
def test_what_is_no_record_fails_and_is_named(records, said):
    with pytest.raises(AnsibleError) as failure:
        junit(records)
    assert str(failure.value) == "appstate.backup.junit: " + said


@pytest.mark.parametrize("character", ["\x00", "\x0b", "\x1b", "\ufffe", "\uffff", "\ud800", "\udfff"])
def test_a_character_that_xml_cannot_hold_is_replaced(character):
    message = "a%sb" % character
    assert failures(read([dict(SILENT, problem=message)])) == [("drill", "a\N{REPLACEMENT CHARACTER}b")]


@pytest.mark.parametrize("text", ["]]>", "<![CDATA[x]]>", "&amp; < > \" '", "a\tb", "\x85\u2028\x7f", "\U0001f4be\ufffd\ue000\ud7ff"])
def test_any_other_character_is_told_as_it_is(text):
    root = read([dict(SILENT, problem=text)])
    assert failures(root) == [("drill", text)]
    assert next(root.iter("failure")).text == text


ANY = st.text(st.characters(exclude_categories=[]))
CASES = st.lists(st.fixed_dictionaries(
    {"check": ANY, "outcome": st.sampled_from(plugin.OUTCOMES)},
    optional={"about": st.none() | ANY, "message": st.none() | ANY, "seconds": st.none() | st.floats() | st.integers()}))
RECORDS = st.lists(st.fixed_dictionaries(
    {"app": ANY, "host": ANY, "ok": st.booleans()},
    optional={"cases": CASES, "problem": st.none() | ANY, "drilled": ANY, "remote": ANY, "backup": st.none() | st.builds(dict, id=ANY),
              "bytes": st.integers(), "rpo_seconds": st.integers(), "rto_seconds": st.none() | st.floats()}))


@given(RECORDS)
def test_any_records_are_xml_that_is_red_exactly_where_they_are(records):
    root = read(records)
    assert len(root) == len(records)
    for suite, record in zip(root, records):
        cases = record.get("cases", [])
        green = record["ok"] and cases and all(case["outcome"] != "failed" for case in cases)
        assert (suite.get("failures") == "0") == bool(green)
