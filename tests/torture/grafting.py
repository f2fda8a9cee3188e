# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real backup taken apart, and put together again with other members in it, and with digests that fit what it then is."""

from __future__ import annotations

import collections
import io
import os
import subprocess
import tarfile
import zlib

from ansible_collections.appstate.backup.plugins.module_utils.archive import tar
from ansible_collections.appstate.backup.plugins.module_utils.archive.manifest import Manifest
from ansible_collections.appstate.backup.plugins.module_utils.archive.members import (
    DIRECTORY, FILE, LINK, LIST_PATH, MANIFEST_PATH, Member, new_digest, parse_line)
from ansible_collections.appstate.backup.tests.unit.plugins import raw_tar

PIECE = 1 << 20
# ``raw``: header blocks and content as they stand in the tar. ``told``: the Member that the list has, or None.
Part = collections.namedtuple("Part", "raw told")


class Apart:
    """What a backup is made of.

    Attributes:
        id: of the backup.
        parts: a Part for each of its members.
        inside, beside: the content of the manifest in the archive, and of the one beside it.
    """

    def __init__(self, backup):
        plain = unpacked(backup.path)
        with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
            infos = archive.getmembers()
            lines = archive.extractfile(LIST_PATH.decode("ascii")).read().splitlines(keepends=True)
        starts = [info.offset for info in infos]
        raws = [plain[start:end] for start, end in zip(starts, starts[1:])]
        self.id = backup.id
        self.parts = [Part(raw, parse_line(line)) for raw, line in zip(raws, lines)]
        self.beside = backup.manifest.content
        self.inside = {key: value for key, value in self.beside.items() if key not in ("archive", "digest")}
        self.inside["verified"] = None


def unpacked(path):
    """The plain bytes of an archive that gzip packed."""
    with open(path, "rb") as file:
        return zlib.decompress(file.read(), 31)


def lines_of(parts):
    """The list of members that tells of some parts."""
    return b"".join(part.told.line() for part in parts if part.told is not None)


def digest_of(data):
    digest = new_digest()
    digest.update(data)
    return digest.hexdigest()


def totals(parts, lines):
    """What a manifest says of members."""
    told = [part.told for part in parts if part.told is not None]
    return {"count": len(told), "bytes": sum(member.size for member in told), "digest": digest_of(lines)}


def ending_of(lines, inside):
    """What stands behind the members: their list, the manifest, and the end."""
    manifest = inside if isinstance(inside, bytes) else Manifest(inside).to_bytes()
    return b"".join((tar.header(Member(LIST_PATH, FILE, len(lines))), raw_tar.padded(lines),
                     tar.header(Member(MANIFEST_PATH, FILE, len(manifest))), raw_tar.padded(manifest), tar.END))


def gzipped(data):
    """Bytes as gzip packs them, quickly."""
    squeeze = zlib.compressobj(1, zlib.DEFLATED, 31)
    return squeeze.compress(data) + squeeze.flush()


def zstandard(data):
    """Bytes as a frame of zstd, with the checksum of its content; several frames may follow one another (RFC 8878, 3.)."""
    return subprocess.run(["zstd", "-q", "-c", "-1"], input=data, stdout=subprocess.PIPE, check=True).stdout


def publish(directory, apart, packed, inside, stem=None, kind=".tar.gz", beside=None):
    """Puts an archive and a manifest with its size and digest into a directory.

    Args:
        packed: the archive's bytes, in pieces.
        inside: the content of the manifest in it.
        stem: what both are called, without their endings.
        beside: what the one beside it says otherwise.

    Returns:
        The archive's path.
    """
    stem = apart.id if stem is None else stem
    path = os.path.join(directory, stem + kind)
    digest, size = new_digest(), 0
    with open(path, "wb") as file:
        for piece in packed:
            file.write(piece)
            digest.update(piece)
            size += len(piece)
    told = {"name": stem + kind, "size": size, "digest": digest.hexdigest()}
    told = dict(dict(inside, archive=told, verified=apart.beside["verified"]), **beside or {})
    with open(os.path.join(directory, stem + ".json"), "wb") as file:
        file.write(Manifest(told).to_bytes())
    return path


def moved(inside, id):
    """A manifest's content with another id, and the time that it tells."""
    stamp = id[-16:]
    created = "%s-%s-%sT%s:%s:%sZ" % (stamp[:4], stamp[4:6], stamp[6:8], stamp[9:11], stamp[11:13], stamp[13:15])
    return dict(inside, id=id, created=created)


def file(path, content=b"x", raw=None, **words):
    """The Part of a regular file; ``raw`` is what stands in the tar, where that is not the obvious."""
    told = Member(path, FILE, len(content), words.pop("mode", 0o644), mtime=0, digest=digest_of(content))
    return Part(raw if raw is not None else raw_tar.entry(path, content, mode=told.mode, **words), told)


def folder(path, mode=0o755):
    return Part(raw_tar.block(path + b"/", b"5", mode=mode), Member(path, DIRECTORY, mode=mode))


def link(path, target):
    """A symbolic link; its names may be as long as they like."""
    return Part(tar.header(Member(path, LINK, mode=0o777, target=target)), Member(path, LINK, mode=0o777, target=target))
