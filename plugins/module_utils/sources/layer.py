# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One file in a container's own layer: read and replaced by the engine itself, whether the container runs or not."""

from __future__ import annotations

import os

from ..archive import tar
from ..archive.members import FILE, Member
from ..archive.reader import entries
from ..containers.helper import Helper
from ..system import files
from ..system.commands import CommandError
from ..system.errors import ArchiveError, RestoreError
from .files import ASIDE

PART = ".part"


class LayerFile:
    """Restores one file; its state is a part of VolumeStore's.

    ``staged`` is the path below the root of what is to be put in, ``new`` its owner, group, mode and time; ``old`` the
    same of what was there (None: nothing was), and ``aside`` the path below the root that it is kept at.
    """

    def __init__(self, app, source, root, place):
        self._app = app
        self._source = source
        self._root = root
        self._place = place
        self._helper = Helper(place, source.timeout)

    def stage(self, staged, state):
        """Looks whether it can be done; nothing of the container is changed."""
        base = files.as_bytes(staged.path)
        member = next((each for each in entries(staged.lines) if each.path == base), None)
        if member is None or member.type != FILE:
            raise RestoreError("the backup has no single file for %s, which lies in the container's own layer"
                               % self._place.title, remedy="Keep it in a volume, or restore to another root")
        return dict(state, staged="%s/%s" % (staged.tree_path, staged.path), old=self._look(), aside=None,
                    new=[member.uid, member.gid, member.mode & 0o1777, member.mtime])

    def name_aside(self, state, stamp):
        """The state with the place that the old file will be kept at."""
        old = self._look()
        if old is not None and state["old"] is not None and not self._place.ask_running():
            old[:2] = state["old"][:2]  # Its owner was told while the container ran.
        return dict(state, old=old, aside=None if old is None else self._source.path + ASIDE + stamp)

    def forward(self, state):
        """The old file out, the new one in."""
        if state["aside"]:
            self._keep(state["aside"])
        self._put(state["staged"], state["new"])

    def back(self, state):
        """The old file in again. A new one where there was none can be taken away only while the container runs."""
        if state["aside"] and files.lookup(self._root, state["aside"]) is not None:
            self._put(state["aside"], state["old"])
            self.forget(state)
        elif "staged" in state and state["old"] is None and self._place.ask_running():
            self._remove()

    def forget(self, state):
        """Deletes what was kept."""
        for path in (state["aside"], state["aside"] and state["aside"] + PART):
            if path and files.lookup(self._root, path) is not None:
                parent, name = files.open_parent(self._root, path)
                try:
                    os.unlink(name, dir_fd=parent)
                finally:
                    os.close(parent)

    def asides(self, state):
        """Where the old file is kept."""
        if state["aside"]:
            return [os.path.join(self._app.root, state["aside"])]
        return ["nothing: there was no %s, and a rollback leaves the new one there while the container is stopped"
                % self._place.title]

    def _look(self):
        """Owner, group, mode and time of the file that is there now; None where there is none."""
        with self._helper.take_from_layer() as stream:
            reader = tar.TarReader(stream)
            try:
                member = next(iter(reader), None)
                found = None if member is None else [member.uid, member.gid, member.mode, member.mtime]
            except ArchiveError:
                status, said = stream.finish()
                if reader.last is None and status:
                    return None
                raise self._helper.failure(status, said)
            if member is not None and member.type != FILE:
                raise RestoreError("%s is a %s, which is not replaced" % (self._place.title, member.type))
        owner = None if found is None else self._helper.owner_in_layer()
        return found if owner is None else list(owner) + found[2:]

    def _keep(self, aside):
        """Copies the file out, unless that was done before; it has its name only when it is whole."""
        if files.lookup(self._root, aside) is not None:
            return
        files.make_parents(self._root, aside)
        parent, name = files.open_parent(self._root, aside)
        part = name + PART.encode()
        try:
            files.remove_if_there(parent, part)
            descriptor = os.open(part, files.CREATE, 0o600, dir_fd=parent)
            try:
                self._copy_out(descriptor)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.rename(part, name, src_dir_fd=parent, dst_dir_fd=parent)
            os.fsync(parent)
        finally:
            os.close(parent)

    def _copy_out(self, descriptor):
        with self._helper.take_from_layer() as stream:
            reader = tar.TarReader(stream)
            try:
                for unused in reader:
                    for piece in reader.content():
                        files.write_all(descriptor, piece)
            except ArchiveError as error:
                status, said = stream.finish()
                raise self._helper.failure(status, said or error.message)
            self._helper.expect_success(stream)

    def _put(self, path, attributes):
        """Puts a file below the root into the container."""
        uid, gid, mode, mtime = attributes
        directory, unused, name = self._place.inner.rpartition("/")
        descriptor = files.open_beneath(self._root, path)
        try:
            size = os.fstat(descriptor).st_size
            with self._helper.put_into_layer(directory + "/") as stream:
                stream.write(tar.header(Member(files.as_bytes(name), FILE, size, mode, uid, gid, mtime=mtime)))
                for piece in iter(lambda: os.read(descriptor, tar.CHUNK), b""):
                    stream.write(piece)
                stream.write(tar.padding(size) + tar.END)
                self._helper.expect_success(stream)
        finally:
            os.close(descriptor)

    def _remove(self):
        """Takes away a file that was not there before: an engine can do that in a running container only."""
        try:
            self._place.engine.ask("exec", "--user", "0:0", self._place.container, "rm", "-f", self._place.inner)
        except CommandError as error:
            raise RestoreError("%s was not there before, and could not be removed: %s"
                               % (self._place.title, error.message), app=self._app.name, path=self._source.path,
                               remedy="Stop the container, and roll back again; or make the container anew")
