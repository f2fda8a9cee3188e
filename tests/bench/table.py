# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was measured, against what it has to reach, as a table."""

from __future__ import annotations

from dataclasses import dataclass

PASSES, FALLS_SHORT = "passes", "falls short"


@dataclass(frozen=True)
class Target:
    """One thing to reach.

    Attributes:
        name: what it is.
        value, limit: measured, and the most it may be, in ``unit``.
        note: what else a reader should know, may be empty.
    """

    name: str
    value: float
    limit: float
    unit: str
    note: str = ""

    @property
    def verdict(self) -> str:
        """``passes`` or ``falls short``."""
        return PASSES if self.value <= self.limit else FALLS_SHORT

    def to_dict(self) -> dict[str, object]:
        """Return it for JSON."""
        return {"name": self.name, "value": round(self.value, 4), "limit": self.limit, "unit": self.unit,
                "verdict": self.verdict, "note": self.note}


def megabytes(count: float) -> str:
    """Return bytes as MB of a million bytes."""
    return "%.0f" % (count / 1_000_000)


def mebibytes(count: float) -> str:
    """Return bytes as MiB."""
    return "%.1f" % (count / 2 ** 20)


def milliseconds(seconds: float) -> str:
    """Return seconds as ms."""
    return "%.0f" % (seconds * 1000)


def of_targets(targets: list[Target]) -> str:
    """Return the table of what is to be reached, with a closing line."""
    rows = [[target.name, _number(target.value, target.unit), "<= " + _number(target.limit, target.unit),
             target.verdict, target.note] for target in targets]
    short = sum(target.verdict == FALLS_SHORT for target in targets)
    closing = "All %d targets are reached." % len(targets) if not short else "%d of %d targets fall short." % (
        short, len(targets))
    return layout(["target", "measured", "limit", "", "note"], rows) + "\n\n" + closing


def _number(value: float, unit: str) -> str:
    return "%s%s" % ("%.0f " % value if unit else "%.3f" % value, unit)


def layout(heads: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table with aligned columns."""
    widths = [max(len(row[column]) for row in [heads] + rows) for column in range(len(heads))]
    lines = [heads, ["-" * width for width in widths]] + rows
    return "\n".join("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in lines)
