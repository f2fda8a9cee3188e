# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Weakenings of the code, one or more a row: applied to a copy, each has to turn its row red.

A row that stays green where the code is weak is no proof of anything.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

from rows import load

HERE = pathlib.Path(__file__).resolve().parent
COLLECTION = HERE.parents[1]
INSIDE = pathlib.Path("ansible_collections", "appstate", "backup")
ENGINE = pathlib.Path("plugins", "module_utils")


def campaign(rows, seed):
    """Applies each mutation of the rows to a copy and runs its row there; returns 0 where all turned red."""
    green = 0
    print("%-12s %-32s %8s %8s  %s" % ("row", "file", "seconds", "verdict", "weakened"))
    for name in rows:
        for mutation in load(name).mutations:
            began = time.monotonic()
            red = turns_red(name, mutation, seed)
            green += not red
            print("%-12s %-32s %8.1f %8s  %s" % (name, mutation.file, time.monotonic() - began, "red" if red else "GREEN",
                                                 mutation.weakens), flush=True)
    return 1 if green else 0


def turns_red(name, mutation, seed):
    """Whether the row sees the weakening: exit status 1, and a case that is bad."""
    with tempfile.TemporaryDirectory(prefix="torture-mutation-") as top:
        os.chmod(top, 0o711)
        weakened = pathlib.Path(top) / INSIDE
        shutil.copytree(COLLECTION, weakened, ignore=shutil.ignore_patterns(".git", ".venv", "build", "__pycache__"))
        apply(mutation, weakened)
        done = subprocess.run(
            [sys.executable, str(weakened / "tests" / "torture" / "campaign.py"), "--form", "short", "--row", name,
             "--seed", str(seed), "--until-bad"], env=dict(os.environ, PYTHONPATH=top, ANSIBLE_COLLECTIONS_PATH=top),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8", check=False)
    return done.returncode == 1 and "BAD %s " % name in done.stdout


def apply(mutation, collection):
    """Weakens a copy of the collection."""
    path = collection / ENGINE / mutation.file
    text = path.read_text(encoding="utf-8")
    if text.count(mutation.old) != 1:
        raise ValueError("%s: what is to be weakened does not stand there once: %s" % (mutation.file, mutation.old))
    path.write_text(text.replace(mutation.old, mutation.new), encoding="utf-8")
