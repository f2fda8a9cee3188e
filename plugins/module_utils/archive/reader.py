# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads an archive from its first byte to its last, in one pass, and says whether it is what its own list says it is.

Nothing holds the list in memory: the reader writes down what it saw, and compares that with the archive's list as two
streams. Archives of old shell recipes have no list; then what was seen is the list.
"""

from __future__ import annotations

import array
import os
import re
import sys
import tempfile
from itertools import zip_longest

from ..system.errors import AppStateError, ArchiveError, SchemaTooNewError
from . import tar
from .digests import PieceDigest
from .manifest import MOST as MANIFEST_MOST, parse_manifest
from .members import FILE, HARD_LINK, LINK, LIST_PATH, MANIFEST_PATH, Member, new_digest, parse_line, shown, \
    stays_inside

# What one line of the list takes at the most: two paths of 4095 bytes, each written as six, and the rest.
LINE_MOST = 64 * 1024
PROBLEMS_MOST = 1000
# More than any application has files; what is noted of each stays below 128 MiB.
MEMBERS_MOST = 10 * 1000 * 1000
# A member's time in its line (in a text of the line the quotes would be escaped): a tar header tells seconds only.
# Most times that a file can have; what does not match is looked at in full.
_WHEN = re.compile(br'"mtime":[1-8][0-9]{0,18},')


class Contents:
    """What was found in an archive.

    Attributes:
        manifest: the copy in the archive, or None where it is not one of ours.
        lines: temporary file with a line for each member, at its beginning: the archive's own list where it has one.
        count, bytes: members (ours not counted), and bytes of their content.
        problems: list of ``{"member", "problem"}``; member is None where it is the archive as a whole.
        digest: of the archive's file, where it was asked for.
        marked: path to kind, for the files whose content begins with one of the ``marks`` that were asked for.
    """

    def __init__(self):
        self.marked = {}
        self.manifest = None
        self.lines = None
        self.count = 0
        self.bytes = 0
        self.problems = []
        self.digest = None

    def problem(self, member, text):
        """Notes a problem; the first thousand are enough."""
        if len(self.problems) < PROBLEMS_MOST:
            self.problems.append({"member": None if member is None else shown(member), "problem": text})


class Most:
    """How many members, and bytes of content, may come out of an archive: with more its reading ends, whatever follows. A few
    kilobytes can be terabytes once they are unpacked.

    Args:
        error: what is raised then.
        with_notes: whether the bytes are also what is noted of the members, whose names may be all that there is.
    """

    def __init__(self, count, bytes, error, with_notes=False):
        self._count = count
        self._bytes = bytes
        self._error = error
        self._with_notes = with_notes

    def check(self, count, bytes, noted=0):
        """Raises the error where there is more."""
        if count > self._count or bytes + (noted if self._with_notes else 0) > self._bytes:
            raise self._error


def read_archive(origin, scratch, extractor=None, on_bytes=None, marks=None, most=None):
    """Reads all of an archive.

    Args:
        origin: where it comes from; see ``archive.origin``.
        scratch: path of a directory for temporary files; None keeps what would be in them in memory.
        extractor: gets each member as it comes (see ``extract.Extractor``); without it contents are only digested.
        marks: bytes to kind; files that begin with them are named in ``Contents.marked``.
        most: a Most.

    Returns:
        Contents. Damage is listed in ``problems``; only what nobody can read on after (a cut, a broken header) ends
        the reading, and is listed too.
    """
    contents = Contents()
    stream = origin.open()
    try:
        _Reading(contents, stream, scratch, extractor, on_bytes, marks or {}, most or UNBOUND).run()
        contents.digest = _digest_of(stream, contents)
        return contents
    finally:
        stream.close()


def _digest_of(stream, contents):
    """The digest of the file; None for a stream that was cut, which then is a problem that is listed too."""
    try:
        return stream.hexdigest()
    except ArchiveError as error:
        if not contents.problems:
            contents.problem(None, error.message)
        return None


def read_single(origin, scratch, path, kind, mtime, extractor=None, most=None):
    """The Contents of a file that is no archive, but one member by itself, compressed or not: a bare database.

    Args:
        mtime: nanoseconds since the epoch, of the file.
        most: a Most.
    """
    contents = Contents()
    stream = origin.open()
    try:
        member = Member(path, FILE, mtime=mtime)
        pieces = _bounded(iter(lambda: stream.read(tar.CHUNK), b""), most or UNBOUND)
        member.digest, member.size = digest_into(pieces, extractor.create(member) if extractor is not None else None)
    finally:
        stream.close()
    contents.lines = _temporary(scratch)
    contents.lines.write(member.line())
    contents.lines.seek(0)
    contents.count, contents.bytes, contents.marked = 1, member.size, {path: kind}
    return contents


def _bounded(pieces, most):
    """The same pieces, as long as they are not too many bytes."""
    size = 0
    for piece in pieces:
        size += len(piece)
        most.check(1, size)
        yield piece


def first_bytes(origin, count):
    """The first plain bytes of an archive, whatever compressed it."""
    stream = origin.open()
    try:
        return stream.read(count)
    finally:
        stream.close()


def _temporary(scratch):
    """A temporary file in a directory, or one in memory, which is what a reader gets who may leave nothing on a disk."""
    if scratch is not None:
        return tempfile.TemporaryFile(dir=scratch)
    return os.fdopen(os.memfd_create("members"), "w+b")


# What only ``MEMBERS_MOST`` bounds.
UNBOUND = Most(float("inf"), float("inf"), None)


class _Reading:
    """One pass over one archive."""

    def __init__(self, contents, stream, scratch, extractor, on_bytes, marks, most):
        self._contents = contents
        self._tar = tar.TarReader(stream)
        self._seen = _temporary(scratch)
        self._declared = None
        self._scratch = scratch
        self._extractor = extractor
        self._on_bytes = on_bytes or (lambda count: None)
        self._marks = marks
        self._most = most
        self._list_digest = new_digest()
        self._repeats = Repeats()
        self._hard_link = None

    def run(self):
        try:
            self._take_all()
        except (ArchiveError, SchemaTooNewError) as error:
            if self._extractor is not None:
                raise
            self._contents.problem(error.path.encode() if error.path else None, error.message)
        self._finish()

    def _take_all(self):
        try:
            for member in self._tar:
                self._take(member)
        except (ValueError, LookupError, ArithmeticError, MemoryError, RecursionError) as error:
            # Whatever a hostile header makes Python raise: an archive that cannot be read is a refused archive.
            raise ArchiveError("the archive cannot be read (%s)" % error, path=self._tar.last)

    def _take(self, member):
        if self._contents.manifest is not None:
            raise ArchiveError("a member stands after the manifest", path=member.path)
        if member.path == LIST_PATH and member.type == FILE and self._declared is None:
            self._keep_list()
        elif member.path == MANIFEST_PATH and member.type == FILE:
            self._contents.manifest = parse_manifest(self._small_content(), beside=False)
        elif member.path.split(b"/")[0] == b".appstate":
            raise ArchiveError("a member has a name that archives keep for themselves", path=member.path)
        elif self._declared is not None:
            raise ArchiveError("a member stands after the list of members", path=member.path)
        elif member.path:
            self._take_plain(member)

    def _take_plain(self, member):
        if self._contents.count >= MEMBERS_MOST:
            raise ArchiveError("the archive has more than %d members" % MEMBERS_MOST)
        self._most.check(self._contents.count + 1, self._contents.bytes + member.size, self._seen.tell())
        self._repeats.add(member.path)
        if member.type == LINK and not stays_inside(member.target, member.path.count(b"/")):
            raise ArchiveError("a symbolic link leads out of the tree (to %s)" % shown(member.target), path=member.path)
        if member.type == FILE:
            self._take_file(member)
        elif self._extractor is not None:
            self._extractor.add(member)
        if member.type == HARD_LINK:  # Only old archives have any; what was restored is a file of its own.
            member.type, member.target = FILE, None
            self._hard_link = member.path
        self._seen.write(member.line())
        self._contents.count += 1
        self._contents.bytes += member.size

    def _take_file(self, member):
        sink = self._extractor.create(member) if self._extractor is not None else None
        member.digest, unused = digest_into(self._marking(member), sink)

    def _marking(self, member):
        for number, piece in enumerate(self._tar.content()):
            for mark, kind in () if number else self._marks.items():
                if piece.startswith(mark):
                    self._contents.marked[member.path] = kind
            self._on_bytes(len(piece))
            yield piece

    def _keep_list(self):
        most = (self._contents.count + 1) * LINE_MOST
        self._declared = _temporary(self._scratch)
        for piece in self._tar.content():
            most -= len(piece)
            if most < 0:
                raise ArchiveError("the list of members is longer than the archive's members can make it")
            self._list_digest.update(piece)
            self._declared.write(piece)

    def _small_content(self):
        pieces, left = [], MANIFEST_MOST
        for piece in self._tar.content():
            left -= len(piece)
            if left < 0:
                raise ArchiveError("the manifest is larger than %d bytes" % MANIFEST_MOST)
            pieces.append(piece)
        return b"".join(pieces)

    def _finish(self):
        contents = self._contents
        if self._repeats.found():
            contents.problem(None, "two members have the same path")
        self._seen.seek(0)
        contents.lines = self._seen
        if self._declared is None and contents.manifest is None:
            return
        if self._declared is None or contents.manifest is None:
            contents.problem(None, "the list of members or the manifest is missing")
            return
        if self._hard_link is not None:
            contents.problem(self._hard_link, "is a hard link, which the archives of this engine never have")
        self._declared.seek(0)
        _compare(contents, self._seen, self._declared)
        told = contents.manifest.content["members"]
        if (told["count"], told["bytes"], told["digest"]) != (contents.count, contents.bytes,
                                                              self._list_digest.hexdigest()):
            contents.problem(None, "the manifest does not fit the list of members")
        self._declared.seek(0)
        contents.lines = self._declared


def digest_into(pieces, sink):
    """Digest and size of a content; each piece also goes to the sink, where there is one, which is then closed."""
    size = 0
    with PieceDigest() as digest:
        try:
            for piece in pieces:
                digest.update(piece)
                size += len(piece)
                if sink is not None:
                    sink.write(piece)
        finally:
            if sink is not None:
                sink.close()
        return digest.hexdigest(), size


class Repeats:
    """Notices a path that comes twice, with eight bytes of memory for each path."""

    PARTS = 64

    def __init__(self):
        self._hashes = [array.array("q") for unused in range(self.PARTS)]

    def add(self, path):
        value = hash_of(path)
        self._hashes[value % self.PARTS].append(value)

    def found(self):
        """Whether any path came twice (Python's keyed SipHash: a false alarm takes some 2**32 members)."""
        # Part by part: while it is sorted, a part takes several times its memory.
        return any(_has_repeats(part) for part in self._hashes)


def _has_repeats(values):
    ordered = sorted(values)
    return any(one == other for one, other in zip(ordered, ordered[1:]))


def hash_of(path, width=sys.hash_info.width):
    """64 bits that tell paths apart within this process; Python's own hash has 32 on hosts of that width."""
    if width >= 64:
        return hash(path)
    return (hash(path) << 32) ^ (hash(b"/" + path) & 0xffffffff)


def _compare(contents, seen, declared):
    """Notes each member in which the archive and its list differ."""
    for saw, told in zip_longest(_lines_of(seen), _lines_of(declared)):
        if saw is None or told is None:
            line = saw or told
            contents.problem(_path_of(line), "is in the %s only" % ("archive" if told is None else "list of members"))
            return
        if _WHEN.sub(b"", saw, 1) == _WHEN.sub(b"", told, 1):
            continue  # With 300,000 files, parsing both would be a fourth of all time.
        try:
            ours, theirs = parse_line(saw), parse_line(told)
        except ArchiveError as error:
            contents.problem(None, error.message)
            return
        for trouble in _differences(ours, theirs):
            contents.problem(ours.path, trouble)
            if ours.path != theirs.path:
                return


def _differences(saw, told):
    if saw.path != told.path:
        yield "stands where the list of members has %s" % shown(told.path)
    elif saw.type != told.type:
        yield "is a %s, and the list says %s" % (saw.type, told.type)
    elif saw.type == FILE and saw.size != told.size:
        yield "has %d bytes, and the list says %d" % (saw.size, told.size)
    elif saw.type == FILE and saw.digest != told.digest:
        yield "has other content than was backed up (its digest differs)"
    elif saw.type == LINK and saw.target != told.target:
        yield "leads elsewhere than the list says"
    elif saw.mode != told.mode:
        yield "has another mode than the list says"


def _path_of(line):
    try:
        return parse_line(line).path
    except AppStateError:
        return None


def entries(lines):
    """Yields the Members of a list, from its beginning."""
    lines.seek(0)
    for line in _lines_of(lines):
        yield parse_line(line)


def _lines_of(stream):
    """The lines from here on; one that no member can have comes in pieces, so that it never stands in memory."""
    return iter(lambda: stream.readline(LINE_MOST), b"")
