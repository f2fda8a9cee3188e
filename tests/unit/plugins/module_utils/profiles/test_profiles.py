# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
import json

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.app import parse_app
from ansible_collections.appstate.backup.plugins.module_utils.profiles.profiles import PROFILES, resolve
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import ConfigurationError

# What three lines of inventory do not do for: an application that nobody knows.
NEEDED = {"generic": {"root": "/srv/any", "sources": [{"type": "files", "path": "data"}]}}


def app(profile, **own):
    """The least that an operator writes, and what a test adds to it."""
    return dict({"name": "first", "profile": profile, "destination": "/var/backups"}, **own)


def sources(profile, *own):
    """The sources of a profile with an operator's own, by path."""
    return {item.get("path"): item for item in resolve(app(profile, sources=list(own)))["sources"]}


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_three_lines_are_enough(profile):
    parsed = parse_app(app(profile, **NEEDED.get(profile, {})))
    assert parsed.sources and not parsed.settings.retention.keeps_all


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_a_profile_is_what_json_can_hold(profile):
    assert json.loads(json.dumps(PROFILES[profile])) == PROFILES[profile]


@pytest.mark.parametrize("profile, root, paths", [
    ("scriptor", "/opt/scriptor", ["data/imanager.db", "public/uploads", "data/settings/custom.scriptor-config.php"]),
    ("club", "/data", ["db/club.db", "blobs"]),
    ("opstage", "/app/data", ["opstage.db"]),
    ("portunus", "/var/lib/portunus", ["state.db", "identity.json", "server.toml", "server.crt", "server.key"]),
])
def test_the_layout_is_that_of_the_application(profile, root, paths):
    resolved = resolve(app(profile))
    assert resolved["root"] == root and [item["path"] for item in resolved["sources"]] == paths


def test_what_an_operator_may_not_have_is_not_required():
    optional = {name: [item["path"] for item in resolve(app(name))["sources"] if item.get("required") is False]
                for name in ("scriptor", "club", "opstage", "portunus")}
    assert optional == {"scriptor": ["data/settings/custom.scriptor-config.php"], "club": [], "opstage": [],
                        "portunus": ["identity.json", "server.toml", "server.crt", "server.key"]}


def test_an_app_without_a_profile_stays_as_it_is():
    told = {"name": "first", "root": "/srv", "sources": [{"type": "files", "path": "data"}]}
    assert resolve(told) == told


@pytest.mark.parametrize("told", [None, "club", [], {"sources": 7}, {"profile": "club", "sources": "blobs"},
                                  {"profile": "club", "sources": [7, None]}])
def test_what_is_no_app_is_left_to_the_parser(told):
    resolve(told)
    with pytest.raises(ConfigurationError):
        parse_app(told)


def test_the_profile_itself_is_never_changed():
    before = copy.deepcopy(PROFILES)
    resolved = resolve(app("club", sources=[{"path": "blobs", "exclude": ["*.part"]}], health={"url": "http://club/"}))
    resolved["sources"][0]["path"] = resolved["service"]["name"] = "elsewhere"
    assert PROFILES == before


def test_what_the_operator_wrote_is_never_changed():
    told = app("club", sources=[{"path": "blobs", "replaces": "blobs", "type": "files"}], health={"timeout": 9})
    before = copy.deepcopy(told)
    resolve(told)
    assert told == before


@pytest.mark.parametrize("key, own, expected", [
    ("root", "/srv/club", "/srv/club"),
    ("owner", "club", "club"),
    ("service", None, None),
    ("service", {"name": "club-server"}, {"name": "club-server"}),
    ("service", {"stop": ["a"], "start": ["b"]}, {"stop": ["a"], "start": ["b"]}),
    ("health", {"timeout": 9}, {"url": "http://localhost:8080/api/v1/health", "timeout": 9}),
    ("health", {"url": "https://packages.example.com/api/v1/health"}, {"url": "https://packages.example.com/api/v1/health"}),
    ("health", None, None),
    ("retention", {"keep_daily": 7}, {"keep_daily": 7}),
    ("retention", None, None),
    ("hooks", {"before": [["true"]]}, {"before": [["true"]]}),
])
def test_an_own_key_wins_and_dictionaries_are_merged(key, own, expected):
    resolved = resolve(app("club", **{key: own}))
    assert resolved[key] == expected
    parse_app(resolved)


def test_a_source_of_the_same_path_is_laid_over_that_of_the_profile():
    found = sources("scriptor", {"path": "./data//imanager.db", "assertions": [], "method": "vacuum"},
                    {"type": "files", "path": "public/uploads", "exclude": ["*.part"]})
    assert found["data/imanager.db"] == {"type": "sqlite", "path": "data/imanager.db", "assertions": [], "method": "vacuum"}
    assert found["public/uploads"]["exclude"] == ["*.part"]
    assert len(found) == 3


def test_a_source_can_stand_in_the_place_of_another():
    database = {"type": "postgresql", "database": "club", "replaces": "db/club.db"}
    resolved = resolve(app("club", sources=[{"path": "blobs", "method": "rsync"}, database]))["sources"]
    assert resolved == [{"type": "postgresql", "database": "club"}, {"type": "files", "path": "blobs", "method": "rsync"}]


def test_one_source_can_stand_in_the_place_of_several_and_several_in_that_of_one():
    volume = {"type": "volume", "volume": "club-data", "replaces": ["blobs", "db/club.db"],
              "databases": [{"path": "db/club.db"}]}
    other = {"type": "files", "path": "screenshots", "replaces": "blobs"}
    assert [item.get("path") for item in resolve(app("club", sources=[volume, other]))["sources"]] == [None, "screenshots"]


def test_other_sources_are_added():
    assert list(sources("club", {"type": "files", "path": "logs/scoring.log"})) == ["db/club.db", "blobs", "logs/scoring.log"]


def test_the_version_is_asked_of_the_database_that_is_there():
    volume = {"type": "volume", "volume": "opstage_data", "databases": [{"path": "opstage.db"}], "replaces": "opstage.db"}
    assert parse_app(app("opstage")).version.source == "opstage.db"
    assert parse_app(app("opstage", sources=[volume])).version.source == "volumes/opstage_data/opstage.db"
    assert parse_app(app("opstage", sources=[volume], version=None)).version is None


@pytest.mark.parametrize("told", [
    app("club", sources=[{"path": "blobs", "method": "rsync"}, {"type": "files", "path": "logs"},
                         {"type": "postgresql", "database": "club", "replaces": "db/club.db"}]),
    app("club", sources=[{"type": "files", "path": "blobs", "replaces": ["blobs"]}], service={"stop": ["a"], "start": ["b"]}),
    app("portunus", retention={"keep_last": 3}, health=None),
    app("opstage", sources=[{"type": "volume", "volume": "v", "databases": [{"path": "opstage.db"}], "replaces": "opstage.db"}]),
    app("scriptor"),
])
def test_an_app_that_was_resolved_says_all_by_itself(told):
    resolved = resolve(told)
    assert "profile" not in resolved and not [item for item in resolved["sources"] if "replaces" in item]
    assert resolve(resolved) == resolved
    assert resolve(json.loads(json.dumps(resolved))) == resolved


@pytest.mark.parametrize("told, said", [
    (app("clubb"), "app first: there is no profile 'clubb'. The profiles are club, generic, opstage, portunus, scriptor."),
    (app(7), "there is no profile 7"),
    (app(["club"]), "there is no profile"),
    (app("club", sources=[{"path": "blob", "method": "rsync"}]),
     "app first: source 1 (blob) has no 'type', and the profile club has no source of that path. It has db/club.db, blobs."),
    (app("club", sources=[{"type": "volume", "path": "blobs", "volume": "club-blobs"}]),
     "app first: source 1 (blobs) is of type 'volume', and in the profile club it is of type files."
     " Add 'replaces: blobs' to it if it stands in its place."),
    (app("club", sources=[{"type": "files", "path": "x", "replaces": "data"}]),
     "app first: source 1 replaces 'data', which the profile club does not have. It has db/club.db, blobs."),
    (app("club", sources=[{"type": "files", "path": "x", "replaces": 7}]), "'replaces' of source 1 is a path, or a list of paths"),
    (app("club", sources=[{"type": "files", "path": "x", "replaces": []}]), "'replaces' of source 1 is a path, or a list of paths"),
    (app("club", sources=[{"path": "blobs"}, {"path": "blobs/"}]), "two sources have the path 'blobs'"),
    (app("club", sources=[{"path": "blobs"}, {"type": "files", "path": "x", "replaces": "blobs"}]),
     "one source has the path 'blobs' of the profile club, and another one replaces it. Say the one or the other."),
    (app("generic", sources=[{"path": "data"}]), "the profile generic has no source of that path. It has none at all."),
    ({"name": "first", "root": "/srv", "sources": [{"type": "files", "path": "data", "replaces": "blobs"}]},
     "app first: source 1 says 'replaces', and the app has no profile"),
])
def test_what_cannot_be_is_refused_with_a_remedy(told, said):
    with pytest.raises(ConfigurationError) as refusal:
        resolve(told)
    assert said in str(refusal.value)
