# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A store: state that lies outside the app's root, where a restore cannot rename files.

A PostgreSQL database, a container's volume, whatever a command fills. Each is restored in the steps of ``Store``, so
that it too is wholly old or wholly new. What a step has to know later stands in its ``state``, a dictionary that is
kept in the journal of the restore: it has to be JSON.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from ..system.errors import QueryError


class Staged:
    """What a restore has staged for one store.

    Attributes:
        tree: descriptor of the directory that the archive's members were extracted to.
        tree_path: where that is, relative to the root (text).
        path: of the source's members, relative to the tree (text).
        lines: open file with one line a member of the archive; see ``archive.reader.entries``.
    """

    def __init__(self, tree, tree_path, path, lines):
        self.tree = tree
        self.tree_path = tree_path
        self.path = path
        self.lines = lines


class Store(ABC):
    """Restores one source that is a store.

    Args:
        app, source: as the operator describes them.
        root: descriptor of the app's root; None where nothing but ``stage`` and ``discard`` are called.
    """

    # Whether verifying a backup with its app stages it too: that must leave no trace of itself.
    rehearses = False

    def __init__(self, app, source, root):
        self._app = app
        self._source = source
        self._root = root

    @property
    @abstractmethod
    def title(self):
        """What messages call it."""

    @abstractmethod
    def stage(self, staged, record, state):
        """Brings the new state beside the live one, and proves it there; the app may still run.

        Args:
            staged: a Staged.
            record: what the manifest says of the source; None for an archive without a manifest.
            state: ``{"token": 16 hexadecimal digits}``, and ``force``: whether the operator wants it whatever comes.

        Raises:
            StoreUnreachable: nobody can say whether it would work.
            AppStateError: what is wrong; nothing is left of the attempt.

        Returns:
            The state with what the next steps have to know. It may have ``warnings``, a list of texts.
        """

    def query(self, state, sql):
        """What was staged is asked: the values of the first column as bytes, which can be gone through more than once.

        Raises:
            QueryError: the query fails, or it is none that can be asked here.
        """
        raise QueryError("%s cannot be asked by SQL" % self.title)

    def refuse_held(self, state):
        """Raises BusyError that names who still uses the live state."""

    @abstractmethod
    def name_aside(self, state, stamp):
        """The state with the name that old state will have (``stamp`` tells the time); nothing is changed yet."""

    @abstractmethod
    def forward(self, state):
        """Old state aside, new state in."""

    @abstractmethod
    def back(self, state):
        """Wholly old again, however far ``forward`` or an earlier ``back`` came before it was killed."""

    @abstractmethod
    def forget(self, state):
        """Deletes what stands aside; nothing there is fine."""

    @abstractmethod
    def discard(self, state):
        """Removes what was staged, also by a ``stage`` that was killed (then the state is what that one was given)."""

    def asides(self, state):
        """Texts that tell the operator where old state stands."""
        return []
