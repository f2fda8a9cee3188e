# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ratios of remotes are what they say, and commands that follow one another end with the first that fails."""

from __future__ import annotations

import subprocess

import pytest
import recipes
from measure import Figures
from remotes import Remotes
from report import _targets_of_remotes


def took(*seconds, space=0):
    return [Figures(seconds=each, space=space) for each in seconds]


def remotes():
    """Three rounds of each."""
    found = Remotes()
    found.upload.ours, found.upload.theirs = took(5, 6, 20), took(10, 10, 10)
    found.upload.our_bytes, found.upload.their_bytes = 50, 100
    found.encryption.ours, found.encryption.theirs = took(12, 13, 14), took(10, 10, 10)
    found.restore.ours, found.restore.theirs = took(1, 1, space=3 * 2 ** 20), took(2, 2, space=600 * 2 ** 20)
    return found


def test_an_upload_is_measured_by_the_byte():
    found = remotes()
    assert found.upload.ratio == pytest.approx(0.6 * 100 / 50)
    assert found.encryption.ratio == pytest.approx(1.3)
    assert found.restore.ratio == pytest.approx(0.5)


def test_what_is_to_be_reached():
    told = {target.name.partition(" / ")[0]: target for target in _targets_of_remotes(remotes())}
    assert [(name, target.verdict) for name, target in told.items()] == [
        ("time of backup + upload", "passes"), ("time of backup with encryption", "falls short"),
        ("scratch of a restore from the remote", "passes")]
    assert told["scratch of a restore from the remote"].value == 3
    assert remotes().to_dict()["other_restore_scratch"] == 600 * 2 ** 20


def test_of_commands_that_follow_one_another_none_comes_after_one_that_fails(tmp_path):
    made = tmp_path / "a file with blanks"
    done = subprocess.run(recipes.then(["touch", str(made)], ["false"], ["rm", str(made)]), check=False)
    assert done.returncode == 1 and made.exists()
