# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which backups stay: restic's rules against tables that were worked out by hand, and what holds for all backups."""

from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as some

from ansible_collections.appstate.backup.plugins.module_utils.archive.manifest import Manifest
from ansible_collections.appstate.backup.plugins.module_utils.catalog.catalog import Backup
from ansible_collections.appstate.backup.plugins.module_utils.catalog.retention import FUTURE, decide
from ansible_collections.appstate.backup.plugins.module_utils.description import Duration
from ansible_collections.appstate.backup.plugins.module_utils.settings import COUNTS, Retention
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import ConfigurationError
from ansible_collections.appstate.backup.plugins.module_utils.system.times import format_time, stamp

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=timezone.utc)
BERLIN = "Europe/Berlin"


def utc(text):
    """A time in UTC out of ``2026-11-19 03:00``."""
    return datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=timezone.utc)


def backup(created, level="content", problem=None):
    """A backup as the catalog lists it, with what retention looks at."""
    verified = None if level is None else {"level": level, "at": format_time(created)}
    content = {"id": "notes-" + stamp(created), "created": format_time(created), "verified": verified}
    return Backup(content["id"], Manifest(content), "/backups/notes/%s.tar.gz" % content["id"], problem)


def newest_first(backups):
    """In the order of the catalog: those that are not good stand at the end."""
    return sorted(backups, key=lambda each: (each.problem is None, each.id), reverse=True)


def rules(zone="UTC", within=None, **counts):
    return Retention(counts, within, zone)


def kept(times, retention, now=NOW):
    """``{time: reasons}`` of the backups of those times that stay, but for the reason that all newest ones have."""
    decisions = decide(newest_first([backup(utc(time)) for time in times]), retention, now)
    return {decision.backup.manifest.created.strftime("%Y-%m-%d %H:%M"):
            [reason for reason in decision.reasons if reason != "the newest verified"]
            for decision in decisions if decision.kept}


# Backups of nine days, by hand: Monday 2026-11-09 to Tuesday 2026-11-17, twice a day, with a gap on the 12th and 13th.
FORTNIGHT = ["2026-11-17 15:00", "2026-11-17 03:00", "2026-11-16 15:00", "2026-11-16 03:00", "2026-11-15 15:00",
             "2026-11-15 03:00", "2026-11-14 03:00", "2026-11-11 15:00", "2026-11-11 03:00", "2026-11-10 03:00",
             "2026-11-09 15:00", "2026-11-09 03:00"]
TABLE = [
    # The newest of each of the four latest days that have one, and nothing for days without.
    ("daily", {"keep_daily": 4}, {"2026-11-17 15:00": ["daily"], "2026-11-16 15:00": ["daily"],
                                  "2026-11-15 15:00": ["daily"], "2026-11-14 03:00": ["daily"]}),
    # The gap does not use days up: the fifth day is the 11th.
    ("over the gap", {"keep_daily": 5}, {"2026-11-17 15:00": ["daily"], "2026-11-16 15:00": ["daily"],
                                         "2026-11-15 15:00": ["daily"], "2026-11-14 03:00": ["daily"],
                                         "2026-11-11 15:00": ["daily"]}),
    # Seven days have backups; the eighth count goes to the oldest of all.
    ("counts left", {"keep_daily": 8}, {"2026-11-17 15:00": ["daily"], "2026-11-16 15:00": ["daily"],
                                        "2026-11-15 15:00": ["daily"], "2026-11-14 03:00": ["daily"],
                                        "2026-11-11 15:00": ["daily"], "2026-11-10 03:00": ["daily"],
                                        "2026-11-09 15:00": ["daily"], "2026-11-09 03:00": ["oldest daily"]}),
    # With seven there is none left for it.
    ("no counts left", {"keep_daily": 7}, {"2026-11-17 15:00": ["daily"], "2026-11-16 15:00": ["daily"],
                                           "2026-11-15 15:00": ["daily"], "2026-11-14 03:00": ["daily"],
                                           "2026-11-11 15:00": ["daily"], "2026-11-10 03:00": ["daily"],
                                           "2026-11-09 15:00": ["daily"]}),
    # Weeks begin on Monday: the 16th and the 17th are week 47, the 9th to the 15th week 46.
    ("weekly", {"keep_weekly": 2}, {"2026-11-17 15:00": ["weekly"], "2026-11-15 15:00": ["weekly"]}),
    ("two rules", {"keep_last": 2, "keep_weekly": 2}, {"2026-11-17 15:00": ["last", "weekly"], "2026-11-17 03:00": ["last"],
                                                       "2026-11-15 15:00": ["weekly"]}),
    ("hourly", {"keep_hourly": 3}, {"2026-11-17 15:00": ["hourly"], "2026-11-17 03:00": ["hourly"],
                                    "2026-11-16 15:00": ["hourly"]}),
    # One month and one year: the second count goes to the oldest.
    ("monthly", {"keep_monthly": 2}, {"2026-11-17 15:00": ["monthly"], "2026-11-09 03:00": ["oldest monthly"]}),
    ("yearly", {"keep_yearly": 1}, {"2026-11-17 15:00": ["yearly"]}),
    ("more than there are", {"keep_last": 20}, {time: ["last"] for time in FORTNIGHT}),
]


@pytest.mark.parametrize("counts, expected", [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_the_table_of_a_fortnight(counts, expected):
    assert kept(FORTNIGHT, rules(**counts)) == expected


# (zone, rule, times in UTC, those that stay), with what each is in local time.
ZONES = [
    # 23:30 UTC is 00:30 of the next day in Berlin, so that day's backups are the first and the second.
    ("a day begins in its zone", BERLIN, {"keep_daily": 2},
     ["2026-11-18 22:30", "2026-11-18 12:00", "2026-11-17 23:30", "2026-11-17 22:30"],
     ["2026-11-18 22:30", "2026-11-17 22:30"]),
    ("in UTC it is another", "UTC", {"keep_daily": 2},
     ["2026-11-18 22:30", "2026-11-18 12:00", "2026-11-17 23:30", "2026-11-17 22:30"],
     ["2026-11-18 22:30", "2026-11-17 23:30"]),
    # 2026-10-25: at 01:00 UTC 03:00 becomes 02:00, so 00:30 and 01:30 UTC are both 02:30 on the clock, and one hour.
    ("the hour that comes twice", BERLIN, {"keep_hourly": 3},
     ["2026-10-25 02:30", "2026-10-25 01:30", "2026-10-25 00:30", "2026-10-24 23:30", "2026-10-24 22:30"],
     ["2026-10-25 02:30", "2026-10-25 01:30", "2026-10-24 23:30"]),
    # 2026-03-29: at 01:00 UTC 02:00 becomes 03:00; 00:30 is 01:30 and 01:30 is 03:30, the hour between does not exist.
    ("the hour that never comes", BERLIN, {"keep_hourly": 3},
     ["2026-03-29 02:30", "2026-03-29 01:30", "2026-03-29 00:30", "2026-03-28 23:30"],
     ["2026-03-29 02:30", "2026-03-29 01:30", "2026-03-29 00:30"]),
    # The day of 25 hours begins at 22:00 UTC the day before, and ends at 23:00 UTC.
    ("the long day", BERLIN, {"keep_daily": 3},
     ["2026-10-25 23:30", "2026-10-25 22:30", "2026-10-24 22:30", "2026-10-24 21:30"],
     ["2026-10-25 23:30", "2026-10-25 22:30", "2026-10-24 21:30"]),
    # The day of 23 hours begins at 23:00 UTC the day before, and ends at 22:00 UTC.
    ("the short day", BERLIN, {"keep_daily": 3},
     ["2026-03-29 22:30", "2026-03-29 21:30", "2026-03-28 23:30", "2026-03-28 22:30"],
     ["2026-03-29 22:30", "2026-03-29 21:30", "2026-03-28 22:30"]),
    # Thursday 2026-01-01 is in week 1 of 2026, which began on Monday 2025-12-29: New Year does not part it.
    ("the week over New Year", "UTC", {"keep_weekly": 2},
     ["2026-01-04 12:00", "2026-01-01 12:00", "2025-12-29 12:00", "2025-12-28 12:00", "2025-12-22 12:00"],
     ["2026-01-04 12:00", "2025-12-28 12:00"]),
    # Friday 2021-01-01 is in week 53 of 2020, and the Monday after in week 1 of 2021.
    ("week 53", "UTC", {"keep_weekly": 2},
     ["2021-01-04 12:00", "2021-01-03 12:00", "2021-01-01 12:00", "2020-12-28 12:00", "2020-12-27 12:00"],
     ["2021-01-04 12:00", "2021-01-03 12:00"]),
    # 2025-12-31 23:30 UTC is New Year in Berlin.
    ("years", BERLIN, {"keep_yearly": 2}, ["2026-06-01 12:00", "2025-12-31 23:30", "2025-12-31 22:30", "2025-01-01 12:00"],
     ["2026-06-01 12:00", "2025-12-31 22:30"]),
    # Half an hour off: 18:29 UTC is 23:59, 18:31 UTC is 00:01 of the next day.
    ("half an hour", "Asia/Kolkata", {"keep_daily": 2}, ["2026-11-18 18:31", "2026-11-18 18:29", "2026-11-18 12:00"],
     ["2026-11-18 18:31", "2026-11-18 18:29"]),
]


@pytest.mark.parametrize("zone, counts, times, expected", [row[1:] for row in ZONES], ids=[row[0] for row in ZONES])
def test_the_table_of_zones(zone, counts, times, expected):
    assert list(kept(times, rules(zone, **counts))) == expected


WITHIN = [
    # Counted from the newest, not from now; what is exactly that old is no longer within.
    ("hours", Duration(hours=12), ["2026-11-17 15:00"]),
    ("and a bit", Duration(hours=13), ["2026-11-17 15:00", "2026-11-17 03:00"]),
    ("days", Duration(days=2), ["2026-11-17 15:00", "2026-11-17 03:00", "2026-11-16 15:00", "2026-11-16 03:00"]),
    ("months", Duration(months=1), FORTNIGHT),
    ("all kinds", Duration(years=1, months=1, days=1, hours=1), FORTNIGHT),
]


@pytest.mark.parametrize("duration, expected", [row[1:] for row in WITHIN], ids=[row[0] for row in WITHIN])
def test_the_table_of_keep_within(duration, expected):
    assert list(kept(FORTNIGHT, rules(within=duration), NOW + timedelta(days=300))) == expected


def test_keep_within_says_how_long():
    found = kept(FORTNIGHT, rules(within=Duration(days=1, hours=2)))
    assert found["2026-11-17 15:00"] == ["within 1d2h"]


def test_an_unknown_zone_is_an_error_and_not_utc():
    with pytest.raises(ConfigurationError) as caught:
        kept(FORTNIGHT, rules("Europe/Bärlin", keep_daily=1))
    assert "Bärlin" in str(caught.value) and "tzdata" in str(caught.value)


def test_without_a_rule_all_stay():
    assert kept(FORTNIGHT, rules()) == {time: ["no rule was given"] for time in FORTNIGHT}


def test_nothing_is_decided_about_no_backups():
    assert decide([], rules(keep_daily=1, within=Duration(days=1)), NOW) == []


def test_the_newest_verified_stays_beside_newer_ones_that_are_not():
    made = [backup(NOW - timedelta(hours=1), None), backup(NOW - timedelta(hours=2), "presence"),
            backup(NOW - timedelta(hours=3), "checksum"), backup(NOW - timedelta(hours=4))]
    decisions = decide(made, rules(keep_last=1), NOW)
    assert [decision.reasons for decision in decisions] == [["last"], [], ["the newest verified"], []]


def test_what_a_wrong_clock_made_stays_and_is_not_what_others_are_measured_by():
    future = backup(NOW + timedelta(days=3650))
    made = [future, backup(NOW), backup(NOW - timedelta(days=1)), backup(NOW - timedelta(days=3))]
    decisions = decide(made, rules(keep_last=1, within=Duration(days=2)), NOW)
    assert [decision.reasons for decision in decisions] == [
        ["it is from the future: look at the clock"], ["the newest verified", "within 2d", "last"], ["within 2d"], []]


def test_each_decision_is_shown_with_its_reasons():
    decisions = decide([backup(NOW), backup(NOW - timedelta(days=1))], rules(keep_last=1), NOW)
    assert [decision.to_dict() for decision in decisions] == [
        {"id": "notes-20261120T120000Z", "kept": True, "reasons": ["the newest verified", "last"]},
        {"id": "notes-20261119T120000Z", "kept": False, "reasons": []}]


MINUTES = some.integers(-30000, 500 * 24 * 60)
BACKUPS = some.lists(
    some.builds(lambda minutes, level, problem: backup(NOW - timedelta(minutes=minutes), level, problem), MINUTES,
                some.sampled_from([None, "presence", "checksum", "content"]),
                some.sampled_from([None, None, None, "the archive is missing"])),
    max_size=25, unique_by=lambda each: each.id).map(newest_first)
NUMBERS = some.dictionaries(some.sampled_from(COUNTS), some.integers(0, 8))
RULES = some.builds(Retention, NUMBERS,
                    some.none() | some.builds(Duration, days=some.integers(0, 40), hours=some.integers(1, 40)),
                    some.sampled_from(["UTC", BERLIN, "America/New_York", "Asia/Kolkata"]))


def ids_kept(backups, retention, held=()):
    return [decision.backup.id for decision in decide(backups, retention, NOW, held) if decision.kept]


@given(BACKUPS, RULES)
def test_all_backups_are_decided_about_once_and_in_order(backups, retention):
    assert [decision.backup for decision in decide(backups, retention, NOW)] == backups


@given(BACKUPS, RULES, some.data())
def test_what_must_never_be_pruned_is_kept(backups, retention, data):
    held = data.draw(some.sets(some.sampled_from([each.id for each in backups]))) if backups else set()
    stay = set(ids_kept(backups, retention, held))
    assert stay >= held
    assert stay >= {each.id for each in backups if each.problem is not None}
    assert stay >= {each.id for each in backups if each.manifest.created > NOW + FUTURE}
    verified = [each for each in backups if each.problem is None and each.manifest.created <= NOW + FUTURE
                and (each.manifest.content["verified"] or {}).get("level") in ("checksum", "content")]
    assert stay >= {max(verified, key=lambda each: each.id).id} if verified else True


@given(BACKUPS, RULES, some.sampled_from(COUNTS), some.integers(1, 5))
def test_a_larger_count_keeps_at_least_as_much(backups, retention, rule, more):
    larger = Retention(dict(retention.counts, **{rule: retention.counts[rule] + more}), retention.within, retention.timezone)
    if not retention.keeps_all:
        assert set(ids_kept(backups, larger)) >= set(ids_kept(backups, retention))


@given(BACKUPS, RULES)
def test_what_a_first_pruning_keeps_a_second_keeps_too(backups, retention):
    stay = ids_kept(backups, retention)
    left = [each for each in backups if each.id in stay]
    assert ids_kept(left, retention) == stay


@given(BACKUPS, RULES)
def test_a_rule_keeps_no_more_than_it_says(backups, retention):
    reasons = [reason for decision in decide(backups, retention, NOW) for reason in decision.reasons]
    for rule, count in retention.counts.items():
        name = rule[len("keep_"):]
        assert reasons.count(name) + reasons.count("oldest " + name) <= count


def test_two_years_of_hourly_backups_never_lose_the_newest_verified_one():
    """With gaps, runs that fail, a host whose clock is wrong for some days, and pruning after each good run alone."""
    chance = random.Random(20261120)
    retention = rules(BERLIN, within=Duration(hours=30), keep_last=3, keep_daily=7, keep_weekly=5, keep_monthly=12, keep_yearly=5)
    now, backups, skipped, wrong = utc("2024-11-20 00:00"), [], 0, timedelta(0)
    for hour in range(2 * 365 * 24):
        now += timedelta(hours=1)
        skipped = max(skipped - 1, chance.choice([0] * 400 + [30, 200]))
        if chance.random() < 0.001:
            wrong = chance.choice([timedelta(0), timedelta(days=-400), timedelta(days=3), timedelta(hours=-1)])
        elif chance.random() < 0.02:
            wrong = timedelta(0)
        if skipped or chance.random() < 0.03:
            continue
        clock = now + wrong
        fresh = backup(clock)
        newest = max((each.id for each in backups), default="")
        backups = newest_first(backups + [fresh])
        if fresh.id < newest:
            continue  # The guard of a run that sees its clock go backwards: red, and nothing is pruned.
        decisions = decide(backups, retention, clock)
        backups = [decision.backup for decision in decisions if decision.kept]
        assert fresh in backups
        assert len(backups) < 200
    counted = [decision for decision in decide(backups, retention, now) if "weekly" in decision.reasons]
    assert len(counted) == 5


def test_the_example_of_the_guide():
    """One backup each night at two o'clock UTC since September, but for the 18th of November; see docs/schedule.md."""
    nights = [(utc("2026-11-20 02:00") - timedelta(days=days)).strftime("%Y-%m-%d %H:%M") for days in range(80) if days != 2]
    found = kept(nights, rules(BERLIN, keep_daily=3, keep_weekly=2, keep_monthly=2))
    assert found == {"2026-11-20 02:00": ["daily", "weekly", "monthly"], "2026-11-19 02:00": ["daily"], "2026-11-17 02:00": ["daily"],
                     "2026-11-15 02:00": ["weekly"], "2026-10-31 02:00": ["monthly"]}
