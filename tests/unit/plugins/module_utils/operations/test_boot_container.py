# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real application in a real container, started on restored state, and gone again whatever happens."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import time

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.containers import engine
from ansible_collections.appstate.backup.plugins.module_utils.operations.drill import DrillRequest, drill
from ansible_collections.appstate.backup.tests.unit.plugins.leftovers import nothing_left
from ansible_collections.appstate.backup.tests.unit.plugins.podman_machine import (  # pylint: disable=unused-import
    BUSYBOX, containers, containers_of_module)  # noqa: F401

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="podman has storage of its own where root mounts it")

# In words that no other test's processes have among their arguments.
SECRET = "canary 5ecre7 'of the boot' \"app\"\nand more"
# Tells of what it sees, and changes the state that it has.
HEALTH = r"""#!/bin/sh
printf 'Content-Type: application/json\r\n\r\n'
echo changed > /data/a.txt.new && mv /data/a.txt.new /data/a.txt
printf '{"note": "%s", "net": "%s", "key": "%s", "port": "%s"}' "$(cat /data/b.txt)" "$(ls /sys/class/net | tr -d '\n')" \
    "$(printf %s "$KEY" | md5sum | cut -d ' ' -f 1)" "$APPSTATE_PORT"
"""


@pytest.fixture
def filled(host):
    """An application whose state is what a web server serves."""
    host.write("uploads/a.txt", b"a")
    host.write("uploads/b.txt", b"of the backup")
    host.write("uploads/cgi-bin/health", HEALTH.encode(), 0o755)
    os.chmod(host.at("uploads"), 0o755)
    os.chmod(host.at("uploads/cgi-bin"), 0o755)
    host.backup(sources=[{"type": "files", "path": "uploads"}])
    host.write("uploads/b.txt", b"of today")
    return host


def words(container=None, health=None, **boot):
    """Words of an app whose drill starts a container."""
    told = dict({"image": BUSYBOX, "mounts": {"/data": "uploads"}, "argv": ["httpd", "-f", "-p", "{port}", "-h", "/data"]}, **(container or {}))
    return {"sources": [{"type": "files", "path": "uploads"}],
            "drill": {"boot": dict({"container": told}, **boot),
                      "health": dict({"url": "http://127.0.0.1:{port}/cgi-bin/health", "retries": 20, "delay": 0.5}, **(health or {}))}}


def run(host, **told):
    with nothing_left():
        done = drill(host.app(**told), host.machine, DrillRequest())
    assert host.left() == []
    return done


def cases(done):
    return [(case.check, case.outcome) for case in done.cases if case.check in ("boot", "health")]


def names(machine):
    return machine.podman("ps", "--all", "--format", "{{.Names}}").decode().split()


def test_it_serves_the_restored_state_and_has_no_network(filled, containers, tree):  # noqa: F811
    before, seen, ended = tree(filled.root), [], threading.Event()

    def look():
        """Whether anybody can read the secret among the arguments of a process."""
        while not ended.is_set():
            for pid in filter(str.isdigit, os.listdir("/proc")):
                try:
                    with open("/proc/%s/cmdline" % pid, "rb") as file:
                        seen.extend([pid] if b"of the boot" in file.read() else [])
                except OSError:
                    continue

    thread = threading.Thread(target=look)
    thread.start()
    try:
        done = drill(filled.app(**words(environment={"KEY": SECRET, "HOME": "/nowhere", "PATH": "/bin"})), filled.machine, DrillRequest())
    finally:
        ended.set()
        thread.join()
    assert done.ok, done.problem
    assert cases(done) == [("boot", "passed"), ("health", "passed")] and done.rto == done.healthy > done.restored
    assert done.answer["note"] == "of the backup" and done.answer["net"] == "lo" and done.answer["port"].isdigit()
    assert done.answer["key"] == hashlib.md5(SECRET.encode()).hexdigest()
    assert seen == [] and "canary" not in repr(done.to_dict())
    assert names(containers) == [] and tree(filled.root) == before and filled.left() == []


@pytest.mark.parametrize("container, health, said", [
    ({"argv": ["sh", "-c", "echo no database here; exit 3"]}, {}, "has ended; it said: no database here"),
    ({"argv": ["sleep", "300"]}, {"retries": 1}, "is not well: "),
    ({}, {"url": "http://127.0.0.1:{port}/none", "retries": 1}, "is not well: HTTP status 404")])
def test_one_that_is_not_well_fails(filled, containers, container, health, said):  # noqa: F811
    done = run(filled, **words(container, health))
    assert cases(done) == [("boot", "passed"), ("health", "failed")] and said in done.problem, done.problem
    assert names(containers) == []


@pytest.mark.parametrize("container, said", [
    ({"image": "localhost/none"}, "none"), ({"argv": ["/no/such/program"]}, "/no/such/program"), ({"mounts": {"/data": "missing"}}, "missing")])
def test_what_cannot_be_started_is_told_as_the_engine_says_it(filled, containers, container, said):  # noqa: F811
    done = run(filled, **words(container))
    assert cases(done) == [("boot", "failed"), ("health", "skipped")] and said in done.problem and "podman" in done.problem, done.problem
    assert names(containers) == []


def test_an_engine_that_is_not_there_is_named_with_its_package(filled, containers, monkeypatch):  # noqa: F811
    monkeypatch.setattr(engine, "shutil", type("Nothing", (), {"which": staticmethod(lambda unused: None)}))
    done = run(filled, **words({"engine": "podman"}))
    assert cases(done) == [("boot", "failed"), ("health", "skipped")] and "podman is not installed on this host. Install the package podman" in done.problem


def test_docker_does_the_same(filled, containers):  # noqa: F811
    containers.serve()
    done = run(filled, **words({"engine": "docker"}, environment={"KEY": "x"}))
    assert done.ok, done.problem
    assert done.answer["note"] == "of the backup" and done.answer["net"] == "lo" and names(containers) == []
    done = run(filled, **words({"engine": "docker", "argv": ["sh", "-c", "echo no database here; exit 3"]}))
    assert "has ended; it said: no database here" in done.problem and names(containers) == []


def test_the_image_says_what_runs_and_all_of_the_root_can_be_mounted(filled, containers):  # noqa: F811
    containers.podman("create", "--name", "made", BUSYBOX, "true")
    containers.podman("commit", "--quiet", "--change", 'CMD ["sh", "-c", "exec httpd -f -p $APPSTATE_PORT -h /state/uploads"]', "made", "localhost/notes")
    containers.podman("rm", "made")
    told = words({"image": "localhost/notes", "mounts": {"/state": "."}, "argv": None}, {"url": "http://127.0.0.1:{port}/b.txt"})
    done = run(filled, **told)
    assert done.ok, done.problem
    containers.podman("rmi", "localhost/notes")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_one_that_is_killed_in_the_middle_leaves_no_container(filled, containers, number):  # noqa: F811
    told = words({"argv": ["sleep", "300"]}, {"retries": 1000})
    pid = os.fork()
    if not pid:
        try:
            drill(filled.app(**told), filled.machine, DrillRequest())
        finally:
            os._exit(0)
    until = time.monotonic() + 20
    while not names(containers) and time.monotonic() < until:
        time.sleep(0.1)
    assert len(names(containers)) == 1 and names(containers)[0].startswith("appstate-drill-notes-")
    os.kill(pid, number)
    os.waitpid(pid, 0)
    until = time.monotonic() + 20
    while names(containers) and time.monotonic() < until:
        time.sleep(0.1)
    assert names(containers) == []
    assert run(filled, **words()).ok


def test_what_a_host_that_went_down_has_left_goes_with_the_next_drill(filled, containers):  # noqa: F811
    for name, app in (("appstate-drill-notes-0123abcd", "notes"), ("of-another", "notes2")):
        containers.podman("create", "--name", name, "--label", "appstate.backup.drill=" + app, BUSYBOX, "true")
    assert run(filled, **words()).ok
    assert names(containers) == ["of-another"]
