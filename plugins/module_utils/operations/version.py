# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guards the versions of an application and of its data.

An application migrates older data when it starts, and cannot make sense of newer data. So a backup that is newer than
what is installed is refused before anything live is touched. What counts is what the database itself says: manifests
are not asked, and archives of old recipes have none.
"""

from __future__ import annotations

import re
from itertools import islice

from ..containers.image import image_of
from ..system.commands import CommandError, output_of
from ..system.errors import AppStateError, ConfigurationError, DataTooNewError

# Seconds for a command that only tells a version.
PATIENCE = 60
_LONGEST_VERSION = 200
_NUMBER = re.compile(r"-?[0-9]+")
_WHOLE = re.compile(rb"\s*(-?[0-9]{1,18})\s*\Z")


class VersionGuard:
    """What one backup or one restore finds out of the version of the app's data.

    Attributes:
        found: the version that the database tells; None until it was asked, and where the app says no query.
    """

    def __init__(self, app):
        self._app = app
        self.found = None

    def concerns(self, path):
        """Whether the database at the path of a source is the one to ask."""
        version = self._app.version
        return version is not None and version.sql is not None and version.source == path

    def ask(self, ask):
        """Asks it.

        Args:
            ask: function that is given SQL, and gives the values of its first column as bytes.

        Raises:
            ConfigurationError: the answer is no whole number, or there is none.
        """
        version = self._app.version
        try:
            values = list(islice(iter(ask(version.sql)), 2))
        except AppStateError as error:
            raise ConfigurationError("the version of the data cannot be read: %s" % error.message, app=self._app.name,
                                     path=version.source, remedy="Correct 'sql' of 'version'")
        number = _WHOLE.match(values[0]) if len(values) == 1 else None
        if number is None:
            shown = "%s values" % ("no" if not values else "several") if len(values) != 1 else repr(_brief(values[0]))
            raise ConfigurationError("the version of the data is no whole number: the query %r gives %s"
                                     % (version.sql, shown), app=self._app.name, path=version.source,
                                     remedy="Correct 'sql' of 'version'; it gives one whole number")
        self.found = int(number.group(1))

    def judge(self):
        """What there is to say of a restore of data of that version, or None.

        Raises:
            DataTooNewError: the installed application does not understand it.
            ConfigurationError: it cannot be told what that understands.
        """
        if self.found is None:
            return None
        most = understood_version(self._app)
        if most is None or self.found == most:
            return None
        if self.found < most:
            return ("the backup has schema version %d; the application understands %d and will migrate it on start"
                    % (self.found, most))
        raise DataTooNewError("the backup has schema version %d, and the installed application understands no newer "
                              "one than %d" % (self.found, most), app=self._app.name, path=self._app.version.source,
                              remedy="Install a version of the application that understands it, or choose an older "
                                     "backup")


def understood_version(app):
    """The newest version of its data that the installed application understands; None where nobody says.

    Raises:
        ConfigurationError: the command that should print it fails, or prints no number.
    """
    if app.version_max is None or isinstance(app.version_max, int):
        return app.version_max
    said = _said(app, app.version_max, "version_max")
    number = _NUMBER.search(said)
    if number is None:
        raise ConfigurationError("the command of 'version_max' prints no number: %s prints %r"
                                 % (" ".join(app.version_max), _brief(said.encode())), app=app.name,
                                 remedy="Correct 'version_max'; the first whole number on its standard output counts")
    return int(number.group())


def application_version(app):
    """``(the installed application's version, why it cannot be told)``; each is a text or None. The version of what
    runs in a container is the name and the digest of its image."""
    version = app.version
    if version is None or (version.application is None and version.container is None):
        return None, None
    try:
        if version.application is None:
            return image_of(version.container), None
        said = _said(app, version.application, "version")
    except AppStateError as error:
        return None, error.message
    lines = said.strip().splitlines()
    if not lines:
        return None, "the command of 'version' prints nothing: %s" % " ".join(version.application)
    return lines[0].strip()[:_LONGEST_VERSION], None


def _said(app, argv, key):
    try:
        return output_of(argv, PATIENCE)
    except CommandError as error:
        raise ConfigurationError("the command of %r does not tell a version: %s" % (key, error.message), app=app.name,
                                 remedy="Correct %r, or install the application first" % key)


def _brief(value):
    return value[:60].decode("utf-8", "replace")
