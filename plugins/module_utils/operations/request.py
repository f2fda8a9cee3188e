# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an operator asks a restore for: which backup, which paths, and where to."""

from __future__ import annotations

from ..app import check_root


class Request:
    """What is to be restored, and where to.

    Attributes:
        which, before, archive, remote, identity: as ``selection.select`` takes them.
        only: relative paths, or empty for all.
        root: absolute; the app's own root, or another one.
        force: goes on although an earlier restore waits for a commit; what that one set aside stays where it is.
        transaction: the restore that an earlier step staged, and no other one; None for whichever there is.

    Raises:
        ConfigurationError: the root is no absolute path.
    """

    def __init__(self, app, which="latest", before=None, archive=None, only=(), target_root=None, force=False,
                 remote=None, identity=None, transaction=None):
        self.remote = remote
        self.identity = identity
        self.which = which
        self.before = before
        self.archive = archive
        self.only = list(only)
        self.root = app.root if target_root is None else check_root(target_root, "target_root", app.name)
        self.force = force
        self.transaction = transaction
