# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which image a container runs, by a name that still means the same image when a tag has moved on."""

from __future__ import annotations

from ..system.errors import SourceError
from .engine import first_that_knows


def image_of(container):
    """``name:tag@sha256:…`` of a container's image, running or not.

    An image that came from no registry and has no digest there is told by its id instead: ``name:tag (sha256:…)``.

    Raises:
        SourceError: no engine is installed, answers, or has such a container.
    """
    known = first_that_knows("auto", lambda engine: engine.inspect("container", container))
    if known is None:
        raise SourceError("the container %s does not exist" % container, remedy="Correct its name")
    engine, found = known
    identity = found.get("Image") or ""
    name = (found.get("Config") or {}).get("Image") or found.get("ImageName") or ""
    image = engine.inspect("image", identity) or {}
    digests = image.get("RepoDigests") or []
    if digests:
        return "%s@%s" % (name.partition("@")[0], digests[0].rpartition("@")[2])
    return "%s (%s)" % (name, identity)
