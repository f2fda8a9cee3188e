# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.appstate.backup.plugins.module_utils.app import check_root, parse_app
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import ConfigurationError

SCRIPTOR = {
    "name": "scriptor", "root": "/opt/scriptor", "owner": "www-data", "group": 33, "file_mode": "0640",
    "directory_mode": "0750", "destination": "/var/backups", "compression": "gzip", "snapshot_deadline": 60,
    "service": {"name": "php8.2-fpm"},
    "health": {"url": "http://localhost/health", "status": [200, 204], "expression": "ok", "timeout": 5, "retries": 3, "delay": 2,
               "validate_certs": False},
    "sources": [
        {"type": "sqlite", "path": "data/imanager.db", "method": "clone", "foreign_keys": True,
         "assertions": [{"sql": "SELECT count(*) FROM items", "min": 1, "max": 10}, {"sql": "SELECT 'x'", "equals": "x"}]},
        {"type": "files", "path": "public/uploads", "exclude": ["*.part"]},
        {"type": "files", "path": "data/settings/custom.scriptor-config.php", "required": False}]}


def changed(**words):
    """The description with some keys changed; a key with ``__`` is one of the first source."""
    told = copy.deepcopy(SCRIPTOR)
    for key, value in words.items():
        place = told["sources"][int(key[0])] if key[0].isdigit() else told
        place[key[2:] if key[0].isdigit() else key] = value
    return told


def refusal(told, **words):
    """The error for a description, which names the app and is a whole sentence."""
    with pytest.raises(ConfigurationError) as caught:
        parse_app(told, **words)
    assert caught.value.exit_code == 78
    assert str(caught.value).startswith("app scriptor: ") and str(caught.value).endswith((".", "?"))
    return str(caught.value)


def test_all_that_an_operator_can_say():
    app = parse_app(SCRIPTOR)
    assert (app.name, app.root, app.directory) == ("scriptor", "/opt/scriptor", "/var/backups/scriptor")
    assert (app.owner, app.group, app.file_mode, app.directory_mode) == ("www-data", 33, 0o640, 0o750)
    assert (app.compression, app.snapshot_deadline) == ("gzip", 60.0)
    assert app.service == {"name": "php8.2-fpm"} and app.health == SCRIPTOR["health"]
    database, uploads, settings = app.sources
    assert (database.type, database.path, database.method, database.foreign_keys) == ("sqlite", "data/imanager.db", "clone", True)
    assert [assertion.to_dict() for assertion in database.assertions] == SCRIPTOR["sources"][0]["assertions"]
    assert (uploads.type, uploads.exclude, uploads.required) == ("files", ("*.part",), True)
    assert not settings.required
    assert app.source_at("public/uploads") is uploads and app.source_at("public") is None
    assert app.full_path(uploads) == "/opt/scriptor/public/uploads"


def test_defaults():
    app = parse_app({"name": "a", "root": "/opt/a", "destination": "/b", "sources": [{"type": "sqlite", "path": "x"}]})
    assert (app.owner, app.group, app.file_mode, app.directory_mode) == (None, None, None, None)
    assert (app.compression, app.snapshot_deadline, app.service, app.health) == ("auto", 300.0, None, None)
    source = app.sources[0]
    assert (source.required, source.assertions, source.method, source.foreign_keys) == (True, (), "auto", False)


def test_none_is_the_same_as_left_out():
    app = parse_app(changed(**{key: None for key in SCRIPTOR if key not in ("name", "root", "sources", "destination")}))
    assert (app.owner, app.compression, app.service) == (None, "auto", None)


def test_a_destination_is_not_needed_for_some_uses():
    told = changed(destination=None)
    assert "needs 'destination'" in refusal(told)
    assert parse_app(told, need_destination=False).destination is None


@pytest.mark.parametrize("words, said", [
    ({"sorces": []}, "unknown key 'sorces'. Did you mean 'sources'?"),
    ({"xyz": 1}, "unknown key 'xyz'. Known keys: name, profile, root"),
    ({"0_pth": "x"}, "source 1 (data/imanager.db) has an unknown key 'pth'. Did you mean 'path'?"),
    ({"1_assertions": []}, "source 2 (public/uploads) has an unknown key 'assertions'"),
    ({"0_exclude": []}, "source 1 (data/imanager.db) has an unknown key 'exclude'"),
    ({"0_assertions": [{"sq": "x"}]}, "an assertion of source 1 (data/imanager.db) has an unknown key 'sq'. Did you mean 'sql'?"),
    ({"service": {"nam": "x"}}, "'service' has an unknown key 'nam'. Did you mean 'name'?"),
    ({"health": {"url": "x", "retrys": 1}}, "'health' has an unknown key 'retrys'. Did you mean 'retries'?"),
    ({"root": "opt/scriptor"}, "'root' is not an absolute path: 'opt/scriptor'. Begin it with a slash"),
    ({"root": "/"}, "'root' may not be '/'"),
    ({"root": "/opt/../etc"}, "without '..'"),
    ({"root": None}, "needs 'root'"),
    ({"root": ["/opt"]}, "'root' of the app is not a text: ['/opt']"),
    ({"destination": "backups"}, "'destination' is not an absolute path"),
    ({"0_path": "../imanager.db"}, "leaves the root: '../imanager.db'. Set 'root' further up"),
    ({"0_path": "data/../../x"}, "leaves the root"),
    ({"0_path": "/data/imanager.db"}, "is absolute: '/data/imanager.db'. Paths of sources are relative to the root"),
    ({"0_path": "."}, "is the root itself"),
    ({"0_path": ".appstate/x"}, "which archives keep for themselves"),
    ({"0_path": "a\0b"}, "is not a text"),
    ({"0_path": "a\ud800b"}, "is not a text"),
    ({"0_path": 5}, "is not a text: 5"),
    ({"0_path": None}, "source 1 needs 'path', a text"),
    ({"1_path": "data//imanager.db/"}, "two sources have the path 'data/imanager.db'"),
    ({"0_type": "sqlight"}, "source 1 needs a 'type': bucket or command or files or http or postgresql or sqlite or volume"),
    ({"0_type": ["sqlite"]}, "source 1 needs a 'type': bucket or command or files or http or postgresql or sqlite or volume"),
    ({"0_required": "yes"}, "'required' of source 1 (data/imanager.db) is true or false, not 'yes'"),
    ({"0_method": "dump"}, "'method' is 'dump'; it can be auto, backup, clone, vacuum"),
    ({"0_foreign_keys": 1}, "'foreign_keys' of source 1"),
    ({"0_assertions": {"sql": "SELECT 1"}}, "'assertions' of source 1 (data/imanager.db) is a list"),
    ({"0_assertions": 5}, "'assertions' of source 1 (data/imanager.db) is a list, not 5"),
    ({"0_assertions": ["SELECT 1"]}, "an assertion of source 1 (data/imanager.db) is a dictionary, not a str"),
    ({"0_assertions": [{"min": 1}]}, "an assertion of source 1 (data/imanager.db) needs 'sql', a text"),
    ({"0_assertions": [{"sql": "x", "min": "1"}]}, "'min' of an assertion of source 1 (data/imanager.db) is a number, not '1'"),
    ({"0_assertions": [{"sql": "x", "equals": []}]}, "'equals' of an assertion"),
    ({"1_exclude": "*.part"}, "'exclude' of source 2 (public/uploads) is a list of texts, not '*.part'"),
    ({"1_exclude": [""]}, "is a list of texts"),
    ({"sources": []}, "needs 'sources', a list with at least one"),
    ({"sources": None}, "needs 'sources'"),
    ({"sources": {"type": "files"}}, "needs 'sources'"),
    ({"sources": ["data"]}, "source 1 needs a 'type'"),
    ({"file_mode": 416}, "'file_mode' is not a mode: 416. Write it in octal, in quotes: \"0640\""),
    ({"directory_mode": "0890"}, "'directory_mode' is not a mode"),
    ({"owner": True}, "'owner' is a name or a numeric id, not True"),
    ({"owner": -1}, "'owner' is a name or a numeric id, not -1"),
    ({"group": 2 ** 32}, "'group' is a name or a numeric id"),
    ({"group": ""}, "'group' is a name or a numeric id"),
    ({"compression": "bzip2"}, "'compression' is 'bzip2'; it can be auto, zstd, gzip"),
    ({"compression": []}, "'compression' is []"),
    ({"snapshot_deadline": 0}, "a number of seconds above 0"),
    ({"snapshot_deadline": "60"}, "a number of seconds above 0, not '60'"),
    ({"service": "php"}, "'service' is a dictionary, not a str"),
    ({"service": {}}, "'service' needs either a 'name', or 'stop' and 'start'"),
    ({"service": {"name": "x", "stop": ["x"], "start": ["x"]}}, "'service' needs either"),
    ({"service": {"stop": ["x"]}}, "'start' of 'service' is a list of texts"),
    ({"service": {"stop": "x", "start": ["x"]}}, "'stop' of 'service' is a list of texts, not 'x'"),
    ({"health": {"status": 200}}, "'health' needs 'url'"),
    ({"health": {"url": "x", "timeout": -1}}, "'timeout' of 'health' is a number of seconds"),
    ({"health": {"url": "x", "retries": "3"}}, "'retries' of 'health' is a whole number, not '3'"),
    ({"health": {"url": "x", "status": "ok"}}, "'status' of 'health' is a number or a list of numbers, not 'ok'"),
    ({"health": {"url": "x", "expression": 1}}, "'expression' of 'health' is not a text"),
    ({"health": {"url": "x", "validate_certs": "no"}}, "'validate_certs' of 'health' is true or false"),
    ({"destination": "/opt/scriptor/public/uploads"}, "lies inside the source 'public/uploads'"),
    ({"destination": "/opt/scriptor/public", "1_path": "public"}, "lies inside the source 'public'"),
])
def test_what_cannot_be_right_is_refused(words, said):
    assert said in refusal(changed(**words))


def test_a_destination_below_the_root_and_outside_of_all_sources_is_fine():
    assert parse_app(changed(destination="/opt/scriptor/backups")).directory == "/opt/scriptor/backups/scriptor"


@pytest.mark.parametrize("name", ["", "a b", "../x", "-x", "x" * 64, "a/b", "é", "a.b", 5, None, "a\n"])
def test_names_that_are_no_names(name):
    with pytest.raises(ConfigurationError, match="name"):
        parse_app(changed(name=name))


@pytest.mark.parametrize("told", [None, "scriptor", [], 5])
def test_an_app_is_a_dictionary(told):
    with pytest.raises(ConfigurationError, match="an app is a dictionary, not "):
        parse_app(told)


def test_paths_are_made_plain():
    app = parse_app(changed(root="//opt//scriptor/./", **{"1_path": "./public//uploads/"}))
    assert (app.root, app.sources[1].path) == ("/opt/scriptor", "public/uploads")


@pytest.mark.parametrize("path", ["restore", "", "./x", "/", "/a/../b", None, 5])
def test_another_root_is_absolute_too(path):
    with pytest.raises(ConfigurationError, match="app notes: .*target_root"):
        check_root(path, "target_root", "notes")


def test_another_root_is_made_plain():
    assert check_root("/srv//x/", "target_root", "notes") == "/srv/x"


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=3)
KEYS = ["name", "root", "owner", "group", "file_mode", "directory_mode", "destination", "compression", "service", "health",
        "snapshot_deadline", "sources"]
SOURCE = ["type", "path", "required", "assertions", "method", "foreign_keys", "exclude"]


@settings(max_examples=60)
@given(key=st.sampled_from(KEYS), source_key=st.sampled_from(SOURCE), value=JSON, inside=st.integers(-1, 2))
def test_whatever_is_described_gives_an_app_or_a_configuration_error(key, source_key, value, inside):
    told = changed(**({key: value} if inside < 0 else {"%d_%s" % (inside, source_key): value}))
    try:
        app = parse_app(told)
    except ConfigurationError as error:
        json.dumps(error.to_dict())
        assert str(error).endswith((".", "?"))
    else:
        assert app.root.startswith("/") and all(not source.path.startswith(("/", "..")) for source in app.sources)


def test_a_drill_on_a_schedule_needs_backups_that_the_host_can_open():
    encryption = {"recipients": ["age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"]}
    said = refusal(changed(drill={"schedule": {}}, encryption=encryption))
    assert "does not go with 'encryption'" in said and "drill_identity_file" in said
    assert parse_app(changed(drill={"schedule": {"weekday": "sun"}})).drilling.scheduled
    for drill in ({}, {"schedule": None}, None):
        assert not parse_app(changed(drill=drill, encryption=encryption)).drilling.scheduled
