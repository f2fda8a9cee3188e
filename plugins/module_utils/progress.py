# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Progress on a terminal: one line that is written over, with phase, bytes, rate and time left."""

from __future__ import annotations

import time

from .system.files import readable

EVERY = 0.2


class Progress:
    """Counts bytes and shows them; on anything but a terminal it shows nothing.

    Args:
        stream: where to, usually standard error.
        what: what all of it is about, such as an app's name.
    """

    def __init__(self, stream, what):
        self._stream = stream if stream.isatty() else None
        self._what = what
        self.begin("")

    def begin(self, phase, total=None):
        """Something else begins now; ``total`` is the bytes expected, or None where that is not known."""
        self._phase = phase
        self._total = total
        self._done = 0
        self._begun = time.monotonic()
        self._shown = 0.0
        if phase:
            self.add(0)

    def add(self, count):
        """Told of bytes that were done."""
        self._done += count
        now = time.monotonic()
        if self._stream is not None and now - self._shown >= EVERY:
            self._shown = now
            self._show(self._line(now - self._begun))

    def end(self):
        """Takes the line away."""
        if self._stream is not None:
            self._show("")

    def _line(self, seconds):
        line = "%s: %s" % (self._what, self._phase)
        if self._done:
            rate = self._done / max(seconds, 0.001)
            line += " %s, %s/s" % (readable(self._done), readable(rate))
            if self._total is not None and self._done < self._total:
                line += ", %d s left" % ((self._total - self._done) / rate)
        return line

    def _show(self, line):
        self._stream.write("\r\x1b[K" + line)
        self._stream.flush()
