# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module backup_coverage_info, on a real tree."""

from __future__ import annotations

import os

import pytest


def test_databases_are_told_with_the_app_that_covers_them(host, run):
    host.fill()
    host.database("data/other")
    result = run.ok(paths=[host.path], apps=[host.described()])
    assert result["changed"] is False and result["complete"] is True and result["unreadable"] == 0
    assert [(os.path.relpath(each["path"], host.root), each["app"]) for each in result["databases"]] == [
        ("data/notes.db", "notes"), ("data/other", None)]
    assert [each["path"] for each in result["uncovered"]] == [host.at("data/other")]


def test_an_app_without_a_destination_covers_too(host, run):
    host.fill()
    assert run.ok(paths=[host.path], apps=[host.described(destination=None)])["uncovered"] == []


def test_places_can_be_left_out(host, run):
    host.fill()
    assert run.ok(paths=[host.path], skip=[host.at("data")])["databases"] == []


@pytest.mark.parametrize("limits", [{"limit": 1}, {"timeout": 0}])
def test_limits_are_told_of(host, run, limits, capfd):
    host.fill()
    result = run.ok(paths=[host.path], **limits)
    # Beside a controller, which a test is, ansible-core 2.19 shows warnings itself.
    warned = str(result.get("warnings", "")) + capfd.readouterr().err
    assert result["complete"] is False and "there may be more databases" in warned


def test_a_path_that_is_missing_or_an_app_that_is_none_is_refused(host, run):
    assert "cannot be walked" in run.failed(paths=[host.place("missing")])["msg"]
    result = run.failed(paths=[host.path], apps=[{"name": "notes"}])
    assert result["exit_code"] == 78 and result["msg"].startswith("app notes: ")
