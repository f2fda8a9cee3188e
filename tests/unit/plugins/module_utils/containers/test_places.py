# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A volume by its own name and by its compose file's, and what a path in a container lies on; on real podman."""

from __future__ import annotations

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.containers.places import (
    IMAGE, Place, create_volume, find_place)
from ansible_collections.appstate.backup.plugins.module_utils.source import VolumeSource
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import SourceError
from ansible_collections.appstate.backup.tests.unit.plugins.podman_machine import (  # pylint: disable=unused-import
    containers, containers_of_module)  # noqa: F401

PROJECT = "com.docker.compose.project="
VOLUME = "com.docker.compose.volume="


def volume(containers, name, project=None, own=None):
    """Makes a volume, with compose's labels where a project is given."""
    labels = ["--label", PROJECT + project, "--label", VOLUME + own] if project else []
    containers.podman("volume", "create", *(labels + [name]))


def found(name, **words):
    place = find_place(VolumeSource("volumes/x", volume=name, **words))
    return place and place.volume


class TestVolume:
    def test_its_own_name_wins(self, containers):
        volume(containers, "uploads")
        volume(containers, "shop_uploads", "shop", "uploads")
        assert found("uploads") == "uploads"

    def test_the_name_in_the_compose_file(self, containers):
        volume(containers, "oddly-named", "shop", "uploads")
        assert found("uploads") == found("uploads", project="shop") == "oddly-named"

    def test_a_project_in_front_of_the_name_without_labels(self, containers):
        volume(containers, "shop_uploads")
        assert found("uploads") == found("uploads", project="shop") == "shop_uploads"

    def test_several_are_listed_and_the_project_tells_them_apart(self, containers):
        volume(containers, "one_uploads", "one", "uploads")
        volume(containers, "two_uploads", "two", "uploads")
        with pytest.raises(SourceError, match="one_uploads, two_uploads") as caught:
            found("uploads")
        assert "project" in caught.value.remedy
        assert found("uploads", project="two") == "two_uploads"

    def test_one_that_is_not_there(self, containers):
        volume(containers, "uploads2")
        assert found("uploads", engine="podman") is None and found("uploads", engine="podman", project="shop") is None

    def test_a_new_one_gets_the_name_it_had_and_labels_that_compose_takes_for_its_own(self, containers):
        place = create_volume(VolumeSource("volumes/x", volume="uploads", engine="podman"), "shop_uploads")
        assert place.volume == "shop_uploads" and found("uploads", project="shop") == "shop_uploads"
        place.remove_volume()
        assert place.is_gone()

    def test_the_image_is_the_one_that_is_named_or_that_of_the_container_or_a_small_one(self, containers):
        containers.run("web", "--volume", "data:/data")
        assert find_place(VolumeSource("x", volume="data")).image == IMAGE
        assert find_place(VolumeSource("x", volume="data", image="alpine")).image == "alpine"
        own = containers.podman("inspect", "--format", "{{.Image}}", "web").decode().strip()
        assert find_place(VolumeSource("x", volume="data", container="web")).image == own


def inside(path, container="web", **words):
    return find_place(VolumeSource("volumes/x", container=container, container_path=path, **words))


class TestContainer:
    def test_a_path_on_a_volume(self, containers):
        containers.run("web", "--volume", "data:/srv/data", "--volume", "more:/srv/data/more")
        place = inside("/srv/data/uploads/")
        assert (place.volume, place.mount, place.inner, place.running) == ("data", "data", "uploads", True)
        assert (inside("/srv/data").inner, inside("/srv/data/more/x").volume) == ("", "more")
        assert place.title == "uploads in volume data"

    def test_a_path_on_a_directory_of_the_host(self, containers, tmp_path):
        containers.run("web", "--volume", "%s:/srv/data" % tmp_path)
        place = inside("/srv/data/db")
        assert (place.volume, place.mount, place.inner) == (None, str(tmp_path), "db")

    def test_a_path_in_its_own_layer(self, containers):
        containers.run("web", "--volume", "data:/srv/data")
        place = inside("/srv/database")
        assert (place.mount, place.inner, place.title) == (None, "/srv/database", "/srv/database in container web")

    def test_a_stopped_one_is_known_too(self, containers):
        containers.podman("create", "--name", "web", "--volume", "data:/data", IMAGE, "true")
        assert inside("/data").volume == "data" and not inside("/data").running

    def test_the_name_of_its_service_in_a_compose_file(self, containers):
        containers.run("shop-web-1", "--label", "com.docker.compose.service=web", "--label", PROJECT + "shop")
        assert inside("/x").container == inside("/x", project="shop").container == "shop-web-1"

    def test_one_that_is_not_there(self, containers):
        with pytest.raises(SourceError, match="there is no container web") as caught:
            inside("/data", engine="podman")
        assert "ps --all" in caught.value.remedy

    def test_it_comes_back_from_a_journal(self, containers):
        containers.run("web", "--volume", "data:/data")
        place = Place.from_dict(inside("/data/a").to_dict())
        assert place.ask_running() and vars(place) == dict(vars(inside("/data/a")), engine=place.engine)

    def test_the_docker_client_tells_the_same(self, containers):
        containers.run("web", "--volume", "data:/srv/data")
        containers.serve()
        for path in ("/srv/data/a", "/etc/x"):
            told = {name: value for name, value in inside(path, engine="docker").to_dict().items()
                    if name not in ("engine", "image")}
            assert told == {name: value for name, value in inside(path, engine="podman").to_dict().items()
                            if name not in ("engine", "image")}
