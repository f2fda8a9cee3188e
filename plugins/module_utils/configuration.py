# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Apps as a host keeps them: one JSON file each in ``/etc/appstate-backup/apps.d``, readable by its owner alone."""

from __future__ import annotations

import json
import os
import stat

from .app import parse_app
from .system import files
from .system.errors import ConfigurationError

DIRECTORY = "/etc/appstate-backup/apps.d"
MOST = 4 * 1024 * 1024


def read_apps(directory_path, names=()):
    """The apps with these names, or all, by name; a file that is no good is an error, not an app less.

    Raises:
        ConfigurationError: says which file, and what is wrong in it.
    """
    known = _names(directory_path)
    for name in names:
        if name not in known:
            raise ConfigurationError("there is no app %r" % name, path=directory_path,
                                     remedy="Known are: %s" % (", ".join(known) or "none"))
    return [read_app(os.path.join(directory_path, name + ".json")) for name in (names or known)]


def _names(directory_path):
    try:
        return sorted(name[:-5] for name in os.listdir(directory_path)
                      if name.endswith(".json") and not name.startswith("."))
    except OSError as error:
        raise ConfigurationError("the configuration cannot be read: %s" % error.strerror, path=directory_path,
                                 remedy="Install it with the role appstate.backup.schedule")


def read_app(path):
    """The App in one file."""
    directory_path, name = os.path.split(path)
    try:
        directory = files.open_directory(directory_path)
        try:
            _refuse_writable(os.fstat(directory), directory_path)
            _refuse_writable(os.stat(name, dir_fd=directory, follow_symlinks=False), path)
            told = json.loads(files.read_file(directory, name, MOST).decode("utf-8"))
        finally:
            os.close(directory)
    except OSError as error:
        raise ConfigurationError("cannot be read: %s" % error.strerror, path=path)
    except ValueError as error:
        raise ConfigurationError("is no JSON: %s" % error, path=path)
    try:
        app = parse_app(told)
    except ConfigurationError as error:
        error.path = path
        raise
    if app.name + ".json" != name:
        raise ConfigurationError("describes the app %r" % app.name, path=path,
                                 remedy="Name the file after the app: %s.json" % app.name)
    return app


def parse_file(path):
    """The App in a file that is not in its place yet."""
    try:
        with open(path, "rb") as stream:
            return parse_app(json.loads(stream.read(MOST).decode("utf-8")))
    except OSError as error:
        raise ConfigurationError("cannot be read: %s" % error.strerror, path=path)
    except ValueError as error:
        raise ConfigurationError("is no JSON: %s" % error, path=path)


def _refuse_writable(found, path):
    """What root runs must not be writable by anyone else: hooks are commands."""
    if found.st_uid not in (0, os.geteuid()) or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigurationError("can be written by somebody else", path=path,
                                 remedy="chown it to the user that runs the backup, and chmod go-w")
