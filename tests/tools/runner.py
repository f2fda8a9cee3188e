# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run stages, three at a time and those that wait beside them, each into a log of its own, and sum up what they counted."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import os
import pathlib
import re
import signal
import subprocess
import threading
import time

import counts
from places import CHECKOUT, LOGS

LINES_ON_FAILURE = 120
SECONDS_TO_CLEAN_UP = 20
speak = threading.Lock()
stopping = threading.Event()
running = set()


@dataclasses.dataclass
class Check:
    """One command of a stage.

    ``count`` reads from its exit code, output and ``report`` how many tests passed and failed. Where a tool has much to
    say, lines that begin with ``findings`` are those to show when it fails; the last ``shown`` lines are when all is well.
    """

    name: str
    command: list
    cwd: pathlib.Path
    env: dict
    count: object = counts.one
    report: pathlib.Path = None
    findings: str = None
    limit_seconds: int = 2700
    shown: int = 0


@dataclasses.dataclass
class Stage:
    """Checks that run one after the other.

    A stage that could not be made ready says so in ``problem``; one that hardly does anything but wait says ``waits``.
    """

    name: str
    checks: list
    problem: str = None
    waits: bool = False


@dataclasses.dataclass
class Outcome:
    """What became of a stage."""

    name: str
    passed: int
    failed: int
    seconds: float
    notes: list


def run_stages(stages, workers=3):
    """Run all stages and return their outcomes in the order given; whatever happens, no child is left running.

    So many run at a time, one more than there are cores on a small machine, since each waits now and then; those that do hardly
    anything else run beside them.
    """
    LOGS.mkdir(parents=True, exist_ok=True)
    pools = {waits: concurrent.futures.ThreadPoolExecutor(max_workers=workers) for waits in (False, True)}
    try:
        outcomes = [pools[stage.waits].submit(run_stage, stage) for stage in stages]
        return [outcome.result() for outcome in outcomes]
    finally:
        stopping.set()
        for child in list(running):
            end(child)
        for pool in pools.values():
            pool.shutdown(cancel_futures=True)


def run_stage(stage):
    """Run every check of a stage, also after one has failed, and tell at the end what came out."""
    began = time.monotonic()
    outcome = Outcome(stage.name, 0, 0, 0.0, [])
    if stage.problem:
        outcome.failed, outcome.notes = 1, [stage.problem]
    for check in stage.checks:
        if stopping.is_set():
            break
        log = LOGS / ("%s.log" % check.name)
        status, output = run_check(check, log)
        counted = check.count(check, status, output)
        outcome.passed += counted.passed
        outcome.failed += counted.failed
        outcome.notes += counted.notes
        tell(check, counted, output, log)
    outcome.seconds = time.monotonic() - began
    return outcome


def run_check(check, log):
    """Run one command in a process group of its own; returns its exit status (None: it overran) and its output."""
    if check.report:
        check.report.unlink(missing_ok=True)
    with log.open("wb") as stream:
        child = subprocess.Popen(check.command, cwd=check.cwd, env=check.env, stdin=subprocess.DEVNULL, stdout=stream,
                                 stderr=subprocess.STDOUT, start_new_session=True)
        running.add(child)
        try:
            status = child.wait(timeout=check.limit_seconds)
        except subprocess.TimeoutExpired:
            status = None
            stream.write(b"\nEnded: it ran longer than %d s.\n" % check.limit_seconds)
        finally:
            end(child)
    return status, log.read_text(encoding="utf-8", errors="replace")


def end(child):
    """End a check together with the processes that it left behind; it may first clean up what it made."""
    if child.poll() is None:
        signal_group(child, signal.SIGTERM)
        try:
            child.wait(timeout=SECONDS_TO_CLEAN_UP)
        except subprocess.TimeoutExpired:
            pass
    signal_group(child, signal.SIGKILL)
    child.wait()
    running.discard(child)


def signal_group(child, number):
    """Send a signal to all that is left of a check."""
    try:
        os.killpg(child.pid, number)
    except ProcessLookupError:
        pass


def tell(check, counted, output, log):
    """Print a check's result: its closing line when all is well, the end of its log when not."""
    lines = output.rstrip().splitlines()
    found = [line for line in lines if check.findings and re.match(check.findings, line)]
    with speak:
        verdict = "failed" if counted.failed else "ok"
        print("--- %s: %s (%d passed, %d failed)" % (check.name, verdict, counted.passed, counted.failed))
        if counted.failed:
            print("\n".join(found or lines[-LINES_ON_FAILURE:]))
            print("All of it is in %s" % os.path.relpath(log, CHECKOUT))
        elif check.shown:
            print("\n".join(lines[-check.shown:]))
        print(flush=True)


def sum_up(outcomes, seconds):
    """Print the table of stages and the closing line; returns whether all is well."""
    passed = sum(outcome.passed for outcome in outcomes)
    failed = sum(outcome.failed for outcome in outcomes)
    print("%-14s %8s %8s %9s" % ("stage", "passed", "failed", "seconds"))
    for outcome in outcomes:
        print("%-14s %8d %8d %9.0f" % (outcome.name, outcome.passed, outcome.failed, outcome.seconds))
    print("%-14s %8d %8d %9.0f" % ("all", passed, failed, seconds))
    for outcome in outcomes:
        for note in outcome.notes:
            print("%s: %s" % (outcome.name, note))
    print("%d passed, %d failed" % (passed, failed), flush=True)
    return failed == 0 and passed > 0
