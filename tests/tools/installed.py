# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Look at the installed collection: every plugin and role has its documentation, and nothing is in it that should not be."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

COLLECTION = pathlib.Path("ansible_collections", "appstate", "backup")
KINDS = {"modules": "module", "test": "test", "filter": "filter", "lookup": "lookup"}
UNWANTED = ("build", ".ci", ".git", ".venv", ".ansible", ".ansible-lint", "pyproject.toml", "tests/output")


def main():
    """Print what is wrong; returns the exit status."""
    problems = ["%s is in the tarball; name it in build_ignore" % name for name in UNWANTED if (COLLECTION / name).exists()]
    problems += ["%s is in the tarball" % path for path in COLLECTION.rglob("__pycache__")]
    documented = 0
    for folder, kind in KINDS.items():
        names = ["appstate.backup.%s" % path.stem for path in sorted((COLLECTION / "plugins" / folder).glob("*.py"))]
        problems += undocumented(kind, names)
        documented += len(names)
    roles = [path.parent.parent.name for path in sorted((COLLECTION / "roles").glob("*/meta/argument_specs.yml"))]
    problems += undocumented("role", ["appstate.backup.%s" % name for name in roles])
    without = sorted({path.name for path in (COLLECTION / "roles").iterdir()} - set(roles))
    problems += ["role %s has no meta/argument_specs.yml" % name for name in without]
    print("\n".join(problems) or "%d plugins and %d roles are documented" % (documented, len(roles)))
    return 1 if problems or not documented or not roles else 0


def undocumented(kind, names):
    """Those names of which ansible-doc shows nothing."""
    if not names:
        return []
    done = subprocess.run(["ansible-doc", "--type", kind, "--json"] + names, capture_output=True, text=True, check=False)
    shown = json.loads(done.stdout) if done.returncode == 0 else {}
    good = [name for name in names if (shown.get(name) or {}).get("doc") or (shown.get(name) or {}).get("entry_points")]
    return ["ansible-doc shows nothing of %s %s: %s" % (kind, name, done.stderr.strip())
            for name in names if name not in good]


if __name__ == "__main__":
    sys.exit(main())
