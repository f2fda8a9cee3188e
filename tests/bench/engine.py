# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine as a process of its own: what a module does on a host, without Ansible around it.

As a program: ``engine.py backup APP STATE``, ``engine.py run APP STATE`` or ``engine.py restore APP STATE ROOT REMOTE ARCHIVE``,
where APP is a JSON file as on a host, STATE a directory for journals and locks, and REMOTE and ARCHIVE can be empty. It prints
JSON about what came of it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def backup_command(app: Path, state: Path) -> list[str]:
    """Return the command that takes a backup."""
    return [sys.executable, __file__, "backup", str(app), str(state)]


def run_command(app: Path, state: Path) -> list[str]:
    """Return the command that takes a backup, and copies it to all remotes."""
    return [sys.executable, __file__, "run", str(app), str(state)]


def restore_command(app: Path, state: Path, root: Path, remote: str = "", archive: Path | str = "") -> list[str]:
    """Return the command that restores below ``root``: staged, validated, swapped in, committed.

    Args:
        remote, archive: the newest backup there, or that archive; without them the newest at the destination.
    """
    return [sys.executable, __file__, "restore", str(app), str(state), str(root), remote, str(archive)]


def backup(app: object, machine: object) -> dict[str, object]:
    """Take a backup and tell about its archive."""
    from plugins.module_utils.operations.backup import take_backup

    taken = take_backup(app, machine)
    return {"path": taken.backup.path, "size": taken.backup.manifest.archive["size"], "warnings": taken.warnings}


def run(app: object, machine: object) -> dict[str, object]:
    """Do all that a scheduled run does; raises what made it red."""
    from plugins.module_utils.operations.run import run_backup

    ran = run_backup(app, machine)
    if ran.error is not None:
        raise ran.error
    return {"path": ran.backup.path, "size": ran.backup.manifest.archive["size"], "copies": len(ran.copies)}


def restore(app: object, machine: object, root: str, remote: str, archive: str) -> dict[str, object]:
    """Restore to a root: staged and validated, swapped in, committed."""
    from plugins.module_utils.catalog.remote import catalog_at
    from plugins.module_utils.operations.request import Request
    from plugins.module_utils.operations.restore import Restore

    there = catalog_at(app, remote, machine) if remote else None
    transaction = Restore(app, machine, Request(app, target_root=root, remote=there, archive=archive or None))
    told = transaction.restore().to_dict()
    transaction.commit()
    return {"restored": told["restored"], "warnings": told["warnings"]}


def main(arguments: list[str]) -> None:
    """Do one operation on the app of a JSON file."""
    sys.path.insert(0, str(CHECKOUT))
    from plugins.module_utils.app import parse_app
    from plugins.module_utils.system.machine import this_machine

    what, app, state, *rest = arguments
    app = parse_app(json.loads(Path(app).read_text(encoding="utf-8")))
    machine = this_machine(state + "/state", state + "/locks")
    print(json.dumps({"backup": backup, "run": run, "restore": restore}[what](app, machine, *rest)))


if __name__ == "__main__":
    main(sys.argv[1:])
