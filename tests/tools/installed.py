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
    """What ansible-doc has to say against those names, and those of which it shows nothing."""
    if not names:
        return []
    page = ansible_doc(kind, names)
    problems = ["ansible-doc: %s" % page.stderr.strip()] if page.returncode or "[ERROR]" in page.stderr else []
    data = ansible_doc(kind, ["--json"] + names)
    shown = json.loads(data.stdout) if data.returncode == 0 else {}
    for name in names:
        told = shown.get(name) or {}
        if not told.get("doc") and not told.get("entry_points"):
            problems.append("ansible-doc shows nothing of %s %s: %s" % (kind, name, data.stderr.strip()))
    return problems


def ansible_doc(kind, words):
    """Ask ansible-doc for one kind of plugin."""
    return subprocess.run(["ansible-doc", "--type", kind] + words, capture_output=True, text=True, check=False)


if __name__ == "__main__":
    sys.exit(main())
