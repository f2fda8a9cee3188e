# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Throw-away containers that have one place mounted, and commands in a running one.

A helper container has no network, no writable root, no capability that it does not need, and no log: an engine would
else write all that goes through it to the host's disk once more. It runs as the container's root, which a rootless
engine maps to the user that runs it. What it is to do stands in its arguments, never in a text that a shell takes
apart.
"""

from __future__ import annotations

import re
import secrets

from ..system.commands import CommandError
from ..system.errors import SourceError
from .streams import Stream

INSIDE = "/appstate"
READ = ("DAC_OVERRIDE",)
WRITE = ("CHOWN", "DAC_OVERRIDE", "FOWNER")
LABEL = "appstate.backup.helper"
# What the script of a stream ends with where there is nothing at its path.
ABSENT = 44
# podman and docker: the engine itself failed; the image has no such program.
ENGINE_FAILED, NOT_FOUND = 125, 127
_NO_IMAGE = re.compile("image not known|no such image|pull access denied|manifest unknown|unable to find image|"
                       "initializing source|error response from daemon: get |unauthorized", re.IGNORECASE)

# $1 is what to take: a directory as a whole, or a single file; the rest are words for tar, if it is one that knows them
# (some a busybox is made without).
_TAKE = """
path=$1
shift
case "$(tar --help 2>&1)" in *--exclude*) ;; *) set -- ;; esac
if [ -d "$path" ] && [ ! -L "$path" ]; then
    cd "$path" && exec tar "$@" -c -f - .
fi
[ -e "$path" ] || [ -L "$path" ] || exit %d
cd "${path%%/*}/" && exec tar -c -f - "./${path##*/}"
""" % ABSENT
# $1 is a directory, the rest are paths below it.
_TAKE_SOME = 'cd "$1" && shift && exec tar -c -f - "$@"'
# Likewise, but each path has a tar of its own, so that none tells another as a hard link.
_TAKE_EACH = """
cd "$1" || exit
shift
status=0
for path in "$@"; do tar -c -f - "$path" || status=$?; done
exit $status
"""
# $1 is a directory, the rest are paths below it; a line for each.
_LOOK = """
cd "$1" || exit
shift
for path in "$@"; do
    if [ -f "$path" ] && [ ! -L "$path" ]; then stat -c '%i %s %a %u %g %Y' "$path"; else echo -; fi
done
"""


class Helper:
    """Runs things beside one Place, for one app; ``seconds`` is the time for each of them."""

    def __init__(self, place, seconds, use_exec=False, app_name=""):
        self.place = place
        self._seconds = seconds
        self._exec = use_exec
        self._label = "%s=%s" % (LABEL, app_name)

    @property
    def path(self):
        """Where the source lies, as what runs sees it."""
        if self._exec:
            return self.place.path_in_container
        return INSIDE + "/" + self.place.inner if self.place.inner else INSIDE

    def take(self, excludes=()):
        """A Stream with the tar of the place; ``excludes`` are names or paths without wildcards, see ``literal``."""
        return self._start(_TAKE, [self.path] + ["--exclude=%s" % each for each in excludes])

    def take_some(self, paths):
        """A Stream with the tar of some files, by their paths (bytes) inside the source."""
        return self._start(_TAKE_SOME, [self.path] + [b"./" + path for path in paths])

    def take_each(self, paths):
        """A Stream with one tar after the other, each of one of the files."""
        return self._start(_TAKE_EACH, [self.path] + [b"./" + path for path in paths])

    def take_from_layer(self):
        """A Stream with the tar of one path in the container's own layer; works on stopped containers too."""
        return Stream([self.place.engine.program, "cp", "%s:%s" % (self.place.container, self.place.inner), "-"],
                      self._seconds)

    def owner_in_layer(self):
        """Owner and group of the path in the container's own layer; None where that cannot be told.

        podman's copy says that all is root's; the container itself knows better, while it runs.
        """
        try:
            told = self.place.engine.ask("exec", "--user", "0:0", self.place.container, "stat", "-c", "%u %g",
                                         self.place.inner).split()
            return int(told[0]), int(told[1])
        except (CommandError, IndexError, ValueError):
            return None

    def put_into_layer(self, directory):
        """A Stream that takes a tar, and puts what is in it into a directory of the container's own layer."""
        # podman gives what it copies to the container's user unless told not to; docker keeps what the tar tells.
        keep = ["--archive=false"] if self.place.engine.name == "podman" else []
        return Stream([self.place.engine.program, "cp"] + keep + ["-", "%s:%s" % (self.place.container, directory)],
                      self._seconds, feed=True)

    def look(self, paths):
        """For each path (text) inside the source ``(inode, size, mode, uid, gid, mtime in seconds)``.

        None stands where there is no regular file.
        """
        with self._start(_LOOK, [self.path] + ["./" + path for path in paths]) as stream:
            answer = b"".join(iter(lambda: stream.read(1 << 16), b""))
            self.expect_success(stream)
        return [_parsed(line) for line in answer.decode("ascii", "replace").splitlines()]

    def run(self, script, words, feed=False):
        """A Stream of a script that may write the place."""
        return self._start(script, words, feed, writes=True)

    def expect_success(self, stream):
        """Waits for a Stream's end; raises SourceError where it failed."""
        status, said = stream.finish()
        if status:
            raise self.failure(status, said)
        return said

    def failure(self, status, said):
        """The SourceError for what ended with a status."""
        place = self.place
        if self._exec:
            remedy = "See whether the container runs and has 'sh' and 'tar'; 'method: helper' needs neither"
        elif status == ENGINE_FAILED and _NO_IMAGE.search(said):
            return SourceError("the image %s of the helper container is not on this host, and %s could not pull it: %s"
                               % (place.image, place.engine.name, said),
                               remedy="Run '%s pull %s' once, or set 'image' to one that is there and has a shell and "
                               "tar" % (place.engine.name, place.image))
        elif status == NOT_FOUND or "executable file" in said or "not found" in said:
            return SourceError("the image %s of the helper container has no shell, or not all that is needed: %s"
                               % (place.image, said),
                               remedy="Set 'image' to one that has it, like docker.io/library/busybox")
        else:
            remedy = "What %s says tells why" % place.engine.name
        return SourceError("%s failed on the %s with status %d: %s"
                           % (place.engine.name, place.title, status, said or "it said nothing"), remedy=remedy)

    def _start(self, script, words, feed=False, writes=False):
        if self._exec:
            return Stream([self.place.engine.program, "exec", "--user", "0:0", "--env", "LC_ALL=C"]
                          + [self.place.container, "sh", "-c", script, "sh"] + words, self._seconds)
        name = "appstate-%s" % secrets.token_hex(8)
        argv = [self.place.engine.program, "run", "--rm", "--name", name, "--label", self._label, "--network", "none",
                "--log-driver", "none", "--no-healthcheck", "--read-only", "--user", "0:0", "--env", "LC_ALL=C",
                "--security-opt", "label=disable", "--security-opt", "no-new-privileges", "--cap-drop", "ALL"]
        for capability in WRITE if writes else READ:
            argv += ["--cap-add", capability]
        argv += ["--volume", "%s:%s%s" % (self.place.mount, INSIDE, "" if writes else ":ro")]
        argv += ["--interactive"] if feed else []
        argv += ["--entrypoint", "sh", self.place.image, "-c", script, "sh"]
        return Stream(argv + words, self._seconds, feed, lambda: self._remove(name))

    def end_others(self):
        """Ends the helpers of the same app on the same place that a killed run has left behind."""
        try:
            for name in self.place.engine.names("ps", "--filter", "label=" + self._label, "--filter",
                                                "volume=" + self.place.mount, "--format", "{{.Names}}"):
                self._remove(name)
        except CommandError as error:
            raise self.place.engine.trouble(error)

    def _remove(self, name):
        """A helper goes on where only the engine's client was killed; it is gone when this returns."""
        for words in (("kill", name), ("rm", "--force", name)):
            try:
                self.place.engine.ask(*words)
            except CommandError:
                continue  # It ended by itself.


def _parsed(line):
    if line == "-":
        return None
    inode, size, mode, uid, gid, mtime = line.split()
    return int(inode), int(size), int(mode, 8), int(uid), int(gid), int(mtime)


def literal(patterns):
    """Those patterns of an ``exclude`` list that mean to every tar what they mean here, as words for its ``--exclude``:
    names, and paths, without wildcards. The rest is left out of what tar sends."""
    return ["./" + pattern.strip("/") if "/" in pattern.rstrip("/") else pattern.strip("/")
            for pattern in patterns if not re.search(r"[*?\[\\\n]", pattern) and pattern.strip("/")]
