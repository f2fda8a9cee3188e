# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What somebody can put beside a database: journals that name other files, journals and logs whose content is an attack.

Whoever opens the database rolls the journal back and deletes the super-journal that it names, or takes the log in. The
formats are https://www.sqlite.org/fileformat2.html, section 3 (the rollback journal) and 4 (the write-ahead log), and
writeSuperJournal() in SQLite's pager.c.
"""

from __future__ import annotations

import os
import sqlite3
import struct
import tempfile

from mutated_images import BASES, database, flip_bits, mutated

MAGIC = b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7"
# Of a journal's header: how many records, the nonce of checksums, the pages of the database before, sector, page size.
JOURNAL_HEADER = ((8, 4), (12, 4), (16, 4), (20, 4), (24, 4))
# Of a log's header: magic, version, page size, checkpoint, salts, checksums.
WAL_HEADER = tuple((4 * number, 4) for number in range(8))
FRAME_HEADER = 24


def left_over(journal):
    """What a process leaves that dies in the middle of its work: bytes by the ending of their file's name."""
    base = "wal" if journal == "wal" else "plain"
    with tempfile.TemporaryDirectory() as room:
        name = os.path.join(room, "a.db")
        with open(name, "wb") as file:
            file.write(database(BASES[base]))
        connection = sqlite3.connect(name, isolation_level=None)
        connection.execute("PRAGMA cache_size=5")
        connection.execute("PRAGMA wal_autocheckpoint=0").fetchall()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE notes SET text = text || ' changed', size = size + 1000")
        if journal == "wal":
            connection.execute("COMMIT")
        found = {}
        for ending in ("", "-wal" if journal == "wal" else "-journal"):
            with open(name + ending, "rb") as file:
                found[ending] = file.read()
        connection.close()
    return found


def names_super_journal(journal, name):
    """A journal that names a super-journal (bytes): SQLite deletes that file once it has rolled the journal back."""
    return journal + struct.pack(">I", 1 << 31) + name + struct.pack(">II", len(name), sum(name) & 0xffffffff) + MAGIC


def mutated_journal(random, journal):
    """``(what was done, bytes)``: the header says something else, a page is another one and has its right checksum, or bits
    are flipped."""
    changed = bytearray(journal)
    nonce, sector, size = (struct.unpack_from(">I", journal, place)[0] for place in (12, 20, 24))
    what = random.choice(("header", "header", "number", "page", "page", "flips"))
    records = (len(journal) - sector) // (size + 8)
    place = sector + random.randrange(max(1, records)) * (size + 8)
    if what == "header":
        field, width = random.choice(JOURNAL_HEADER)
        struct.pack_into(">I", changed, field, random.choice((0, 1, 2, 511, 512, 1024, 65536, 0x10000000, 0x7fffffff, 0xffffffff,
                                                             random.getrandbits(8 * width))))
    elif what == "number":
        struct.pack_into(">I", changed, place, random.choice((0, 1, 2, 200, 0x7fffffff, 0xffffffff)))
    elif what == "page":
        page = bytearray(changed[place + 4:place + 4 + size])
        _spoil(random, page)
        changed[place + 4:place + 4 + size] = page
        total = nonce + sum(page[each] for each in range(size - 200, 0, -200))
        struct.pack_into(">I", changed, place + 4 + size, total & 0xffffffff)
    else:
        flip_bits(random, changed)
    return what, bytes(changed)


def mutated_log(random, log):
    """The same of a write-ahead log; ``frames`` and ``commit`` keep all checksums right."""
    changed = bytearray(log)
    size = struct.unpack_from(">I", log, 8)[0]
    frames = range(32, len(log) - size - FRAME_HEADER + 1, size + FRAME_HEADER)
    place = random.choice(frames)
    what = random.choice(("header", "salts", "checksum", "frames", "frames", "frames", "commit", "cut", "flips"))
    if what == "header":
        struct.pack_into(">I", changed, random.choice(WAL_HEADER)[0], random.choice((0, 1, 512, 4096, 65536, 0xffffffff)))
    elif what == "salts":
        struct.pack_into(">I", changed, place + random.choice((8, 12)), random.getrandbits(32))
    elif what == "checksum":
        struct.pack_into(">I", changed, place + random.choice((16, 20)), random.getrandbits(32))
    elif what == "frames":
        page = bytearray(changed[place + FRAME_HEADER:place + FRAME_HEADER + size])
        _spoil(random, page)
        changed[place + FRAME_HEADER:place + FRAME_HEADER + size] = page
        if random.random() < 0.3:
            struct.pack_into(">I", changed, place, random.choice((0, 1, 2, 100, 0x7fffffff, 0xffffffff)))
        _sign(changed, size, frames)
    elif what == "commit":
        struct.pack_into(">I", changed, place + 4, random.choice((0, 1, 2, 1000, 0x7fffffff, 0xffffffff)))
        _sign(changed, size, frames)
    elif what == "cut":
        del changed[random.randrange(len(changed)):]
    else:
        flip_bits(random, changed)
    return what, bytes(changed)


def mutated_beside(random, found):
    """The same of what ``left_over`` gave: the sidecar is changed, and sometimes the database as well."""
    ending = next(each for each in found if each)
    what, sidecar = (mutated_log if ending == "-wal" else mutated_journal)(random, found[ending])
    changed = dict(found, **{ending: sidecar})
    if random.random() < 0.2:
        more, changed[""] = mutated(random, found[""])
        what += "+" + more
    return "%s of %s" % (what, ending), changed


def _spoil(random, page):
    """Changes a page so that SQLite takes it for one of a b-tree if it was."""
    kind = random.randrange(4)
    if kind == 0:
        page[random.choice((0, 3, 4, 5, 6, 8, 9))] = random.choice((0, 2, 5, 10, 13, 255))
    elif kind == 1:
        page[:] = random.randbytes(len(page))
    else:
        for unused in range(random.choice((1, 4))):
            page[random.randrange(len(page))] ^= 1 << random.randrange(8)


def _sign(log, size, frames):
    """Makes the checksums of all frames right again, section 4.2."""
    order = ">" if log[3] & 1 else "<"
    one, two = struct.unpack_from(">II", log, 24)
    for place in frames:
        one, two = _checksum(order, log[place:place + 8], one, two)
        one, two = _checksum(order, log[place + FRAME_HEADER:place + FRAME_HEADER + size], one, two)
        struct.pack_into(">II", log, place + 16, one, two)


def _checksum(order, data, one, two):
    words = struct.unpack("%s%dI" % (order, len(data) // 4), bytes(data))
    for first, second in zip(words[::2], words[1::2]):
        one = (one + first + two) & 0xffffffff
        two = (two + second + one) & 0xffffffff
    return one, two
