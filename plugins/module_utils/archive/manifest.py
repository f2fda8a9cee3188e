# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The manifest: the small JSON that says what a backup is and how to check it.

It is written in one way only, so a copy beside the archive that differs from that way by a single byte is refused.
That copy also carries the archive's size and digest, and a digest of itself. The copy in the archive has neither.
"""

from __future__ import annotations

import json
import re
import sys

from ..system.errors import ArchiveError, SchemaTooNewError
from ..system.files import as_bytes
from ..system.times import parse_time, stamp
from .members import DIGEST, check_path, is_whole, new_digest

FORMAT = 1
MOST = 16 * 1024 * 1024
ID = re.compile(r"([A-Za-z0-9][A-Za-z0-9_-]{0,62})-(\d{8}T\d{6}Z)\Z")
# What lies beside an archive, named after the backup that made it; later ones may refer to it too.
GENERATION = re.compile(r"([A-Za-z0-9][A-Za-z0-9_-]{0,62}-\d{8}T\d{6}Z)\.\d{1,5}\.tree\Z")
# What an archive can be called: by its id, or by a rolling name.
ARCHIVE = re.compile(r"([A-Za-z0-9][A-Za-z0-9_-]{0,199})\.tar\.(zst|gz)(\.age)?\Z")
KEYS = {"format": int, "id": str, "app": str, "host": str, "created": str, "duration": (int, float), "kind": str,
        "app_version": (str, type(None)), "sources": list, "members": dict, "verified": (dict, type(None)),
        "warnings": list}
# Keys that not every backup has: seconds that a cold backup had the app stopped; the version of its data; whom it is
# encrypted to.
OPTIONAL_KEYS = {"downtime": (int, float), "schema_version": int, "encryption": dict}
SIDECAR_KEYS = {"archive": dict, "digest": str}


class Manifest:
    """What a backup is.

    Attributes:
        content: the dictionary as it stands in JSON; see docs/format.md for its keys.
    """

    def __init__(self, content):
        self.content = content

    @property
    def id(self):
        return self.content["id"]

    @property
    def app(self):
        return self.content["app"]

    @property
    def created(self):
        """An aware UTC datetime."""
        return parse_time(self.content["created"])

    @property
    def sources(self):
        return self.content["sources"]

    @property
    def bytes(self):
        """Bytes of content that a restore writes."""
        return self.archived_bytes + sum(source["bytes"] for source in self.generations)

    @property
    def archived_bytes(self):
        """Bytes of content in the archive itself."""
        return self.content["members"]["bytes"]

    @property
    def generations(self):
        """The sources whose members are in a generation beside the archive (see ``archive.generation``)."""
        return [source for source in self.sources if "generation" in source]

    @property
    def archive(self):
        """``{"name", "size", "digest"}`` of the archive, or None for the copy inside of it."""
        return self.content.get("archive")

    def beside(self, archive, verified):
        """The copy that lies beside the archive."""
        return Manifest(dict(self.content, archive=archive, verified=verified))

    def to_bytes(self):
        """The one way to write it, a digest of itself included where it is a copy beside an archive."""
        content = {key: value for key, value in self.content.items() if key != "digest"}
        if "archive" in content:
            content["digest"] = _digest(content)
        return _dump(content)

    def same_backup(self, other):
        """Whether the copy in an archive and the one beside it tell of one backup."""
        ignored = ("archive", "verified", "digest", "duration", "warnings")
        mine, theirs = ({key: value for key, value in told.content.items() if key not in ignored}
                        for told in (self, other))
        return mine == theirs


def parse_manifest(data, beside):
    """The Manifest in bytes; ``beside`` says whether it is the copy beside an archive.

    Raises:
        SchemaTooNewError: of a newer format.
        ArchiveError: damaged, or not written by this engine.
    """
    try:
        content = json.loads(data.decode("ascii"), object_hook=_with_shared_keys)
    except (ValueError, RecursionError):
        raise ArchiveError("the manifest is no JSON, so it is damaged")
    if not isinstance(content, dict) or not is_whole(content.get("format")):
        raise ArchiveError("the manifest has no format number")
    if content["format"] > FORMAT:
        raise SchemaTooNewError("the manifest has format %d, and this version reads up to format %d"
                                % (content["format"], FORMAT), remedy="Upgrade the collection")
    keys = dict(KEYS, **SIDECAR_KEYS) if beside else dict(KEYS)
    keys.update((key, kind) for key, kind in OPTIONAL_KEYS.items() if key in content)
    for key, kind in keys.items():
        if key not in content or not isinstance(content[key], kind) or isinstance(content[key], bool):
            raise ArchiveError("the manifest is damaged (%r is missing or of a wrong type)" % key)
    manifest = Manifest(content)
    as_written = _has_its_digest if beside else _as_written
    if set(content) - set(keys) or not as_written(manifest, data) or not _sound(content, beside):
        raise ArchiveError("the manifest is damaged (it is not as it was written)")
    return manifest


def _with_shared_keys(told):
    """A dictionary with the same keys as all others: of thousands of manifests, a third would be keys."""
    return {sys.intern(key): value for key, value in told.items()}


def _has_its_digest(manifest, data):
    """Whether the copy beside an archive is as it was written: its digest is that of its bytes without that one line.

    Thousands of them are read for one listing, and this is many times faster than writing each one again.
    """
    line = b'\n "digest": "%s",' % manifest.content["digest"].encode("ascii", "replace")
    digest = new_digest()
    digest.update(data.replace(line, b"", 1))
    return digest.hexdigest() == manifest.content["digest"]


def _as_written(manifest, data):
    try:
        return manifest.to_bytes() == data
    except (ValueError, TypeError, RecursionError):
        return False


def _sound(content, beside):
    """Whether the values that others rely on have the shape they must have."""
    named = ID.match(content["id"])
    if not named or named.group(1) != content["app"] or content["format"] < 1:
        return False
    try:
        if stamp(parse_time(content["created"])) != named.group(2):
            return False
    except (ValueError, OverflowError):
        return False
    if not _counts(content["members"], ("count", "bytes")) or not _is_digest(content["members"].get("digest")):
        return False
    if not all(isinstance(source, dict) and _is_source(source) for source in content["sources"]):
        return False
    archive = content.get("archive")
    return not beside or (_counts(archive, ("size",)) and _is_digest(archive.get("digest"))
                          and isinstance(archive.get("name"), str) and _is_name(archive["name"], content["id"]))


def _is_name(name, id):
    """Whether an archive can be called so: by its own id, or by a rolling name, which looks like no id."""
    named = ARCHIVE.match(name)
    return bool(named) and (named.group(1) == id or not ID.match(named.group(1)))


def _is_source(told):
    """Whether a source has what a restore goes by: a plain path below the root, the passport of a database, the format
    of a dump, the databases in a volume, and what its generation is."""
    inside = told.get("databases")
    return (isinstance(told.get("type"), str) and isinstance(told.get("present"), bool) and _is_plain(told.get("path"))
            and _is_passport(told.get("passport")) and isinstance(told.get("format"), (str, type(None)))
            and (inside is None or (isinstance(inside, list) and all(map(_is_inside, inside))))
            and ("generation" not in told or _has_generation(told)))


def _has_generation(told):
    """Whether it says where its members are, and how their list is checked."""
    listed = told.get("list")
    return (isinstance(told["generation"], str) and bool(GENERATION.match(told["generation"]))
            and _counts(told, ("bytes",)) and isinstance(listed, dict) and _counts(listed, ("count", "bytes"))
            and _is_digest(listed.get("digest")))


def _is_inside(told):
    """Whether it tells of a database inside of a volume."""
    return isinstance(told, dict) and _is_plain(told.get("path")) and _is_passport(told.get("passport"))


def _is_passport(told):
    return told is None or (isinstance(told, dict) and isinstance(told.get("tables"), (dict, type(None))))


def _is_plain(path):
    try:
        return isinstance(path, str) and path != "" and check_path(as_bytes(path)) == as_bytes(path)
    except (ArchiveError, UnicodeEncodeError):
        return False


def _counts(told, keys):
    return all(is_whole(told.get(key)) and told[key] >= 0 for key in keys)


def _is_digest(value):
    return isinstance(value, str) and bool(DIGEST.match(value))


def _digest(content):
    digest = new_digest()
    digest.update(_dump(content))
    return digest.hexdigest()


def _dump(content):
    return json.dumps(content, sort_keys=True, indent=1, ensure_ascii=True, allow_nan=False).encode("ascii") + b"\n"
