# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What comes by -e is text: every condition of a role makes a boolean of it first."""

from __future__ import annotations

import pathlib
import re

import pytest
import yaml

TREE = pathlib.Path(__file__).resolve().parents[2]
CONDITIONS = ("when", "failed_when", "changed_when", "until")


def booleans():
    """The names of all options that are booleans."""
    for path in TREE.glob("roles/*/meta/argument_specs.yml"):
        for entry in yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"].values():
            yield from (name for name, option in entry["options"].items() if option.get("type") == "bool")


def conditions(value):
    """Every condition in what a file of tasks holds, wherever it stands."""
    if isinstance(value, list):
        for item in value:
            yield from conditions(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from map(str, item if isinstance(item, list) else [item]) if key in CONDITIONS else conditions(item)


@pytest.mark.parametrize("path", sorted(TREE.glob("roles/*/tasks/*.yml")) + sorted(TREE.glob("playbooks/*.yml")),
                         ids=lambda path: str(path.relative_to(TREE)))
def test_no_text_is_taken_for_a_boolean(path):
    unsure = re.compile(r"\b(%s)\b(?! \| bool\b)" % "|".join(sorted(booleans())))
    for condition in conditions(yaml.safe_load(path.read_text(encoding="utf-8"))):
        assert not unsure.search(condition), condition
