# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copy the checkout into a tree that Ansible's tools accept: they refuse a link, and want the collection's own path."""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess

from places import CHECKOUT

# What stays in a tree between two runs: ansible-test's own, and the repository that the tree is.
KEPT = (".git", os.path.join("tests", "output"))


def copy_tree(tree):
    """Make the tree hold exactly the files that Git lists, and those that it does not ignore; returns how many."""
    wanted = listed_files()
    if not (tree / ".git").is_dir():
        # The tools ask Git for the files of a tree, and the checkout's own repository ignores all of build/.
        subprocess.run(["git", "init", "--quiet", str(tree)], check=True)
    remove_others(tree, set(wanted))
    for name in wanted:
        source, target = CHECKOUT / name, tree / name
        if target.is_file() and filecmp.cmp(source, target) and source.stat().st_mode == target.stat().st_mode:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target, follow_symlinks=False)
    return len(wanted)


def listed_files():
    """The files of the checkout, relative to it: tracked ones that still exist, and new ones that are not ignored."""
    command = ["git", "-C", str(CHECKOUT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    names = sorted({os.fsdecode(name) for name in listed.split(b"\0") if name})
    return [name for name in names if (CHECKOUT / name).is_file()]


def remove_others(tree, wanted):
    """Delete what an earlier copy or a tool left in the tree, and folders that are empty then."""
    walked = []
    for folder, folders, files in os.walk(tree):
        here = os.path.relpath(folder, tree)
        folders[:] = [name for name in folders if os.path.normpath(os.path.join(here, name)) not in KEPT]
        walked.append(folder)
        for name in files:
            if os.path.normpath(os.path.join(here, name)) not in wanted:
                os.unlink(os.path.join(folder, name))
    for folder in reversed(walked[1:]):
        if not os.listdir(folder):
            os.rmdir(folder)
