# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a restore did, as its caller and Ansible's results and differences show it."""

from __future__ import annotations

import os

from .journal import RESTORED, ROLLING_BACK, SWAPPING, transaction_of

NONE = "none"


class Outcome:
    """What a restore did.

    Attributes:
        state: ``staged``, ``restored``, ``committed``, ``rolled_back`` or ``none``.
        changed: whether anything below the root was changed.
        content: the journal's content, or None where there was no restore.
        ended: what a killed run had left and this call ended, or None.
    """

    def __init__(self, state, changed, content=None, ended=None):
        self.state = state
        self.changed = changed
        self.content = content or {}
        self.ended = ended

    def to_dict(self):
        """The outcome as results show it; all paths are absolute."""
        root = self.content.get("root", "")
        targets = self.content.get("targets", [])
        stores = [state["title"] for state in self.content.get("stores", {}).values() if "title" in state]
        return {"state": self.state, "root": root or None, "backup": self.content.get("told"),
                "transaction": transaction_of(self.content) if self.state in ("staged", "restored") else None,
                "restored": [os.path.join(root, target["path"]) for target in targets if target["new"]] + stores,
                "absent": [os.path.join(root, target["path"]) for target in targets if not target["new"]],
                "moved_aside": asides_of(self.content),
                "warnings": self.content.get("warnings", []) + ([self.ended] if self.ended else [])}

    def diff(self):
        """The paths that are replaced and where their old state is, as Ansible shows a difference."""
        root = self.content.get("root", "")
        old, new, asides = [], [], []
        for target in self.content.get("targets", []):
            place = os.path.join(root, target["path"])
            old.append("%s: %s" % (place, "old state" if target["aside"] else "nothing"))
            new.append("%s: %s" % (place, self.content["backup"] if target["new"] else "nothing"))
            asides.extend("%s: old state" % os.path.join(root, each["aside"])
                          for each in [target] + target["sidecars"] if each["aside"])
        for state in self.content.get("stores", {}).values():
            old.append("%s: old state" % state.get("title"))
            new.append("%s: %s" % (state.get("title"), self.content["backup"]))
            asides.extend("%s: old state" % aside for aside in state.get("asides", []))
        before, after = {"rolled_back": (new + asides, old), "committed": (new + asides, new),
                         "staged": (old, old)}.get(self.state, (old, new + asides))
        return {"before": "".join(line + "\n" for line in before), "after": "".join(line + "\n" for line in after)}


def asides_of(content):
    """Where old state stands: absolute paths, and what stores call it."""
    root = content.get("root", "")
    paths = [os.path.join(root, each["aside"]) for target in content.get("targets", [])
             for each in [target] + target["sidecars"] if each["aside"]]
    return paths + [aside for state in content.get("stores", {}).values() for aside in state.get("asides", [])]


def ending(state, reached, content, ended):
    """The Outcome of a commit or a rollback that had nothing left to do itself."""
    return Outcome(state if reached else NONE, reached, content, ended)


def without_targets(content, phase):
    """What a rollback tells: where nothing had been swapped, it put nothing back."""
    return content if phase in (RESTORED, SWAPPING, ROLLING_BACK) or content is None else dict(content, targets=[], stores={})
