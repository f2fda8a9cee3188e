# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How much the unit tests try: all there is where they are asked for by name, and their short form in a run of all stages."""

from __future__ import annotations

import os
import sys

WHOLE = os.environ.get("UNIT_FORM", "whole") == "whole"
# The Python of a host with the oldest ansible-core that is supported.
BETWEEN = sys.version_info[:2] == (3, 11)


def sampled(stride, dense=1):
    """From one moment of a kill, or one byte, to the next that is tried: every one in the whole form and on one version of Python,
    a sample on the others and in the short form."""
    return dense if WHOLE and BETWEEN else stride
