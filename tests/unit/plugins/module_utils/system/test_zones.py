# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import time

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.system.errors import ConfigurationError
from ansible_collections.appstate.backup.plugins.module_utils.system.zones import local_times, require_zone

# 2026-07-01 12:00 UTC and 2026-12-01 12:00 UTC
SUMMER, WINTER = 1782907200, 1796126400


@pytest.mark.parametrize("zone, hours", [
    ("UTC", [12, 12]), ("Europe/Berlin", [14, 13]), ("America/New_York", [8, 7]), ("Asia/Kolkata", [17, 17]), ("Etc/GMT+5", [7, 7]),
    ("America/Argentina/Buenos_Aires", [9, 9]),
])
def test_local_times(zone, hours):
    assert [each.tm_hour for each in local_times(zone, [SUMMER, WINTER])] == hours


@pytest.mark.parametrize("before", [None, "Asia/Tokyo"])
def test_the_process_keeps_its_own_zone(monkeypatch, before):
    if before is None:
        monkeypatch.delenv("TZ", raising=False)
    else:
        monkeypatch.setenv("TZ", before)
    time.tzset()
    own = time.localtime(SUMMER)
    local_times("America/New_York", [SUMMER])
    assert time.localtime(SUMMER) == own and os.environ.get("TZ") == before
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("zone", ["", "Europe/Atlantis", "../../etc/passwd", "/etc/passwd", "Europe", "Europe/Berlin\n", "CET-1CEST,M3.5.0", "Berlin"])
def test_a_zone_that_the_host_does_not_know_is_refused(zone):
    for refuse in (require_zone, lambda zone: local_times(zone, [SUMMER])):
        with pytest.raises(ConfigurationError) as caught:
            refuse(zone)
        assert repr(zone) in str(caught.value)


def test_known_zones_are_let_through():
    require_zone("UTC")
    require_zone("Europe/Berlin")
