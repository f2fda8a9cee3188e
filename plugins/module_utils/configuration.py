# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Apps as a host keeps them: one JSON file each in ``/etc/appstate-backup/apps.d``, readable by its owner alone."""

from __future__ import annotations

import json
import os
import stat

from .app import parse_app
from .description import Reader
from .settings import read_settings
from .system import files
from .system.errors import AppStateError, ConfigurationError

DIRECTORY = "/etc/appstate-backup/apps.d"
MOST = 4 * 1024 * 1024


def app_names(directory_path, wanted=()):
    """The names of the apps that are meant: those wanted, or all.

    Raises:
        ConfigurationError: one is not known, or there is none at all.
    """
    try:
        known = sorted(name[:-5] for name in os.listdir(directory_path)
                       if name.endswith(".json") and not name.startswith("."))
    except OSError as error:
        raise ConfigurationError("the configuration cannot be read: %s" % error.strerror, path=directory_path,
                                 remedy="Install it with the role appstate.backup.schedule")
    for name in wanted:
        if name not in known:
            raise ConfigurationError("there is no app %r" % name, path=directory_path,
                                     remedy="Known are: %s" % (", ".join(known) or "none"))
    if not known:
        raise ConfigurationError("no app is described here", path=directory_path,
                                 remedy="Install one with the role appstate.backup.schedule")
    return list(wanted) or known


def read_app(directory_path, name):
    """The App of that name.

    Raises:
        ConfigurationError: says which file, and what is wrong in it.
    """
    path = os.path.join(directory_path, name + ".json")
    try:
        app = parse_app(_read(directory_path, name))
        if app.name != name:
            raise ConfigurationError("describes the app %r" % app.name, remedy="Name the file after the app: %s.json" % app.name)
        return app
    except ConfigurationError as error:
        error.path = path
        raise error.about(name)


def read_monitoring(directory_path, name):
    """Settings with what can be read of whom to tell, out of a configuration that is no good otherwise."""
    reader = Reader(name)
    try:
        told = _read(directory_path, name)
        return read_settings(reader, {"monitoring": told.get("monitoring") if isinstance(told, dict) else None})
    except ConfigurationError:
        return read_settings(reader, {})


def _read(directory_path, name):
    """The JSON of one file, unless somebody else can write it."""
    try:
        directory = files.open_directory(directory_path)
        try:
            _refuse_writable(os.fstat(directory))
            _refuse_writable(os.stat(name + ".json", dir_fd=directory, follow_symlinks=False))
            return json.loads(files.read_file(directory, name + ".json", MOST).decode("utf-8"))
        finally:
            os.close(directory)
    except OSError as error:
        raise ConfigurationError("cannot be read: %s" % error.strerror)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError("is no JSON: %s" % error)
    except AppStateError as error:
        raise ConfigurationError(error.message, remedy=error.remedy)


def parse_file(path):
    """The App in a file that is not in its place yet."""
    try:
        with open(path, "rb") as stream:
            return parse_app(json.loads(stream.read(MOST).decode("utf-8")))
    except OSError as error:
        raise ConfigurationError("cannot be read: %s" % error.strerror, path=path)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError("is no JSON: %s" % error, path=path)


def _refuse_writable(found):
    """What root runs must not be writable by anyone else: hooks are commands."""
    if found.st_uid not in (0, os.geteuid()) or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigurationError("can be written by somebody else",
                                 remedy="chown it to the user that runs the backup, and chmod go-w")
