# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``make bench``: our backup and restore beside the recipes and the tools of today, in one run, as ratios.

Names of what is measured, here and in the JSON: (a) our backup, verified to content; (b) sqlite3 .backup + tar czf;
(c) .backup + tar | zstd -3 -T0; (d) our validated restore; (e) tar xzf.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

import data
import report
from application import Application
from machine import NotReady, install_packages
from pauses import RATES, Pause, measure_pause
from remotes import PROGRAMS as REMOTE_PROGRAMS
from remotes import measure_remotes
from rounds import Rounds
from sources import Comparison, measure_sources

PROGRAMS = ("rsync", "sqlite3", "tar", "zstd")
# What the data, two backups, a snapshot and a restored copy take beside each other, times the data.
ROOM = 5
# By size: rounds of (a) to (e); measurements of pauses for each rate; seconds that a writer is watched with nobody.
ROUNDS = {"full": 3, "small": 2}
PAUSES = {"full": 3, "small": 1}
ALONE_SECONDS = {"full": 15.0, "small": 4.0}


def main() -> None:
    """Measure, print the tables, and write the JSON."""
    options = _options()
    # Terminated or interrupted, it leaves nothing behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    size = data.SIZES[options.size]
    place = Path(tempfile.mkdtemp(prefix="appstate-bench-", dir=os.environ.get("TMPDIR", "/var/tmp")))
    try:
        _need_room(place, size)
        install_packages(PROGRAMS + REMOTE_PROGRAMS)
        results = _measure(place, size)
    except NotReady as problem:
        sys.exit(str(problem))
    finally:
        shutil.rmtree(place)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(results.to_dict(), indent=1) + "\n", encoding="utf-8")
    print(results.to_text())
    print("\nAll figures: %s" % options.json)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the engine's speed, memory and pauses.")
    parser.add_argument("--size", choices=sorted(data.SIZES), default="full")
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"))
    return parser.parse_args()


def _need_room(place: Path, size: data.Size) -> None:
    needed = ROOM * (size.database_bytes + size.upload_bytes)
    free = shutil.disk_usage(place).free
    if free < needed:
        raise NotReady("%s has %d MB free, and this needs %d MB; set TMPDIR to a directory with more room"
                       % (place, free // data.MEGABYTE, needed // data.MEGABYTE))


def _measure(place: Path, size: data.Size) -> report.Results:
    _say("making a database of %d MB and %d MB of uploads"
         % (size.database_bytes // data.MEGABYTE, size.upload_bytes // data.MEGABYTE))
    application = Application(place / "large", [data.UPLOADS, data.SETTINGS])
    data.make_application(application.root, size)
    rounds = Rounds(application)
    for number in range(ROUNDS[size.name]):
        rounds.run(lambda what: _say("round %d: %s" % (number + 1, what)))
    pauses = _measure_pauses(application, size)
    remotes = measure_remotes(application, ROUNDS[size.name], _say)
    shutil.rmtree(application.place)
    small = _measure_small_files(place, size)
    shutil.rmtree(place / "small")
    return report.Results(size, _now(), rounds, small, pauses, _measure_sources(place, size), remotes)


def _measure_sources(place: Path, size: data.Size) -> list[Comparison]:
    if os.geteuid() != 0:
        _say("other sources are not measured: their servers and containers run on a host that only root can make")
        return []
    return measure_sources(place, size, ROUNDS[size.name], _say)


def _measure_pauses(application: Application, size: data.Size) -> list[Pause]:
    pauses = []
    for number in range(PAUSES[size.name]):
        for rate in RATES:
            _say("writer %d: %s" % (number + 1, "%d commits/s" % rate if rate else "as fast as it can"))
            pauses.append(measure_pause(application, rate, ALONE_SECONDS[size.name]))
    return pauses


def _measure_small_files(place: Path, size: data.Size) -> Rounds:
    _say("making %d small files" % size.small_files)
    application = Application(place / "small", [data.SMALL_FILES], space=False)
    data.make_small_application(application.root, size)
    rounds = Rounds(application)
    rounds.run(lambda what: _say("small files: %s" % what))
    return rounds


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _say(text: str) -> None:
    print("... %s" % text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
