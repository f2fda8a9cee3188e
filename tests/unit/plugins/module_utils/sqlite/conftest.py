# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fixtures that the tests of databases share."""

from __future__ import annotations

from ansible_collections.appstate.backup.tests.unit.plugins.live_databases import (  # pylint: disable=unused-import
    copy, place, small_disk)  # noqa: F401
