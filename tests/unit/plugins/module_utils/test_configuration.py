# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os

import pytest

from ansible_collections.appstate.backup.plugins.module_utils import configuration
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import ConfigurationError

DESCRIBED = {"name": "notes", "root": "/srv/notes", "destination": "/var/backups",
             "sources": [{"type": "sqlite", "path": "notes.db"}]}
MONITORING = {"ping": {"url": "https://hc.example/5ecre7"}, "metrics_directory": "/srv/metrics"}


@pytest.fixture
def place(tmp_path):
    """A directory of configurations."""
    made = tmp_path / "apps.d"
    made.mkdir(mode=0o700)
    return made


def write(place, name="notes", **words):
    """Writes the configuration of an app, and returns its path."""
    path = place / (name + ".json")
    path.write_text(json.dumps(dict(DESCRIBED, name=name, **words)))
    path.chmod(0o600)
    return path


def refused(read, *arguments):
    with pytest.raises(ConfigurationError) as caught:
        read(*arguments)
    assert caught.value.exit_code == 78
    return str(caught.value)


def test_all_apps_are_meant_where_none_is_named(place):
    for name in ("wiki", "notes"):
        write(place, name)
    (place / ".notes.json.tmp").write_text("{")
    (place / ".half.json").write_text("{")
    (place / "notes.json.bak").write_text("{")
    assert configuration.app_names(str(place)) == ["notes", "wiki"]
    assert configuration.app_names(str(place), ["wiki"]) == ["wiki"]


def test_an_app_that_is_not_known_is_an_error_that_names_those_that_are(place):
    write(place)
    message = refused(configuration.app_names, str(place), ["noets"])
    assert "noets" in message and "Known are: notes" in message


def test_no_app_at_all_is_no_success(place):
    assert "no app is described here" in refused(configuration.app_names, str(place))
    assert "cannot be read" in refused(configuration.app_names, str(place / "missing"))


def test_an_app_is_read(place):
    write(place)
    app = configuration.read_app(str(place), "notes")
    assert (app.name, app.root, app.sources[0].path) == ("notes", "/srv/notes", "notes.db")


@pytest.mark.parametrize("content, words", [
    (b"{", "is no JSON"), (b"", "is no JSON"), (b"\xff\xfe", "is no JSON"), (b"[]", "dictionary"), (b"[" * 100000, "is no JSON"),
    (json.dumps(dict(DESCRIBED, name="other")).encode(), "Name the file after the app: other.json"),
    (json.dumps(dict(DESCRIBED, retenton={"keep_daily": 7})).encode(), "Did you mean 'retention'?"),
    (b" " * (configuration.MOST + 1), "larger than"),
], ids=["cut", "empty", "binary", "a list", "deep", "another app", "an unknown key", "large"])
def test_what_is_no_configuration_is_refused_with_its_path(place, content, words):
    path = write(place)
    path.write_bytes(content)
    message = refused(configuration.read_app, str(place), "notes")
    assert words in message and message.startswith("app notes: %s: " % path)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_somebody_else_can_write_is_refused(place, mode):
    path = write(place, monitoring=MONITORING)
    path.chmod(mode)
    assert "can be written by somebody else" in refused(configuration.read_app, str(place), "notes")
    assert configuration.read_monitoring(str(place), "notes").ping is None


@pytest.mark.parametrize("mode", [0o770, 0o707])
def test_a_directory_that_somebody_else_can_write_is_refused(place, mode):
    write(place)
    place.chmod(mode)
    assert "can be written by somebody else" in refused(configuration.read_app, str(place), "notes")


def test_a_link_is_refused(place, tmp_path):
    path = write(place)
    os.rename(path, tmp_path / "notes.json")
    os.symlink(tmp_path / "notes.json", path)
    assert str(path) in refused(configuration.read_app, str(place), "notes")


def test_a_configuration_that_is_no_good_still_says_whom_to_tell(place):
    write(place, monitoring=MONITORING, retenton={})
    settings = configuration.read_monitoring(str(place), "notes")
    assert settings.ping.url == MONITORING["ping"]["url"] and settings.metrics_directory == "/srv/metrics"


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"monitoring": {"pong": 1}}', b'{"monitoring": 7}'])
def test_where_that_cannot_be_read_either_nobody_is_told_by_name(place, content):
    write(place).write_bytes(content)
    settings = configuration.read_monitoring(str(place), "notes")
    assert settings.ping is None and settings.metrics_directory is None and settings.syslog


def test_a_file_is_looked_at_wherever_it_lies(tmp_path):
    path = write(tmp_path)
    os.rename(path, tmp_path / "candidate")
    assert configuration.parse_file(str(tmp_path / "candidate")).name == "notes"
    assert "cannot be read" in refused(configuration.parse_file, str(tmp_path / "missing"))
    path.write_bytes(b"{")
    assert "is no JSON" in refused(configuration.parse_file, str(path))
