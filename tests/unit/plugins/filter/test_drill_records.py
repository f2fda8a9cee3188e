# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every app that was to be drilled has a record, whatever became of its host."""

from __future__ import annotations

import pytest

from ansible.errors import AnsibleError

from ansible_collections.appstate.backup.plugins.filter.drill_records import drill_records
from ansible_collections.appstate.backup.plugins.module_utils.profiles.profiles import PROFILES

APPS = [{"name": "wiki", "drill": {"boot": {"argv": ["x"]}}, "health": {"url": "http://x", "expression": "status == 'ok'"}},
        {"name": "plain", "health": {"expression": "never(asked"}}]
HEALTHY = {"check": "health", "about": "", "outcome": "passed", "seconds": 0.5, "message": ""}


def drilled(app="wiki", answer=None, **words):
    record = dict({"app": app, "host": "a", "ok": True, "problem": None, "cases": [HEALTHY]}, **words)
    return {"drill": record, "answer": answer}


def records(*results):
    return drill_records(APPS[:len(results)], {"results": list(results)}, "web1")


def test_a_record_has_the_name_of_the_host_in_the_inventory():
    first, second = records(drilled(answer={"status": "ok"}), drilled("plain"))
    assert (first["host"], second["host"], first["ok"], second["ok"]) == ("web1", "web1", True, True)
    assert second["cases"] == [HEALTHY]
    asked = {"check": "health", "about": "status == 'ok'", "outcome": "passed", "seconds": 0.0, "message": ""}
    assert first["cases"] == [HEALTHY, asked]
    (first,) = records(drilled(answer={"status": "ok"}, cases=[HEALTHY, dict(asked, outcome="skipped", message="not asked here")]))
    assert first["cases"] == [HEALTHY, asked]


@pytest.mark.parametrize("answer, said", [
    ({"status": "starting"}, "the expression status == 'ok' is not true of the answer"),
    (None, "the app did not answer with JSON, of which status == 'ok' could be true")])
def test_an_answer_that_is_not_as_it_should_be_fails_the_drill(answer, said):
    (record,) = records(drilled(answer=answer))
    assert not record["ok"] and record["problem"] == "app wiki: drill: health: " + said
    assert record["cases"][-1]["outcome"] == "failed" and record["cases"][-1]["message"] == said


def test_of_a_drill_that_failed_already_the_first_problem_stays():
    (record,) = records(drilled(ok=False, problem="first"))
    assert record["problem"] == "first" and record["cases"][-1]["outcome"] == "failed"
    (record,) = records(drilled(ok=False, problem="first", cases=[dict(HEALTHY, outcome="failed")]))
    assert len(record["cases"]) == 1


def test_an_error_in_an_expression_shows_where():
    apps = [dict(APPS[0], health={"expression": "status =="})]
    (record,) = drill_records(apps, {"results": [drilled(answer={})]}, "web1")
    assert not record["ok"] and "is not a JMESPath expression" in record["problem"] and "^" in record["problem"]
    apps = [dict(APPS[0], drill={"boot": {"unit": "x.service"}, "health": {"url": "http://y"}})]
    (record,) = drill_records(apps, {"results": [drilled(answer={})]}, "web1")
    assert record["ok"] and len(record["cases"]) == 1


def test_an_app_is_what_its_profile_says_too(monkeypatch):
    monkeypatch.setitem(PROFILES, "asked", {"drill": {"boot": {"argv": ["x"]}}, "health": {"url": "http://x", "expression": "status == 'ok'"}})
    for answer, ok in (({"status": "ok"}, True), ({}, False)):
        (record,) = drill_records([{"name": "wiki", "profile": "asked"}], {"results": [drilled(answer=answer)]}, "web1")
        assert record["ok"] is ok and len(record["cases"]) == 2


def test_a_wrong_profile_is_the_failure_of_its_app_alone():
    bad, good = drill_records([{"name": "bad", "profile": "nosuch"}, APPS[1]],
                              {"results": [{"failed": True, "msg": "app bad: there is no profile 'nosuch'."}, drilled("plain")]}, "web1")
    assert (bad["app"], bad["ok"], bad["problem"], good["ok"]) == ("bad", False, "app bad: there is no profile 'nosuch'.", True)
    # Whatever the host says of it.
    (bad,) = drill_records([{"name": "bad", "profile": "nosuch"}], {"results": [drilled("bad")]}, "web1")
    assert not bad["ok"] and "there is no profile 'nosuch'" in bad["problem"]


@pytest.mark.parametrize("result, said", [
    ({"unreachable": True, "msg": "no route "}, "the host could not be reached: no route"), ({"msg": "it broke"}, "it broke"),
    ({}, "the module gave no answer"), ({"results": []}, "the module gave no answer"),
    ({"results": [{"unreachable": True, "msg": "gone"}]}, "gone")])
def test_a_host_that_gave_nothing_has_a_record_too(result, said):
    first, second = drill_records(APPS, result, "web1")
    assert not first["ok"] and said in first["problem"] and first["cases"] == [] and first["backup"] is None
    assert (first["app"], second["app"], second["host"]) == ("wiki", "plain", "web1")


def test_what_check_mode_foretells_is_no_drill():
    assert drill_records(APPS, {"results": [{"backup": {"id": "x"}}, {"msg": "it broke"}]}, "web1")[0]["app"] == "plain"
    assert len(drill_records(APPS, {"results": [{"backup": {"id": "x"}}, {"msg": "it broke"}]}, "web1")) == 1


def test_what_is_no_result_is_named():
    with pytest.raises(AnsibleError, match="drill_records: the result of a task is needed, not a list"):
        drill_records(APPS, [], "web1")
