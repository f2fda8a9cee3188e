# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report of a fleet as one page that holds all it needs: the data, our style and script, and the library that draws.

A browser that opens it asks the network for nothing: the page's own policy forbids it, and lets no other script run than those
whose digests it names. Everything that hosts told is data to it, never a part of the page.
"""

from __future__ import annotations

import base64
import hashlib
import json
import pathlib
import re

from ansible_collections.appstate.backup.plugins.module_utils.system.times import parse_time

FILES = pathlib.Path(__file__).resolve().parents[2] / "roles" / "report" / "files"
STYLES = ("uPlot.min.css", "page.css")
SCRIPTS = ("uPlot.iife.min.js", "page.js")
PLACEHOLDER = re.compile(r"<!--@(\w+)@-->|@(\w+)@")
# A browser would read on as markup after any of them, or end the line of a script.
DANGEROUS = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}
# The page names them; all of them are in the report's JSON.
MOST_BROKEN = 20
MOST_UNCOVERED = 200


def page_of(report):
    """The page as text, of a report as ``fleet.report_of`` gives it."""
    styles, scripts = ([_read(name) for name in names] for names in (STYLES, SCRIPTS))
    parts = {
        "styles": "\n".join("<style>%s</style>" % text for text in styles),
        "scripts": "\n".join("<script>%s</script>" % text for text in scripts),
        "style_digests": " ".join(map(_digest, styles)),
        "script_digests": " ".join(map(_digest, scripts)),
        "data": _embedded(_data(report)),
    }
    # In one pass: what is put in is not looked at again.
    return PLACEHOLDER.sub(lambda found: parts[found.group(1) or found.group(2)], _read("page.html"))


def _read(name):
    return (FILES / name).read_text(encoding="utf-8")


def _digest(text):
    """A script or a style as a Content-Security-Policy names it."""
    return "'sha256-%s'" % base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _embedded(data):
    """JSON that can stand in a page: nothing in it ends the element, or begins a comment. All but ASCII is escaped anyway."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return "".join(DANGEROUS.get(character, character) for character in text) if set(text) & set(DANGEROUS) else text


def _data(report):
    """What the page shows: of the report, what it needs, in few bytes."""
    rows = []
    for host in report["hosts"]:
        if host["problem"] is not None:
            rows.append({"host": host["host"], "app": None, "state": host["state"],
                         "reasons": [{"state": host["state"], "reason": host["problem"]}]})
        rows.extend(dict(_row(app), host=host["host"]) for app in host["apps"])
    hosts = [{"host": host["host"], "apps": len(host["apps"]), "coverage": _shortened(host["coverage"])} for host in report["hosts"]]
    return {"made": _seconds(report["made"]), "summary": report["summary"], "rows": rows, "hosts": hosts}


def _row(app):
    good = [backup for backup in app["backups"] if backup["good"]]
    objectives = app["objectives"]
    return {
        "app": app["name"] or "(an app without a name)", "state": app["state"], "reasons": app["reasons"],
        "destination": app["destination"], "counts": app["counts"], "age": app["age_seconds"],
        "limit": app["max_age_seconds"] if objectives["rpo_seconds"] is None else objectives["rpo_seconds"],
        "rpo": objectives["rpo_seconds"] is not None, "rto": objectives["rto_seconds"],
        "newest": {key: good[0][key] for key in ("id", "created", "size", "rows", "rows_total", "verified")} if good else None,
        "broken": [[backup["id"], backup["problem"]] for backup in app["backups"] if not backup["good"]][:MOST_BROKEN],
        "history": _history(good), "run": app["run"], "remotes": app["remotes"],
        "drill": app["drills"][0] if app["drills"] else None,
        "drills": [[_seconds(drill["drilled"]), drill["ok"], drill["rto_seconds"]] for drill in reversed(app["drills"])],
    }


def _history(good):
    """Times, sizes and row counts of the good backups, the oldest first, as lists: that is how they are drawn."""
    oldest_first = [backup for backup in reversed(good) if backup["created"] is not None]
    return [[_seconds(backup["created"]) for backup in oldest_first], [backup["size"] for backup in oldest_first],
            [backup["rows_total"] for backup in oldest_first]]


def _shortened(coverage):
    if coverage is None:
        return None
    return dict(coverage, uncovered=coverage["uncovered"][:MOST_UNCOVERED], all=len(coverage["uncovered"]))


def _seconds(time):
    """RFC 3339 as seconds since 1970."""
    return int(parse_time(time).timestamp())
