# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Any application: only what is good for each of them."""

from __future__ import annotations

PROFILE = {
    # All of the last days, to undo what was noticed at once; fewer and fewer of a year, for what was noticed late.
    "retention": {"keep_within": "2d", "keep_daily": 14, "keep_weekly": 8, "keep_monthly": 12},
}
