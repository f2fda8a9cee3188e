# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module backup_report_info; what it tells of each app, tests of the engine say."""

from __future__ import annotations

import importlib
import json
import socket

import yaml

from ansible_collections.appstate.backup.plugins.module_utils.system.times import parse_time

MODULE = "ansible_collections.appstate.backup.plugins.modules.backup_report_info"


def test_every_app_is_told_of_in_order(host, run, tree, returned):
    host.fill()
    host.backup()
    before = tree(host.path)
    for check in (True, False):
        told = run.ok(apps=[host.described(), host.described(name="wiki"), {"name": "wrong"}], state_directory=host.state, check=check)
        assert told["changed"] is False and set(told) == set(returned) | {"changed"}
        assert [app["name"] for app in told["apps"]] == ["notes", "wiki", "wrong"]
        assert [app["counts"]["good"] for app in told["apps"]] == [1, 0, 0]
        assert [len(app["problems"]) for app in told["apps"]] == [0, 0, 1]
    assert told["host"] == socket.gethostname() and parse_time(told["time"])
    assert tree(host.path) == before


def test_what_is_told_is_what_is_documented(host, run):
    host.fill()
    host.backup()
    remotes = [{"name": "offsite", "remote": host.place("remote")}]
    app, = run.ok(apps=[host.described(remotes=remotes)], state_directory=host.state)["apps"]
    documented = yaml.safe_load(importlib.import_module(MODULE).RETURN)["apps"]["contains"]
    assert set(app) == set(documented)
    for name, told in (("backups", app["backups"][0]), ("run", app["run"]), ("remotes", app["remotes"][0])):
        assert set(told) == set(documented[name]["contains"])


def test_a_host_without_apps(run):
    assert run.ok()["apps"] == []


def test_secrets_of_apps_are_not_shown(host, run):
    ping = {"url": "https://ping.example/hush-hush-1", "stile": "x"}
    told = run(apps=[host.described(monitoring={"ping": ping}), host.described(name="hush-hush-2", monitoring={"ping": {"url": "hush-hush-2"}})],
               state_directory=host.state)
    assert "stile" in json.dumps(told) and "hush-hush" not in json.dumps(told)
