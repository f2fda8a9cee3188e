# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Running commands, and finding the way into namespaces."""

from __future__ import annotations

import subprocess


class CommandFailed(RuntimeError):
    """A command ended with another code than 0; the message holds what it printed."""


def checked(command, timeout=60, **options):
    """Run a command to its end and give what it printed; CommandFailed when it fails."""
    done = run(command, timeout=timeout, **options)
    if done.returncode != 0:
        raise CommandFailed("%r ended with %s:\n%s%s" % (command, done.returncode, done.stdout, done.stderr))
    return done.stdout


def run(command, timeout=60, input=None, **options):  # pylint: disable=redefined-builtin
    """Run a command to its end; output is text in which bytes outside UTF-8 survive as surrogates."""
    given = {"stdin": subprocess.DEVNULL} if input is None else {"input": input}
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout, check=False,
                          encoding="utf-8", errors="surrogateescape", **given, **options)


def nsenter(pid, *namespaces):
    """The beginning of a command that runs in these namespaces of a process."""
    return ["nsenter", "--target", str(pid)] + ["--" + each for each in namespaces] + ["--"]
