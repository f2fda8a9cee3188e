# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The campaign's own weakenings of the code: each can still be applied. That each turns its row red, the campaign shows."""

from __future__ import annotations

import pytest
from mutations import COLLECTION, ENGINE
from rows import ROWS, load

EACH = [(name, mutation) for name in ROWS for mutation in load(name).mutations]


@pytest.mark.parametrize("name", ROWS)
def test_every_row_has_a_weakening(name):
    assert load(name).mutations and load(name).name == name


@pytest.mark.parametrize("mutation", [mutation for unused, mutation in EACH], ids=lambda mutation: mutation.weakens)
def test_what_is_weakened_stands_there_once(mutation):
    text = (COLLECTION / ENGINE / mutation.file).read_text(encoding="utf-8")
    assert text.count(mutation.old) == 1 and mutation.new != mutation.old
    compile(text.replace(mutation.old, mutation.new), mutation.file, "exec")
