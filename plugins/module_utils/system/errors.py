# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can go wrong, in the operator's words.

Every error says which app and which path it is about, what is wrong, and what to do next. The exit codes are those
of sysexits.h where it has one: 75 (EX_TEMPFAIL) for a lock or a busy store, 78 (EX_CONFIG) for configuration.
"""

from __future__ import annotations

import errno
import os

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class AppStateError(Exception):
    """The base of all errors that the engine raises on purpose.

    Attributes:
        exit_code: what a command ends with.
        event: name of what happened, for programs that look for it; None where nobody does.
        lasting: whether another try would end the same way, as far as that can be told.
    """

    exit_code = 1
    event = None
    lasting = True

    def __init__(self, message, app=None, path=None, remedy=None):
        super().__init__(message)
        self.message = message
        self.app = app
        self.path = None if path is None else printable(path)
        self.remedy = remedy

    def __str__(self):
        where = []
        if self.app:
            where.append("app %s" % self.app)
        if self.path:
            where.append(self.path)
        text = ": ".join(where + [self.message])
        if not text.endswith("."):
            text += "."
        if self.remedy:
            text += " " + self.remedy + ("" if self.remedy.endswith((".", "?")) else ".")
        return text

    def about(self, app):
        """The same error, told of one app; keeps an app that was named earlier."""
        if not self.app:
            self.app = app
        return self

    def to_dict(self):
        """What a child process sends its parent; ``from_dict`` makes the error again."""
        told = {"class": type(self).__name__, "message": self.message, "app": self.app, "path": self.path,
                "remedy": self.remedy}
        return told if self.event is None else dict(told, event=self.event)


class ConfigurationError(AppStateError):
    """An app is described in a way that cannot be right."""

    exit_code = 78


class SchemaTooNewError(AppStateError):
    """A manifest is of a newer format than this engine understands."""

    exit_code = 78


class DataTooNewError(SchemaTooNewError):
    """A database is of a newer version than the installed application understands."""

    event = "schema_version_too_new"


class LockedError(AppStateError):
    """Another run holds the app's lock."""

    exit_code = 75


class BusyError(AppStateError):
    """A database stayed locked until the deadline, or a process still holds it open."""

    exit_code = 75


class FileSystemError(ConfigurationError):
    """A database lies on a file system on which SQLite's locks, or its promises to keep data, do not hold."""

    event = "unsupported_filesystem"


class SourceError(AppStateError):
    """A source is missing, unreadable, or not what the app says it is."""


class StoreUnreachable(AppStateError):
    """A server that holds state does not answer."""


class DatabaseError(AppStateError):
    """A file is no SQLite database, or a database is corrupt."""


class QueryError(AppStateError):
    """A query that the app's description has cannot be asked of its database, or is answered with too much."""


class AssertionFailed(AppStateError):
    """A database is sound, but does not hold what the app's assertions ask for."""


class ArchiveError(AppStateError):
    """An archive or a manifest is damaged, or holds something that is never extracted."""


class IdentityError(AppStateError):
    """An encrypted archive cannot be opened with the identity that was given, or with none."""


class RemoteError(AppStateError):
    """A remote, or a bucket, cannot be reached, or does not do what it is asked."""


class SpaceError(AppStateError):
    """A file system has not enough room."""


class RestoreError(AppStateError):
    """A restore cannot go on; live state is as it was."""


class ChildError(AppStateError):
    """A child process crashed, or was killed because it overran one of its limits."""


def refused(error, failed, app=None, path=None):
    """The AppStateError for an OSError that nothing closer to it explained.

    Args:
        failed: what came of it, as "the snapshot failed".
        path: what it was about; the error's own path goes before, where it is an absolute one.
    """
    if isinstance(error.filename, (str, bytes)) and os.path.isabs(error.filename):
        path = error.filename
    if error.errno in NO_SPACE:
        return SpaceError("%s: no space is left" % failed, app=app, path=path, remedy="Free some space there")
    return AppStateError("%s: %s" % (failed, error.strerror or error), app=app, path=path)


def from_dict(told):
    """The error that ``to_dict`` described; an unknown class becomes an ``AppStateError``."""
    kind = globals().get(told.get("class"), AppStateError)
    if not (isinstance(kind, type) and issubclass(kind, AppStateError)):
        kind = AppStateError
    return kind(told.get("message", ""), app=told.get("app"), path=told.get("path"), remedy=told.get("remedy"))


def printable(path):
    """A path as text that can be shown and sent as JSON: bytes outside UTF-8 are shown as ``\\xNN``."""
    if isinstance(path, bytes):
        return path.decode("utf-8", "backslashreplace")
    return str(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
