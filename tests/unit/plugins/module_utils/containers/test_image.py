# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A container's image, as podman and as the docker client tell it."""

from __future__ import annotations

import os
import re
import tempfile

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.containers.image import image_of
from ansible_collections.appstate.backup.plugins.module_utils.operations.version import application_version
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import SourceError
from ansible_collections.appstate.backup.tests.unit.plugins.podman_machine import Containers

NAME = "registry.example/club:1.4"


@pytest.fixture(scope="module")
def machine():
    """Containers, one of which was made and never started; podman wants short paths."""
    with tempfile.TemporaryDirectory(prefix="ast-") as place:
        made = Containers(os.path.join(place, "c"))
        try:
            made.make_image(NAME)
            made.podman("create", "--name", "club", NAME, "sleep", "1")
            yield made
        finally:
            made.close()


@pytest.fixture(params=["podman", "docker"])
def engine(request, machine, monkeypatch, tmp_path):
    """Each engine by itself."""
    machine.serve()
    os.symlink(os.path.join(machine.programs, request.param), tmp_path / request.param)
    # What the programs start themselves is still found.
    others = tmp_path / "others"
    others.mkdir()
    for name in ("nsenter", "sh"):
        os.symlink("/usr/bin/" + name, others / name)
    monkeypatch.setenv("PATH", "%s:%s" % (tmp_path, others))
    return request.param


def test_an_image_is_told_by_name_and_digest(engine, machine, host):
    told = image_of("club")
    assert re.match(re.escape(NAME) + r"@sha256:[0-9a-f]{64}\Z", told)
    assert application_version(host.app(version={"container": "club"})) == (told, None)


def test_a_container_that_does_not_exist_is_named(engine, host):
    with pytest.raises(SourceError, match="the container nothing does not exist"):
        image_of("nothing")
    told, why = application_version(host.app(version={"container": "nothing"}))
    assert told is None and "the container nothing does not exist" in why


def test_without_an_engine_its_package_is_named(host, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    told, why = application_version(host.app(version={"container": "club"}))
    assert told is None and "podman or docker is not installed" in why
