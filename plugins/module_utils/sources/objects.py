# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The objects of a bucket, by rclone: which of them are a source's, what is known of each, and copies of some of them."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from contextlib import contextmanager

from ..archive.tar import CHUNK
from ..remotes.attempts import attempted
from ..remotes.rclone import MANY, Rclone
from .files import compiled

# What a restore of ours makes in a bucket: no state of the application.
OWN = ".appstate-"
ATTEMPTS = 3
# How a listing of rclone's shows names that it cannot ask for: parts "." and "..", and its own sign of quotation, twice.
BEYOND = ("", "\uff0e", "\uff0e\uff0e")
QUOTES = "\u201b\u201b"
CONTROL = re.compile("[\x00-\x1f\x7f]")
# Two names are two objects, however alike they look.
COPY = ["copy", "--no-unicode-normalization"] + MANY


class Found:
    """What is known of an object, or of a file that is a copy of one.

    Attributes:
        size: bytes.
        hashes: from algorithm to hexadecimal digest, those that hashlib knows; a place need not tell any.
    """

    __slots__ = ("size", "hashes")

    def __init__(self, size, hashes):
        self.size = size
        self.hashes = {name: digest for name, digest in hashes.items() if digest and name in hashlib.algorithms_guaranteed}

    def shared(self, other):
        """The algorithms by which the two can be compared."""
        return set(self.hashes) & set(other.hashes)

    def may_be(self, other):
        """Whether nothing tells the two apart."""
        return self.size == other.size and all(self.hashes[name] == other.hashes[name] for name in self.shared(other))

    def must_be(self, other):
        """Whether a hash says that the two are the same."""
        return self.may_be(other) and bool(self.shared(other))


def found_here(descriptor, algorithms):
    """The Found of an open file, with its digests by these algorithms."""
    digests = {name: hashlib.new(name) for name in algorithms}
    size = 0
    for piece in iter(lambda: os.read(descriptor, CHUNK), b""):
        size += len(piece)
        for digest in digests.values():
            digest.update(piece)
    return Found(size, {name: digest.hexdigest() for name, digest in digests.items()})


class Objects:
    """The objects of one BucketSource; all paths and names are relative to its place.

    Attributes:
        title: what messages call it.
        rclone: the Rclone of its place.
        excluded: how many objects the last listing left out, as the source says.
        unnamable: names of those that rclone cannot be asked for.
    """

    def __init__(self, source):
        self.title = title_of(source)
        self.rclone = Rclone(source.place, self.title)
        self.excluded = 0
        self.unnamable = set()
        self._excludes = [compiled(pattern) for pattern in source.exclude]

    def listed(self, path="", hashes=True):
        """From name to Found, of all that belong to the source; None where there is no such place."""
        told = attempted(lambda: self.rclone.tree(path, hashes), ATTEMPTS)
        if told is None:
            return None
        self.excluded, self.unnamable, listed = 0, set(), {}
        for each in told:
            name = each["Path"]
            if name.startswith(OWN):
                continue
            if self.excludes(name):
                self.excluded += 1
            elif is_namable(name):
                listed[name] = Found(each["Size"], each.get("Hashes") or {})
            else:
                self.unnamable.add(name)
        return listed

    def excludes(self, name):
        """Whether the source leaves it out; as in a directory, what is below a name that matches is left out, too."""
        if not self._excludes:
            return False
        parts = name.split("/")
        paths = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
        return any(matches(path) for matches in self._excludes for path in paths)

    def fetch(self, names, directory):
        """Copies objects into a directory of this host; a file that is there and as large is taken to be the object."""
        self._each(names, COPY + ["--size-only"], [self.rclone.place.at(""), directory])

    def send(self, directory, path):
        """Copies all files of a directory of this host to a new path."""
        words = COPY + ["--no-check-dest", "--skip-links", directory, self.rclone.place.at(path)]
        attempted(lambda: self.rclone.run(words), ATTEMPTS)

    def copy(self, path, to, names):
        """Copies objects from one path to another, over what is there; where the other side can do that, nothing comes here."""
        self._each(names, COPY + ["--ignore-times"], [self.rclone.place.at(path), self.rclone.place.at(to)])

    def compare(self, original, path, names):
        """Reads what lies at an original place, as rclone is told of it, and what should be copies of that at a path.

        Raises:
            AppStateError: they differ.
        """
        self._each(names, ["check", "--download", "--one-way"] + MANY, [original, self.rclone.place.at(path)])

    def remove(self, path, names):
        """Removes objects."""
        self._each(names, ["delete"], [self.rclone.place.at(path)])

    def clear(self, path):
        """Removes the empty directories at a path, which only some places have."""
        attempted(lambda: self.rclone.run(["rmdirs", self.rclone.place.at(path)]), ATTEMPTS)

    def _each(self, names, words, places):
        if not names:
            return
        with _list_of(names) as listed:
            call = words + ["--files-from-raw=" + listed] + places
            attempted(lambda: self.rclone.run(call), ATTEMPTS)


def title_of(source):
    """What messages call a BucketSource; nothing secret is in it."""
    return "bucket %s" % source.place.remote


def is_namable(name):
    """Whether rclone, given the name, finds what it has listed by it; a name of its own has no control character."""
    return not CONTROL.search(name) and QUOTES not in name and not any(part in BEYOND for part in name.split("/"))


def above(name):
    """The directories that a name would need, if it were a file's."""
    parts = name.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


@contextmanager
def _list_of(names):
    """The path of a private file with one name a line."""
    with tempfile.NamedTemporaryFile() as listed:
        listed.writelines(name.encode("utf-8", "surrogateescape") + b"\n" for name in sorted(names))
        listed.flush()
        yield listed.name
