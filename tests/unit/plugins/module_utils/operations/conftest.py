# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An application on a host that somebody watches in every way there is, and remotes that a kill can come to at any step."""

from __future__ import annotations

import json
import os
import re

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.catalog import remote as catalog_remote
from ansible_collections.appstate.backup.plugins.module_utils.catalog.catalog import list_backups
from ansible_collections.appstate.backup.plugins.module_utils.monitor import ping
from ansible_collections.appstate.backup.plugins.module_utils.operations.run import run_backup
# Fixtures: pytest finds them by their names in this file, for all tests of this folder.
from ansible_collections.appstate.backup.tests.unit.plugins.live_databases import place, small_disk  # noqa: F401  # pylint: disable=unused-import
from ansible_collections.appstate.backup.tests.unit.plugins.pings import keeps_the_secret, receiver  # noqa: F401  # pylint: disable=unused-import
from ansible_collections.appstate.backup.tests.unit.plugins.stepwise_remote import Kills, Stepwise


class Watched:
    """An application on a host that somebody watches in every way there is."""

    def __init__(self, host, server):
        self.host = host
        self.server = server
        self.words = {}
        os.mkdir(host.place("metrics"))
        host.fill()

    def app(self, **words):
        monitoring = {"ping": {"url": self.server.url, "attempts": 1, "timeout": 5}, "metrics_directory": self.host.place("metrics")}
        told = dict({"monitoring": monitoring, "allow_network_destination": True}, **self.words)
        return self.host.app(**dict(told, **words))

    def run(self, accept_shrink=False, **words):
        self.server.received.clear()
        return run_backup(self.app(**words), self.host.machine, accept_shrink=accept_shrink)

    def status(self):
        with open(self.host.place("state", "status", "notes.json"), encoding="ascii") as file:
            return json.load(file)

    def metrics(self):
        with open(self.host.place("metrics", "appstate_backup_notes.prom"), encoding="ascii") as file:
            found = re.findall(r'^appstate_backup_(\w+)\{app="notes"\} (.*)$', file.read(), re.MULTILINE)
        return {name: float(value) for name, value in found}

    def audit(self):
        with open(self.host.place("state", "audit.jsonl"), encoding="ascii") as file:
            return [json.loads(line) for line in file]

    def backups(self):
        return [backup.id for backup in list_backups(os.path.join(self.host.destination, "notes"), "notes") if backup.problem is None]

    def is_green(self, ran):
        """Whether all say that it went well."""
        assert (ran.exit_code, ran.error, ran.problem) == (0, None, None)
        status, metrics = self.status(), self.metrics()
        assert (status["state"], status["problem"], status["backup"]) == ("ok", None, ran.backup.id)
        assert status["last_success"] == status["ended"] and status["kept"] == len(self.backups()) == metrics["kept"]
        assert metrics["last_run_success"] == 1 and metrics["verified_level"] == 3
        assert metrics["size_bytes"] == os.path.getsize(ran.backup.path) and 0 < metrics["newest_age_seconds"] < 60
        assert metrics["last_success_timestamp_seconds"] == metrics["last_run_timestamp_seconds"]
        assert [line for line in self.audit() if line["action"] == "backup"][-1]["result"] == "ok"
        assert [path for unused, path, unused in self.server.received] == ["/start", ""]
        assert ran.backup.id in self.server.received[-1][2]
        return True

    def is_red(self, ran, words, exit_code=1):
        """Whether all say that it failed, and why; and none has the secret."""
        assert ran.exit_code == exit_code, ran.problem
        assert words in ran.problem
        status, metrics = self.status(), self.metrics()
        assert status["state"] == "failed" and status["problem"] == ran.problem
        assert metrics["last_run_success"] == 0
        assert metrics.get("last_success_timestamp_seconds") != metrics["last_run_timestamp_seconds"]
        assert [line for line in self.audit() if line["action"] == "backup"][-1]["result"] == ran.problem
        assert self.server.received[-1][1] == "/fail" and words in self.server.received[-1][2]
        self.keeps_the_secret(ran)
        return True

    def keeps_the_secret(self, ran):
        said = [ran.summary, json.dumps(ran.warnings), "" if ran.error is None else json.dumps(ran.error.to_dict())]
        assert keeps_the_secret(said, self.host.state, self.host.destination, self.host.place("metrics"))


@pytest.fixture
def watched(host, receiver, monkeypatch):
    monkeypatch.setattr(ping, "PAUSE", 0.01)
    return Watched(host, receiver())


@pytest.fixture
def stepwise(monkeypatch, host):
    """``Kills`` for this host, whose remotes are ``Stepwise``."""
    monkeypatch.setattr(catalog_remote, "Rclone", Stepwise)
    return Kills(host)
