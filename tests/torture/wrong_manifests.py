# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ways in which a manifest, or the list of members that belongs to it, can be wrong.

Everything else about such a backup is right: the archive's size and digest, the digest of the list, the manifest's digest of
itself are those of what lies there. Each way is a function of a backup taken apart to what is put together instead.
"""

from __future__ import annotations

import json
import os

from ansible_collections.appstate.backup.plugins.module_utils.archive.manifest import Manifest
from ansible_collections.appstate.backup.plugins.module_utils.archive.members import FILE, LINK
from ansible_collections.appstate.backup.tests.unit.plugins import raw_tar
from grafting import Part, ending_of, file, gzipped, lines_of, publish, totals

FILE_PATH = b"uploads/a.bin"
LINK_PATH = b"uploads/link"
# More than the 64 KiB that a line may have, the 16 MiB that a manifest may have, and what a number may be.
LONG, LARGE, ABSURD = 100 * 1000, 17 << 20, 10 ** 30


def build(way, apart, directory):
    """Puts a backup that is wrong in one way in the place of a sound one."""
    made = WAYS[way](apart)
    parts = made.get("parts", apart.parts)
    lines = made.get("lines", lines_of(parts))
    inside = dict(apart.inside, members=totals(parts, lines))
    inside = _changed(inside, made.get("both", {}))
    inner = made.get("inner", lambda told: told)(inside)
    ending = made.get("ending", ending_of)(lines, inner)
    path = publish(directory, apart, [gzipped(b"".join(part.raw for part in parts) + ending)], inside, beside=made.get("beside"))
    manifest = path[:-len(".tar.gz")] + ".json"
    if "archive" in made:
        _tell_of_archive(manifest, made["archive"])
    if "bytes" in made:
        with open(manifest, "rb") as found:
            data = found.read()
        os.unlink(manifest)
        made["bytes"](manifest, data)


def _changed(content, changes):
    """A content with some keys set; those that become ... are taken away."""
    return {key: value for key, value in dict(content, **changes).items() if value is not ...}


def _tell_of_archive(path, changes):
    with open(path, "rb") as found:
        content = json.load(found)
    content["archive"] = _changed(content["archive"], changes)
    with open(path, "wb") as found:
        found.write(Manifest(content).to_bytes())


def _line(change, path=FILE_PATH):
    """The list with one line changed: ``change`` gets it as bytes, with its newline."""
    def make(apart):
        lines = [change(part.told.line()) if part.told.path == path else part.told.line() for part in apart.parts]
        return {"lines": b"".join(lines)}
    return make


def _key(key, value, path=FILE_PATH):
    """The list with one value changed, written as the engine writes."""
    return _line(lambda line: _written(dict(json.loads(line), **{key: value})), path)


def _keys(**changes):
    """The list with several values of one line changed."""
    return _line(lambda line: _written(dict(json.loads(line), **changes)))


def _written(told):
    told = _changed(told, {})
    return json.dumps(told, sort_keys=True, separators=(",", ":")).encode("ascii") + b"\n"


def _list(change):
    """The list as a whole changed; the manifest has its digest, and tells as many members as there are."""
    return lambda apart: {"lines": change(lines_of(apart.parts))}


def _both(**changes):
    """Both copies of the manifest changed."""
    return lambda apart: {"both": changes}


def _members(**changes):
    """What both copies tell of the list changed; a function gets what is right."""
    def make(apart):
        found = totals(apart.parts, lines_of(apart.parts))
        told = {key: value(found[key]) if callable(value) else value for key, value in changes.items()}
        return {"both": {"members": _changed(found, told)}}
    return make


def _source(number=0, **changes):
    """One source in both copies changed."""
    def make(apart):
        sources = [dict(source) for source in apart.inside["sources"]]
        sources[number] = _changed(sources[number], changes)
        return {"both": {"sources": sources}}
    return make


def _generation(name):
    """A source that says that it is in a generation."""
    return _source(1, generation=name, bytes=0, list={"count": 0, "bytes": 0, "digest": "0" * 64})


def _passport(**changes):
    """What the manifest says of the database changed."""
    return lambda apart: _source(passport=dict(apart.inside["sources"][0]["passport"], **changes))(apart)


def _archive(**changes):
    """What the manifest beside the archive tells of it changed."""
    return lambda apart: {"archive": changes}


def _bytes(change, then=lambda path: None):
    """The manifest beside it as bytes that are no manifest."""
    def put(path, data):
        with open(path, "wb") as found:
            found.write(change(data))
        then(path)
    return lambda apart: {"bytes": put}


def _instead(make):
    """Something else in the place of the manifest."""
    return lambda apart: {"bytes": lambda path, data: make(path)}


def _linked(path):
    """Puts the archive elsewhere, and a symbolic link in its place."""
    os.rename(path[:-len(".json")] + ".tar.gz", path + ".elsewhere")
    os.symlink(path + ".elsewhere", path[:-len(".json")] + ".tar.gz")


def _parts(change):
    """Other members in the archive than the list says."""
    return lambda apart: {"parts": change(list(apart.parts)), "lines": lines_of(apart.parts)}


def _other(path, raw):
    """Another member in the place of one, of which the list does not tell."""
    return _parts(lambda parts: [Part(raw, part.told) if part.told.path == path else part for part in parts])


def _twice(path):
    """A member twice, in the archive as in its list."""
    return lambda apart: {"parts": [each for part in apart.parts for each in [part] * (2 if part.told.path == path else 1)]}


def _ending(change):
    """Something else behind the members."""
    return lambda apart: {"ending": lambda lines, inside: change(ending_of(lines, inside), lines, inside)}


def _without_list(ending, lines, inside):
    """What stands behind the members, from the manifest on."""
    return ending[raw_tar.BLOCK + len(raw_tar.padded(lines)):]


def _without_manifest(ending, lines, inside):
    return ending[:raw_tar.BLOCK + len(raw_tar.padded(lines))] + bytes(1024)


def _without_digest(data):
    """The manifest without the line of its own digest."""
    return json.dumps(_changed(json.loads(data), {"digest": ...}), indent=1, sort_keys=True).encode("ascii")


def _inner(change):
    """The copy in the archive changed, and the one beside it as it was."""
    return lambda apart: {"inner": change}


A = b"a" * 3000
WAYS = {
    "list lacks a member": _line(lambda line: b""),
    "list has a member more": _list(lambda lines: lines + file(b"uploads/z").told.line()),
    "list has a member twice": _line(lambda line: line * 2),
    "list in another order": _list(lambda lines: b"".join(lines.splitlines(True)[::-1])),
    "list is empty": _list(lambda lines: b""), "list lacks its last newline": _list(lambda lines: lines[:-1]),
    "list has a blank line": _list(lambda lines: lines + b"\n"),
    "list with carriage returns": _list(lambda lines: lines.replace(b"\n", b"\r\n")),
    "list begins with a byte order mark": _list(lambda lines: b"\xef\xbb\xbf" + lines),
    "list goes on with zeros": _list(lambda lines: lines + bytes(700)), "line is no JSON": _line(lambda line: b"garbage\n"),
    "line is no UTF-8": _line(lambda line: line.replace(b"a.bin", b"\xff.bin")),
    "line is an array": _line(lambda line: b"[]\n"),
    "line is nested deeply": _line(lambda line: b"[" * 3000 + b"]" * 3000 + b"\n"),
    "line is cut": _line(lambda line: line[:40] + b"\n"), "line is longer than any": _key("owner", "x" * LONG),
    "line has spaces": _line(lambda line: line.replace(b":", b": ")),
    "line in another order": _line(lambda line: b'{"uid":0,' + line[1:]),
    "line has a key twice": _line(lambda line: line.replace(b'"size":', b'"size":0,"size":')),
    "line has a key more": _key("more", 1), "size is larger": _key("size", 3001), "size is smaller": _key("size", 2999),
    "size is below zero": _key("size", -1), "size is absurd": _key("size", ABSURD), "size is a fraction": _key("size", 3000.0),
    "size is a text": _key("size", "3000"), "size is true": _key("size", True), "size is null": _key("size", None),
    "size is missing": _key("size", ...), "size is no number": _line(lambda line: line.replace(b'"size":3000', b'"size":NaN')),
    "digest is another": _key("digest", "0" * 64), "digest is too short": _key("digest", "0" * 63),
    "digest is null": _key("digest", None), "digest is missing": _key("digest", ...),
    "digest in capitals": _line(lambda line: line.replace(line[11:75], line[11:75].upper())),
    "path is another": _key("path", "uploads/b.bin"), "path begins with a dot": _key("path", "./uploads/a.bin"),
    "path with two slashes": _key("path", "uploads//a.bin"), "path ends with a slash": _key("path", "uploads/a.bin/"),
    "path leads out": _key("path", "../uploads/a.bin"), "path leads out and back": _key("path", "uploads/../uploads/a.bin"),
    "path is absolute": _key("path", "/uploads/a.bin"), "path has a NUL": _key("path", "uploads/a.bin\0"),
    "path has a control character": _key("path", "uploads/a\x01.bin"), "path has a newline": _key("path", "uploads/a.bin\n"),
    "path is null": _key("path", None), "path is a number": _key("path", 5), "path is missing": _key("path", ...),
    "path in hexadecimal without need": _keys(path=..., path_hex=FILE_PATH.hex()),
    "path twice": _key("path_hex", FILE_PATH.hex()), "path has half of a surrogate": _key("path", "uploads/\udc80"),
    "path is empty": _key("path", ""), "type is another": _key("type", "directory"), "type is unknown": _key("type", "device"),
    "type is null": _key("type", None), "type is a list": _key("type", []), "mode is another": _key("mode", "0777"),
    "mode has set-user-id": _key("mode", "4640"), "mode is no octal": _key("mode", "0999"),
    "mode is a number": _key("mode", 416), "mode is below zero": _key("mode", "-640"), "mode is absurd": _key("mode", "7" * 40),
    "time is absurd": _key("mtime", ABSURD * ABSURD), "time is a text": _key("mtime", "now"),
    "owner's number is absurd": _key("uid", 2 ** 32), "owner's number is below zero": _key("uid", -1),
    "owner is a number": _key("owner", 5), "group's number is a fraction": _key("gid", 1.5),
    "group is null": _key("group", None), "link leads elsewhere": _key("target", "a.bin", LINK_PATH),
    "link leads out": _key("target", "../../../etc", LINK_PATH), "link without a target": _key("target", ..., LINK_PATH),
    "link is a file": _key("type", FILE, LINK_PATH), "file is a link": _keys(type=LINK, target="b.bin", size=0, digest=...),
    "archive lacks a member": _parts(lambda parts: parts[:-1]),
    "archive has a member more": _parts(lambda parts: parts + [file(b"uploads/z")]),
    "archive has a member twice": _parts(lambda parts: parts + parts[-1:]),
    "archive in another order": _parts(lambda parts: parts[::-1]),
    "archive has other content": _other(FILE_PATH, raw_tar.entry(FILE_PATH, b"b" + A[1:], mode=0o640)),
    "archive has less content": _other(FILE_PATH, raw_tar.entry(FILE_PATH, A[1:], mode=0o640)),
    "archive has more content": _other(FILE_PATH, raw_tar.entry(FILE_PATH, A + b"a", mode=0o640)),
    "archive has a directory there": _other(FILE_PATH, raw_tar.block(FILE_PATH, b"5", mode=0o640)),
    "archive has a link there": _other(FILE_PATH, raw_tar.block(FILE_PATH, b"2", target=b"link", mode=0o640)),
    "archive has another name there": _other(FILE_PATH, raw_tar.entry(b"uploads/A.bin", A, mode=0o640)),
    "file twice in both": _twice(FILE_PATH), "link twice in both": _twice(LINK_PATH),
    "database twice in both": _twice(b"data/notes.db"), "format is newer": _both(format=2),
    "format is absurd": _both(format=ABSURD), "format is 0": _both(format=0), "format is below zero": _both(format=-1),
    "format is a text": _both(format="1"), "format is a fraction": _both(format=1.0), "format is true": _both(format=True),
    "format is null": _both(format=None), "format is missing": _both(format=...), "id is missing": _both(id=...),
    "id leads out": _both(id="../x"), "id has a newline": lambda apart: {"both": {"id": apart.id + "\n"}},
    "app is another": _both(app="other"), "app has a NUL": _both(app="no\0tes"), "app is a list": _both(app=["notes"]),
    "host is a number": _both(host=5), "time of creation is another": _both(created="2026-01-01T00:00:00Z"),
    "time of creation is none": _both(created="yesterday"), "time of creation is missing": _both(created=...),
    "duration is a text": _both(duration="1"), "duration is null": _both(duration=None), "kind is null": _both(kind=None),
    "warnings are a text": _both(warnings="none"), "a key more": _both(more=1), "sources are missing": _both(sources=...),
    "sources are a dictionary": _both(sources={}), "sources are numbers": _both(sources=[1]),
    "members are missing": _both(members=...), "members are a number": _both(members=6),
    "verified is a text": lambda apart: {"beside": {"verified": "yes"}},
    "one member more counted": _members(count=lambda count: count + 1),
    "one member less counted": _members(count=lambda count: count - 1), "members below zero": _members(count=-1),
    "members absurd": _members(count=ABSURD), "members are a text": _members(count="6"),
    "members are true": _members(count=True), "one byte more counted": _members(bytes=lambda size: size + 1),
    "one byte less counted": _members(bytes=lambda size: size - 1), "bytes below zero": _members(bytes=-1),
    "bytes absurd": _members(bytes=ABSURD), "bytes are a fraction": _members(bytes=float),
    "list's digest is another": _members(digest="0" * 64), "list's digest is null": _members(digest=None),
    "list's digest is missing": _members(digest=...), "source's path leads out": _source(path="../data"),
    "source's path is absolute": _source(path="/etc"), "source's path has a NUL": _source(path="data\0"),
    "source's path is empty": _source(path=""), "source's path begins with a dot": _source(path="./data/notes.db"),
    "source's path is null": _source(path=None), "source's path is another": _source(path="data/other.db"),
    "source's type is a number": _source(type=5), "source's type is missing": _source(type=...),
    "source's presence is a number": _source(present=1), "source's presence is missing": _source(present=...),
    "passport is a list": _source(passport=[]), "passport tells other rows": _passport(tables={"notes": 21}),
    "passport tells another version": _passport(user_version=7), "passport's tables are a number": _passport(tables=5),
    "passport tells another schema": _passport(schema_digest="0" * 64),
    "generation is another's": _generation("../../etc.1.tree"),
    "generation is missing": _generation("notes-20261119T030003Z.1.tree"), "archive's size is larger": _archive(size=10 ** 6),
    "archive's size is below zero": _archive(size=-1), "archive's size is absurd": _archive(size=ABSURD),
    "archive's size is missing": _archive(size=...), "archive's digest is another": _archive(digest="0" * 64),
    "archive's digest is null": _archive(digest=None), "archive's name is another": _archive(name="other.tar.gz"),
    "archive's name leads out": _archive(name="../notes.tar.gz"), "archive's name is missing": _archive(name=...),
    "manifest is empty": _bytes(lambda data: b""), "manifest is no JSON": _bytes(lambda data: b"garbage"),
    "manifest is null": _bytes(lambda data: b"null"), "manifest is twice there": _bytes(lambda data: data * 2),
    "manifest with carriage returns": _bytes(lambda data: data.replace(b"\n", b"\r\n")),
    "manifest begins with a byte order mark": _bytes(lambda data: b"\xef\xbb\xbf" + data),
    "manifest in UTF-16": _bytes(lambda data: data.decode().encode("utf-16")),
    "manifest with a space more": _bytes(lambda data: data + b" "),
    "manifest in one line": _bytes(lambda data: json.dumps(json.loads(data)).encode()),
    "manifest without its digest": _bytes(_without_digest), "manifest is nested deeply": _bytes(lambda data: b"[" * 10 ** 5),
    "manifest is larger than any": _bytes(lambda data: data + b" " * LARGE), "manifest is a directory": _instead(os.mkdir),
    "manifest is a FIFO": _instead(os.mkfifo), "manifest leads nowhere": _instead(lambda path: os.symlink("nowhere", path)),
    "manifest leads to zeros without end": _instead(lambda path: os.symlink("/dev/zero", path)),
    "manifest is missing": _instead(lambda path: None), "archive is a link": _bytes(lambda data: data, _linked),
    "both copies tell of different backups": _inner(lambda told: dict(told, host="other")),
    "copy inside is of another time": _inner(lambda told: dict(told, created="2026-01-01T00:00:00Z")),
    "copy inside has a space more": _inner(lambda told: Manifest(told).to_bytes() + b" "),
    "copy inside is empty": _inner(lambda told: b""), "copy inside is no JSON": _inner(lambda told: b"garbage"),
    "copy inside is the one beside": _inner(lambda told: dict(told, archive={"name": "x", "size": 1, "digest": "0" * 64})),
    "list is missing": _ending(_without_list), "copy inside is missing": _ending(_without_manifest),
    "both are missing inside": _ending(lambda ending, lines, inside: bytes(1024)),
    "both come twice": _ending(lambda ending, lines, inside: ending[:-1024] * 2 + bytes(1024)),
    "a member after the manifest": _ending(lambda ending, *unused: ending[:-1024] + raw_tar.entry(b"uploads/z") + bytes(1024)),
    "no end": _ending(lambda ending, lines, inside: ending[:-1024]),
    "something after the end": _ending(lambda ending, lines, inside: ending + b"x" * 512),
}
