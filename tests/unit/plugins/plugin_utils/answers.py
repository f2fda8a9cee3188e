# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host tells when all is well; tests change what they are about."""

from __future__ import annotations

import copy

MADE = "2026-11-28T03:00:00Z"
DAY = 86400


def backup(day=28, **words):
    """A good backup of a day of November."""
    return dict({"id": "wiki-202611%02dT010000Z" % day, "created": "2026-11-%02dT01:00:00Z" % day, "size": 1000 * day, "good": True,
                 "problem": None, "rows": {"data/wiki.db": day}, "rows_total": day, "verified": "content", "incomplete": False}, **words)


def drill(**words):
    """A drill that went well."""
    return dict({"app": "wiki", "host": "web1", "drilled": "2026-11-28T02:00:00Z", "ok": True, "problem": None,
                 "backup": {"id": "wiki-20261128T010000Z"}, "remote": None, "which": "latest", "rpo_seconds": 3600, "restored_seconds": 3.2,
                 "healthy_seconds": None, "rto_seconds": 3.2, "bytes": 5000, "objectives": {"rpo_seconds": 93600, "rto_seconds": 600},
                 "warnings": [], "cases": [{"check": "checksum", "about": "", "outcome": "passed", "seconds": 0.1, "message": ""}]}, **words)


def app(**words):
    """An app with which all is well."""
    told = {"name": "wiki", "destination": "/var/backups", "objectives": {"rpo_seconds": 93600, "rto_seconds": 600},
            "max_age_seconds": None, "has_drill": True, "backups": [backup(28), backup(27)], "counts": {"all": 2, "good": 2},
            "age_seconds": 7200,
            "run": {"state": "ok", "ended": "2026-11-28T01:00:10Z", "last_success": "2026-11-28T01:00:10Z", "problem": None, "ping": None,
                    "duration": 10.0, "warnings": []},
            "remotes": [{"name": "offsite", "copied": True, "path": "offsite:wiki", "backup": "wiki-20261128T010000Z",
                         "last_success": "2026-11-28T01:00:09Z", "size": 28000, "seconds": 1.0, "problem": None}],
            "drills": [drill()], "problems": []}
    for name, value in words.items():
        told[name] = dict(told[name], **value) if isinstance(value, dict) and told[name] else value
    return copy.deepcopy(told)


def standing(*apps):
    """What a task registers that called backup_report_info."""
    return {"changed": False, "failed": False, "host": "web1", "time": MADE, "apps": list(apps) or [app()]}


def coverage(*uncovered, **words):
    """What a task registers that called backup_coverage_info."""
    found = [{"path": path, "size": 8192, "app": None} for path in uncovered]
    return dict({"changed": False, "databases": found + [{"path": "/srv/wiki/data/wiki.db", "size": 8192, "app": "wiki"}],
                 "uncovered": found, "complete": True, "unreadable": 0}, **words)
