# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible.errors import AnsibleError

from ansible_collections.appstate.backup.plugins.plugin_utils.plain import plain


class WrappedText(str):
    """Like the strings that Ansible tags: a str, under another name."""


class WrappedNumber(int):
    """Likewise a number."""


class WrappedList(list):
    """Like the lists that Ansible templates when they are read."""


def types(value):
    """The types of all that is in a value."""
    if isinstance(value, dict):
        return {dict}.union(*(types(item) for pair in value.items() for item in pair))
    return {list}.union(*map(types, value)) if isinstance(value, list) else {type(value)}


def test_all_of_a_document_is_of_python_s_own_types():
    document = {WrappedText("jobs"): WrappedList([WrappedText("mail"), WrappedNumber(7), 1.5, True, None]), "pair": (1, 2)}
    made = plain(document, "me")
    assert made == {"jobs": ["mail", 7, 1.5, True, None], "pair": [1, 2]}
    assert types(made) == {dict, list, str, int, float, bool, type(None)}


def test_what_json_does_not_know_is_named_with_who_was_given_it():
    with pytest.raises(AnsibleError, match="^me: the document holds a set, which JSON does not know.$"):
        plain({"jobs": [{"mail"}]}, "me")
