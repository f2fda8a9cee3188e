# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What one look at a database or a dump came to: a verification asks for what is wrong, a drill also tells what is right."""

from __future__ import annotations

INTEGRITY, ASSERTION, FOREIGN_KEYS, PASSPORT = "integrity", "assertion", "foreign_keys", "passport"


class Finding:
    """One check and its outcome.

    Attributes:
        check: INTEGRITY, ASSERTION, FOREIGN_KEYS or PASSPORT.
        about: the SQL of an assertion; else empty.
        problem: what is wrong, as a text, or None.
    """

    def __init__(self, check, problem=None, about=""):
        self.check = check
        self.problem = problem
        self.about = about

    def __repr__(self):
        return "Finding(%r, %r, %r)" % (self.check, self.problem, self.about)


def problems_of(findings):
    """The texts of those that found something wrong."""
    return [finding.problem for finding in findings if finding.problem is not None]
