# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Damage: each byte of an archive, of its manifest and of a generation turned, each length that it can be cut to, each way in
which a manifest can be wrong.

Found is what the catalog lists as not good, or what verifying reports or refuses. What happened before the archive was
digested (``digested``, ``inner``, ``tar``), no digest outside can find: there it is found, or what is restored is the very
same, file by file (RFC 1952 has bytes that mean nothing, and so has a tar: its padding, owners that the list tells again).
A manifest is found wrong whichever byte of it is another.
"""

from __future__ import annotations

import os
import shutil

from ansible_collections.appstate.backup.plugins.module_utils.archive.age import make_pair
from ansible_collections.appstate.backup.tests.unit.plugins.host import DATABASE
from grafting import Apart, gzipped, unpacked
from row import Bad, Mutation, Row, Tried
from sound_backup import SoundBackup, read, write
from verbs import need
from wrong_manifests import WAYS, build

# Positions of one case.
BLOCK = 64
PATTERNS = {"short": ("bit",), "whole": ("bit", "all", "random")}
MANIFEST_PATTERNS = {"short": ("bit",), "whole": tuple("%s%d" % (kind, each) for kind in ("bit", "random") for each in range(8))}
# Of the positions in a block, those that are tried by the whole of a restore as well.
RESTORED_EVERY = 32
# Which positions of the plain tar are packed again, digested and listed.
INNER_EVERY = 8
# Cases of each kind in the short form; of what is not named, 1.
SHORT_CASES = {"manifest flip": 100, "wrong": 200, "gz flip": 3, "gz digested": 3, "zst flip": 2, "tar flip": 4, "tar cut": 2,
               "tree flip": 3}


class Damage(Row):
    """``FORM KIND PATTERN START`` is one block of positions; ``wrong WAY`` is one manifest."""

    name = "damage"
    title = "Damaged archives and manifests"
    shards = 2
    mutations = (
        Mutation("operations/selection.py", '        if contents.digest != self.manifest.archive["digest"]:', "        if False:",
                 "the archive's digest in the manifest beside it is not compared"),
        Mutation("archive/manifest.py", "digest.hexdigest() == manifest.content[\"digest\"]", "True",
                 "the manifest's digest of itself is not compared"),
        Mutation("archive/reader.py", "    elif saw.type == FILE and saw.digest != told.digest:", "    elif False:",
                 "members' digests are not compared"),
        Mutation("archive/generation.py", "        if self._trouble is None and digest != member.digest:", "        if False:",
                 "files of a generation are not digested"),
        Mutation("catalog/catalog.py", '        if size != manifest.archive["size"]:', "        if False:",
                 "a cut archive is listed as good"),
    )

    def open(self):
        identity, recipient = make_pair()
        encrypted = {"encryption": {"recipients": [recipient]}}
        mirrored = [{"type": "sqlite", "path": DATABASE}, {"type": "files", "path": "uploads", "method": "rsync"}]
        self._forms = {"gz": SoundBackup(self.place("gz"), compression="gzip"),
                       "zst": SoundBackup(self.place("zst"), compression="zstd"),
                       "age": SoundBackup(self.place("age"), identity, compression="zstd", **encrypted),
                       "tree": SoundBackup(self.place("tree"), compression="gzip", sources=mirrored)}
        gz = self._forms["gz"]
        self._plain = unpacked(gz.backup.path)
        self._tar = gz.host.place("plain.tar")
        self._manifest_starts = self._plain.index(b".appstate/manifest.json")
        write(self._tar, self._plain)
        self._extracted = gz.extracted(self._tar)
        if self._extracted is None or gz.restored(self._tar) != gz.same:
            raise Bad("a sound archive without its manifest is not restored: what follows proves nothing")
        if [form for form in self._forms.values() if form.found("content", form.identity) is not None]:
            raise Bad("a sound backup is found to be wrong: what follows proves nothing")
        self._apart = Apart(gz.backup)

    def cases(self):
        found = ["wrong %s" % way for way in WAYS]
        for form in ("gz", "zst", "age"):
            length = len(self._forms[form].archive)
            found += self._blocks(form, "flip", length) + self._blocks(form, "digested", length)
            found += self._blocks(form, "cut", length, ("-",))
        for number, path in enumerate(self._generation()):
            found += self._blocks("tree", "flip%d" % number, os.path.getsize(path), PATTERNS["short"])
            found += self._blocks("tree", "cut%d" % number, os.path.getsize(path), ("-",))
        found += self._blocks("tar", "flip", len(self._plain), PATTERNS[self.form][:2])
        found += self._blocks("tar", "cut", len(self._plain), ("-",))
        found += self._blocks("gz", "inner", len(self._plain), PATTERNS["short"], BLOCK * INNER_EVERY)
        found += self._blocks("manifest", "flip", len(self._forms["gz"].manifest), MANIFEST_PATTERNS[self.form])
        found += self._blocks("manifest", "cut", len(self._forms["gz"].manifest), ("-",))
        return self._sampled(found) if self.short else found

    def _blocks(self, form, kind, length, patterns=None, step=BLOCK):
        return ["%s %s %s %d" % (form, kind, pattern, start)
                for pattern in patterns or PATTERNS[self.form] for start in range(0, length, step)]

    def _sampled(self, cases):
        """Some of each kind, in their order."""
        kinds = {}
        for case in cases:
            kind = "wrong" if case.startswith("wrong ") else " ".join(case.split()[:2]).rstrip("0123456789")
            kinds.setdefault(kind, []).append(case)
        chosen = set()
        for kind, all_of_it in kinds.items():
            chosen.update(self.random("sample", kind).sample(all_of_it, min(len(all_of_it), SHORT_CASES.get(kind, 1))))
        return [case for case in cases if case in chosen]

    def run(self, case):
        if case.startswith("wrong "):
            return self._wrong(case.split(" ", 1)[1])
        form, kind, pattern, start = case.split()
        words = (form, kind.rstrip("0123456789"), pattern, int(start))
        if form == "tree":
            return self._in_generation(self._generation()[int(kind[-1])], *words[1:])
        if form == "tar":
            return self._without_manifest(*words[1:])
        return getattr(self, "_%s" % ("manifest" if form == "manifest" else words[1]))(*words)

    def _positions(self, data, start, step=1):
        return range(start, min(start + BLOCK * step, len(data)), step)

    def _turned(self, data, position, pattern):
        """The data with one byte of it turned."""
        if pattern == "bit":
            mask = 1 << position % 8
        elif pattern == "all":
            mask = 0xff
        elif pattern.startswith("random"):
            mask = self.random(pattern, position).randrange(1, 256)
        else:
            mask = 1 << int(pattern[3:])
        return data[:position] + bytes([data[position] ^ mask]) + data[position + 1:]

    def _flip(self, name, unused, pattern, start):
        """As it lies there: the digest beside it tells, without an identity too, and a restore refuses it."""
        form = self._forms[name]
        positions = self._positions(form.archive, start)
        try:
            for position in positions:
                write(form.backup.path, self._turned(form.archive, position, pattern))
                need(form.found(), "%s, byte %d (%s): nobody notices", name, position, pattern)
                if position % RESTORED_EVERY == 0:
                    need(form.refused(), "%s, byte %d (%s): it was restored", name, position, pattern)
        finally:
            form.put_back()
        return Tried(len(positions))

    def _digested(self, name, unused, pattern, start):
        """Damage that was there before the digest: the packing, or the members' digests inside tell."""
        form = self._forms[name]
        positions = self._positions(form.archive, start)
        try:
            for position in positions:
                write(form.backup.path, self._turned(form.archive, position, pattern))
                form.digest_again()
                self._noticed_or_same(form, "%s, byte %d (%s), digested afterwards" % (name, position, pattern))
        finally:
            form.put_back()
        return Tried(len(positions))

    def _noticed_or_same(self, form, where):
        noticed = form.found(identity=form.identity) or form.same_or_refused()
        need(noticed, "%s: nobody notices, and other content is restored", where)

    def _inner(self, name, unused, pattern, start):
        """The same inside of the compression."""
        form = self._forms[name]
        positions = self._positions(self._plain, start, INNER_EVERY)
        try:
            for position in positions:
                write(form.backup.path, gzipped(self._turned(self._plain, position, pattern)))
                form.digest_again()
                self._noticed_or_same(form, "tar in %s, byte %d (%s), digested afterwards" % (name, position, pattern))
        finally:
            form.put_back()
        return Tried(len(positions))

    def _cut(self, name, unused, pattern, start):
        """Each length: the catalog tells; and where the manifest tells of the cut archive, reading it does."""
        form = self._forms[name]
        lengths = self._positions(form.archive, start)
        try:
            for length in lengths:
                write(form.backup.path, form.archive[:length])
                need(form.listed(), "%s, cut to %d bytes: it is listed as good", name, length)
                form.digest_again()
                found = form.found(identity=form.identity)
                need(found, "%s, cut to %d bytes and digested afterwards: nobody notices", name, length)
                form.put_back()
        finally:
            form.put_back()
        return Tried(2 * len(lengths))

    def _manifest(self, unused, kind, pattern, start):
        form = self._forms["gz"]
        positions = self._positions(form.manifest, start)
        try:
            for position in positions:
                data = form.manifest[:position] if kind == "cut" else self._turned(form.manifest, position, pattern)
                write(form.manifest_path, data)
                need(form.listed(), "manifest, %s at byte %d (%s): it is listed as good", kind, position, pattern)
                if position % RESTORED_EVERY == 0:
                    need(form.refused() and form.refused(form.backup.path), "manifest, %s at byte %d (%s): it was restored",
                         kind, position, pattern)
        finally:
            form.put_back()
        return Tried(len(positions))

    def _without_manifest(self, kind, pattern, start):
        """A plain tar by itself: what is not noticed has changed nothing."""
        form = self._forms["gz"]
        positions = self._positions(self._plain, start)
        for position in positions:
            data = self._plain[:position] if kind == "cut" else self._turned(self._plain, position, pattern)
            write(self._tar, data)
            where = (kind, position, pattern)
            found = form.extracted(self._tar)
            need(found in (None, self._extracted), "plain tar, %s at byte %d (%s): other content comes out of it", *where)
            if position % RESTORED_EVERY == 0 and found is None:
                need(form.refused(self._tar), "plain tar, %s at byte %d (%s): it was restored", *where)
            # What is at the very end says where members belong.
            elif position % (4 if position > self._manifest_starts else RESTORED_EVERY) == 0:
                need(form.same_or_refused(self._tar), "plain tar, %s at byte %d (%s): other content is restored", *where)
        return Tried(len(positions))

    def _generation(self):
        """All files of the generation, its list as well."""
        form = self._forms["tree"]
        top = os.path.join(os.path.dirname(form.backup.path), form.backup.manifest.generations[0]["generation"])
        return sorted(os.path.join(folder, name) for folder, unused, names in os.walk(top) for name in names
                      if not os.path.islink(os.path.join(folder, name)))

    def _in_generation(self, path, kind, pattern, start):
        form, data = self._forms["tree"], read(path)
        positions = self._positions(data, start)
        try:
            for position in positions:
                write(path, data[:position] if kind == "cut" else self._turned(data, position, pattern))
                where = (os.path.basename(path), kind, position, pattern)
                need(form.found(), "%s of a generation, %s at byte %d (%s): nobody notices", *where)
                if position % RESTORED_EVERY == 0:
                    need(form.refused(), "%s of a generation, %s at byte %d (%s): it was restored", *where)
        finally:
            write(path, data)
        return Tried(len(positions))

    def _wrong(self, way):
        form = self._forms["gz"]
        directory = os.path.dirname(form.backup.path)
        try:
            build(way, self._apart, directory)
            need(form.found("content"), "a manifest that is wrong (%s): nobody notices", way)
            need(form.refused(), "a manifest that is wrong (%s): it was restored", way)
        finally:
            shutil.rmtree(directory)
            os.mkdir(directory, 0o700)
            form.put_back()
        return Tried(1)


ROW = Damage
