# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run the checks of this collection: all stages, or those that are named.

    python3 tests/tools/check.py [--tests "WORDS"] [STAGE ...]

What is missing is installed first. A stage whose part is missing fails; the others still run.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import shlex
import signal
import sys
import time

import machine
import runner
import stages
from places import BUILD, LINT_TREE, SANITY_TREE, TREE
from tree import copy_tree


def main():
    """Do what the command line asks for; returns the exit status."""
    wanted, tests, whole = arguments()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with alone():
        return check(wanted, tests, whole)


@contextlib.contextmanager
def alone():
    """Wait for another run that works in the same build folder."""
    BUILD.mkdir(exist_ok=True)
    with (BUILD / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another run is at work in %s; waiting for it" % BUILD, flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def check(wanted, tests, whole):
    """Make ready, run the stages and sum up; returns the exit status."""
    began = time.monotonic()
    problems, interpreters = prepare(wanted)
    for tree in (TREE, SANITY_TREE, LINT_TREE):
        copy_tree(tree)
    print("Ready after %.0f s; running %s" % (time.monotonic() - began, ", ".join(wanted)), flush=True)
    outcomes = runner.run_stages([
        runner.Stage(name, [], problem=problems[name]) if problems[name] else stages.stage(name, interpreters, tests, whole)
        for name in wanted])
    return 0 if runner.sum_up(outcomes, time.monotonic() - began) else 1


def arguments():
    """The stages that are asked for (a bare "unit" is all of its Pythons; none is all), the words for their tests, and whether
    they are run whole: where all stages are run, those that try very much run in their short form."""
    names = list(stages.STAGES)
    parser = argparse.ArgumentParser(description="Run the checks of this collection.")
    parser.add_argument("stages", nargs="*", metavar="STAGE", help="one of: unit %s" % " ".join(names))
    parser.add_argument("--tests", default="", metavar="WORDS", help="what the stage's tool is to run, instead of all")
    chosen = parser.parse_args()
    wanted = [name for asked in chosen.stages for name in names if asked in (name, name.partition("-")[0])]
    if len(wanted) < len(chosen.stages):
        parser.error("not every stage is known: %s" % " ".join(chosen.stages))
    if chosen.tests:
        # The words are for one stage, and the stage "e2e" takes any test under tests/e2e.
        wanted = [name for name in wanted if name in chosen.stages or name not in stages.PARTS_OF_E2E]
    return wanted or names, shlex.split(chosen.tests), bool(wanted)


def prepare(wanted):
    """Install what the stages need; tells for each stage what stood in the way, or None, and which Pythons there are."""
    programs = {program for name in wanted for program in stages.PROGRAMS.get(name, ())}
    packages = machine.problem_of(machine.install_packages, programs)
    interpreters = machine.find_interpreters()
    environments = list(dict.fromkeys(venv for name in wanted for venv in stages.STAGES[name]))
    obstacles = machine.make_environments(environments, interpreters)
    seeded = None
    if any(name in stages.USE_ANSIBLE_TEST for name in wanted) and not any(obstacles.values()):
        seeded = machine.problem_of(machine.seed_ansible_test, environments)
    problems = {}
    for name in wanted:
        found = [obstacles[venv] for venv in stages.STAGES[name]]
        if packages and machine.missing_programs(stages.PROGRAMS.get(name, ())):
            found.append(packages)
        if name in stages.USE_ANSIBLE_TEST:
            found.append(seeded)
        problems[name] = "\n".join(text for text in found if text) or None
    return problems, interpreters


if __name__ == "__main__":
    sys.exit(main())
