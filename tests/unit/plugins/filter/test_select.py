# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible.errors import AnsibleError

from ansible_collections.appstate.backup.plugins.filter import select as plugin

select = plugin.FilterModule().filters()["select"]


def backup(day, size, **words):
    """A backup as backup_info tells of it; the newest is that of the 19th."""
    return dict({"id": "notes-202611%dT030000Z" % day, "good": True, "problem": None, "size": size, "host": "web1",
                 "created": "2026-11-%dT03:00:00Z" % day, "age_seconds": (20 - day) * 86400, "app_version": None}, **words)


CATALOG = [backup(19, 900), backup(18, 2000, app_version="2.1"), backup(17, 3000),
           {"id": "notes-20261116T030000Z", "good": False, "problem": "the archive is missing"}]
NEWEST, SECOND, OLDEST, DAMAGED = CATALOG


class WrappedText(str):
    """Like the strings that Ansible tags: a str, under another name."""


@pytest.mark.parametrize("expression, picked", [
    ("[?good]", [NEWEST, SECOND, OLDEST]),
    ("[?good] | [0]", NEWEST),
    ("[?good] | [-1]", OLDEST),
    ("[?good && size > `1000`] | [0]", SECOND),
    ("[?good && size > `9000`]", []),
    ("[?good && size > `9000`] | [0]", None),
    ("[?!good].problem", ["the archive is missing"]),
    ("[?good && age_seconds > `86400`] | [0]", SECOND),
    ("[?good && created <= '2026-11-18T03:00:00Z'] | [0]", SECOND),
    ("[?good && created < '2026-11-18T03:00:00Z'] | [0]", OLDEST),
    ("[?good && starts_with(created, '2026-11-18')] | [0].id", "notes-20261118T030000Z"),
    ("[?app_version == '2.1'] | [0]", SECOND),
    ("max_by([?good], &size)", OLDEST),
    ("length([?good])", 3),
    ("[?good][0]", []),  # the pitfall that the documentation tells of
])
def test_an_expression_picks_out_of_the_list_and_out_of_the_result(expression, picked):
    assert select(CATALOG, expression) == picked
    assert select({"changed": False, "backups": CATALOG}, expression) == picked


def test_no_backups_are_a_catalog_too():
    assert select([], "[?good]") == [] and select({"backups": []}, "[?good] | [0]") is None


def test_what_was_picked_can_be_picked_from():
    assert select(select(CATALOG, "[?good]"), "[-1]") == OLDEST


def test_types_that_ansible_wraps_are_what_they_wrap():
    catalog = ({WrappedText("id"): WrappedText("notes-1"), "good": True, "created": WrappedText("2026-11-19T03:00:00Z")},)
    (picked,) = select(catalog, WrappedText("[?good && contains(created, '2026-11')]"))
    assert {type(picked["id"])} == {str}


@pytest.mark.parametrize("catalog, said", [
    ("notes", "backups are picked from a list of them or from a result of backup_info, not from a str."),
    (None, "backups are picked from a list of them or from a result of backup_info, not from a NoneType."),
    (7, "not from a int."),
    ({"backups": "notes"}, "not from a str."),
    ({"changed": False, "failed": True, "msg": "x"}, "there is no 'backups' in the dictionary, but 'changed', 'failed', 'msg'."),
    ({}, "there is no 'backups' in the dictionary, but nothing."),
    ({"changed": False, "results": []}, "'changed', 'results'. It is the result of a loop: take one of its 'results'."),
    (["notes-20261119T030000Z"], "item 1 of the list is a str, not a backup."),
    ([NEWEST, [SECOND]], "item 2 of the list is a list, not a backup."),
    ([{"backups": CATALOG}], "item 1 of the list is not a backup: it has no 'id', but 'backups'."),
    ([NEWEST, {}], "item 2 of the list is not a backup: it has no 'id', but nothing."),
])
def test_what_is_no_catalog_fails_and_is_named(catalog, said):
    with pytest.raises(AnsibleError) as failure:
        select(catalog, "[?good]")
    assert str(failure.value).startswith("appstate.backup.select: ") and str(failure.value).endswith(said)


@pytest.mark.parametrize("expression, said", [
    ("[?good & size]", "appstate.backup.select: this is not a JMESPath expression: Expecting: rbracket, got: expref (column 8)\n"
                       "    [?good & size]\n"
                       "           ^"),
    ("[?starts_with(app_version, '2.')]",
     "appstate.backup.select: the types in the document do not allow this:"
     " starts_with() takes string, and is given null (column 3)\n"
     "    [?starts_with(app_version, '2.')]\n"
     "      ^"),
])
def test_an_error_is_shown_where_it_is(expression, said):
    with pytest.raises(AnsibleError) as failure:
        select(CATALOG, expression)
    assert str(failure.value) == said
