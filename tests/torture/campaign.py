# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Try to break each promise of the design, and print a table of how often that was tried and how often it went.

    python campaign.py [--form short|whole] [--row ROW]... [--case CASE] [--seed N] [--until-bad] [--json FILE]
    python campaign.py --mutations [--row ROW]...

Every row runs in processes of its own, two at a time. A figure other than zero under "bad" is a defect. With --case one
case is tried again, alone. With --mutations each row has to turn red on copies whose code was weakened: a row names them
beside its cases.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
# The collection that is tried is the one that this file is in; "hosts" lies beside this folder.
sys.path[:0] = [str(HERE.parents[4]), str(HERE), str(HERE.parent)]

# These are found only by the path above, so that they come after it (E402).
import mutations  # noqa: E402
from row import SHORT, WHOLE, Bad, Tried  # noqa: E402
from rows import ROWS, load  # noqa: E402

SEED = 20261128
WORKERS = 2
BAD_SHOWN = 5
# No row's short form takes a tenth of it on an idle machine.
SECONDS_FOR_SHORT = 400
SECONDS_TO_CLEAN_UP = 10
running = set()


class Score:
    """What a row came to so far."""

    def __init__(self, name, title):
        self.name = name
        self.title = title
        self.tried = 0
        self.cases = 0
        self.bad = []
        self.worst = None
        self.seconds = 0.0
        self._lock = threading.Lock()

    def add(self, told):
        """Takes in what a worker told of one case."""
        with self._lock:
            self._add(told)

    def _add(self, told):
        self.cases += 1
        self.tried += told["tried"]
        self.seconds += told["seconds"]
        if told["bad"] is not None:
            self.bad.append(told)
        rank = (told["bad"] is not None and 1, told["seconds"] if told["measure"] is None else told["measure"])
        if self.worst is None or rank > self.worst[0]:
            self.worst = (rank, told)

    def end(self, problem=None):
        """A row that ended badly, or that tried nothing, is as bad as one that was broken."""
        if problem is None and not self.tried:
            problem = "it tried nothing"
        if problem is not None:
            self.bad.append({"case": "", "bad": problem, "tried": 0})

    def to_dict(self, seed):
        told = {} if self.worst is None else self.worst[1]
        return {"row": self.name, "title": self.title, "cases": self.cases, "tried": self.tried, "bad": len(self.bad),
                "seconds": round(self.seconds, 1), "worst": told.get("case"), "measure": told.get("measure"),
                "unit": told.get("unit"), "seed": seed, "problems": [bad["bad"] for bad in self.bad[:BAD_SHOWN]]}


def main():
    """Do what the command line asks for; returns the exit status: 0 where nothing was bad."""
    options = arguments()
    if options.work:
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
        return work(options)
    signal.signal(signal.SIGTERM, give_up)
    if os.geteuid() != 0:
        sys.exit("The campaign takes the rights of other users and makes namespaces: run it as root")
    if options.mutations:
        return mutations.campaign(options.row or list(ROWS), options.seed)
    began = time.monotonic()
    scores = run(options.row or list(ROWS), options)
    print_table(scores, options, time.monotonic() - began)
    if options.json:
        text = json.dumps([score.to_dict(options.seed) for score in scores], indent=1, sort_keys=True)
        pathlib.Path(options.json).write_text(text + "\n", encoding="ascii")
    return 1 if any(score.bad for score in scores) else 0


def give_up(number, frame):
    """End all workers, which have process groups of their own, and then this process: its threads would wait for them."""
    for child in list(running):
        end(child)
    os._exit(128 + number)


def arguments():
    parser = argparse.ArgumentParser(description="Try to break each promise of the design.")
    parser.add_argument("--form", choices=(SHORT, WHOLE), default=WHOLE)
    parser.add_argument("--row", action="append", choices=list(ROWS), metavar="ROW", help="one of: %s" % ", ".join(ROWS))
    parser.add_argument("--case", help="one case of the one row that is named")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--until-bad", action="store_true", help="end a row with its first bad case")
    parser.add_argument("--json", metavar="FILE", help="the figures as JSON")
    parser.add_argument("--workers", type=int, default=WORKERS, metavar="N", help="so many rows at a time")
    parser.add_argument("--mutations", action="store_true", help="show that each row turns red where the code is weakened")
    parser.add_argument("--work", metavar="K/N", help=argparse.SUPPRESS)
    return parser.parse_args()


def run(names, options):
    """Run rows; returns their Scores in the order of the names. The longest begin first."""
    rows = {name: load(name) for name in names}
    scores = {name: Score(name, rows[name].title) for name in names}
    jobs = [(name, "%d/%d" % (shard, rows[name].shards)) for name in names
            for shard in range(1 if options.case else rows[name].shards)]
    jobs.sort(key=lambda job: -rows[job[0]].limit_seconds)
    with concurrent.futures.ThreadPoolExecutor(options.workers) as pool:
        for job in jobs:
            pool.submit(run_worker, scores[job[0]], rows[job[0]], job[1], options)
    return [scores[name] for name in names]


def run_worker(score, row, shard, options):
    """Run a share of a row's cases in a process of its own, and count what it tells."""
    folder = tempfile.mkdtemp(prefix="torture-%s-" % row.name)
    os.chmod(folder, 0o711)
    command = [sys.executable, str(HERE / "campaign.py"), "--work", shard, "--row", row.name, "--form", options.form,
               "--seed", str(options.seed)]
    command += ["--case", options.case] if options.case else []
    if row.private:
        command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"] + command
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, encoding="utf-8", start_new_session=True,
                             env=dict(os.environ, TORTURE_FOLDER=folder, PYTHONDONTWRITEBYTECODE="1"))
    running.add(child)
    limit = SECONDS_FOR_SHORT if options.form == SHORT else row.limit_seconds
    problem = None
    try:
        problem = listen(child, score, time.monotonic() + limit, options.until_bad)
    finally:
        end(child)
        shutil.rmtree(folder, ignore_errors=True)  # What is mounted in it went with its namespace.
        score.end(problem)
        sys.stderr.write("%s: %d tried, %d bad, after %.0f s\n" % (row.name, score.tried, len(score.bad), score.seconds))


def listen(child, score, deadline, until_bad):
    """Count until the worker has told all; returns what went wrong with the worker itself, or None."""
    over = concurrent.futures.ThreadPoolExecutor(1)
    ended = False
    try:
        while True:
            try:
                line = over.submit(child.stdout.readline).result(timeout=max(0.1, deadline - time.monotonic()))
            except concurrent.futures.TimeoutError:
                end(child)
                return "it ran longer than its limit"
            if not line:
                return None if ended else "the worker ended by itself, with status %s" % child.wait()
            told = json.loads(line)
            if "end" in told:
                ended = told["end"] is None
                if told["end"] is not None:
                    return told["end"]
                continue
            score.add(told)
            if told["bad"] is not None:
                sys.stderr.write("BAD %s %s: %s\n" % (score.name, told["case"], told["bad"]))
                if until_bad:
                    return None
    finally:
        over.shutdown(wait=False)


def end(child):
    """End a worker and all that it began."""
    if child.poll() is None:
        try:
            os.killpg(child.pid, signal.SIGTERM)
            child.wait(timeout=SECONDS_TO_CLEAN_UP)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            pass
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    child.wait()
    running.discard(child)


def work(options):
    """The inside of a worker: tells one line of JSON a case on standard output, which nobody else has."""
    told = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    os.set_inheritable(told.fileno(), False)

    def tell(**words):
        told.write(json.dumps(words) + "\n")
        told.flush()

    kind = load(options.row[0])
    folder = os.environ["TORTURE_FOLDER"]
    if kind.private:
        make_private(folder)
    number, count = (int(part) for part in options.work.split("/"))
    row = kind(options.seed, options.form, folder)
    try:
        row.open()
        for case in ([options.case] if options.case else list(row.cases())[number::count]):
            tell(**try_case(row, case))
        tell(end=None)
    except Exception:
        traceback.print_exc()
        tell(end="the row itself failed: %s" % traceback.format_exc(limit=-1).strip().splitlines()[-1])
        return 1
    finally:
        row.close()
    return 0


def make_private(folder):
    """A /var/tmp and a TMPDIR that nobody else sees."""
    for place in (folder, "/var/tmp"):
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=1777", "none", place], check=True)
    os.chmod(folder, 0o711)
    os.mkdir("/var/tmp/t", 0o1777)
    os.chmod("/var/tmp/t", 0o1777)
    tempfile.tempdir = os.environ["TMPDIR"] = "/var/tmp/t"


def try_case(row, case):
    """What became of one case, as a dictionary."""
    began, bad, tried = time.monotonic(), None, None
    try:
        tried = row.run(case)
    except Bad as error:
        bad = str(error)
    except Exception as error:
        traceback.print_exc()
        bad = "%s: %s" % (type(error).__name__, error)
    tried = tried or Tried()
    return {"case": case, "bad": bad, "tried": tried.count, "measure": tried.measure, "unit": tried.unit,
            "seconds": round(time.monotonic() - began, 4)}


def print_table(scores, options, seconds):
    """The table, then for each row how to repeat its worst case."""
    print("%-12s %9s %5s %9s  %s" % ("row", "tried", "bad", "seconds", "worst case"))
    for score in scores:
        told = score.to_dict(options.seed)
        worst = "" if told["worst"] is None else told["worst"]
        if told["measure"] is not None:
            worst += " (%.4g %s)" % (told["measure"], told["unit"])
        print("%-12s %9d %5d %9.1f  %s" % (score.name, score.tried, len(score.bad), score.seconds, worst))
    print("%-12s %9d %5d %9.1f" % ("all", sum(score.tried for score in scores), sum(len(score.bad) for score in scores), seconds))
    print("\nTo repeat a row's worst case:")
    for score in scores:
        if score.worst is not None:
            print("  make torture WORDS='--form %s --row %s --seed %d --case \"%s\"'" % (
                options.form, score.name, options.seed, score.worst[1]["case"]))
    for score in scores:
        for bad in score.bad[:BAD_SHOWN]:
            print("BAD %s %s: %s" % (score.name, bad["case"], bad["bad"]))
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
