# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import time

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.remotes.attempts import attempted
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import RemoteError


class Step:
    """Fails as it is told, then succeeds."""

    def __init__(self, *lasting):
        self.left = list(lasting)
        self.tried = 0

    def __call__(self):
        self.tried += 1
        if not self.left:
            return "done"
        error = RemoteError("try %d failed" % self.tried)
        error.lasting = self.left.pop(0)
        raise error


@pytest.fixture
def pauses(monkeypatch):
    """The seconds that were waited."""
    waited = []
    monkeypatch.setattr(time, "sleep", waited.append)
    return waited


def test_what_may_be_otherwise_in_a_moment_is_tried_again(pauses):
    step = Step(False, False, False)
    assert attempted(step, 4) == "done" and step.tried == 4 and pauses == [2.0, 4.0, 8.0]
    del pauses[:]
    with pytest.raises(RemoteError, match=r"try 9 failed \(tried 9 times\)"):
        attempted(Step(*[False] * 9), 9)
    assert pauses == [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]


def test_what_stays_as_it_is_is_not_tried_again(pauses):
    step = Step(True, True)
    with pytest.raises(RemoteError, match=r"try 1 failed\.$"):
        attempted(step, 4)
    assert step.tried == 1 and pauses == []
    with pytest.raises(RemoteError, match=r"try 2 failed \(tried 2 times\)"):
        attempted(Step(False, True), 4)
    assert pauses == [2.0]
    with pytest.raises(ZeroDivisionError):
        attempted(lambda: 1 // 0, 4)
