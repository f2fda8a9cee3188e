# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Made-up answers of a fleet's hosts, as tasks register them that call backup_report_info and backup_coverage_info.

The same seed makes the same fleet. Some apps are stale, broken, never drilled or described wrongly; some hosts cannot be reached.
"""

from __future__ import annotations

import datetime
import random

NOW = datetime.datetime(2026, 11, 28, 3, 0, tzinfo=datetime.timezone.utc)
DAY = 86400
APPS = ("wiki", "notes", "calendar", "photos", "tickets", "newsletter", "inventory", "bookings", "forum", "ledger")
KINDS = ("web", "shop", "office", "club", "lab")
# What somebody could try who can name an app or write an error message: all of it has to be shown as it is.
NASTY = "</script><script>document.title='taken'</script><!-- \u2028 <img src=x onerror=\"document.title='taken'\">"
CHECKS = (("choose", ""), ("checksum", ""), ("restore", ""), ("integrity", "data/app.db"), ("passport", "data/app.db"),
          ("assertion", "SELECT count(*) FROM items"), ("references", ""), ("boot", ""), ("health", ""), ("rpo", ""), ("rto", ""))


class Made:
    """A fleet: ``answers`` is what the report is made of."""

    def __init__(self, hosts, apps=4, seed=1, backups=30):
        self._random = random.Random(seed)
        self._backups = backups
        self.answers = [self._host(number, apps) for number in range(hosts)]

    def _host(self, number, apps):
        name = "%s%d.example" % (KINDS[number % len(KINDS)], number // len(KINDS) + 1)
        if number % 97 == 11:
            return [name, {"unreachable": True, "msg": "ssh: connect to host %s port 22: No route to host" % name}, None]
        first = number % len(APPS)
        told = [self._app(APPS[(first + index) % len(APPS)], number * apps + index) for index in range(apps)]
        return [name, {"changed": False, "host": name.partition(".")[0], "time": text(NOW), "apps": told}, self._coverage(number)]

    def _coverage(self, number):
        databases = [{"path": "/srv/app%d/data/app.db" % each, "size": 40960, "app": "app%d" % each} for each in range(4)]
        uncovered = []
        if number % 23 == 4:
            uncovered = [{"path": "/home/deploy/tmp/orders-copy.sqlite", "size": 733184, "app": None},
                         {"path": "/opt/monitor/state/metrics.bin", "size": 2146304, "app": None}]
        return {"changed": False, "databases": databases + uncovered, "uncovered": uncovered, "complete": number % 31 != 7,
                "unreadable": 2 if number % 41 == 9 else 0}

    def _app(self, name, number):
        """One app; what is wrong with it, if anything, goes by its number."""
        wrong = {5: "stale", 9: "run", 14: "drill", 18: "remote", 27: "broken", 33: "never", 42: "described", 51: "none"}.get(number % 60)
        if wrong == "described":
            return dict(self._empty(name), problems=["app %s: the app has an unknown key 'retension'. Did you mean 'retention'?" % name])
        age = self._random.randint(3600, 20 * 3600) + (3 * DAY if wrong == "stale" else 0)
        backups = [] if wrong == "none" else self._history(name, age)
        if wrong == "broken":
            backups[0].update(good=False, problem="the archive has 40960 bytes, and the manifest says %d" % backups[0]["size"])
            age += DAY
        good = [backup for backup in backups if backup["good"]]
        told = dict(self._empty(name), objectives={"rpo_seconds": 93600, "rto_seconds": 600}, has_drill=True, backups=backups,
                    counts={"all": len(backups), "good": len(good)}, age_seconds=age if good else None,
                    drills=[] if wrong in ("never", "none") else self._drills(name, wrong == "drill"))
        failure = "app %s: /srv/%s/data: the disk is full. Make room, then run appstate-backup run %s." % (name, name, name)
        told["run"] = {"state": "failed" if wrong in ("run", "none") else "ok", "ended": text(NOW, age - 12),
                       "last_success": text(NOW, age), "problem": failure if wrong in ("run", "none") else None, "ping": None,
                       "duration": 12.4, "warnings": ["uploads/a.jpg: changed while it was read"] if number % 7 == 0 else []}
        told["remotes"] = [self._remote(name, good, "offsite", None)]
        if number % 3 == 0:
            told["remotes"].append(self._remote(name, good, "vault", "vault: no answer in time" if wrong == "remote" else None))
        return told

    def _empty(self, name):
        return {"name": name, "destination": "/var/backups", "objectives": {"rpo_seconds": None, "rto_seconds": None},
                "max_age_seconds": None, "has_drill": False, "backups": [], "counts": {"all": 0, "good": 0}, "age_seconds": None,
                "run": None, "remotes": [], "drills": [], "problems": []}

    def _history(self, name, age):
        rows, size, growth = self._random.randint(200, 90000), self._random.randint(200000, 900000000), self._random.uniform(0.992, 1.0)
        backups = []
        for number in range(self._backups):
            created = NOW - datetime.timedelta(seconds=age + number * DAY)
            backups.append({"id": "%s-%s" % (name, created.strftime("%Y%m%dT%H%M%SZ")), "created": text(created), "size": int(size),
                            "good": True, "problem": None, "rows": {"data/app.db": int(rows), "data/jobs.db": 40},
                            "rows_total": int(rows) + 40, "verified": "content", "incomplete": False})
            rows, size = rows * growth * self._random.uniform(0.998, 1.001), size * growth * self._random.uniform(0.99, 1.004)
        return backups

    def _drills(self, name, failed):
        drills = []
        for number in range(12):
            seconds = round(self._random.uniform(8, 90), 1)
            bad = failed and number == 0
            if bad:
                seconds = 741.2
            cases = [{"check": check, "about": about, "outcome": "failed" if bad and check == "rto" else "passed", "seconds": 0.1,
                      "message": "it took 12 min 21 s, and the objective is 10 min" if bad and check == "rto" else ""}
                     for check, about in CHECKS]
            drills.append({"app": name, "drilled": text(NOW, 1800 + number * 7 * DAY), "ok": not bad,
                           "problem": "rto: it took 12 min 21 s, and the objective is 10 min" if bad else None,
                           "backup": {"id": "%s-20261127T010000Z" % name}, "remote": None, "which": "latest", "rpo_seconds": 7200,
                           "restored_seconds": round(seconds * 0.7, 1), "healthy_seconds": seconds, "rto_seconds": seconds,
                           "bytes": 420000000, "warnings": [], "objectives": {"rpo_seconds": 93600, "rto_seconds": 600},
                           "cases": cases if number == 0 else []})
        return drills

    def _remote(self, name, good, remote, problem):
        copied = bool(good)
        return {"name": remote, "copied": copied, "path": "%s:backups/%s" % (remote, name) if copied else None,
                "backup": good[0]["id"] if copied else None, "last_success": text(NOW, DAY if problem else 3600) if copied else None,
                "size": 4000000 if copied else None, "seconds": 3.1 if copied else None, "problem": problem}


def nasty():
    """One host whose names and messages are markup, and that is what its backups are made of, too."""
    made = Made(1, 1, seed=2, backups=3)
    host, standing, coverage = made.answers[0]
    app = standing["apps"][0]
    app.update(name=NASTY, destination=NASTY, problems=[NASTY])
    app["run"].update(state="failed", problem=NASTY, warnings=[NASTY])
    app["backups"][0].update(id=NASTY, rows={NASTY: 3, "__proto__": 4})
    app["remotes"][0].update(name=NASTY, problem=NASTY, path=NASTY)
    app["drills"][0].update(ok=False, problem=NASTY, cases=[
        {"check": NASTY, "about": NASTY, "outcome": NASTY, "seconds": 1, "message": NASTY}])
    coverage["uncovered"] = [{"path": NASTY, "size": 1, "app": None}]
    return [[host + NASTY, standing, coverage]]


def text(time, before=0):
    """RFC 3339 of a time, or of one that lies some seconds before it."""
    return (time - datetime.timedelta(seconds=before)).strftime("%Y-%m-%dT%H:%M:%SZ")
