# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether what a host tells of its apps has the shape that a report relies on: a host can tell anything."""

from __future__ import annotations

from ansible_collections.appstate.backup.plugins.module_utils.system.times import parse_time


def _time(value):
    if value is not None:
        parse_time(value)
    return True


def _moment(value):
    return value is not None and _time(value)


def _text(value):
    return value is None or isinstance(value, str)


def _number(value):
    return value is None or isinstance(value, (int, float)) and not isinstance(value, bool)


def _truth(value):
    return isinstance(value, bool)


def _name(value):
    return isinstance(value, str)


# A dictionary has at least those keys, a list has items of that shape, and None after a shape means that it may be missing.
COUNTS = {"all": _number, "good": _number}
BACKUP = {"id": _name, "created": _time, "size": _number, "good": _truth, "problem": _text, "rows": {}, "rows_total": _number,
          "verified": _text, "incomplete": _truth}
RUN = {"state": _name, "ended": _time, "last_success": _time, "problem": _text, "ping": _text, "duration": _number,
       "warnings": [_text]}
REMOTE = {"name": _name, "copied": _truth, "path": _text, "backup": _text, "last_success": _time, "size": _number,
          "seconds": _number, "problem": _text}
CASE = {"check": _name, "about": _text, "outcome": _name, "seconds": _number, "message": _text}
DRILL = {"drilled": _moment, "ok": _truth, "problem": _text, "rpo_seconds": _number, "rto_seconds": _number,
         "restored_seconds": _number, "healthy_seconds": _number, "bytes": _number, "remote": _text, "backup": ({"id": _text}, None),
         "cases": [CASE]}
APP = {"name": _text, "destination": _text, "objectives": {"rpo_seconds": _number, "rto_seconds": _number},
       "max_age_seconds": _number, "has_drill": _truth, "backups": [BACKUP], "counts": COUNTS, "age_seconds": _number,
       "run": (RUN, None), "remotes": [REMOTE], "drills": [DRILL], "problems": [_name]}
# What hosts with an earlier version of the collection do not tell of an app.
LATER = {"drill_within_seconds": _number}


def check_app(told):
    """Raises ValueError where an app that a host tells of has not the shape that it must have."""
    _check(told, APP, "app")
    for key, shape in LATER.items():
        _check(told.get(key), shape, key)


def _check(told, shape, what):
    if isinstance(shape, tuple):
        if told is not None:
            _check(told, shape[0], what)
    elif isinstance(shape, dict):
        if not isinstance(told, dict) or set(shape) - set(told):
            raise ValueError("%s is no dictionary with the keys that it must have" % what)
        for key, inner in shape.items():
            _check(told[key], inner, key)
    elif isinstance(shape, list):
        if not isinstance(told, list):
            raise ValueError("%s is no list" % what)
        for item in told:
            _check(item, shape[0], what)
    elif not shape(told):
        raise ValueError("%s is of a wrong type" % what)
