# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Brings a dump into its store beside the live state, for a moment: only the server can tell what is in it."""

from __future__ import annotations

import secrets
from functools import partial

from ..sources.checking import COPY
from ..sources.store import Staged
from ..sources.stores import store_of
from ..system.errors import AppStateError, ConfigurationError, StoreUnreachable


class Rehearsal:
    """How one went.

    Attributes:
        problem: what is wrong with the dump, as a text, or None.
        note: why it was not tried, as a text, or None.
    """

    def __init__(self, problem=None, note=None):
        self.problem = problem
        self.note = note


def rehearse(app, check, directory, manifest, inquiry):
    """Tries the COPY of a Check in an open private directory; the store is left as it was.

    Args:
        app: the App, or None.
        manifest: of the backup, or None.
        inquiry: the Inquiry that puts its questions to what was staged.

    Returns:
        A Rehearsal, or None where there is no store that rehearses.
    """
    store = store_of(app, check.path, None) if app is not None else None
    if store is None or not store.rehearses:
        return None
    record = next((each for each in (manifest.sources if manifest is not None else ()) if each["path"] == check.path), None)
    begun = {"token": secrets.token_hex(8), "force": False}
    try:
        state = store.stage(Staged(directory, None, COPY, None), record, begun)
    except StoreUnreachable as error:
        return Rehearsal(note="%s was not restored for a trial: %s%s" % (
            store.title, error.message, ". " + error.remedy if error.remedy else ""))
    except AppStateError as error:
        return Rehearsal(error.message)
    try:
        if inquiry.wants(check.path, check.source):
            inquiry.ask(check.path, check.source, partial(store.query, state))
        return Rehearsal()
    except ConfigurationError as error:
        return Rehearsal(error.message)
    finally:
        store.discard(state)
