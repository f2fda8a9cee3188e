# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a manifest tells of a database becomes SQL only by names and values that are quoted."""

from __future__ import annotations

import copy

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.postgresql.properties import creation, dressing, is_sound

SOUND = {"encoding": "UTF8", "collate": "C", "ctype": "C", "provider": "libc", "locale": None, "owner": "club",
         "connections": -1, "comment": None, "settings": [], "grants": None}
EVIL = "x\"; DROP TABLE y; --'\\"


def changed(**words):
    return dict(copy.deepcopy(SOUND), **words)


def test_a_database_is_made_as_it_was():
    assert creation("club", None) == 'CREATE DATABASE "club" TEMPLATE template0'
    assert creation("club", SOUND) == (
        "CREATE DATABASE \"club\" TEMPLATE template0 ENCODING E'UTF8' LC_COLLATE E'C' LC_CTYPE E'C' OWNER \"club\"")
    assert "LOCALE_PROVIDER icu ICU_LOCALE E'de-DE'" in creation("club", changed(provider="icu", locale="de-DE"))
    assert "LOCALE_PROVIDER" not in creation("club", changed(provider="x; y", locale="de-DE"))
    assert dressing("club", SOUND) == dressing("club", None) == []


def test_nothing_of_a_manifest_is_run():
    told = changed(encoding=EVIL, collate=EVIL, owner=EVIL, comment=EVIL, connections=3,
                   settings=[{"role": EVIL, "name": EVIL, "value": EVIL},
                             {"role": None, "name": "search_path", "value": EVIL}],
                   grants=[{"role": EVIL, "privilege": "CONNECT", "grantable": 1},
                           {"role": None, "privilege": "CREATE; DROP TABLE y", "grantable": False}])
    assert is_sound(told)
    statements = [creation(EVIL, told)] + dressing(EVIL, told)
    for statement in statements:
        # What is left when all that is quoted is taken away.
        rest = statement.replace('"x""; DROP TABLE y; --\'\\"', "").replace("E'x\"; DROP TABLE y; --''\\\\'", "")
        if "search_path" not in statement:
            assert "DROP" not in rest, statement
    assert "E'x; DROP TABLE y; --''" in [each for each in statements if "search_path" in each][0]
    assert len([each for each in statements if each.startswith("GRANT")]) == 1


@pytest.mark.parametrize("told", [
    "text", [], {}, changed(owner=None), changed(encoding=3), changed(connections="-1; DROP"), changed(settings=None),
    changed(settings=["x"]), changed(settings=[{"role": 3, "name": "x", "value": "y"}]),
    changed(settings=[{"name": "x"}]),
    changed(grants=[{"role": None}]), changed(grants="x"), changed(comment=3), changed(locale=[])])
def test_what_has_another_shape_is_refused(told):
    assert not is_sound(told)


def test_what_is_not_told_is_sound():
    assert is_sound(None) and is_sound(SOUND) and is_sound(changed(grants=[]))
