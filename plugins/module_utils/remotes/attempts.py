# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Another try of what may be otherwise in a moment: a network that is down, an endpoint that is busy."""

from __future__ import annotations

import time

from ..system.errors import AppStateError

# Before a second, third, ... try: so many seconds, each time twice as many.
PAUSE = 2.0
PAUSE_MOST = 60.0


def attempted(step, attempts):
    """Takes a step until it succeeds; gives up where another try would end the same way, or at the last one.

    Raises:
        AppStateError: why the last try failed.
    """
    for attempt in range(1, attempts + 1):
        try:
            return step()
        except AppStateError as error:
            if error.lasting or attempt == attempts:
                if attempt > 1:
                    error.message += " (tried %d times)" % attempt
                raise
        time.sleep(min(PAUSE * 2 ** (attempt - 1), PAUSE_MOST))
    raise AppStateError("nothing was tried")
