# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible.errors import AnsibleError

from ansible_collections.appstate.backup.plugins.filter import with_profile as plugin
from ansible_collections.appstate.backup.plugins.module_utils.app import parse_app

with_profile = plugin.FilterModule().filters()["with_profile"]

APP = {"name": "packages", "profile": "club", "destination": "/var/backups", "sources": [{"path": "blobs", "method": "rsync"}]}


class WrappedText(str):
    """Like the strings that Ansible tags: a str, under another name."""


class LazyDictionary(dict):
    """Like the dictionaries that Ansible templates when they are read: what is inside is not what is given out."""

    def items(self):
        return [(WrappedText(key), WrappedText(value.upper()) if isinstance(value, str) else value)
                for key, value in super().items()]


def test_the_profile_says_what_the_app_does_not():
    filled = with_profile(APP)
    assert filled["root"] == "/data" and filled["service"] == {"name": "club"}
    assert filled["sources"][1] == {"type": "files", "path": "blobs", "method": "rsync"}


def test_an_app_without_a_profile_stays_as_it_is():
    told = {"name": "notes", "root": "/srv/notes", "sources": [{"type": "files", "path": "data"}]}
    assert with_profile(told) == told
    assert with_profile({"name": "half"}) == {"name": "half"}


def test_the_engine_makes_the_same_of_it_before_and_after():
    before, after = parse_app(APP), parse_app(with_profile(with_profile(APP)))
    assert [vars(source) for source in before.sources] == [vars(source) for source in after.sources]
    assert (before.root, before.service, before.health) == (after.root, after.service, after.health)


def test_what_ansible_templates_is_read_as_ansible_gives_it_out():
    told = LazyDictionary({"name": "notes", "root": "{{ a }}"})
    assert with_profile(told) == {"name": "NOTES", "root": "{{ A }}"}


@pytest.mark.parametrize("told, said", [
    (dict(APP, profile="clubb"), "app packages: there is no profile 'clubb'. The profiles are club, "),
    (dict(APP, sources=[{"path": "blob"}]), "app packages: source 1 (blob) has no 'type'"),
    ("packages", "appstate.backup.with_profile: an app is a dictionary, not a str."),
])
def test_what_cannot_be_fails_the_task(told, said):
    with pytest.raises(AnsibleError) as failure:
        with_profile(told)
    assert said in str(failure.value)
