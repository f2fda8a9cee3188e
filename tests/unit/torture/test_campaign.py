# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the campaign counts: nothing bad is lost, and a row that tried nothing is bad."""

from __future__ import annotations

import argparse
import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
from campaign import HERE, Score, print_table, try_case
from row import Bad, Row, Tried

OPTIONS = argparse.Namespace(seed=7, form="short")


class Example(Row):
    name = "example"

    def run(self, case):
        if case == "broken":
            raise Bad("it broke")
        if case == "defect":
            raise KeyError(case)
        return Tried(3, 2.5, "ms") if case == "measured" else None


@pytest.mark.parametrize("case, tried, bad", [
    ("well", 1, None), ("measured", 3, None), ("broken", 1, "it broke"), ("defect", 1, "KeyError: 'defect'")])
def test_what_one_case_came_to(case, tried, bad, tmp_path):
    told = try_case(Example(7, "short", str(tmp_path)), case)
    assert (told["case"], told["tried"], told["bad"]) == (case, tried, bad)


def told(case, bad=None, measure=None, tried=1, seconds=0.1):
    return {"case": case, "bad": bad, "tried": tried, "measure": measure, "unit": "ms", "seconds": seconds}


def test_a_row_is_the_sum_of_its_cases_and_its_worst_is_a_bad_one(capsys):
    score = Score("example", "an example")
    for each in (told("a", measure=9.0, tried=4), told("b", bad="it broke", measure=1.0), told("c", measure=2.0)):
        score.add(each)
    score.end()
    found = score.to_dict(7)
    assert (found["cases"], found["tried"], found["bad"], found["worst"], found["problems"]) == (3, 6, 1, "b", ["it broke"])
    print_table([score], OPTIONS, 1.0)
    said = capsys.readouterr().out
    assert "BAD example b: it broke" in said and "--row example --seed 7 --case \"b\"" in said


@pytest.mark.parametrize("problem, said", [(None, "it tried nothing"), ("the worker ended", "the worker ended")])
def test_a_row_that_tried_nothing_or_ended_by_itself_is_bad(problem, said):
    score = Score("example", "an example")
    score.end(problem)
    assert score.to_dict(7)["problems"] == [said]


def test_the_same_seed_gives_the_same_cases(tmp_path):
    def drawn(seed, *words):
        return Example(seed, "short", str(tmp_path)).random(*words).random()
    assert drawn(7, "a") == drawn(7, "a")
    assert len({drawn(7, "a"), drawn(8, "a"), drawn(7, "b")}) == 3


@pytest.mark.skipif(os.geteuid() != 0, reason="the campaign makes namespaces")
def test_a_worker_that_dies_is_seen(tmp_path):
    """A row whose case does not exist fails; the table and the exit status say so."""
    done = subprocess.run([sys.executable, str(HERE / "campaign.py"), "--row", "kill", "--form", "short", "--case", "nonsense"],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8", check=False)
    assert done.returncode == 1 and "BAD kill nonsense" in done.stdout


def workers_in(folder):
    """The processes whose row has its directory in there."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if b"TORTURE_FOLDER=" + bytes(folder) in path.read_bytes():
                found.append(path.parent.name)
    return found


@pytest.mark.skipif(os.geteuid() != 0, reason="the campaign makes namespaces")
def test_a_campaign_that_is_asked_to_end_leaves_no_worker(tmp_path):
    """Workers have process groups of their own: nobody else would end them."""
    with subprocess.Popen([sys.executable, str(HERE / "campaign.py"), "--row", "links", "--form", "short"],
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ, TMPDIR=str(tmp_path))) as campaign:
        deadline = time.monotonic() + 60
        while not workers_in(tmp_path) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert workers_in(tmp_path)
        campaign.terminate()
        assert campaign.wait(timeout=60) == 128 + signal.SIGTERM
    assert not workers_in(tmp_path)
