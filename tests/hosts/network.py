# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A bridge in the keeper's network namespace, and a pair of virtual devices from it to each host."""

from __future__ import annotations

import ipaddress

from .packages import find
from .processes import checked

# The addresses exist only inside the keeper's network namespace, so they collide with nothing outside.
SUBNET = ipaddress.ip_network("10.213.77.0/24")
BRIDGE = "fleet0"


def controller_address():
    """The address under which hosts reach what runs beside the keeper, such as ansible-playbook."""
    return str(SUBNET[1])


def host_address(number):
    """The address of the host with this number, counted from 1."""
    return str(SUBNET[10 + number])


def make_bridge():
    """Set up the bridge; to be called in the keeper's network namespace."""
    _ip("link", "set", "lo", "up")
    _ip("link", "add", BRIDGE, "type", "bridge", "forward_delay", "0", "stp_state", "0")
    _ip("address", "add", "%s/%d" % (controller_address(), SUBNET.prefixlen), "dev", BRIDGE)
    _ip("link", "set", BRIDGE, "up")


def plug_in(number, keeper_pid):
    """Give the calling host its device ``eth0`` and put the other end on the keeper's bridge."""
    keeper_network = "/proc/%d/ns/net" % keeper_pid
    outer_end = "host%d" % number
    _ip("link", "set", "lo", "up")
    _ip("link", "add", "eth0", "type", "veth", "peer", "name", outer_end, "netns", keeper_network)
    checked(["nsenter", "--net=" + keeper_network, find("ip"), "link", "set", outer_end, "master", BRIDGE, "up"])
    _ip("address", "add", "%s/%d" % (host_address(number), SUBNET.prefixlen), "dev", "eth0")
    _ip("link", "set", "eth0", "up")
    _ip("route", "add", "default", "via", controller_address())


def _ip(*words):
    checked([find("ip")] + list(words))
