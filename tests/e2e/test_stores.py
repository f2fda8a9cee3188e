# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What tests of remotes stand on: real stores, reached by Debian's rclone, and eyes that see a secret where it is not to be."""

from __future__ import annotations

import os
import time

import pytest
from hosts.fleet import Fleet
from hosts.object_store import ObjectStore
from hosts.secrets_watch import SecretsWatch, in_files, in_text
from hosts.sftp_store import SftpStore
from hosts.store import Disk

CONFIG = "/root/rclone.conf"
CANARY = {"the canary": "canary-5f0e7a91c3"}


class Places:
    """One host that sends, and three places that it sends to."""

    def __init__(self, fleet):
        self.host = fleet["host1"]
        self.stores = {"s3": ObjectStore(fleet["host2"], size="8m"), "vault": SftpStore(fleet["host2"], size="8m"),
                       "disk": Disk(self.host, "8m")}
        described = [self.stores["s3"].described("s3"), self.stores["vault"].described("vault", self.host),
                     self.stores["disk"].described("disk")]
        self.remotes = {each["name"]: each["remote"] for each in described}
        lines = []
        for each in described:
            lines.append("[%s]" % each["name"])
            lines.extend("%s = %s" % (name, str(value).strip("\n").replace("\n", "\\n"))
                         for name, value in each.get("options", {}).items())
        self.host.write(CONFIG, "\n".join(lines) + "\n", mode=0o600)

    def rclone(self, name, *words, check=True):
        """Run rclone on the host; the last word is below a remote, unless it names one."""
        last = words[-1] if ":" in words[-1] else "%s/%s" % (self.remotes[name], words[-1])
        told = words[:-1] + (last,)
        done = self.host.ssh("rclone", "--config=" + CONFIG, "--retries=1", "--low-level-retries=1", *told)
        assert not check or done.returncode == 0, done.stderr
        return done


@pytest.fixture(scope="module", name="places")
def one_host_and_three_stores():
    with Fleet(2) as fleet:
        yield Places(fleet)


@pytest.mark.parametrize("name", ["s3", "vault", "disk"])
def test_debians_rclone_reaches_a_store_and_the_test_what_lies_there(places, name):
    store = places.stores[name]
    places.host.write("/root/note", "written on the host\n")
    places.rclone(name, "copyto", "/root/note", "host1/notes/note")
    assert store.keys() == ["host1/notes/note"] and store.keys("host1") == ["notes/note"]
    assert store.read("host1/notes/note") == b"written on the host\n"
    store.flip("host1/notes/note")
    altered = places.rclone(name, "cat", "host1/notes/note").stdout
    assert len(altered) == 20 and altered != "written on the host\n"
    store.write("host1/notes/note", b"written there\n")
    assert places.rclone(name, "cat", "host1/notes/note").stdout == "written there\n"
    store.remove("host1")
    assert places.rclone(name, "lsf", "host1/notes/", check=False).returncode != 0 or name == "s3"
    assert store.keys() == []


@pytest.mark.parametrize("name", ["s3", "vault"])
def test_a_store_can_be_killed_and_comes_back(places, name):
    places.stores[name].kill()
    assert places.rclone(name, "lsf", "", check=False).returncode != 0
    places.stores[name].start()
    places.rclone(name, "lsf", "")


@pytest.mark.parametrize("name", ["s3", "vault"])
def test_a_store_that_is_killed_breaks_what_is_on_its_way(places, name):
    places.host.run(["sh", "-c", "head -c 4000000 /dev/urandom >/root/large"])
    copying = places.host.start(["env", "-u", "AWS_CA_BUNDLE", "/usr/bin/rclone", "--config=" + CONFIG, "--retries=1",
                                 "--low-level-retries=1", "--bwlimit=500k", "copyto", "/root/large",
                                 places.remotes[name] + "/large"])
    time.sleep(2)
    assert copying.poll() is None
    places.stores[name].kill()
    assert copying.wait(30) != 0
    places.stores[name].start()
    for left in places.stores[name].keys():
        places.stores[name].remove(left)


@pytest.mark.parametrize("name", ["s3", "vault", "disk"])
def test_a_store_can_be_full(places, name):
    store = places.stores[name]
    places.host.run(["sh", "-c", "head -c 1000000 /dev/urandom >/root/large"])
    store.fill(leave=100_000)
    assert places.rclone(name, "copyto", "/root/large", "large", check=False).returncode != 0
    store.empty()
    places.rclone(name, "copyto", "/root/large", "large")
    store.remove("large")


def test_buckets_come_and_go(places):
    store = places.stores["s3"]
    store.make("another")
    assert places.rclone("s3", "lsf", "s3:").stdout.split() == ["another/", "backups/"]
    store.drop("another")
    assert places.rclone("s3", "lsf", "s3:").stdout.split() == ["backups/"]


def test_a_secret_is_seen_in_arguments_and_in_the_environment(places):
    with SecretsWatch(places.host, CANARY) as watch:
        places.host.ssh("sleep 0.05; MINE=%s sleep 0.06; rclone version >/dev/null" % CANARY["the canary"])
        assert not {program for _name, _kind, program in watch.seen} & {"rclone"}
        places.host.ssh("rclone version --s3-secret-access-key=%s" % CANARY["the canary"])
    assert ("the canary", "environ", "sleep") in watch.seen and ("the canary", "cmdline", "rclone") in watch.seen
    assert watch.programs["rclone"] > 5


@pytest.mark.parametrize("path", ["/etc/there", "/root/there", "/tmp/there", "/run/there", "/mnt/disk/there", "/var/log/there",
                                  "/usr/local/new/there"])
def test_a_secret_is_seen_in_a_file(places, path):
    places.host.write(path, b"x" * ((1 << 20) - 5) + CANARY["the canary"].encode() + b"x", mode=0o600)
    assert in_files(places.host, CANARY) == [("the canary", path)]
    os.remove(places.host.path(path))
    assert in_files(places.host, CANARY) == []


def test_a_secret_is_seen_in_a_text(places):
    assert in_text("so it says canary-5f0e7a91c3.", CANARY) == ["the canary"] and in_text("canary", CANARY) == []
