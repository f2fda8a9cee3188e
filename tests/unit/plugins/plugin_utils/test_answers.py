# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The shape of an answer: what the engine tells has it, and whatever is taken out or exchanged is noticed."""

from __future__ import annotations

import copy

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.operations.standing import standings
from ansible_collections.appstate.backup.plugins.plugin_utils.answers import check_app
from ansible_collections.appstate.backup.tests.unit.plugins.plugin_utils.answers import app


def places(value, path=()):
    """The path to everything in a document."""
    yield path
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(item, path + (key,))


# What may be anything: it is shown as text, or not at all.
FREE = ("objectives", "app", "host", "which", "warnings")
PATHS = [path for path in places(app()) if path and not (path[0] == "drills" and len(path) > 2 and path[2] in FREE) and "rows" not in path]


def test_what_the_engine_tells_has_it(host):
    host.fill()
    host.backup()
    described = host.described(objectives={"rpo": "26h"}, remotes=[{"name": "offsite", "remote": host.place("remote")}])
    for told in standings([described, {"name": "wrong"}], host.machine):
        check_app(told)
    check_app(app())


@pytest.mark.parametrize("path", PATHS, ids=lambda path: ".".join(map(str, path)))
def test_nothing_in_it_can_be_something_else(path):
    told = copy.deepcopy(app())
    place = told
    for key in path[:-1]:
        place = place[key]
    for wrong in (object(), {"a": 1} if not isinstance(place[path[-1]], dict) else [1]):
        place[path[-1]] = wrong
        # A time that is of another type is noticed as such.
        with pytest.raises((ValueError, AttributeError)):
            check_app(told)


@pytest.mark.parametrize("key", sorted(app()))
def test_nothing_can_be_left_out(key):
    told = app()
    del told[key]
    with pytest.raises(ValueError):
        check_app(told)
