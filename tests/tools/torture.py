# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run the whole campaign that tries to break each promise, with what it prints as it comes.

    python3 tests/tools/torture.py [WORDS]

What is missing is installed first. The words go to tests/torture/campaign.py, whose head tells them; without any, each row
is run in full, and then on copies whose code was weakened.
"""

from __future__ import annotations

import subprocess
import sys

import check
import stages
from places import LOGS, TREE
from tree import copy_tree


def main():
    """Run it; returns the exit status."""
    with check.alone():
        problems, interpreters = check.prepare([stages.TORTURE])
        if problems[stages.TORTURE]:
            sys.exit(problems[stages.TORTURE])
        copy_tree(TREE)
        LOGS.mkdir(parents=True, exist_ok=True)

        def campaign(*words):
            command = stages.torture_command(LOGS / "torture.json") + list(words)
            return subprocess.run(command, cwd=TREE, env=stages.torture_environment(interpreters), check=False).returncode

        if sys.argv[1:]:
            return campaign(*sys.argv[1:])
        return max(campaign(), campaign("--mutations"))


if __name__ == "__main__":
    sys.exit(main())
