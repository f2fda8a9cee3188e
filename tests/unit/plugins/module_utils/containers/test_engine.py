# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Engines are found on PATH, asked, and say clearly why they do not answer."""

from __future__ import annotations

import os

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.containers.engine import engines, first_that_knows
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import SourceError
from ansible_collections.appstate.backup.tests.unit.plugins.podman_machine import (  # pylint: disable=unused-import
    containers, containers_of_module)  # noqa: F401

DOWN = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A function that makes a program with a shell script; nothing else is on PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def make(name, script):
        (tmp_path / name).write_text("#!/bin/sh\n%s\n" % script, encoding="utf-8")
        os.chmod(tmp_path / name, 0o755)
    return make


@pytest.mark.parametrize("choice,said", [("auto", "podman or docker is not installed"),
                                         ("docker", "docker is not installed")])
def test_an_engine_that_is_not_installed_is_told_with_its_package(programs, choice, said):
    with pytest.raises(SourceError, match=said) as caught:
        engines(choice)
    assert "docker.io" in caught.value.remedy and ("podman" in caught.value.remedy) == (choice == "auto")


def test_a_service_that_is_down_is_told_in_its_own_words(programs):
    programs("docker", "echo '%s' >&2; exit 1" % DOWN)
    with pytest.raises(SourceError, match="Is the docker daemon running") as caught:
        engines("docker")[0].inspect("volume", "data")
    assert "Start its service" in caught.value.remedy


def test_an_answer_that_is_no_json_is_refused(programs):
    programs("podman", "echo nonsense")
    with pytest.raises(SourceError, match="no JSON"):
        engines("podman")[0].inspect("volume", "data")


def look_for_data(engine):
    return engine.inspect("volume", "data")


def test_the_engine_that_knows_it_is_taken(programs):
    programs("podman", "echo 'Error: no such volume data' >&2; exit 125")
    programs("docker", """echo '[{"Name": "data"}]'""")
    engine, found = first_that_knows("auto", look_for_data)
    assert (engine.name, found) == ("docker", {"Name": "data"})


def test_one_that_is_down_does_not_matter_where_another_knows_it(programs):
    programs("podman", "echo broken >&2; exit 1")
    programs("docker", """echo '[{"Name": "data"}]'""")
    assert first_that_knows("auto", look_for_data)[0].name == "docker"


def test_one_that_is_down_matters_where_no_other_knows_it(programs):
    programs("podman", "echo 'Error: no such volume data' >&2; exit 125")
    programs("docker", "echo '%s' >&2; exit 1" % DOWN)
    with pytest.raises(SourceError, match="docker cannot be asked"):
        first_that_knows("auto", look_for_data)


class TestReal:
    def test_what_there_is_and_is_not(self, containers):
        containers.podman("volume", "create", "data")
        for choice in ("podman", "auto"):
            assert first_that_knows(choice, look_for_data)[1]["Name"] == "data"
        podman = engines("podman")[0]
        assert podman.inspect("volume", "other") is None
        assert podman.inspect("container", "other") is None

    def test_running_containers_that_use_a_volume_are_named(self, containers):
        containers.run("web", "--volume", "data:/data")
        containers.podman("create", "--name", "idle", "--volume", "data:/data", "docker.io/library/busybox", "true")
        assert engines("podman")[0].running_users("data") == ["web"]

    def test_the_docker_client_answers_alike(self, containers):
        containers.run("web", "--volume", "data:/data")
        containers.serve()
        docker = engines("docker")[0]
        assert docker.inspect("volume", "data")["Name"] == "data"
        assert docker.inspect("volume", "other") is None and docker.inspect("container", "other") is None
        assert docker.running_users("data") == ["web"]
