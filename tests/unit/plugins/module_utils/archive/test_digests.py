# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Digests that a thread works out are those of the same bytes at once, and no thread is left."""

from __future__ import annotations

import os
import threading

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.archive.digests import PieceDigest
from ansible_collections.appstate.backup.plugins.module_utils.archive.members import new_digest


@pytest.mark.parametrize("count", [0, 1, PieceDigest.AT_ONCE, PieceDigest.AT_ONCE + 1, 40])
@pytest.mark.parametrize("length", [1, 5000, 300000])
def test_the_digest_is_that_of_all_pieces(count, length):
    pieces = [os.urandom(length) for unused in range(count)]
    expected = new_digest()
    expected.update(b"".join(pieces))
    with PieceDigest() as digest:
        for piece in pieces:
            digest.update(piece)
        assert digest.hexdigest() == expected.hexdigest()


def test_a_short_content_needs_no_thread():
    before = threading.active_count()
    with PieceDigest() as digest:
        for unused in range(PieceDigest.AT_ONCE):
            digest.update(b"piece")
        assert threading.active_count() == before


def test_the_thread_ends_when_reading_fails():
    before = threading.active_count()
    with pytest.raises(OSError):
        with PieceDigest() as digest:
            for unused in range(3 * PieceDigest.AT_ONCE):
                digest.update(b"piece")
            assert threading.active_count() == before + 1
            raise OSError("the disk is gone")
    assert threading.active_count() == before
