# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restores a source of type ``volume``: new state into the volume beside the live one, then swapped by renames in it.

What lies in a container's own layer is one file, which the engine itself replaces; the old one is kept below the app's
root.
"""

from __future__ import annotations

import os

from ..archive import tar
from ..archive.members import DIRECTORY, FILE, LINK, Member, new_digest
from ..archive.reader import entries
from ..containers import swapping
from ..containers.helper import Helper
from ..containers.places import Place, create_volume
from ..system import files
from ..system.errors import AppStateError, ArchiveError, BusyError, RestoreError, SourceError, SpaceError
from .layer import LayerFile
from .store import Store
from .volume import place_of

# How often what was put into a volume is read, until it comes to its end.
READINGS = 3


class VolumeStore(Store):
    """Restores one VolumeSource.

    Its state: ``place`` (where it was found; see ``Place.to_dict``), ``made`` (whether the volume was made for it),
    ``only`` (name of the one entry that is restored, or ""), ``attributes`` (owner, group and mode of the directory
    itself, or None), and for a file in a container's own layer what ``LayerFile`` needs.
    """

    @property
    def title(self):
        source = self._source
        return "volume %s" % source.volume if source.container_path is None else \
            "%s in container %s" % (source.container_path, source.container)

    def stage(self, staged, record, state):
        try:
            place, made = self._found_or_made(record)
        except AppStateError as error:
            raise error.about(self._app.name)
        state = dict(state, place=place.to_dict(), made=made, only="")
        try:
            if place.mount is None:
                return self._layer(state).stage(staged, state)
            return self._stage_tree(staged, place, state)
        except AppStateError as error:
            self.discard(state)
            error.path = error.path or self._source.path
            raise error.about(self._app.name)

    def _found_or_made(self, record):
        place = place_of(self._app, self._source)
        if place is not None:
            return place, False
        return create_volume(self._source, (record or {}).get("volume")), True

    def _stage_tree(self, staged, place, state):
        upload = _Upload(staged, files.as_bytes(os.path.basename(place.inner)))
        state.update(only=upload.only, attributes=upload.attributes)
        helper = self._helper(place)
        with helper.run(swapping.UPLOAD, self._words(state), feed=True) as stream:
            for piece in upload.pieces():
                if not stream.write(piece):
                    break
            self._expect(helper, stream)
        seen = self._read_back(helper, place, state)
        if not seen.same_as(upload.sum):
            raise RestoreError("what was put into the %s is not what it should be (%d entries instead of %d, or one "
                               "differs)" % (place.title, seen.count, upload.sum.count),
                               remedy="Live state is untouched; check the disk of the volume and try again")
        self._step(state, "ready")
        return state

    def _read_back(self, helper, place, state):
        """The _Sum of what is in the volume now. It is read again where it was cut short although nobody complains: an engine
        under load can lose what a container says right before it ends."""
        for left in reversed(range(READINGS)):
            seen = _Sum()
            with helper.run(swapping.READ_BACK, self._words(state)) as stream:
                try:
                    reader = tar.TarReader(stream)
                    for member in reader:
                        seen.add_read(member, reader)
                except ArchiveError as error:
                    self._expect(helper, stream)
                    if left:
                        continue
                    raise RestoreError("what was put into the %s cannot be read back: %s" % (place.title, error.message))
                self._expect(helper, stream)
            return seen

    def refuse_held(self, state):
        place = Place.from_dict(state["place"])
        if place.mount is not None:
            self._helper(place).end_others()
        users = place.running_users()
        if users:
            raise BusyError("the running container %s still uses the %s" % (", ".join(users), place.title),
                            app=self._app.name, path=self._source.path,
                            remedy="Stop it ('service' of the app names what a restore stops), then restore again")

    def name_aside(self, state, stamp):
        if state["place"]["mount"] is None:
            return self._layer(state).name_aside(state, stamp)
        return state

    def forward(self, state):
        if state["place"]["mount"] is None:
            self._layer(state).forward(state)
        else:
            self._step(state, "forward")

    def back(self, state):
        if "place" not in state:
            return
        if state["place"]["mount"] is None:
            self._layer(state).back(state)
        else:
            self._helper(Place.from_dict(state["place"])).end_others()
            self._step(state, "back")

    def forget(self, state):
        if state["place"]["mount"] is None:
            self._layer(state).forget(state)
        else:
            self._step(state, "forget")

    def discard(self, state):
        for each in [state] if "place" in state else self._begun(state):
            place = Place.from_dict(each["place"])
            if place.mount is None or place.is_gone():
                continue
            self._helper(place).end_others()
            left_empty = self._step(each, "discard") == swapping.EMPTY
            if each.get("made") and left_empty:
                place.remove_volume()

    def _begun(self, state):
        """States that a ``stage`` may have had when it was killed: where it had begun to work can be found again."""
        try:
            place = place_of(self._app, self._source)
        except SourceError:
            place = None
        if place is None:
            return []
        own = os.path.basename(place.inner)
        return [dict(state, place=place.to_dict(), only=only) for only in ([own, ""] if own else [""])]

    def asides(self, state):
        if state["place"]["mount"] is None:
            return self._layer(state).asides(state)
        place = Place.from_dict(state["place"])
        return ["%s/old in the %s" % (swapping.PREFIX + state["token"], place.title)]

    def _layer(self, state):
        return LayerFile(self._app, self._source, self._root, Place.from_dict(state["place"]))

    def _helper(self, place):
        return Helper(place, self._source.timeout, app_name=self._app.name)

    def _words(self, state):
        directory = self._helper(Place.from_dict(state["place"])).path
        # The one entry lies in the directory of that path.
        return [directory.rpartition("/")[0] if state["only"] else directory, swapping.PREFIX + state["token"]]

    def _step(self, state, step):
        """Has a step done; the status it ended with."""
        place = Place.from_dict(state["place"])
        helper = self._helper(place)
        attributes = state.get("attributes") or ("", "", "")
        words = self._words(state) + [step, state["only"]] + [str(each) for each in attributes]
        with helper.run(swapping.STEP, words) as stream:
            return self._expect(helper, stream)

    def _expect(self, helper, stream):
        status, said = stream.finish()
        if status in (0, swapping.EMPTY):
            return status
        if "No space left" in said or "quota exceeded" in said.lower():
            raise SpaceError("no space left in the %s" % helper.place.title, app=self._app.name, path=self._source.path,
                             remedy="Free some space there")
        if status == swapping.IN_THE_WAY:
            raise RestoreError("something of the same name came into the %s meanwhile" % helper.place.title,
                               app=self._app.name, path=self._source.path,
                               remedy="Something still writes there; stop it, and roll back")
        if status == swapping.HOLDS_OLD_STATE:
            raise RestoreError("the %s still holds old state, which is not deleted" % helper.place.title,
                               app=self._app.name, path=self._source.path, remedy="Roll the restore back first")
        raise helper.failure(status, said)


class _Upload:
    """The staged tree of a source as a tar: directories first, for their owners, and once more last, for their times.

    Args:
        staged: a Staged.
        name: of the place in the volume, which a single file gets.

    Attributes:
        only: that name (text) where the source is a single file, else "".
        attributes: owner, group and mode of the source's own directory, or None.
        sum: a _Sum of what was given.
    """

    def __init__(self, staged, name):
        self._staged = staged
        self._name = name
        self._base = files.as_bytes(staged.path)
        self.sum = _Sum()
        first = next(self._members(), None)
        if first is None:
            raise RestoreError("the backup has nothing for it")
        top = next((member for member in self._members(DIRECTORY) if member.path == self._base), None)
        single = top is None and first.path == self._base and first.type == FILE
        if single and not name:
            raise RestoreError("the backup has a single file, which cannot take the place of a whole volume")
        self.only = os.fsdecode(name) if single else ""
        self.attributes = None if top is None else [top.uid, top.gid, "%o" % top.mode]

    def _members(self, kind=None):
        for member in entries(self._staged.lines):
            inside = member.path == self._base or member.path.startswith(self._base + b"/")
            if inside and kind in (None, member.type):
                yield member

    def pieces(self):
        """Yields the tar."""
        for member in self._members(DIRECTORY):
            if member.path != self._base:
                yield self._header(member)
                self.sum.add(member)
        for member in self._members():
            if member.type == LINK:
                yield self._header(member)
                self.sum.add(member)
            elif member.type == FILE:
                yield from self._file(member)
        for member in self._members(DIRECTORY):
            if member.path != self._base:
                yield self._header(member)
        yield tar.END

    def _header(self, member):
        """The header of a member, whose path is then the one in the volume, and whose names are the container's."""
        member.path = self._name if self.only else member.path[len(self._base) + 1:]
        member.owner = member.group = ""
        if member.type == FILE:
            member.mode &= 0o1777  # Set-user-id bits are never brought back.
        return tar.header(member)

    def _file(self, member):
        try:
            descriptor = files.open_beneath(self._staged.tree, member.path)
        except FileNotFoundError:
            return  # What a database's log held is in the database now.
        try:
            member.size = os.fstat(descriptor).st_size
            yield self._header(member)
            digest, left = new_digest(), member.size
            while left:
                piece = os.read(descriptor, min(tar.CHUNK, left))
                if not piece:
                    raise RestoreError("the staged file shrank", path=member.path)
                digest.update(piece)
                left -= len(piece)
                yield piece
            yield tar.padding(member.size)
            member.digest = digest.hexdigest()
            self.sum.add(member)
        finally:
            os.close(descriptor)


class _Sum:
    """How many entries there are, and a sum of the digests of what they are: the same in whatever order they come."""

    def __init__(self):
        self.count = 0
        self._sum = 0

    def add(self, member):
        """Adds an entry, but for its time: a tar tells seconds, and tells them of a directory too early."""
        known = Member(member.path, member.type, member.size, member.mode if member.type != LINK else 0o777, member.uid,
                       member.gid, digest=member.digest, target=member.target)
        digest = new_digest()
        digest.update(known.line())
        self.count += 1
        self._sum += int(digest.hexdigest(), 16)

    def add_read(self, member, reader):
        """Adds an entry of a tar, whose content is read."""
        if not member.path:
            return
        if member.type == FILE:
            digest = new_digest()
            for piece in reader.content():
                digest.update(piece)
            member.digest = digest.hexdigest()
        self.add(member)

    def same_as(self, other):
        """Whether another sum is of the same entries."""
        return (self.count, self._sum) == (other.count, other._sum)
