# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a row of the campaign is: one promise of the design, and all the ways in which it is tried to break it."""

from __future__ import annotations

import collections
import os
import random

SHORT = "short"
WHOLE = "whole"


# A weakening of the code. ``file``: below plugins/module_utils. ``old``, ``new``: what stands there once, and what takes its
# place. ``weakens``: the promise that is broken by it.
Mutation = collections.namedtuple("Mutation", "file old new weakens")


class Bad(AssertionError):
    """The promise was broken; says how."""


class Tried:
    """What one case came to.

    Attributes:
        count: how many tries the case holds, at least 1.
        measure: a figure by which one case is worse than another, or None where only the time counts.
        unit: what ``measure`` counts, as "ms of pause".
    """

    def __init__(self, count=1, measure=None, unit=""):
        self.count = count
        self.measure = measure
        self.unit = unit


class Row:
    """One row of the table. A subclass says ``name``, ``title``, and how its cases are made and tried.

    Attributes:
        seed: what all that is random comes from; the same seed gives the same cases.
        form: SHORT or WHOLE.
        folder: an empty directory of this row's own, which every user can pass; whoever runs the row removes it.
    """

    name = None
    title = None
    # How many processes share the cases; each of them opens the row anew.
    shards = 1
    # Whether it runs in a mount and a process namespace of its own, with a private /var/tmp and TMPDIR. One that makes
    # hosts itself says False.
    private = True
    limit_seconds = 3000
    # Each of these has to turn the row's short form red.
    mutations = ()

    def __init__(self, seed, form, folder):
        self.seed = seed
        self.form = form
        self.folder = folder

    @property
    def short(self):
        return self.form == SHORT

    def place(self, *names):
        """A path in the row's own directory."""
        return os.path.join(self.folder, *names)

    def random(self, *words):
        """Randomness of one case: it depends on the seed and on the words alone, not on what ran before."""
        return random.Random("%s %s %s" % (self.seed, self.name, " ".join(map(str, words))))

    def open(self):
        """Makes what all cases share."""

    def close(self):
        """Ends what ``open`` and the cases began; called whatever happened."""

    # What each subclass has to say, and none shares: without it a row fails as a whole.

    def cases(self):
        """The names of all cases, in order; called after ``open``. The same for the same seed and form."""
        raise NotImplementedError

    def run(self, case):
        """Tries one case; returns Tried, or None for one try. Raises Bad (any other exception counts as bad, too)."""
        raise NotImplementedError
