# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where things lie: the checkout, what the checks make in it, and the environment that they run in."""

from __future__ import annotations

import os
import pathlib

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
BUILD = CHECKOUT / "build"
LOGS = BUILD / "logs"
DIST = BUILD / "dist"
INSTALLED = BUILD / "installed"
VENVS = CHECKOUT / ".venv"
INSIDE = pathlib.Path("ansible_collections", "appstate", "backup")

# Tests run in the first copy. Those who look at every file have one of their own: what integration tests leave for a moment would
# be in their way; and so have the linters, which leave caches behind.
TREE = BUILD / INSIDE
SANITY_TREE = BUILD / "sanity" / INSIDE
LINT_TREE = BUILD / "lint" / INSIDE


def environment(venv, interpreters, collections):
    """The environment of a check: the venv's programs first, no setting of Ansible or Python from outside."""
    kept = {name: value for name, value in os.environ.items()
            if not name.startswith(("ANSIBLE_", "PYTEST_")) and name not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    kept.update(
        PATH=os.pathsep.join([str(venv / "bin")] + search_path(interpreters)),
        LC_ALL="C.UTF-8",
        PYTHONDONTWRITEBYTECODE="1",
        ANSIBLE_COLLECTIONS_PATH=str(collections),
    )
    return kept


def search_path(interpreters):
    """PATH with the interpreters' own folders, and without pyenv's shims: those of unselected versions exit 127."""
    real = [os.path.dirname(path) for path in interpreters.values()]
    outside = [folder for folder in os.environ.get("PATH", os.defpath).split(os.pathsep)
               if not folder.rstrip("/").endswith("/shims")]
    folders = outside + ["/usr/local/sbin", "/usr/sbin", "/sbin"]
    # The system's own folders stay ahead of pyenv's, so that a plain "python3" is the system's.
    return list(dict.fromkeys(folders + real))
