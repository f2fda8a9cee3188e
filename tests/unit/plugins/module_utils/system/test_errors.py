# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an error tells, and that it survives the way from a child process to its parent."""

from __future__ import annotations

import errno
import json
import os

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.system import errors

ALL = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.AppStateError)]


def test_sentence_names_app_path_problem_and_remedy():
    error = errors.SourceError("is not there", app="scriptor", path="/opt/scriptor/data.db", remedy="Check the app's root")
    assert str(error) == "app scriptor: /opt/scriptor/data.db: is not there. Check the app's root."


def test_a_full_stop_is_never_doubled():
    assert str(errors.AppStateError("It failed.", remedy="Try again.")) == "It failed. Try again."


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_class_survives_json(kind):
    sent = kind("what went wrong", app="club", path=b"/srv/caf\xe9", remedy="Do this")
    received = errors.from_dict(json.loads(json.dumps(sent.to_dict())))
    assert received.__class__ is kind
    assert str(received) == str(sent)
    assert received.exit_code == sent.exit_code


@pytest.mark.parametrize("name", ["Nonsense", "printable", "annotations", None])
def test_an_unknown_class_becomes_the_base_class(name):
    received = errors.from_dict({"class": name, "message": "odd"})
    assert received.__class__ is errors.AppStateError
    assert str(received) == "odd."


def test_about_names_the_app_once():
    error = errors.LockedError("is locked")
    assert error.about("club") is error
    assert error.about("opstage").app == "club"


@pytest.mark.parametrize("kind, event", [(errors.DataTooNewError, "schema_version_too_new"),
                                         (errors.FileSystemError, "unsupported_filesystem")])
def test_events_are_told_to_programs(kind, event):
    assert kind("x").to_dict()["event"] == event
    assert kind("x").exit_code == 78
    assert "event" not in errors.DatabaseError("x").to_dict()


@pytest.mark.parametrize("kind, code", [
    (errors.AppStateError, 1), (errors.ConfigurationError, 78), (errors.SchemaTooNewError, 78),
    (errors.LockedError, 75), (errors.BusyError, 75), (errors.DatabaseError, 1), (errors.RestoreError, 1),
], ids=lambda value: getattr(value, "__name__", value))
def test_exit_codes(kind, code):
    assert kind("x").exit_code == code


@pytest.mark.parametrize("path, shown", [
    ("/opt/app", "/opt/app"), (b"/opt/app", "/opt/app"), (b"caf\xe9", "caf\\xe9"), ("caf\udce9", "caf\\xe9"), ("café", "café"),
])
def test_printable(path, shown):
    assert errors.printable(path) == shown


@pytest.mark.parametrize("number, filename, kind, said", [
    (errno.EIO, None, errors.AppStateError, "app notes: /given: it failed: Input/output error."),
    (errno.EIO, b"relative", errors.AppStateError, "app notes: /given: it failed: Input/output error."),
    (errno.EACCES, b"/its/own", errors.AppStateError, "app notes: /its/own: it failed: Permission denied."),
    (errno.ENOSPC, None, errors.SpaceError, "app notes: /given: it failed: no space is left. Free some space there."),
    (errno.EDQUOT, "/its/own", errors.SpaceError, "app notes: /its/own: it failed: no space is left. Free some space there."),
])
def test_what_the_system_refused(number, filename, kind, said):
    error = errors.refused(OSError(number, os.strerror(number), filename), "it failed", "notes", "/given")
    assert (type(error), str(error)) == (kind, said)
