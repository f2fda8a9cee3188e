# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a user without root's rights can back an app up: found out by a process that is that user, before a night's run does.

Whoever reads files may be somebody else than their owner. Not so with a database: SQLite makes files beside it, which
would be the wrong user's, and the application could not open it any more.
"""

from __future__ import annotations

import os
import pwd

from ..sources.files import FilesTaker
from ..sources.taking import Room
from ..system import files
from ..system.commands import run_as
from ..system.errors import AppStateError, ConfigurationError, SourceError, printable
from ..system.machine import this_machine
from ..system.process import run_child

AS_ROOT = "Have it run by root, or by the user that it belongs to"


def refuse_access(app, account, state_directory=None, lock_directory=None):
    """What exists is looked at; what does not, a run tells of itself.

    Args:
        account: a name or a numeric id.
        state_directory, lock_directory: as ``this_machine`` takes them.

    Raises:
        AppStateError: the first thing that this account may not do, and what to do about it.
    """
    try:
        identity = run_as(account)
        if identity.uid != 0:
            run_child(_look, (app, state_directory, lock_directory), identity)
    except AppStateError as error:
        raise error.about(app.name)


def _look(app, state_directory, lock_directory):
    """In the child."""
    _go_home()
    machine = this_machine(state_directory, lock_directory)
    for place in (machine.state_directory, machine.lock_directory):
        _refuse_closed(place)
    for place in (app.directory, app.settings.metrics_directory, app.drilling.metrics_directory):
        if place is not None and os.path.isdir(os.path.dirname(place)):
            _refuse_closed(place)
    _refuse_isolation(app)
    try:
        root = files.open_directory(app.root)
    except FileNotFoundError:
        return
    except OSError as error:
        raise SourceError("the root cannot be opened by %s: %s" % (_who(), error.strerror), path=app.root, remedy=AS_ROOT)
    room = Room(app, root)
    for source in app.sources:
        try:
            LOOKS.get(source.type, _trust)(room, source)
        except OSError as error:
            raise SourceError("cannot be reached by %s: %s" % (_who(), error.strerror), path=app.full_path(source),
                              remedy=AS_ROOT)


def _go_home():
    """The environment as cron makes it for this user."""
    os.environ.pop("XDG_STATE_HOME", None)
    try:
        os.environ["HOME"] = pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:
        os.environ["HOME"] = "/"


def _who():
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return "user id %d" % os.geteuid()


def _refuse_closed(path):
    """A place that is to be written in, or to be made."""
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    if not os.access(path, os.W_OK | os.X_OK):
        raise ConfigurationError("cannot be written by %s" % _who(), path=path,
                                 remedy="Give it to that user, or name another place")


def _refuse_isolation(app):
    boot = app.drilling.boot
    if app.drilling.scheduled and boot is not None and boot.argv is not None and boot.image is None and boot.isolated:
        raise ConfigurationError("its drills start the application apart from the live one, which %s cannot" % _who(),
                                 remedy="Have it run by root, or leave out 'isolated'")


def _refuse_database(room, source):
    found = files.lookup(room.root, source.path)
    if found is not None and found.st_uid != os.geteuid():
        raise SourceError("belongs to user id %d, and %s would leave files beside it that its owner cannot use"
                          % (found.st_uid, _who()), path=room.app.full_path(source), remedy=AS_ROOT)


def _refuse_unreadable(room, source):
    paths = FilesTaker(room, source).unreadable()
    if paths:
        raise SourceError("cannot be read by %s" % _who(), path=os.path.join(room.app.root, printable(paths[0])), remedy=AS_ROOT)


def _refuse_other_account(unused, source):
    run_as(source.run_as)


def _trust(*unused):
    """A volume, a bucket and an endpoint are asked through others, who decide by themselves."""


LOOKS = {"sqlite": _refuse_database, "files": _refuse_unreadable, "postgresql": _refuse_other_account,
         "command": _refuse_other_account}
