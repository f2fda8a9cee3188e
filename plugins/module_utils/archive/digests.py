# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Digests that are worked out beside other work: Python lets go of its lock while it digests a large piece."""

from __future__ import annotations

import queue
import threading

from .members import new_digest


class PieceDigest:
    """The digest of a content that comes in pieces.

    The first few are digested at once. A content that goes on is digested by a thread, while the next piece is read
    and written. Use it as a context manager, so that the thread ends whatever happens.
    """

    AT_ONCE = 4
    AHEAD = 4

    def __init__(self):
        self._digest = new_digest()
        self._count = 0
        self._waiting = None
        self._thread = None

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join()
            self._thread = None

    def update(self, piece):
        """Adds a piece, which must not change any more."""
        self._count += 1
        if self._count <= self.AT_ONCE:
            self._digest.update(piece)
            return
        if self._thread is None:
            self._waiting = queue.Queue(self.AHEAD)
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()
        self._waiting.put(piece)

    def _run(self):
        for piece in iter(self._waiting.get, None):
            self._digest.update(piece)

    def hexdigest(self):
        """The digest of all pieces; none may follow."""
        self.__exit__()
        return self._digest.hexdigest()
