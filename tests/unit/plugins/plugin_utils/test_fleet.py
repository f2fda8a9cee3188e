# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rule by which an app is good, a warning, or bad; and hosts that tell nothing, or nonsense."""

from __future__ import annotations

import json

import pytest

from ansible_collections.appstate.backup.plugins.plugin_utils.fleet import BAD, GOOD, WARNING, duration, report_of, told_of
from ansible_collections.appstate.backup.tests.unit.plugins.plugin_utils.answers import DAY, MADE, app, backup, coverage, drill, standing


def report(*answers):
    made = report_of(answers, MADE)
    json.dumps(made, allow_nan=False)
    return made


def judged(told):
    """The state of one app, and the reasons for it."""
    judged_app, = report(("web1", standing(told), None))["hosts"][0]["apps"]
    return judged_app["state"], [(each["state"], each["reason"]) for each in judged_app["reasons"]]


def test_an_app_with_which_all_is_well():
    assert judged(app()) == (GOOD, [])


NO_BACKUP = {"backups": [], "counts": {"all": 0, "good": 0}, "age_seconds": None}
WITHOUT_OBJECTIVES = {"objectives": {"rpo_seconds": None, "rto_seconds": None}, "has_drill": False, "drills": []}


@pytest.mark.parametrize("words, state, reason", [
    (NO_BACKUP, BAD, "there is no good backup"),
    ({"age_seconds": 93600}, GOOD, None),
    ({"age_seconds": 93601}, BAD, "the newest good backup is 26 h old, and the objective is 26 h"),
    ({"age_seconds": 5 * 86400 + 7200}, BAD, "the newest good backup is 5 d 2 h old, and the objective is 26 h"),
    # Where there is an objective, nothing else counts.
    ({"age_seconds": 7300, "max_age_seconds": 3600}, GOOD, None),
    (dict(WITHOUT_OBJECTIVES, age_seconds=3601, max_age_seconds=3600), BAD, "the newest good backup is 1 h old, and it is overdue after 1 h"),
    (dict(WITHOUT_OBJECTIVES, age_seconds=10 ** 9), GOOD, None),
    ({"age_seconds": -600}, GOOD, None),
    ({"age_seconds": -7200}, BAD, "the newest good backup is from the future, by 2 h: see the clock of the host"),
    ({"run": {"state": "failed", "problem": "the disk is full"}}, BAD, "the last run failed: the disk is full"),
    ({"run": {"state": "incomplete", "problem": "not everything could be read"}}, WARNING,
     "the last run took a backup, but not everything could be read"),
    ({"run": {"state": "never", "ended": None, "last_success": None}}, GOOD, None),
    ({"run": {"ping": "the ping of success could not be sent: no answer in time"}}, WARNING,
     "the ping of success could not be sent: no answer in time"),
    ({"backups": [backup(28, incomplete=True), backup(27)]}, WARNING,
     "the newest good backup does not hold everything: some of it could not be read"),
    ({"backups": [backup(28), backup(27, incomplete=True)]}, GOOD, None),
    ({"backups": [backup(28, good=False, problem="the archive is missing"), backup(27)], "counts": {"all": 2, "good": 1}}, WARNING,
     "1 of 2 backups is not good; wiki-20261128T010000Z: the archive is missing"),
    # Older than those that are told of.
    ({"counts": {"all": 300, "good": 298}}, WARNING, "2 of 300 backups are not good"),
    ({"drills": [drill(ok=False, problem="rto: it took 20 min")]}, BAD, "the last drill failed: rto: it took 20 min"),
    ({"drills": [drill(), drill(ok=False, problem="rto: it took 20 min")]}, GOOD, None),
    ({"drills": []}, WARNING, "it was never drilled"),
    ({"drills": [], "has_drill": False, "objectives": {"rpo_seconds": None}}, WARNING, "it was never drilled"),
    (dict(WITHOUT_OBJECTIVES, has_drill=True), WARNING, "it was never drilled"),
    ({"drill_within_seconds": 2 * DAY, "drills": [drill(drilled="2026-11-26T03:00:00Z")]}, GOOD, None),
    ({"drill_within_seconds": 2 * DAY, "drills": [drill(drilled="2026-11-26T02:00:00Z")]}, WARNING,
     "the last drill was 2 d 1 h ago, and by its schedule it is overdue after 2 d"),
    ({"drill_within_seconds": 2 * DAY, "drills": [drill(drilled="2026-11-28T03:05:00Z")]}, GOOD, None),
    ({"drill_within_seconds": 2 * DAY, "drills": [drill(drilled="2026-11-28T06:00:00Z")]}, WARNING,
     "the last drill is from the future, by 3 h: see the clock of the host"),
    ({"drill_within_seconds": None, "drills": [drill(drilled="2025-11-26T02:00:00Z")]}, GOOD, None),
    # A host with an older version of the collection does not tell of it.
    ({"drills": [drill(drilled="2025-11-26T02:00:00Z")]}, GOOD, None),
    (WITHOUT_OBJECTIVES, GOOD, None),
    ({"problems": ["app wiki: the backups cannot be listed."]}, BAD, "app wiki: the backups cannot be listed."),
])
def test_the_rule(words, state, reason):
    assert judged(app(**words)) == (state, [] if reason is None else [(state, reason)])


@pytest.mark.parametrize("words, reason", [
    ({"problem": "no answer"}, "the last copy to offsite failed: no answer"), ({"copied": False}, "nothing was copied to offsite yet")])
def test_a_copy_to_a_remote(words, reason):
    told = app()
    told["remotes"][0].update(words)
    assert judged(told) == (WARNING, [(WARNING, reason)])


def test_of_an_app_that_is_described_wrongly_only_that_is_said():
    told = dict(app(problems=["app wiki: unknown key."], **NO_BACKUP), run=None, drills=[])
    assert judged(told) == (BAD, [(BAD, "app wiki: unknown key.")])


def test_all_reasons_are_told_the_worst_first():
    state, reasons = judged(app(run={"state": "failed", "problem": "x", "ping": "y"}, drills=[], age_seconds=10 ** 6))
    assert state == BAD and [each[0] for each in reasons] == [BAD, BAD, WARNING, WARNING]


@pytest.mark.parametrize("registered, problem", [
    (None, "it told nothing: it failed before it was asked, see what ansible-playbook said of it"),
    ({"unreachable": True, "msg": "no route", "changed": False}, "it cannot be reached: no route"),
    ({"failed": True, "msg": "no Python", "exception": object()}, "it could not be asked: no Python"),
    ({"failed": True}, "it could not be asked: no reason was given"),
])
def test_a_host_that_tells_nothing_is_bad_and_keeps_nobody_else_from_being_reported(registered, problem):
    made = report(("web1", registered, None), ("web2", standing(), coverage()))
    assert [(host["state"], host["problem"], len(host["apps"])) for host in made["hosts"]] == [(BAD, problem, 0), (GOOD, None, 1)]
    assert made["summary"] == {"good": 1, "warning": 0, "bad": 1, "hosts": 2, "apps": 1, "silent": 1, "uncovered": 0}


def broken(**words):
    return standing(dict(app(), **words))


@pytest.mark.parametrize("registered", [
    {}, {"apps": None, "time": MADE}, {"apps": [{}], "time": MADE}, dict(standing(), time="yesterday"), dict(standing(), time=None),
    {"apps": ["wiki"], "time": MADE}, broken(backups=[{}]), broken(age_seconds="old"), broken(age_seconds=True), broken(counts=None),
    broken(drills=[drill(drilled=None)]), broken(drills=[drill(ok="yes")]), broken(run={"state": "ok"}), broken(backups=[backup(created=5)]),
    broken(problems=[None]), broken(remotes={}), broken(name=7), broken(has_drill=object()), broken(drill_within_seconds="daily"),
])
def test_a_host_that_tells_nonsense_likewise(registered):
    made = report(("web1", registered, coverage("/srv/a")), ("web2", standing(), None))
    assert made["hosts"][0]["state"] == BAD and made["hosts"][0]["problem"].startswith("what it told makes no sense: ")
    assert made["hosts"][0]["apps"] == [] and made["hosts"][0]["coverage"]["uncovered"] and made["hosts"][1]["state"] == GOOD


def test_a_number_that_is_none_is_not_known():
    told = app(age_seconds=float("nan"), drills=[drill(rto_seconds=float("inf"))])
    host, = report(("web1", standing(told), None))["hosts"]
    assert host["apps"][0]["age_seconds"] is None and host["apps"][0]["drills"][0]["rto_seconds"] is None


def test_what_ansible_adds_to_an_answer_does_not_matter():
    host, = report(("web1", dict(standing(), warnings=[object()]), dict(coverage(), deprecations=object())))["hosts"]
    assert host["state"] == GOOD and host["coverage"]["problem"] is None


def test_a_host_is_as_its_worst_app_and_one_without_apps_is_good():
    made = report(("web1", standing(app(), app(drills=[])), None), ("web2", dict(standing(), apps=[]), None))
    assert [host["state"] for host in made["hosts"]] == [WARNING, GOOD]
    assert made["summary"]["apps"] == 2 and made["summary"]["uncovered"] is None


def test_what_is_not_covered_is_told_by_host():
    made = report(("web1", standing(), coverage("/srv/a.db", "/srv/b.db", complete=False, unreadable=3)), ("web2", standing(), coverage()),
                  ("web3", standing(), {"skipped": True, "changed": False}), ("web4", standing(), {"failed": True, "msg": "no such path"}),
                  ("web5", standing(), {"databases": 3}))
    first, second, third, fourth, fifth = [host["coverage"] for host in made["hosts"]]
    assert first == {"problem": None, "databases": 3, "uncovered": [{"path": "/srv/a.db", "size": 8192}, {"path": "/srv/b.db", "size": 8192}],
                     "complete": False, "unreadable": 3}
    assert second["uncovered"] == [] and third is None and fourth["problem"] == "it could not be asked: no such path"
    assert fifth["problem"].startswith("what it told makes no sense: ")
    assert made["summary"]["uncovered"] == 2 and {host["state"] for host in made["hosts"]} == {GOOD}


def test_the_report_in_a_few_lines():
    made = report(("web1", standing(app(age_seconds=10 ** 6), app(name="notes", drills=[])), coverage("/srv/a.db")), ("web2", None, None),
                  ("web3", standing(dict(app(problems=["no name"]), name=None)), None))
    assert told_of(made) == [
        "3 bad, 1 warning, 0 good", "web1 wiki: the newest good backup is 11 d 13 h old, and the objective is 26 h",
        "web2: it told nothing: it failed before it was asked, see what ansible-playbook said of it", "web3 (an app without a name): no name",
        "databases that no app covers: 1"]


def test_of_many_that_are_bad_a_screen_shows_some():
    made = report(*[("web%d" % number, None, None) for number in range(60)])
    told = told_of(made)
    assert len(told) == 52 and told[-1] == "and 10 more"


@pytest.mark.parametrize("seconds, text", [(0, "0 s"), (59.9, "59 s"), (60, "1 min"), (61, "1 min 1 s"), (3600, "1 h"), (3660, "1 h 1 min"),
                                           (93600, "26 h"), (172799, "47 h 59 min"), (172800, "2 d"), (180000, "2 d 2 h")])
def test_durations_in_words(seconds, text):
    assert duration(seconds) == text
