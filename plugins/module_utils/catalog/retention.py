# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which backups stay, and why: restic's rules, over the times that manifests tell.

Each rule goes from the newest backup to the oldest. ``keep_daily: 7`` keeps the newest backup of each of the seven
latest days that have one, so a gap does not use days up; while a rule has counts left, the oldest backup stays too.
``keep_within`` counts back from the newest backup, not from now.

Beside the rules stay: the newest verified backup, those on hold, those that are not good (somebody should look), and
those from the future, which a wrong clock made and which must not be what the others are measured by.

Source: restic's manual, "Removing snapshots according to a policy".
"""

from __future__ import annotations

from datetime import date, timedelta

from ..system.zones import local_times

FUTURE = timedelta(minutes=10)
HELD = "it is on hold"
UNITS = {
    "keep_last": lambda local, number: number,
    "keep_hourly": lambda local, number: local[:4],
    "keep_daily": lambda local, number: local[:3],
    "keep_weekly": lambda local, number: date(*local[:3]).isocalendar()[:2],
    "keep_monthly": lambda local, number: local[:2],
    "keep_yearly": lambda local, number: local[0],
}
NAMES = {"keep_last": "last", "keep_hourly": "hourly", "keep_daily": "daily", "keep_weekly": "weekly",
         "keep_monthly": "monthly", "keep_yearly": "yearly"}


class Decision:
    """One backup, and why it stays; without a reason it goes."""

    def __init__(self, backup):
        self.backup = backup
        self.created = backup.manifest.created if backup.problem is None else None
        self.reasons = []

    @property
    def kept(self):
        return bool(self.reasons)

    def to_dict(self):
        """The decision as results show it."""
        return {"id": self.backup.id, "kept": self.kept, "reasons": self.reasons}


def decide(backups, retention, now, held=()):
    """A Decision for each backup, newest first.

    Args:
        backups: as ``catalog.list_backups`` gives them.
        retention: the app's ``Retention``.
        now: aware datetime.
        held: ids of backups that are on hold.
    """
    decisions = [Decision(backup) for backup in backups]
    for decision in decisions:
        _keep_apart(decision, now, held)
    ruled = [decision for decision in decisions if decision.created is not None and decision.created <= now + FUTURE]
    _keep_newest_verified(ruled)
    if retention.keeps_all:
        for decision in ruled:
            decision.reasons.append("no rule was given")
    else:
        _keep_within(ruled, retention)
        _keep_counted(ruled, retention)
    return decisions


def _keep_apart(decision, now, held):
    backup = decision.backup
    if backup.problem is not None:
        decision.reasons.append("it is not good: %s" % backup.problem)
    elif decision.created > now + FUTURE:
        decision.reasons.append("it is from the future: look at the clock")
    if backup.id in held:
        decision.reasons.append(HELD)


def _keep_newest_verified(ruled):
    for decision in ruled:
        verified = decision.backup.manifest.content["verified"]
        if verified and verified.get("level") in ("checksum", "content"):
            decision.reasons.append("the newest verified")
            return


def _keep_within(ruled, retention):
    if retention.within is None or not ruled:
        return
    limit = retention.within.before(ruled[0].created)
    for decision in ruled:
        if decision.created > limit:
            decision.reasons.append("within %s" % retention.within)


def _keep_counted(ruled, retention):
    local = local_times(retention.timezone, [decision.created.timestamp() for decision in ruled])
    for rule, unit in UNITS.items():
        left, last = retention.counts[rule], None
        for number, decision in enumerate(ruled):
            if not left:
                break
            value, oldest = unit(local[number], number), number == len(ruled) - 1
            if value == last and not oldest:
                continue
            decision.reasons.append(("oldest " if value == last else "") + NAMES[rule])
            last = value
            left -= 1
