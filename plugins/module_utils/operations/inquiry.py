# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the databases of one backup are asked beside their assertions: the version of the data, and the files they name.

A database can be asked while it lies by itself in a private place, or is staged in its server. What the answers amount
to is told when all have been asked.
"""

from __future__ import annotations

from .references import References, lacking_text
from .version import VersionGuard


class Inquiry:
    """One round of questions.

    Attributes:
        guard: the VersionGuard.
        references: the References.
    """

    def __init__(self, app):
        self.guard = VersionGuard(app)
        self.references = References()

    def wants(self, path, source):
        """Whether there is anything to ask of the database at a path relative to the app's root; ``source`` is its
        own, or None."""
        return self.guard.concerns(path) or bool(getattr(source, "references", ()))

    def ask(self, path, source, ask):
        """Asks all of it; ``ask`` is given SQL, and gives the values of its first column as bytes, again and again.

        Raises:
            ConfigurationError: the version of the data is no number.
        """
        if self.guard.concerns(path):
            self.guard.ask(ask)
        self.references.ask(path, source, ask)

    def ask_copy(self, check, directory):
        """Asks the COPY of a Check in an open private directory, where there is anything to ask and it can answer."""
        if check.can_be_asked and self.wants(check.path, check.source):
            self.ask(check.path, check.source, check.asker(directory))

    def warnings(self, members):
        """Texts about the files that databases name, now that all were asked; ``members`` as ``References.compare``
        takes them."""
        return self.references.failures + [lacking_text(finding) for finding in self.references.compare(members)[0]]
