# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host with one sound backup, whose bytes are then changed: what notices, and what a restore makes of it."""

from __future__ import annotations

import os
import shutil

from ansible_collections.appstate.backup.plugins.module_utils.archive.extract import Extractor
from ansible_collections.appstate.backup.plugins.module_utils.archive.manifest import Manifest
from ansible_collections.appstate.backup.plugins.module_utils.catalog.catalog import list_backups
from ansible_collections.appstate.backup.plugins.module_utils.operations.selection import select
from ansible_collections.appstate.backup.plugins.module_utils.system import files
from ansible_collections.appstate.backup.plugins.module_utils.system.accounts import Ownership
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import AppStateError
from ansible_collections.appstate.backup.tests.unit.plugins.host import Host, tree
from grafting import digest_of
from row import Bad


class SoundBackup:
    """A host with one backup of one kind, and what comes back of it while it is sound."""

    def __init__(self, place, identity=None, **words):
        os.mkdir(place, 0o711)
        self.host = Host(place)
        self.host.fill(journal="delete")
        self.words = words
        self.identity = identity
        self.backup = self.host.backup(**words).backup
        self.manifest_path = os.path.join(os.path.dirname(self.backup.path), self.backup.id + ".json")
        self.archive = read(self.backup.path)
        self.manifest = read(self.manifest_path)
        self.live = tree(self.host.root)
        self.same = self.restored()

    def put_back(self):
        write(self.backup.path, self.archive)
        write(self.manifest_path, self.manifest)

    def listed(self):
        """What the catalog says is wrong, or None."""
        backups = list_backups(os.path.dirname(self.backup.path), "notes")
        return backups[0].problem if backups else "there is no backup"

    def found(self, level="checksum", identity=None):
        """What the catalog or a verification finds, or None."""
        try:
            problem = self.listed()
            return problem or self.host.verify(level, self.host.app(**self.words), identity=identity).problems or None
        except AppStateError as error:
            return str(error)

    def digest_again(self):
        """Lets the manifest beside it tell the archive that there is now."""
        data = read(self.backup.path)
        archive = dict(self.backup.manifest.archive, size=len(data), digest=digest_of(data))
        write(self.manifest_path, Manifest(dict(self.backup.manifest.content, archive=archive)).to_bytes())

    def restored(self, archive=None):
        """The state that comes out of it, at another root."""
        elsewhere = self.host.place("elsewhere")
        request = {"target_root": elsewhere, "identity": self.identity, "archive": archive}
        try:
            self.host.restore(request, **self.words).restore()
            self.host.restore(request, **self.words).commit()
            return tree(elsewhere)
        finally:
            shutil.rmtree(elsewhere, ignore_errors=True)

    def same_or_refused(self, archive=None):
        """Whether what comes out of it is what came out of the sound one, or nothing does."""
        try:
            return self.restored(archive) == self.same
        except AppStateError:
            return True

    def refused(self, archive=None):
        """Whether a restore of the live state refuses it and leaves everything as it was."""
        try:
            self.host.restore({"identity": self.identity, "archive": archive}, **self.words).restore()
        except AppStateError:
            if tree(self.host.root) != self.live or self.host.left():
                raise Bad("a restore refused it, and did not leave everything as it was: %s" % self.host.left())
            return True
        self.host.restore(**self.words).roll_back()
        return False

    def extracted(self, path):
        """What the engine's reader and extractor make of an archive without a manifest beside it, or None where they refuse."""
        staging = self.host.place("extracted")
        os.mkdir(staging, 0o700)
        directory = os.open(staging, files.DIRECTORY)
        extractor = Extractor(directory, staging)
        try:
            with select(None, archive=path) as selected:
                contents = selected.read(None, extractor)
                if not contents.problems:
                    extractor.finish(contents.lines, Ownership())
                contents.lines.close()
            return None if contents.problems else tree(staging)
        except AppStateError:
            return None
        finally:
            extractor.close()
            os.close(directory)
            shutil.rmtree(staging)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)
