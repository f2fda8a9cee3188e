# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Archives of real trees, and archives that nobody should trust, made here byte by byte."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import subprocess
import tempfile

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.archive import streams, tar
from ansible_collections.appstate.backup.plugins.module_utils.archive.extract import Extractor
from ansible_collections.appstate.backup.plugins.module_utils.archive.manifest import FORMAT, Manifest
from ansible_collections.appstate.backup.plugins.module_utils.archive.members import (
    DIRECTORY, FILE, LINK, LIST_PATH, MANIFEST_PATH, Member, new_digest)
from ansible_collections.appstate.backup.plugins.module_utils.archive.origin import FileOrigin
from ansible_collections.appstate.backup.plugins.module_utils.archive.reader import read_archive
from ansible_collections.appstate.backup.plugins.module_utils.archive.writer import ArchiveWriter
from ansible_collections.appstate.backup.plugins.module_utils.system import files
from ansible_collections.appstate.backup.plugins.module_utils.system.accounts import Ownership
from ansible_collections.appstate.backup.plugins.module_utils.system.trees import descend
from ansible_collections.appstate.backup.tests.unit.plugins import raw_tar


class Tools:
    """Makes archives, reads them, and tells what a directory holds. Stateless."""

    block = staticmethod(raw_tar.block)
    entry = staticmethod(raw_tar.entry)
    pax = staticmethod(raw_tar.pax)

    @staticmethod
    def member(path, content=b"", type=FILE, **words):
        """The Member that ``entry`` makes of a path and a content."""
        digest = new_digest()
        digest.update(content)
        words.setdefault("mode", 0o644)
        return Member(path, type, len(content), digest=digest.hexdigest() if type == FILE else None, **words)

    def grafted(self, parts, listed, after=b"", **changes):
        """A tar of raw parts with a list and a manifest that fit the given members."""
        lines = b"".join(member.line() for member in listed)
        digest = new_digest()
        digest.update(lines)
        content = self.manifest(count=len(listed), bytes=sum(member.size for member in listed),
                                digest=digest.hexdigest()).content
        content.update(changes)
        return (b"".join(parts) + self.entry(LIST_PATH, lines) +
                self.entry(MANIFEST_PATH, Manifest(content).to_bytes()) + after + tar.END)

    @staticmethod
    def manifest(count=0, bytes=0, digest="0" * 64, **changes):
        """A Manifest as it stands in an archive."""
        content = {"format": FORMAT, "id": "notes-20261120T030000Z", "app": "notes", "host": "alpha",
                   "created": "2026-11-20T03:00:00Z", "duration": 1.5, "kind": "full", "app_version": None,
                   "sources": [{"type": "files", "path": "data", "present": True}],
                   "members": {"count": count, "bytes": bytes, "digest": digest}, "verified": None, "warnings": []}
        content.update(changes)
        return Manifest(content)

    @staticmethod
    def compressed(data, kind):
        """Bytes as gzip, bzip2, xz, zstd or nothing compresses them."""
        if kind == "plain":
            return data
        library = {"gzip": gzip, "bzip2": bz2, "xz": lzma}.get(kind)
        if library is not None:
            return library.compress(data)
        return subprocess.run([kind, "-q", "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout

    def archive_tree(self, top, path, kind="gzip", on_file=None):
        """Archives all below a directory, as a source of type files does; returns what the writer reported.

        ``on_file(path, member)`` runs between the look at a file and its reading.
        """
        directory = os.open(top, files.DIRECTORY)
        troubles = {}
        with open(path, "wb") as sink, tempfile.TemporaryFile() as lines:
            stream = streams.writer(kind, sink.fileno())
            writer = ArchiveWriter(stream, lines)
            for entry in descend(directory):
                member = self._member_of(entry)
                if member.type != FILE:
                    writer.add(member)
                    continue
                descriptor = os.open(entry.name, files.READ, dir_fd=entry.directory)
                if on_file is not None:
                    on_file(entry.path, member)
                troubles[entry.path] = writer.add_file(member, descriptor)
                os.close(descriptor)
            writer.finish(lambda count, size, digest: self.manifest(count, size, digest).to_bytes())
            stream.close()
        os.close(directory)
        return {path: trouble for path, trouble in troubles.items() if trouble}

    @staticmethod
    def _member_of(entry):
        found = entry.stat
        kind = DIRECTORY if stat.S_ISDIR(found.st_mode) else LINK if stat.S_ISLNK(found.st_mode) else FILE
        member = Member(entry.path, kind, found.st_size if kind == FILE else 0, stat.S_IMODE(found.st_mode),
                        found.st_uid, found.st_gid, mtime=found.st_mtime_ns)
        if kind == LINK:
            member.target = os.readlink(entry.name, dir_fd=entry.directory)
        return member

    @staticmethod
    def read(source, extractor=None, marks=None):
        """The Contents of an archive: a path, or bytes."""
        with (io.open(source, "rb") if isinstance(source, str) else tempfile.TemporaryFile()) as file:
            if not isinstance(source, str):
                file.write(source)
                file.flush()
            return read_archive(FileOrigin(file.fileno()), None, extractor, marks=marks)

    @staticmethod
    def origin(descriptor, identity=None):
        """An open file to read from."""
        return FileOrigin(descriptor, identity)

    @staticmethod
    def read_origin(origin):
        """The Contents of what comes from an origin."""
        return read_archive(origin, None)

    def extract(self, source, staging, rename=None, finish=True):
        """Extracts into a new directory; returns the Contents."""
        os.mkdir(staging, 0o700)
        directory = os.open(staging, files.DIRECTORY)
        extractor = Extractor(directory, staging, rename)
        try:
            contents = self.read(source, extractor)
            if finish and not contents.problems:
                extractor.finish(contents.lines, Ownership())
            return contents
        finally:
            extractor.close()
            os.close(directory)

    @staticmethod
    def tree(top):
        """What lies below a directory: path to (type, mode, owner, mtime, content or target); links have no mode."""
        directory = os.open(top, files.DIRECTORY)
        told = {}
        for entry in descend(directory):
            found = entry.stat
            content = None
            if stat.S_ISLNK(found.st_mode):
                content = os.fsencode(os.readlink(entry.name, dir_fd=entry.directory))
            elif stat.S_ISREG(found.st_mode):
                descriptor = os.open(entry.name, files.READ, dir_fd=entry.directory)
                content = files.read_all(descriptor, 1 << 30)
                os.close(descriptor)
            told[entry.path] = (stat.S_IFMT(found.st_mode), stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid,
                                found.st_mtime_ns, content)
        os.close(directory)
        return told


@pytest.fixture(scope="session")
def tools():
    """``Tools``."""
    return Tools()
