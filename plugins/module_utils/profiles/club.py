# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Club: a package server with its metadata in SQLite and its tarballs and screenshots in a directory."""

from __future__ import annotations

PROFILE = {
    # cache/, logs/ and tmp/ lie there too; none of them is worth a backup, and tmp/ must never come back.
    "root": "/data",
    "service": {"name": "club"},
    # The port that the server listens on by itself. What it is called from outside, only the operator knows.
    "health": {"url": "http://localhost:8080/api/v1/health"},
    "sources": [
        {"type": "sqlite", "path": "db/club.db"},
        # Tarballs, screenshots, and dartdoc archives where they are kept as blobs.
        {"type": "files", "path": "blobs"},
    ],
    "retention": {"keep_within": "30d"},
}
