# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Opstage CE: all of its state is one SQLite database that Prisma migrates."""

from __future__ import annotations

PROFILE = {
    # The data directory as the container sees it; where it is mounted from a host, that path is the root.
    "root": "/app/data",
    "sources": [
        # Not in it: backups/, which holds copies of this very database.
        {"type": "sqlite", "path": "opstage.db"},
    ],
    # Prisma's own table. A migration's name begins with the time at which it was written, so that the greatest tells the
    # newest; one that failed, or that was resolved as rolled back, is none.
    "version": {
        "source": "opstage.db",
        "sql": "SELECT max(CAST(migration_name AS INTEGER)) FROM _prisma_migrations"
               " WHERE finished_at IS NOT NULL AND rolled_back_at IS NULL",
    },
    # An upgrade may have to be taken back weeks later, with the database from before it.
    "retention": {"keep_within": "7d", "keep_daily": 14, "keep_weekly": 8, "keep_monthly": 12},
}
