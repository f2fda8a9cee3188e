# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report of a fleet: what each host told, and of each app whether that is good, a warning, or bad.

This is the one place where it is decided. What hosts tell is not trusted: one whose answer makes no sense becomes a bad host, and
does not keep the others from being reported.
"""

from __future__ import annotations

import json

from ansible_collections.appstate.backup.plugins.module_utils.system.times import CLOCKS_DIFFER, parse_time
from ansible_collections.appstate.backup.plugins.plugin_utils.answers import check_app

GOOD, WARNING, BAD = "good", "warning", "bad"
ORDER = (GOOD, WARNING, BAD)
# What it raises to look at an answer that is none.
NONSENSE = (AttributeError, KeyError, TypeError, ValueError, RecursionError)
# On a screen; the page has all of them.
MOST_LINES = 50


def report_of(answers, made):
    """The report as a dictionary that JSON can hold.

    Args:
        answers: ``(host, standing, coverage)`` of each host: what a task registered that called backup_report_info, and
            what one did that called backup_coverage_info. None where that was not done.
        made: when the report is made, RFC 3339.
    """
    hosts = [_host(*answer) for answer in answers]
    apps = [app for host in hosts for app in host["apps"]]
    # A host that told nothing is shown like an app, and counts as one.
    states = [app["state"] for app in apps] + [BAD for host in hosts if host["problem"] is not None]
    covered = [host["coverage"] for host in hosts if host["coverage"] is not None]
    summary = {state: states.count(state) for state in ORDER}
    summary.update(hosts=len(hosts), apps=len(apps), silent=len([host for host in hosts if host["problem"] is not None]),
                   uncovered=sum(len(each["uncovered"]) for each in covered) if covered else None)
    return {"made": made, "summary": summary, "hosts": hosts}


def told_of(report):
    """The report in a few lines, for a screen: how many are in which state, and what is bad."""
    summary, bad = report["summary"], []
    for host in report["hosts"]:
        if host["problem"] is not None:
            bad.append("%s: %s" % (host["host"], host["problem"]))
        bad.extend("%s %s: %s" % (host["host"], app["name"] or "(an app without a name)", app["reasons"][0]["reason"])
                   for app in host["apps"] if app["state"] == BAD)
    lines = [", ".join("%d %s" % (summary[state], state) for state in reversed(ORDER))] + bad[:MOST_LINES]
    if len(bad) > MOST_LINES:
        lines.append("and %d more" % (len(bad) - MOST_LINES))
    if summary["uncovered"]:
        lines.append("databases that no app covers: %d" % summary["uncovered"])
    return lines


def _host(name, standing, coverage):
    told = {"host": name, "state": BAD, "problem": _silence(standing), "time": None, "apps": [],
            "coverage": None if coverage is None or coverage.get("skipped") else _coverage(coverage)}
    if told["problem"] is None:
        try:
            told.update(_apps(_plain(standing, ("apps", "time"))))
        except NONSENSE as error:
            told["problem"] = _nonsense(error)
    return told


def _apps(standing):
    asked = parse_time(standing["time"])
    for app in standing["apps"]:
        check_app(app)
    apps = [_judged(app, asked) for app in standing["apps"]]
    return {"time": standing["time"], "apps": apps, "state": _worst(app["state"] for app in apps)}


def _plain(registered, keys):
    """Those keys of what a task registered, in Python's own types. What JSON does not know as a number is not known at all; other keys
    can hold objects of Ansible's own."""
    return json.loads(json.dumps({key: registered[key] for key in keys}), parse_constant=lambda unused: None)


def _nonsense(error):
    return "what it told makes no sense: %s: %s" % (type(error).__name__, error)


def _silence(registered):
    """Why a host told nothing, or None."""
    if registered is None:
        return "it told nothing: it failed before it was asked, see what ansible-playbook said of it"
    said = str(registered.get("msg") or "no reason was given")
    if registered.get("unreachable"):
        return "it cannot be reached: %s" % said
    return "it could not be asked: %s" % said if registered.get("failed") else None


def _coverage(registered):
    """What is covered on a host where somebody looked."""
    told = {"problem": _silence(registered), "databases": 0, "uncovered": [], "complete": False, "unreadable": 0}
    if told["problem"] is None:
        try:
            found = _plain(registered, ("databases", "uncovered", "complete", "unreadable"))
            uncovered = [{"path": str(each["path"]), "size": int(each["size"])} for each in found["uncovered"]]
            told.update(databases=len(found["databases"]), uncovered=uncovered, complete=bool(found["complete"]),
                        unreadable=int(found["unreadable"]))
        except NONSENSE as error:
            told["problem"] = _nonsense(error)
    return told


def _judged(app, asked):
    """An app with its state and the reasons for it, the worst first."""
    reasons = [{"state": state, "reason": reason} for state, reason in _reasons(app, asked)]
    reasons.sort(key=lambda each: ORDER.index(each["state"]), reverse=True)
    return dict(app, state=_worst(each["state"] for each in reasons), reasons=reasons)


def _worst(states):
    return max(states, key=ORDER.index, default=GOOD)


def _reasons(app, asked):
    """Yields ``(state, reason)``: everything that keeps an app from being good."""
    for problem in app["problems"]:
        yield BAD, problem
    # Of an app whose description is wrong nothing else is known.
    if app["run"] is None:
        return
    yield from _of_backups(app)
    yield from _of_the_last_run(app)
    for remote in app["remotes"]:
        if remote["problem"] is not None:
            yield WARNING, "the last copy to %s failed: %s" % (remote["name"], remote["problem"])
        elif not remote["copied"]:
            yield WARNING, "nothing was copied to %s yet" % remote["name"]
    yield from _of_drills(app, asked)


def _of_backups(app):
    age, limit, whose = app["age_seconds"], app["objectives"]["rpo_seconds"], "the objective is"
    if limit is None:
        limit, whose = app["max_age_seconds"], "it is overdue after"
    if age is None:
        yield BAD, "there is no good backup"
    elif age < -CLOCKS_DIFFER:
        yield BAD, "the newest good backup is from the future, by %s: see the clock of the host" % duration(-age)
    elif limit is not None and age > limit:
        yield BAD, "the newest good backup is %s old, and %s %s" % (duration(age), whose, duration(limit))
    counts, broken = app["counts"], [backup for backup in app["backups"] if not backup["good"]]
    if counts["good"] < counts["all"]:
        bad = counts["all"] - counts["good"]
        text = "%d of %d backups %s not good" % (bad, counts["all"], "is" if bad == 1 else "are")
        yield WARNING, text + ("; %s: %s" % (broken[0]["id"], broken[0]["problem"]) if broken else "")
    if app["run"]["state"] != "incomplete" and any(backup["incomplete"] for backup in _newest_good(app)):
        yield WARNING, "the newest good backup does not hold everything: some of it could not be read"


def _newest_good(app):
    return [backup for backup in app["backups"] if backup["good"]][:1]


def _of_the_last_run(app):
    run = app["run"]
    if run["state"] == "failed":
        yield BAD, "the last run failed: %s" % run["problem"]
    if run["state"] == "incomplete":
        yield WARNING, "the last run took a backup, but %s" % run["problem"]
    if run["ping"] is not None:
        yield WARNING, run["ping"]


def _of_drills(app, asked):
    if app["drills"]:
        last, limit = app["drills"][0], app.get("drill_within_seconds")
        ago = (asked - parse_time(last["drilled"])).total_seconds()
        if not last["ok"]:
            yield BAD, "the last drill failed: %s" % last["problem"]
        if ago < -CLOCKS_DIFFER:
            yield WARNING, "the last drill is from the future, by %s: see the clock of the host" % duration(-ago)
        if limit is not None and ago > limit:
            # One that no longer happens would be green for ever.
            yield WARNING, "the last drill was %s ago, and by its schedule it is overdue after %s" % (duration(ago), duration(limit))
    elif app["has_drill"] or any(objective is not None for objective in app["objectives"].values()):
        yield WARNING, "it was never drilled"


def duration(seconds):
    """Seconds as a person says them, in two units at the most. Objectives are written in hours, those of more than a day too."""
    seconds = int(seconds)
    for least, size, unit, smaller, name in ((172800, 86400, "d", 3600, "h"), (3600, 3600, "h", 60, "min"), (60, 60, "min", 1, "s")):
        if seconds >= least:
            rest = seconds % size // smaller
            return "%d %s" % (seconds // size, unit) + (" %d %s" % (rest, name) if rest else "")
    return "%d s" % seconds
