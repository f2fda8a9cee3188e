# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which sources are restored by a Store, and by which one."""

from __future__ import annotations

from .bucket_store import BucketStore
from .command_store import CommandStore
from .postgresql_store import PostgresqlStore
from .volume_store import VolumeStore

STORES = {"bucket": BucketStore, "command": CommandStore, "postgresql": PostgresqlStore, "volume": VolumeStore}


def is_store(source):
    """Whether a source is restored by a Store."""
    return source is not None and source.type in STORES and (source.type != "command" or source.restore_argv is not None)


def store_of(app, path, root):
    """The Store for the source at a path; None where that is no store."""
    source = app.source_at(path)
    return STORES[source.type](app, source, root) if is_store(source) else None
