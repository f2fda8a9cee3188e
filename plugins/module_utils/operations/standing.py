# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the apps of a host stand, for the report of a fleet: backups, the last run, copies and drills, as JSON can tell them.

Only what lies ready on the host is read: manifests, status files and records of drills, no archive and no remote. Whether
that is good or bad is decided where the report is made, for all hosts in the same way.
"""

from __future__ import annotations

from ..app import parse_app
from ..catalog import catalog
from ..monitor.drills import Drills
from ..monitor.status import FAILED, Status
from ..profiles.profiles import resolve
from ..system.errors import AppStateError, ConfigurationError
from .report import NOT_ALL_READ
from .run import holdings

MOST_BACKUPS = 100
MOST_DRILLS = 30
# A run that took a backup, but not of everything.
INCOMPLETE = "incomplete"


def standings(apps, machine):
    """How each app of a host stands, as dictionaries in the order of the apps.

    One whose description is wrong is told of, and does not keep the others from it.

    Args:
        apps: dictionaries as the inventory has them.
    """
    told, names = [], set()
    for described in apps:
        standing = _standing(described, machine)
        name = standing["name"]
        if name in names:
            error = ConfigurationError("two apps of this host have that name", app=name,
                                       remedy="Give each its own name, since it names the folder of its backups")
            standing["problems"].append(str(error))
        if name is not None:
            names.add(name)
        told.append(standing)
    return told


def _standing(described, machine):
    name = described.get("name")
    told = {"name": name if isinstance(name, str) else None, "destination": None,
            "objectives": {"rpo_seconds": None, "rto_seconds": None}, "max_age_seconds": None, "has_drill": False,
            "drill_within_seconds": None, "backups": [], "counts": {"all": 0, "good": 0}, "age_seconds": None, "run": None, "remotes": [], "drills": [],
            "problems": []}
    try:
        app = parse_app(described)
    except AppStateError as error:
        told["problems"].append(str(error))
        return told
    for step in (_what_is_wanted, _backups, _last_run, _drills):
        try:
            told.update(step(app, machine))
        except AppStateError as error:
            told["problems"].append(str(error.about(app.name)))
    # Whatever it says there, even that all is as usual: somebody wants it to be drilled.
    return dict(told, has_drill=resolve(described).get("drill") is not None)


def _what_is_wanted(app, machine):
    limit, now = app.settings.max_age, machine.now()
    return {"name": app.name, "destination": app.destination,
            "objectives": {"rpo_seconds": app.objectives.rpo, "rto_seconds": app.objectives.rto},
            "drill_within_seconds": app.drilling.within,
            # Months have no length of their own: it is that of those before now.
            "max_age_seconds": None if limit is None else int((now - limit.before(now)).total_seconds())}


def _backups(app, machine):
    listed = catalog.list_backups(app.directory, app.name)
    good = [backup for backup in listed if backup.problem is None]
    told = {"counts": {"all": len(listed), "good": len(good)}}
    if good:
        told["age_seconds"] = int((machine.now() - good[0].manifest.created).total_seconds())
    # Among the others in time, those that are not good tell when it began.
    listed.sort(key=lambda backup: (backup.id[-16:], backup.id), reverse=True)
    told["backups"] = [_backup(backup) for backup in listed[:MOST_BACKUPS]]
    return told


def _backup(backup):
    told = {"id": backup.id, "good": backup.problem is None, "problem": backup.problem, "created": None, "size": None,
            "rows": {}, "rows_total": None, "verified": None, "incomplete": False}
    if backup.manifest is None:
        return told
    content = backup.manifest.content
    rows = {path: held["rows"] for path, held in holdings(backup).items()}
    told.update(created=content["created"], size=content["archive"]["size"], rows=rows,
                rows_total=sum(rows.values()) if rows else None, verified=(content["verified"] or {}).get("level"),
                incomplete=any(source.get("unreadable") for source in content["sources"]))
    return told


def _last_run(app, machine):
    content = Status(machine.state_directory, app.name).content
    state = content["state"]
    if state == FAILED and content.get("problem") == NOT_ALL_READ:
        state = INCOMPLETE
    run = {key: content.get(key) for key in ("ended", "last_success", "problem", "ping", "duration")}
    return {"run": dict(run, state=state, warnings=content.get("warnings") or []),
            "remotes": [_remote(remote, (content.get("remotes") or {}).get(remote.name)) for remote in app.remotes]}


def _remote(remote, copied):
    """How the last copy to a remote ended; nobody asks the remote itself."""
    told = {key: (copied or {}).get(key) for key in ("path", "backup", "last_success", "size", "seconds", "problem")}
    return dict(told, name=remote.name, copied=copied is not None)


def _drills(app, machine):
    records = Drills(machine.state_directory, app.name).records[-MOST_DRILLS:]
    return {"drills": [_drill(record, number == 0) for number, record in enumerate(reversed(records))]}


def _drill(record, is_last):
    """A record, of which only the last one has the checks that went well."""
    cases = record.get("cases") or []
    return dict(record, cases=[case for case in cases if is_last or case["outcome"] != "passed"])
