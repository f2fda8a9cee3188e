# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The test hosts themselves: five come up, are reached over ssh, see nothing of one another, and leave nothing."""

from __future__ import annotations

import glob
import os
import signal
import subprocess
import sys
import time

import pytest
from hosts.fleet import Fleet
from hosts.processes import CommandFailed

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
HOLD_A_FLEET = """
import sys, time
from hosts.fleet import Fleet
with Fleet(2) as fleet:
    print(fleet.folder, *[host.pid for host in fleet], flush=True)
    time.sleep(60)
"""


@pytest.fixture(scope="module", name="five")
def five_hosts():
    with Fleet(5) as fleet:
        fleet.write_inventory({"colour": "blue"}, {"host2": {"colour": "green"}})
        yield fleet


def test_every_host_is_reached_by_ansible_over_ssh(five):
    run = five.module("ansible.builtin.ping").ok()
    answers = {event["host"]: event["result"]["ping"] for event in run.events}
    assert answers == {"host%d" % number: "pong" for number in range(1, 6)}


def test_inventory_has_variables_for_all_and_for_one(five):
    run = five.module("ansible.builtin.debug", {"var": "colour"}).ok()
    colours = {event["host"]: event["result"]["colour"] for event in run.events}
    assert colours["host2"] == "green" and colours["host5"] == "blue"


def test_a_file_is_on_its_own_host_only(five):
    five["host1"].write("/etc/only-here", "x", owner="www-data", mode=0o640)
    assert five["host1"].run(["stat", "-c", "%U %a", "/etc/only-here"]).stdout == "www-data 640\n"
    with pytest.raises(CommandFailed):
        five["host2"].run(["stat", "/etc/only-here"])
    assert not os.path.exists("/etc/only-here")


def test_a_host_has_its_own_name_address_and_processes(five):
    for number in (1, 5):
        host = five["host%d" % number]
        assert host.run(["hostname"]).stdout == host.name + "\n"
        seen = host.ssh("cat /proc/1/cmdline; ip -brief address").stdout
        assert "hosts.boot" in seen and host.address in seen
    sleeping = five["host3"].start(["sleep", "4242"])
    assert "sleep 4242" not in five["host4"].run(["ps", "-eo", "args"]).stdout
    until = time.monotonic() + 5
    while "sleep 4242" not in five["host3"].run(["ps", "-eo", "args"]).stdout:
        assert time.monotonic() < until
    sleeping.kill()
    sleeping.wait()
    while "sleep 4242" in five["host3"].run(["ps", "-eo", "args"]).stdout:
        assert time.monotonic() < until


def test_a_process_can_run_as_the_application_user(five):
    assert five["host1"].run(["id", "-un"], user="www-data").stdout == "www-data\n"


def test_hosts_see_neither_home_nor_temporary_files_of_the_machine(five):
    assert five["host1"].run(["ls", "-A", "/tmp", "/home"]).stdout.split() == ["/home:", "/tmp:"]


def test_hosts_reach_one_another_by_name(five):
    five["host1"].run(["bash", "-c", "exec 3<>/dev/tcp/host2/22; head -c 4 <&3"])


def test_a_host_can_have_systemd_and_cron():
    with Fleet(2, cron=True, systemd=["host2"]) as fleet:
        assert "cron -f" in fleet["host1"].run(["ps", "-eo", "args"]).stdout
        assert fleet["host2"].read("/proc/1/comm") == b"systemd\n"
        assert fleet["host2"].run(["systemctl", "is-system-running", "--wait"]).stdout == "running\n"
        assert "fleet-sshd.service" in fleet["host2"].run(["systemctl", "list-units", "--state=active"]).stdout


def test_leaving_takes_everything_down_and_twice_is_harmless():
    devices, mounts = _devices(), _mounts()
    with Fleet(2) as fleet:
        folder, pids = fleet.folder, [host.pid for host in fleet]
        fleet["host1"].run(["sh", "-c", "setsid --fork sleep 4243 >/dev/null 2>&1"])
        assert all(map(_alive, pids))
    fleet.close()
    assert not any(map(_alive, pids)) and not os.path.exists(folder)
    assert "sleep 4243" not in subprocess.run(["ps", "-eo", "args"], stdout=subprocess.PIPE, check=True).stdout.decode()
    assert (_devices(), _mounts()) == (devices, mounts)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_nothing_is_left_when_the_test_is_killed(end):
    with subprocess.Popen([sys.executable, "-c", HOLD_A_FLEET], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          env=dict(os.environ, PYTHONPATH=TESTS)) as holder:
        folder, *pids = holder.stdout.readline().decode().split()
        assert all(map(_alive, map(int, pids))) and os.path.isdir(folder)
        holder.send_signal(end)
    until = time.monotonic() + 10
    while any(map(_alive, map(int, pids))) or os.path.exists(folder):
        assert time.monotonic() < until, "still there: %s" % [folder] + pids
        time.sleep(0.05)


def _alive(pid):
    return os.path.exists("/proc/%d/root/" % pid)


def _devices():
    return sorted(glob.glob("/sys/class/net/*"))


def _mounts():
    with open("/proc/self/mounts", encoding="utf-8") as stream:
        return stream.read()
