# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a source's state lies: in a volume, in a directory of the host that a container mounts, or in a container.

Compose puts its project in front of a volume's name, and labels it with the name that the compose file has
(``com.docker.compose.volume``). So a volume may be named as it is, or as its compose file calls it.
"""

from __future__ import annotations

import posixpath
import re

from ..system.commands import CommandError
from ..system.errors import SourceError
from .engine import engines, first_that_knows

PROJECT = "com.docker.compose.project"
VOLUME = "com.docker.compose.volume"
SERVICE = "com.docker.compose.service"
# Small, has all that a helper container needs, and is named in full: podman knows no registry by itself.
IMAGE = "docker.io/library/busybox"
# What our own helpers are called.
_HELPER = re.compile(r"appstate-[0-9a-f]{16}\Z")


class Place:
    """Where state lies.

    Attributes:
        engine: the Engine that has it.
        mount: what a helper container mounts: name of a volume, or path of a directory on the host; None where the
            state lies in the container's own layer.
        volume: name of the volume, or None.
        inner: path below what is mounted (text), "" for all of it; in the container's own layer the absolute path.
        host_path: where the engine says that the mounted directory lies on its host, or None.
        container: name of the container that was asked for, or None.
        path_in_container: the absolute path that was asked for there, or None.
        running: whether that one runs.
        image: of a helper container.
    """

    def __init__(self, engine, mount, volume, inner, host_path, image, container=None, path_in_container=None,
                 running=False):
        self.engine = engine
        self.mount = mount
        self.volume = volume
        self.inner = inner
        self.host_path = host_path
        self.image = image
        self.container = container
        self.path_in_container = path_in_container
        self.running = running

    def to_dict(self):
        """As JSON can keep it; ``from_dict`` makes it again."""
        return {"engine": self.engine.name, "mount": self.mount, "volume": self.volume, "inner": self.inner,
                "host_path": self.host_path, "image": self.image, "container": self.container,
                "path_in_container": self.path_in_container}

    @classmethod
    def from_dict(cls, told):
        """The place that ``to_dict`` told of; ``ask_running`` tells whether its container runs now.

        Raises:
            SourceError: the engine is not there any more.
        """
        return cls(**dict(told, engine=engines(told["engine"])[0]))

    def ask_running(self):
        """Asks whether its container runs; False where there is none."""
        container = None if self.container is None else self.engine.inspect("container", self.container)
        self.running = container is not None and bool(container["State"]["Running"])
        return self.running

    @property
    def title(self):
        """What messages call it."""
        if self.mount is None:
            return "%s in container %s" % (self.inner, self.container)
        what = "volume %s" % self.volume if self.volume else "directory %s" % self.mount
        return "%s in %s" % (self.inner, what) if self.inner else what

    def running_users(self):
        """Names of the running containers that use it."""
        running = self.ask_running()
        if self.mount is None:
            return [self.container] if running else []
        users = [name for name in self.engine.running_users(self.mount) if not _HELPER.match(name)]
        return users + ([self.container] if running and self.container not in users else [])

    def is_gone(self):
        """Whether it was a volume that is not there any more."""
        return self.volume is not None and self.engine.inspect("volume", self.volume) is None

    def remove_volume(self):
        """Removes the volume, unless a container has been made with it."""
        try:
            self.engine.ask("volume", "rm", self.volume)
        except CommandError:
            pass


def create_volume(source, recorded=None):
    """The Place of a new, empty volume for a VolumeSource, with compose's labels where its project is known.

    Args:
        recorded: name that the volume had when it was backed up, or None.
    """
    project, name = source.project, source.volume
    if project is None and recorded and recorded.endswith("_" + name):
        project = recorded[:-len(name) - 1]
    words = ["--label", "%s=%s" % (PROJECT, project), "--label", "%s=%s" % (VOLUME, name)] if project else []
    engine = engines(source.engine)[0]
    try:
        made = engine.ask("volume", "create", *(words + ["%s_%s" % (project, name) if project else name])).strip()
    except CommandError as error:
        raise engine.trouble(error)
    told = engine.inspect("volume", made) or {}
    return Place(engine, made, made, "", told.get("Mountpoint") or None, source.image or IMAGE)


def find_place(source):
    """The Place of a VolumeSource; None where there is no such volume.

    Raises:
        SourceError: no engine, several volumes that could be meant, no such container, or a place in a container that
            cannot be taken.
    """
    if source.container_path is not None:
        return _in_container(source)
    found = first_that_knows(source.engine, lambda engine: find_volume(engine, source.volume, source.project))
    if found is None:
        return None
    engine, volume = found
    image = source.image
    if image is None and source.container is not None:
        container = find_container(engine, source.container, source.project)
        image = container and container["Image"]
    return Place(engine, volume["Name"], volume["Name"], "", volume.get("Mountpoint") or None, image or IMAGE)


def find_volume(engine, name, project=None):
    """What the engine knows of the volume of that name: its own, or that of a compose file.

    Raises:
        SourceError: several could be meant.
    """
    every = _listed(engine)
    if project is None and name in every:
        return engine.inspect("volume", name)
    named = [each for each in _listed(engine, "--filter", "label=%s=%s" % (VOLUME, name))
             if project is None or _label(engine.inspect("volume", each), PROJECT) == project]
    if not named and project is not None:
        named = [each for each in ("%s_%s" % (project, name), name) if each in every][:1]
    elif not named:
        named = [each for each in every if each.endswith("_" + name)]
    if len(named) > 1:
        raise SourceError("%s has several volumes that %r could mean: %s"
                          % (engine.name, name, ", ".join(sorted(named))),
                          remedy="Write the one that is meant in full, or say its compose 'project'")
    return engine.inspect("volume", named[0]) if named else None


def _listed(engine, *words):
    # By listing: podman's inspect is content with the beginning of a name.
    try:
        return engine.names("volume", "ls", "--format", "{{.Name}}", *words)
    except CommandError as error:
        raise engine.trouble(error)


def _label(found, label):
    """A label of what an engine knows; None where there is none."""
    return ((found or {}).get("Labels") or ((found or {}).get("Config") or {}).get("Labels") or {}).get(label)


def find_container(engine, name, project=None):
    """What the engine knows of a container, by its name or by that of its service in a compose file; or None.

    Raises:
        SourceError: several could be meant.
    """
    exact = engine.inspect("container", name)
    if exact is not None:
        return exact
    try:
        named = engine.names("ps", "--all", "--format", "{{.Names}}", "--filter", "label=%s=%s" % (SERVICE, name))
    except CommandError as error:
        raise engine.trouble(error)
    if project is not None:
        named = [each for each in named if _label(engine.inspect("container", each), PROJECT) == project]
    if len(named) > 1:
        raise SourceError("%s has several containers that %r could mean: %s"
                          % (engine.name, name, ", ".join(sorted(named))),
                          remedy="Write the one that is meant in full, or say its compose 'project'")
    return engine.inspect("container", named[0]) if named else None


def _in_container(source):
    found = first_that_knows(source.engine, lambda engine: find_container(engine, source.container, source.project))
    if found is None:
        raise SourceError("there is no container %s" % source.container,
                          remedy="Correct the name ('%s ps --all' lists them), or create it first"
                          % ("podman" if source.engine == "auto" else source.engine))
    engine, container = found
    name, running = container["Name"].lstrip("/"), bool(container["State"]["Running"])
    path = posixpath.normpath(source.container_path)
    image = source.image or container["Image"]
    mount = _mount_of(container, path)
    if mount is None:
        return Place(engine, None, None, path, None, image, name, path, running)
    inner = posixpath.relpath(path, mount["Destination"])
    volume = mount.get("Name") if mount["Type"] == "volume" else None
    return Place(engine, volume or mount["Source"], volume, "" if inner == "." else inner, mount.get("Source") or None,
                 image, name, path, running)


def _mount_of(container, path):
    """The innermost mount that a path in a container lies on, or None."""
    under = [mount for mount in container.get("Mounts") or ()
             if mount["Type"] in ("volume", "bind") and _holds(posixpath.normpath(mount["Destination"]), path)]
    return max(under, key=lambda mount: len(mount["Destination"])) if under else None


def _holds(directory, path):
    return directory == "/" or path == directory or path.startswith(directory + "/")
