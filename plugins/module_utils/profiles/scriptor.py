# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Scriptor: a PHP site whose pages, users and settings are in one SQLite database, beside a directory of uploads."""

from __future__ import annotations

PROFILE = {
    "root": "/opt/scriptor",
    # The web server has to read all of it and to write to data/ and public/uploads/.
    "owner": "www-data",
    "group": "www-data",
    # Which service holds the site is not the application's to say: Apache, or a PHP-FPM of some version. There is none here, so
    # a restore refuses to go on while a process holds the database.
    "sources": [
        # A site without a single item is one that was restored from the wrong file.
        {"type": "sqlite", "path": "data/imanager.db", "assertions": [{"sql": "SELECT count(*) FROM items", "min": 1}]},
        {"type": "files", "path": "public/uploads"},
        # It is there only where the operator has overridden a setting.
        {"type": "files", "path": "data/settings/custom.scriptor-config.php", "required": False},
    ],
    # Not in it, since all of that can be made again: vendor/, data/cache/, data/logs/, data/sessions/, public/editor-assets/.
    "retention": {"keep_within": "14d"},
}
