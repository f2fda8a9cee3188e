# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A container engine as its command line has it: podman or docker, which answer alike to all that is asked here.

Source: podman(1) and https://docs.docker.com/reference/cli/docker/.
"""

from __future__ import annotations

import json
import shutil

from ..system.commands import CommandError, output_of
from ..system.errors import SourceError

NAMES = ("podman", "docker")
PACKAGES = {"podman": "podman", "docker": "docker.io or docker-ce-cli"}
# An engine that does not answer within this time is not at work.
SECONDS = 60
ANSWER_MOST = 64 * 1024 * 1024
# As many digits of an id as listings show.
SHORT_ID = 12


class Engine:
    """One engine of this host; ``name`` is what it is called, ``program`` its command."""

    def __init__(self, name, program):
        self.name = name
        self.program = program

    def ask(self, *words):
        """What the engine prints.

        Raises:
            CommandError: it failed; the message has what it said.
        """
        return output_of([self.program] + list(words), SECONDS, ANSWER_MOST)

    def names(self, *words):
        """The names that a listing prints, one a line."""
        return [line for line in self.ask(*words).splitlines() if line]

    def inspect(self, kind, name):
        """What the engine knows of a ``volume`` or a ``container``; None where it has none of that name.

        Raises:
            SourceError: the engine does not answer.
        """
        try:
            found = json.loads(self.ask(kind, "inspect", name))
        except CommandError as error:
            if "no such" in error.message.lower():
                return None
            raise self.trouble(error)
        except ValueError:
            raise SourceError("%s gave an answer about the %s %s that is no JSON" % (self.name, kind, name))
        return next((each for each in found if _is_called(each, name)), None)

    def trouble(self, error):
        """The SourceError for an engine that does not do what it was asked for."""
        remedy = "Start its service, or give the user that runs the backup access to it" \
            if self.name == "docker" else "See whether 'podman info' works for the user that runs the backup"
        return SourceError("%s cannot be asked: %s" % (self.name, error.message), remedy=remedy)

    def running_users(self, place):
        """Names of the running containers that have mounted a volume (by name) or a directory of the host (by path)."""
        try:
            return self.names("ps", "--filter", "volume=%s" % place, "--format", "{{.Names}}")
        except CommandError as error:
            raise self.trouble(error)


def _is_called(found, name):
    """Whether something has that name or id in full: engines are content with the beginning of either."""
    identity = (found.get("Id") or "").replace("sha256:", "")
    if (found.get("Name") or "").lstrip("/") == name:
        return True
    return len(name) >= SHORT_ID and identity.startswith(name.replace("sha256:", ""))


def engines(choice):
    """The Engines to ask: the one that is named, or for ``auto`` all that are installed.

    Raises:
        SourceError: there is none; the remedy names the package.
    """
    wanted = NAMES if choice == "auto" else (choice,)
    found = [Engine(name, program) for name, program in ((name, shutil.which(name)) for name in wanted) if program]
    if not found:
        raise SourceError("%s is not installed on this host" % " or ".join(wanted), remedy="Install the package %s"
                          % ", or ".join(PACKAGES[name] for name in wanted))
    return found


def first_that_knows(choice, look):
    """``(Engine, what look(engine) gave)`` of the engine that knows something, or None where none does.

    Raises:
        SourceError: one engine could not be asked, and no other knows it.
    """
    trouble = None
    for engine in engines(choice):
        try:
            found = look(engine)
        except SourceError as error:
            trouble = trouble or error
            continue
        if found is not None:
            return engine, found
    if trouble is not None:
        trouble.message += "; no engine that answers knows anything of that name"
        trouble.remedy += "; or say which 'engine' it is"
        raise trouble
    return None
