# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an operator says of objectives and drills; what is done with it is tested where it is done."""

from __future__ import annotations

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.app import parse_app
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import ConfigurationError

CANARY = "canary/5ecre7"
URL = "https://hc.example/ping/" + CANARY
ARGV = {"argv": ["serve", "{root}"]}
IMAGE = {"image": "localhost/notes", "mounts": {"/data": "data"}}


def told(**words):
    return dict({"name": "notes", "root": "/srv/notes", "destination": "/var/backups", "sources": [{"type": "files", "path": "data"}]}, **words)


def read(**drill):
    """The Drilling of an app."""
    return parse_app(told(drill=drill)).drilling


def boot(**words):
    """The Boot of an app's drill."""
    return read(boot=words).boot


def refusal(**words):
    """The message for an app; whatever is wrong, nothing that may be a secret is in it."""
    with pytest.raises(ConfigurationError) as caught:
        parse_app(told(**words))
    said = str(caught.value)
    assert caught.value.exit_code == 78 and said.startswith("app notes: ") and said.endswith((".", "?"))
    assert "canary" not in said and "canary" not in str(caught.value.to_dict())
    return said


def test_what_holds_when_nothing_is_said():
    for words in ({}, {"drill": None, "objectives": None}, {"drill": {}, "objectives": {}},
                  {"drill": {"boot": None, "monitoring": None, "schedule": None}, "objectives": {"rpo": None}}):
        app = parse_app(told(**words))
        assert (app.objectives.rpo, app.objectives.rto) == (None, None)
        drilling = app.drilling
        assert drilling.scratch is drilling.boot is drilling.health is drilling.ping is drilling.metrics_directory is None
        assert drilling.syslog is True


def test_everything_that_can_be_said():
    drilling = read(scratch="/var/tmp/", boot=ARGV, health={"url": "http://127.0.0.1:{port}/", "status": [200, 204]},
                    schedule={"hour": 4, "minute": "*/5"},
                    monitoring={"ping": {"url": URL, "style": "snitch", "timeout": 3, "attempts": 1}, "metrics_directory": "/srv/metrics/",
                                "syslog": False})
    assert (drilling.scratch, drilling.boot.argv, drilling.health["status"]) == ("/var/tmp", ARGV["argv"], [200, 204])
    assert (drilling.ping.url, drilling.ping.style, drilling.ping.timeout, drilling.ping.attempts) == (URL, "snitch", 3.0, 1)
    assert (drilling.metrics_directory, drilling.syslog) == ("/srv/metrics", False)


def test_ways_to_start_an_application():
    made = boot(argv=["serve"])
    assert (made.argv, made.unit, made.image, made.run_as, made.environment, made.isolated) == (["serve"], None, None, None, {}, True)
    made = boot(argv=["serve"], run_as="notes", environment={"KEY": CANARY, "_none": ""}, isolated=False)
    assert (made.run_as, made.environment, made.isolated) == ("notes", {"KEY": CANARY, "_none": ""}, False)
    assert boot(argv=["serve"], run_as=0).run_as == 0
    made = boot(unit="notes-drill@a.service", isolated=False, environment={"KEY": "x"})
    assert (made.argv, made.unit, made.image, made.isolated, made.environment) == (None, "notes-drill@a.service", None, False, {"KEY": "x"})
    made = boot(container=IMAGE)
    assert (made.argv, made.unit, made.image, made.mounts, made.engine) == (None, None, "localhost/notes", {"/data": "data"}, "auto")
    made = boot(container=dict(IMAGE, mounts={"/data": "data/deep/", "/all": "."}, argv=["serve", "-v"], engine="podman"), environment={"KEY": "x"})
    assert (made.mounts, made.argv, made.engine, made.environment) == ({"/data": "data/deep", "/all": "."}, ["serve", "-v"], "podman", {"KEY": "x"})


@pytest.mark.parametrize("span, seconds", [
    ("26h", 93600), ("10m", 600), ("1d12h", 129600), ("90s", 90), ("1d1h1m1s", 90061), (5, 5), (0.5, 0.5), ("9999d", 863913600)])
def test_time_spans(span, seconds):
    objectives = parse_app(told(objectives={"rpo": span, "rto": span})).objectives
    assert (objectives.rpo, objectives.rto) == (seconds, seconds) and isinstance(objectives.rpo, float)


@pytest.mark.parametrize("span", ["", "0h", "26", "h", "1h1d", "26 h", "-1h", "1.5h", "26h\n", "99999d", [26], {}, True])
def test_what_is_no_time_span(span):
    assert "of 'objectives' is %r. Write it in days, hours, minutes and seconds: 26h, 10m, 1d12h, 90s." % (span,) in refusal(objectives={"rpo": span})


@pytest.mark.parametrize("objectives, expected", [
    ({"rpo": 0}, "'rpo' of 'objectives' is a number of seconds above 0, not 0"),
    ({"rto": -1}, "'rto' of 'objectives' is a number of seconds above 0"),
    ({"rto": float("nan")}, "'rto' of 'objectives' is a number of seconds above 0"),
    ({"rto": float("inf")}, "'rto' of 'objectives' is a number of seconds above 0"),
    ({"rt": "1h"}, "'objectives' has an unknown key 'rt'. Did you mean 'rto'?"),
    ("26h", "'objectives' is a dictionary, not a str"), (["26h"], "'objectives' is a dictionary, not a list"),
])
def test_objectives_that_are_refused(objectives, expected):
    assert expected in refusal(objectives=objectives)


@pytest.mark.parametrize("drill, expected", [
    (CANARY, "'drill' is a dictionary, not a str"),
    ([CANARY], "'drill' is a dictionary, not a list"),
    ({"scrach": "/x"}, "'drill' has an unknown key 'scrach'. Did you mean 'scratch'?"),
    ({"scratch": "tmp"}, "'scratch' is not an absolute path: 'tmp'"),
    ({"scratch": "/var/../tmp"}, "'scratch' may not be '/var/../tmp'"),
    ({"scratch": "/"}, "'scratch' may not be '/'"),
    ({"health": "http://127.0.0.1/"}, "'health' is a dictionary, not a str"),
    ({"health": {}}, "'health' needs 'url', a text"),
    ({"health": {"url": "http://127.0.0.1/", "state": 200}}, "'health' has an unknown key 'state'. Did you mean 'status'?"),
    ({"schedule": {"minute": "61"}}, "'minute' of 'schedule' is '61', which cron does not understand"),
    ({"schedule": "daily"}, "'schedule' is a dictionary, not a str"),
    ({"monitoring": CANARY}, "'monitoring' of 'drill' is a dictionary, not a str"),
    ({"monitoring": [CANARY]}, "'monitoring' of 'drill' is a dictionary, not a list"),
    ({"monitoring": {"max_age": "1d"}}, "'monitoring' of 'drill' has an unknown key 'max_age'"),
    ({"monitoring": {"pings": {"url": URL}}}, "'monitoring' of 'drill' has an unknown key 'pings'. Did you mean 'ping'?"),
    ({"monitoring": {"ping": URL}}, "'ping' is a dictionary, not a str"),
    ({"monitoring": {"ping": {"url": [URL]}}}, "'url' of 'ping' is no http or https URL"),
    ({"monitoring": {"ping": {"url": URL + " "}}}, "'url' of 'ping' is no http or https URL"),
    ({"monitoring": {"ping": {"url": "https://ping.example:99999/x"}}}, "'url' of 'ping' is no http or https URL"),
    ({"monitoring": {"ping": {"url": URL, "style": "pagerduty"}}}, "healthchecks, snitch, uptime_kuma"),
    ({"monitoring": {"ping": {"url": URL, "timeout": 0}}}, "'timeout' of 'ping' is a number of seconds above 0"),
    ({"monitoring": {"metrics_directory": "metrics"}}, "'metrics_directory' is not an absolute path: 'metrics'"),
    ({"monitoring": {"syslog": "no"}}, "'syslog' of 'monitoring' of 'drill' is true or false, not 'no'"),
])
def test_drills_that_are_refused(drill, expected):
    assert expected in refusal(drill=drill)


@pytest.mark.parametrize("words, expected", [
    (CANARY, "'boot' of 'drill' is a dictionary, not a str"),
    ({}, "'boot' of 'drill' needs exactly one of 'argv', 'unit' and 'container'. It has none"),
    ({"environment": {"KEY": CANARY}}, "It has none"),
    (dict(ARGV, unit="notes-drill.service"), "It has argv and unit"),
    (dict(ARGV, unit="notes-drill.service", container=IMAGE), "It has argv and unit and container"),
    ({"args": ["serve"]}, "'boot' of 'drill' has an unknown key 'args'. Did you mean 'argv'?"),
    ({"argv": []}, "'argv' of 'boot' of 'drill' is a list of texts, not []"),
    ({"argv": "serve"}, "'argv' of 'boot' of 'drill' is a list of texts, not 'serve'"),
    ({"argv": ["serve", 80]}, "'argv' of 'boot' of 'drill' is a list of texts"),
    ({"argv": ["serve", "a\0b"]}, "'argv' of 'boot' of 'drill' is a list of texts"),
    (dict(ARGV, run_as=-1), "'run_as' is a name or a numeric id, not -1"),
    (dict(ARGV, run_as=""), "'run_as' is a name or a numeric id, not ''"),
    (dict(ARGV, isolated="no"), "'isolated' of 'boot' of 'drill' is true or false, not 'no'"),
    (dict(ARGV, environment=CANARY), "'environment' of 'boot' of 'drill' is a dictionary, not a str"),
    (dict(ARGV, environment=["KEY=" + CANARY]), "'environment' of 'boot' of 'drill' is a dictionary, not a list"),
    (dict(ARGV, environment={"KEY": [CANARY]}), "'environment' of 'boot' of 'drill' has from names of variables to texts; 'KEY' is otherwise"),
    (dict(ARGV, environment={"KEY": CANARY + "\0"}), "'KEY' is otherwise"),
    (dict(ARGV, environment={"KEY": CANARY + "\ud800"}), "'KEY' is otherwise"),
    (dict(ARGV, environment={"KEY": 80}), "'KEY' is otherwise"),
    (dict(ARGV, environment={"A KEY": CANARY}), "'A KEY' is otherwise"),
    (dict(ARGV, environment={"1KEY": CANARY}), "'1KEY' is otherwise"),
    (dict(ARGV, environment={"KEY\n": CANARY}), "'KEY\\n' is otherwise"),
    (dict(ARGV, environment={3: CANARY}), "3 is otherwise"),
    ({"unit": "notes-drill"}, "'unit' of 'boot' of 'drill' is 'notes-drill'; it names a systemd service: notes-drill.service"),
    ({"unit": "../x.service"}, "it names a systemd service"),
    ({"unit": "notes-drill.timer"}, "it names a systemd service"),
    ({"unit": ["notes-drill.service"]}, "'unit' of 'boot' of 'drill' is not a text"),
    ({"unit": "notes-drill.service", "run_as": "notes"}, "'run_as' of 'boot' of 'drill' does not go with 'unit'. Say it in the unit"),
    ({"container": "notes"}, "'container' of 'boot' is a dictionary, not a str"),
    ({"container": dict(IMAGE, volumes=[])}, "'container' of 'boot' has an unknown key 'volumes'"),
    ({"container": {"mounts": {"/data": "."}}}, "'container' of 'boot' needs 'image', a text"),
    ({"container": dict(IMAGE, engine="lxc")}, "'engine' is 'lxc'; it can be auto, podman, docker"),
    ({"container": dict(IMAGE, argv=[])}, "'argv' of 'container' of 'boot' is a list of texts, not []"),
    ({"container": {"image": "notes"}}, "'mounts' of 'container' of 'boot' is a dictionary, from paths in the container to paths below the app's root"),
    ({"container": {"image": "notes", "mounts": ["/data"]}}, "'mounts' of 'container' of 'boot' is a dictionary"),
    ({"container": {"image": "notes", "mounts": {}}}, "'mounts' of 'container' of 'boot' is a dictionary"),
    ({"container": {"image": "notes", "mounts": {"data": "."}}}, "'mounts' of 'container' of 'boot' has 'data', which is no absolute path in a container"),
    ({"container": {"image": "notes", "mounts": {"/a:ro": "."}}}, "has '/a:ro', which is no absolute path in a container"),
    ({"container": {"image": "notes", "mounts": {"/a\0": "."}}}, "has '/a\\x00', which is no absolute path in a container"),
    ({"container": {"image": "notes", "mounts": {3: "."}}}, "has 3, which is no absolute path in a container"),
    ({"container": {"image": "notes", "mounts": {"/data": "../x"}}}, "the path of 'mounts' leaves the root: '../x'"),
    ({"container": {"image": "notes", "mounts": {"/data": "/etc"}}}, "the path of 'mounts' is absolute: '/etc'"),
    ({"container": {"image": "notes", "mounts": {"/data": None}}}, "'mounts' needs 'path', a text"),
    ({"container": {"image": "notes", "mounts": {"/data": "a:b"}}}, "has 'a:b', which an engine would take apart at its colon"),
    ({"container": IMAGE, "run_as": "notes"}, "'run_as' of 'boot' of 'drill' does not go with 'container'. Leave it out: the image says whom it runs as"),
    ({"container": IMAGE, "isolated": False}, "'isolated' of 'boot' of 'drill' does not go with 'container'. "
     "Leave it out: a container of a drill is always apart"),
])
def test_ways_to_start_that_are_refused(words, expected):
    assert expected in refusal(drill={"boot": words})


@pytest.mark.parametrize("service", ["notes", "notes.service"])
def test_the_apps_own_service_is_not_what_a_drill_starts(service):
    unit = {"boot": {"unit": "notes.service"}}
    assert "'unit' of 'boot' is the app's own service, which a drill would stop. Make another one for drills." in refusal(
        drill=unit, service={"name": service})
    assert parse_app(told(drill=unit, service={"stop": ["a"], "start": ["b"]})).drilling.boot.unit == "notes.service"
    assert parse_app(told(drill=unit)).drilling.boot.unit == "notes.service"


def test_the_live_one_does_not_answer_for_a_copy_beside_it():
    live, own = {"url": "http://127.0.0.1:8080/"}, {"url": "http://127.0.0.1:{port}/"}
    for way in ({"argv": ["serve"]}, {"unit": "notes-drill.service"}):
        beside = dict(way, isolated=False)
        for drill in ({"boot": beside}, {"boot": beside, "health": live}):
            assert "'isolated: false' of 'boot' starts a copy of the app beside the live one, whose 'health' would answer for it. " \
                "Give 'drill' a 'health' of its own, whose URL has {port} in it." in refusal(drill=drill, health=live)
        assert parse_app(told(drill={"boot": beside, "health": own}, health=live)).drilling.health == own
        assert parse_app(told(drill={"boot": beside})).drilling.health is None
        assert parse_app(told(drill={"boot": way}, health=live)).health == live
