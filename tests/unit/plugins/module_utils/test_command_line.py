# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pathlib
import re

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.command import ACTIONS
from ansible_collections.appstate.backup.plugins.module_utils.command_line import VERSION, parser

TREE = pathlib.Path(__file__).resolve().parents[4]


def test_the_version_is_that_of_the_collection(command):
    said = re.search(r"^version: (\S+)$", (TREE / "galaxy.yml").read_text(encoding="utf-8"), re.MULTILINE).group(1)
    assert VERSION == said
    assert command("--version") == said + "\n"


def test_the_help_names_every_command_code_and_place(command):
    said = command("--help")
    for word in ("run", "list", "verify", "drill", "prune", "restore", "rollback", "commit", "check", "validate", "hold", "release"):
        assert re.search(r"^ +%s " % word, said, re.MULTILINE)
    assert "--accept-shrink" in command("run", "--help")
    for word in ("75", "78", "/etc/appstate-backup", "/var/lib/appstate-backup", "examples:"):
        assert word in said


def test_no_command_at_all_is_a_mistake(command):
    assert command(status=2) == "" and "COMMAND" in command.errors


@pytest.mark.parametrize("action", ACTIONS)
def test_all_that_is_done_can_be_asked_for(action, capsys):
    with pytest.raises(SystemExit) as ended:
        parser().parse_args([action, "--help"])
    assert ended.value.code == 0 and "usage: appstate-backup %s " % action in capsys.readouterr().out


def test_nothing_else_can_be_asked_for():
    asked = re.search(r"^  COMMAND\n((?:    .*\n)+)", parser().format_help(), re.MULTILINE).group(1)
    assert set(re.findall(r"^    (\S+)", asked, re.MULTILINE)) == set(ACTIONS)
