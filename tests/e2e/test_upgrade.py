# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Upgrades of an application that docker-compose runs in a real container, by the playbook: good ones, and the way back."""

from __future__ import annotations

import json
import os

import pytest
from hosts.containers import Containers
from hosts.fleet import Fleet
from hosts.packages import require
from notebooks import wait_for

UPGRADE = "appstate.backup.upgrade"
ONHOST = os.path.join(os.path.dirname(os.path.abspath(__file__)), "onhost")
BASE = "localhost/base:1"
ORDERS = 10
SECRET = "c41d-beside-the-tag"
COMPOSE = """\
version: "2.4"
services:
  shop:
    image: localhost/shop:${SHOP_TAG}
    container_name: shop
    network_mode: host
    stop_grace_period: 1s
    command: ["sh", "/bin/shop"]
    volumes:
      - /srv/shop/data:/data
"""
FILL = ("PRAGMA user_version = 1; CREATE TABLE orders (id INTEGER PRIMARY KEY, text TEXT); WITH RECURSIVE number(n) AS "
        "(SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < %d) INSERT INTO orders SELECT n, 'order ' || n FROM number;"
        % ORDERS)
APP = {"name": "shop", "root": "/srv/shop/data", "destination": "/var/backups",
       "retention": {"keep_last": 1}, "monitoring": {"syslog": False},
       "health": {"url": "http://127.0.0.1:8090/health", "retries": 4, "delay": 0.5},
       "service": {"stop": ["docker", "stop", "shop"], "start": ["docker", "start", "shop"]},
       "version": {"sql": "PRAGMA user_version"},
       "sources": [{"type": "sqlite", "path": "shop.db",
                    "assertions": [{"sql": "SELECT count(*) FROM orders", "min": 1}]}]}
VARIABLES = {"appstate_apps": [APP], "upgrade_app": "shop", "upgrade_compose_argv": ["docker-compose"],
             "upgrade_compose_pull": False, "upgrade_compose_directory": "/srv/shop", "upgrade_tag_variable": "SHOP_TAG",
             "upgrade_version_argv": ["docker", "exec", "shop", "cat", "/version"]}


class Shop:
    """The application on its host, version 1 to begin with."""

    def __init__(self, fleet):
        self.fleet = fleet
        self.host = fleet["host1"]
        containers = Containers(self.host)
        containers.make_image(BASE, ["sqlite3"])
        self.host.write_program("/srv/images/shop", os.path.join(ONHOST, "shop.sh"))
        for version in "123":
            script = "echo %s > /version; cp /in/shop /bin/shop" % version
            containers.podman("run", "--name", "making", "-v", "/srv/images:/in", BASE, "sh", "-c", script)
            containers.podman("commit", "-q", "making", "localhost/shop:" + version)
            containers.podman("rm", "making")
        containers.serve()
        self.host.write("/srv/shop/compose.yml", COMPOSE)
        self.host.write("/srv/shop/.env", "DB_PASSWORD=%s\n# The version that runs.\nSHOP_TAG=1\n" % SECRET)
        self.host.run(["install", "-d", "/srv/shop/data"])
        self.host.run(["sqlite3", "/srv/shop/data/shop.db", FILL])
        self.host.run(["sh", "-c", "cd /srv/shop && docker-compose up -d"])
        wait_for(lambda: self.says() == "1", 30)

    def upgrade(self, version, check=False, **more):
        """Run the playbook, and have it show what it changes."""
        words = {"upgrade_tag": version, "upgrade_version_expected": version}
        run = self.fleet.playbook(UPGRADE, dict(words, **more), check=check, diff=True, arguments=["-vvv"])
        assert SECRET not in run.text and SECRET not in json.dumps(run.events)
        return run

    def says(self):
        """What version the container that runs is of; None where none runs."""
        done = self.host.run(["docker", "exec", "shop", "cat", "/version"], check=False)
        return done.stdout.strip() if done.returncode == 0 else None

    def data(self):
        """The version of the data, and the number of orders."""
        told = self.host.run(["sqlite3", "/srv/shop/data/shop.db", "PRAGMA user_version; SELECT count(*) FROM orders"]).stdout
        return [int(line) for line in told.split()]

    def state(self):
        """All that an upgrade changes."""
        env = self.host.read("/srv/shop/.env").decode().splitlines()[-1]
        return self.says(), env, self.data(), sorted(os.listdir(self.host.path("/srv/shop/data")))

    def kept(self, ending):
        """The ids of the backups that are there, or that are held."""
        folder = self.host.path("/var/backups/shop")
        names = os.listdir(folder) if os.path.isdir(folder) else []
        return sorted(name[:-len(ending)] for name in names if name.startswith("shop-") and name.endswith(ending))


@pytest.fixture(scope="module", name="shop")
def shop_in_a_container():
    require({"docker-compose": "docker-compose"})
    with Fleet(1) as fleet:
        fleet.write_inventory(VARIABLES)
        yield Shop(fleet)


def shown(run):
    """What a run shows of the file that the tag is in."""
    return [result["msg"] for result in run.results("ansible.builtin.debug", status="ok") if "SHOP_TAG" in str(result["msg"])]


def test_a_good_upgrade_and_nothing_to_do_after_it(shop):
    before = shop.state()
    run = shop.upgrade("2", check=True).ok()
    assert shown(run) == [["-SHOP_TAG=1", "+SHOP_TAG=2"]] and "would be backed up and upgraded to 2" in run.text
    assert shop.state() == before and not shop.kept(".json")
    run = shop.upgrade("2").ok()
    assert shop.state() == ("2", "SHOP_TAG=2", [2, ORDERS], ["shop.db"])
    assert shown(run) == [["-SHOP_TAG=1", "+SHOP_TAG=2"]]
    assert len(shop.kept(".hold")) == 1 and "shop: upgraded to 2, from 1." in run.text
    run = shop.upgrade("2").ok()
    assert run.recap()["host1"]["changed"] == 0 and "2 runs already" in run.text and shown(run) == []


def test_a_migration_that_loses_orders_is_taken_back(shop):
    before, held = shop.state(), shop.kept(".hold")
    shop.fleet.playbook(UPGRADE, {"upgrade_tag": "", "upgrade_tasks": os.path.join(ONHOST, "cut_off.yml"),
                                  "upgrade_version_expected": "3"})
    assert shop.data() == [2, 3]
    run = shop.upgrade("3")
    assert run.returncode != 0 and shown(run) == [["-SHOP_TAG=2", "+SHOP_TAG=3"], ["-SHOP_TAG=3", "+SHOP_TAG=2"]]
    said = run.results("ansible.builtin.fail", status="failed")[-1]["msg"]
    now, = set(shop.kept(".hold")) - set(held)
    assert "it was not upgraded to 3. Probe the health of the app failed" in said and now in said, said
    assert "The old version runs again, with its state from before the upgrade" in said, said
    assert shop.state() == before and not os.path.exists(shop.host.path("/var/backups/shop/upgrade.json"))
    # What is held outlives the rules of the app.
    shop.fleet.playbook("appstate.backup.backup").ok()
    assert set(shop.kept(".hold")) <= set(shop.kept(".json"))
