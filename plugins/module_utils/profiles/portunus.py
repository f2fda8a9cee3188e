# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Portunus: since version 0.8 all that the server keeps is one SQLite database, beside its TLS material and settings."""

from __future__ import annotations

PROFILE = {
    "root": "/var/lib/portunus",
    "owner": "portunus",
    "service": {"name": "portunus-server"},
    "sources": [
        # The server locks state.db.lock beside SQLite's own sidecars; one of another store is as wrong as their journal.
        {"type": "sqlite", "path": "state.db", "sidecars": [".lock"]},
        # From 0.5 to 0.7 this was the state; later versions do not have it.
        {"type": "files", "path": "identity.json", "required": False},
        # The server can do without a settings file, and its certificate may lie elsewhere.
        {"type": "files", "path": "server.toml", "required": False},
        {"type": "files", "path": "server.crt", "required": False},
        {"type": "files", "path": "server.key", "required": False},
    ],
    "version": {"source": "state.db", "sql": "SELECT version FROM schema_migrations ORDER BY version DESC LIMIT 1"},
    "retention": {"keep_within": "30d"},
}
