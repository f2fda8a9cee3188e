# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A file system without hard links, as FAT is one."""

from __future__ import annotations

import errno
import os


def cannot_link(monkeypatch):
    """From now on link(2) is refused."""
    def refuse(*unused, **unused_words):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
    monkeypatch.setattr(os, "link", refuse)
