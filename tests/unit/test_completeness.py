# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nothing is forgotten: every part of the collection has its tests, its documentation and its licence."""

from __future__ import annotations

import pathlib
import re

import pytest

TREE = pathlib.Path(__file__).resolve().parents[2]
PLUGINS = TREE / "plugins"
TARGETS = TREE / "tests" / "integration" / "targets"
UNIT = TREE / "tests" / "unit" / "plugins"
# Formats that cannot hold a comment, or texts for readers.
WITHOUT_LICENCE = (".md", ".txt", ".json", ".cfg")
# What ansible-test leaves in a tree.
MADE = (TREE / "tests" / "output", TREE / "tests" / "integration" / "inventory")
LICENSED = [path for folder in ("changelogs", "demo", "meta", "playbooks", "plugins", "roles", "tests", ".ci")
            for path in sorted((TREE / folder).rglob("*"))
            if path.is_file() and "__pycache__" not in path.parts and not set(MADE) & {path, *path.parents}]


def relative(path):
    """A file's name in the test's own name."""
    return str(path.relative_to(TREE))


def sources(folder):
    """The Python files below a folder that hold code."""
    return [path for path in sorted((PLUGINS / folder).rglob("*.py")) if path.name != "__init__.py"]


@pytest.mark.parametrize("path", sources("modules"), ids=relative)
def test_every_module_has_an_integration_target(path):
    # A target is run as a role of its name, and where the collection has a role of that name, that one is run.
    name = "module_" + path.stem if (TREE / "roles" / path.stem).exists() else path.stem
    assert (TARGETS / name / "tasks" / "main.yml").is_file()


@pytest.mark.parametrize("path", sources("modules"), ids=relative)
def test_every_module_that_is_given_apps_keeps_them_out_of_the_host_s_log(path):
    """Ansible writes a module's arguments there before anybody can say which of them are secrets."""
    text = path.read_text(encoding="utf-8")
    given = "dict(APP" in text or re.search(r"""['"]apps?['"]: \{|\bapps?=\{""", text)
    assert not given or "discreet(AnsibleModule)" in text


@pytest.mark.parametrize("role", sorted((TREE / "roles").iterdir()), ids=relative)
def test_every_role_has_a_target_a_page_and_a_specification(role):
    assert (TARGETS / ("role_" + role.name) / "tasks" / "main.yml").is_file()
    assert (role / "README.md").is_file()
    assert (role / "meta" / "argument_specs.yml").is_file()


@pytest.mark.parametrize("path", sources("action") + sources("filter") + sources("lookup") + sources("test"), ids=relative)
def test_every_plugin_has_unit_tests(path):
    assert (UNIT / path.parent.name / ("test_" + path.name)).is_file()


@pytest.mark.parametrize("path", sorted((PLUGINS / "module_utils").glob("[a-z]*")), ids=relative)
def test_every_room_has_unit_tests(path):
    if path.is_dir():
        assert list((UNIT / "module_utils" / path.name).glob("test_*.py"))
    else:
        assert (UNIT / "module_utils" / ("test_" + path.name)).is_file()


@pytest.mark.parametrize("path", LICENSED, ids=relative)
def test_every_file_names_its_licence(path):
    if path.suffix in WITHOUT_LICENCE or path.stat().st_size == 0:
        return
    # What others wrote has its licence beside it, and that licence's text among ours.
    beside = path if path.suffix == ".license" else path.with_name(path.name + ".license")
    if beside.is_file():
        licence = re.search(r"^SPDX-License-Identifier: (.+)$", beside.read_text(encoding="utf-8"), re.MULTILINE).group(1)
        assert (TREE / "LICENSES" / (licence + ".txt")).is_file() and beside.with_suffix("").is_file()
        return
    assert "SPDX-License-Identifier: GPL-3.0-or-later" in path.read_text(encoding="utf-8")[:1500]
