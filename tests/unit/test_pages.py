# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the pages tell somebody to paste is right: every app in them is one that the engine takes."""

from __future__ import annotations

import pathlib
import re

import pytest
import yaml

from ansible_collections.appstate.backup.plugins.module_utils.app import parse_app

TREE = pathlib.Path(__file__).resolve().parents[2]
PAGES = [TREE / "README.md"] + sorted((TREE / "docs").rglob("*.md")) + sorted((TREE / "roles").glob("*/README.md"))
# What a variable of the vault stands for: everywhere on the pages a text, and where it counts a URL.
VARIABLE = re.compile(r"\{\{.*?\}\}")
HOST = "{{ inventory_hostname }}"
BLOCK = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)


COMMAND = re.compile(r"^ *ansible-playbook .*?[^\\]$", re.MULTILINE | re.DOTALL)


def commands():
    """Every call of a playbook of the collection, with the page that it is on."""
    for page in PAGES:
        for number, text in enumerate(COMMAND.findall(page.read_text(encoding="utf-8")), 1):
            yield pytest.param(text, id="%s-%d" % (page.relative_to(TREE), number))


def blocks():
    """Every block of YAML with the page that it is on."""
    for page in PAGES:
        for number, text in enumerate(BLOCK.findall(page.read_text(encoding="utf-8")), 1):
            yield pytest.param(text, id="%s-%d" % (page.relative_to(TREE), number))


def apps(value):
    """Every app in what a block holds, wherever it stands."""
    if isinstance(value, list):
        for item in value:
            yield from apps(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key == "appstate_apps" and isinstance(item, list):
                yield from item
            else:
                yield from apps(item)


@pytest.mark.parametrize("text", list(blocks()))
def test_every_app_on_a_page_can_be_pasted(text):
    for app in apps(yaml.safe_load(VARIABLE.sub("https://vault.example.org", text.replace(HOST, "web1")))):
        parse_app(app)


@pytest.mark.parametrize("text", list(commands()))
def test_every_playbook_and_variable_that_is_called_is_there(text):
    known = "".join(path.read_text(encoding="utf-8") for path in
                    sorted(TREE.glob("roles/*/meta/argument_specs.yml")) + sorted(TREE.glob("playbooks/*.yml")))
    for name in re.findall(r" appstate\.backup\.(\w+)", text):
        assert (TREE / "playbooks" / (name + ".yml")).is_file()
    for variable in re.findall(r"-e '?\{?\"?(\w+)", text):
        assert re.search(r"\b%s\b" % variable, known), variable
