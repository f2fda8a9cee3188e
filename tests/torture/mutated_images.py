# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Real databases, and what becomes of their bytes when somebody changes them with the file format in hand.

The format is https://www.sqlite.org/fileformat2.html. A mutation keeps all else as it is, so that SQLite gets as far with
the image as it can: a byte changed anywhere is mostly found at once, a pointer that leads back to its own page is not.
"""

from __future__ import annotations

import os
import sqlite3
import struct
import tempfile

# Of each page of a b-tree: interior and leaf, of an index and of a table.
INTERIOR_INDEX, INTERIOR_TABLE, LEAF_INDEX, LEAF_TABLE = 2, 5, 10, 13
INTERIOR = (INTERIOR_INDEX, INTERIOR_TABLE)
KINDS = INTERIOR + (LEAF_INDEX, LEAF_TABLE)
# Place and width of each field of the header, section 1.3.
HEADER = ((16, 2), (18, 1), (19, 1), (20, 1), (21, 1), (22, 1), (23, 1), (24, 4), (28, 4), (32, 4), (36, 4), (40, 4), (44, 4),
          (48, 4), (52, 4), (56, 4), (60, 4), (64, 4), (68, 4), (72, 4), (92, 4), (96, 4))
# The same of a page's header, section 1.6; the last one only interior pages have.
PAGE_HEADER = ((0, 1), (1, 2), (3, 2), (5, 2), (7, 1), (8, 4))
MANY = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) "
NOTES = (
    "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL, size INT CHECK (size >= 0), half AS (size / 2) STORED)",
    "CREATE INDEX notes_text ON notes (text)", "CREATE INDEX notes_long ON notes (length(text), size) WHERE size > 3",
    "CREATE UNIQUE INDEX notes_both ON notes (size, id DESC)",
    "CREATE TABLE tags (name TEXT, note INT REFERENCES notes, PRIMARY KEY (name, note)) WITHOUT ROWID",
    MANY % 400 + "INSERT INTO notes (text, size) SELECT 'a note of a certain length, number ' || i, i FROM n",
    MANY % 300 + "INSERT INTO tags SELECT 'tag ' || (i * 7 % 300), i FROM n",
    "INSERT INTO notes (text, size) SELECT hex(zeroblob(4000 + 300 * id)), id FROM notes WHERE id < 5",
    "DELETE FROM notes WHERE id % 9 = 0", "DELETE FROM tags WHERE note > 250")
FULL_TEXT = ("CREATE VIRTUAL TABLE words USING fts5(body)", "CREATE VIRTUAL TABLE old_words USING fts4(body)",
             "CREATE VIRTUAL TABLE boxes USING rtree(id, low, high)",
             MANY % 80 + "INSERT INTO words SELECT 'some words ' || i || ' to find ' || i * i FROM n",
             MANY % 80 + "INSERT INTO old_words SELECT 'others ' || i || ' to miss' FROM n",
             MANY % 80 + "INSERT INTO boxes SELECT i, i, i + 1 FROM n")
BASES = {
    "plain": ("PRAGMA page_size=1024",) + NOTES,
    "deep": ("PRAGMA page_size=512",) + NOTES + ("INSERT INTO notes (text, size) SELECT text || '+', size FROM notes",),
    "mapped": ("PRAGMA page_size=512", "PRAGMA auto_vacuum=FULL") + NOTES,
    "incremental": ("PRAGMA page_size=1024", "PRAGMA auto_vacuum=INCREMENTAL") + NOTES,
    "utf-16le": ("PRAGMA page_size=1024", "PRAGMA encoding='UTF-16le'") + NOTES,
    "utf-16be": ("PRAGMA page_size=4096", "PRAGMA encoding='UTF-16be'") + NOTES,
    "words": ("PRAGMA page_size=1024",) + FULL_TEXT,
    "wal": ("PRAGMA page_size=1024", "PRAGMA journal_mode=WAL") + NOTES,
}


def database(statements, content=None):
    """The bytes of the database that statements make, or of another one after them."""
    with tempfile.TemporaryDirectory() as room:
        name = os.path.join(room, "a.db")
        if content is not None:
            with open(name, "wb") as file:
                file.write(content)
        connection = sqlite3.connect(name, isolation_level=None)
        for statement in statements:
            connection.execute(statement).fetchall()
        connection.close()
        with open(name, "rb") as file:
            return file.read()


class Image:
    """The bytes of a database that are about to be changed; knows the pages as they were before."""

    def __init__(self, content):
        self.bytes = bytearray(content)
        size = struct.unpack_from(">H", content, 16)[0]
        self.page_size = 65536 if size == 1 else size
        self.page_count = len(content) // self.page_size
        self.usable = self.page_size - content[20]

    def start(self, page):
        """Where the header of a page's b-tree begins."""
        return (page - 1) * self.page_size + (100 if page == 1 else 0)

    def kind(self, page):
        return self.bytes[self.start(page)]

    def trees(self, kinds=KINDS):
        """The pages that look like one of a b-tree."""
        return [page for page in range(1, self.page_count + 1) if self.kind(page) in kinds] or [1]

    def pointers(self, page):
        """Where the pointers to the cells of a page stand."""
        start = self.start(page)
        first = start + (12 if self.kind(page) in INTERIOR else 8)
        count = struct.unpack_from(">H", self.bytes, start + 3)[0]
        return [first + 2 * number for number in range(min(count, (self.usable - 12) // 2))]

    def cells(self, page):
        """Where the cells of a page begin."""
        base = (page - 1) * self.page_size
        return [base + struct.unpack_from(">H", self.bytes, place)[0] for place in self.pointers(page)]

    def overflows(self):
        """Where the pointers to the first page of an overflow chain stand, section 1.6 (cell payload)."""
        found = []
        for page in self.trees((LEAF_TABLE,)):
            for cell in self.cells(page):
                size, place = varint(self.bytes, cell)
                place = varint(self.bytes, place)[1]
                least = (self.usable - 12) * 32 // 255 - 23
                local = least + (size - least) % (self.usable - 4)
                if size > self.usable - 35:
                    found.append(place + (local if local <= self.usable - 35 else least))
        return found

    def put(self, place, width, value):
        """Writes a big-endian number; what does not fit into the image is left out."""
        if 0 <= place <= len(self.bytes) - width:
            self.bytes[place:place + width] = (value & (1 << 8 * width) - 1).to_bytes(width, "big")


def varint(data, place):
    """``(value, where the next thing begins)``, section 1.6; never beyond the data."""
    value = 0
    for number in range(9):
        byte = data[min(place + number, len(data) - 1)]
        if number == 8:
            return value << 8 | byte, place + 9
        value = value << 7 | byte & 0x7f
        if not byte & 0x80:
            return value, place + number + 1


def _number(random, image, width):
    """A number that means something in a database: an edge, a page, a power of two."""
    return random.choice((0, 1, 2, 3, 5, 10, 13, 100, 255, 256, 511, 512, 0x7fff, 0xffff, 0x10000, 0x7fffffff, 0xffffffff,
                          image.page_count, image.page_count - 1, image.page_count + 1, image.page_size, image.usable,
                          random.randrange(image.page_count + 1), random.getrandbits(8 * width)))


def _page(random, image):
    """A page number, most of them of pages that there are."""
    return random.choice((random.randint(1, image.page_count), random.randint(1, image.page_count), 0, 1, 2,
                          image.page_count + 1, 0x7fffffff, 0xffffffff))


def header(random, image):
    place, width = random.choice(HEADER)
    image.put(place, width, _number(random, image, width))


def page_header(random, image):
    start = image.start(random.choice(image.trees()))
    place, width = random.choice(PAGE_HEADER)
    image.put(start + place, width, random.choice(KINDS + (0, 255)) if place == 0 else _number(random, image, width))


def cell_pointer(random, image):
    places = image.pointers(random.choice(image.trees()))
    if places:
        other = struct.unpack_from(">H", image.bytes, random.choice(places))[0]
        image.put(random.choice(places), 2, random.choice((other, other + 1, 0, 8, image.usable - 1, 0xffff)))


def child(random, image):
    """A b-tree that leads back to itself, to a page of another one, or to nowhere."""
    page = random.choice(image.trees(INTERIOR))
    places = [image.start(page) + 8] + image.cells(page)
    image.put(random.choice(places), 4, random.choice((page, _page(random, image))))


def overflow(random, image):
    """An overflow chain that ends early, never, or in a page that something else has."""
    places = image.overflows()
    if not places:
        return flips(random, image)
    place = random.choice(places)
    first = int.from_bytes(image.bytes[place:place + 4], "big")
    if random.random() < 0.5 and 0 < first <= image.page_count:
        image.put((first - 1) * image.page_size, 4, random.choice((first, _page(random, image))))
    else:
        image.put(place, 4, _page(random, image))


def payload(random, image):
    """The size of a payload, a row's number, or what comes after, as a varint that says something else."""
    cells = image.cells(random.choice(image.trees((LEAF_TABLE, LEAF_INDEX, INTERIOR_INDEX))))
    if cells:
        place = random.choice(cells) + random.randrange(3)
        new = random.choice((b"\x00", b"\x7f", b"\x81\x00", b"\xff\x7f", b"\xff" * 9, b"\x84\x80\x80\x80\x00",
                             b"\x80" * 8 + b"\x01"))
        image.bytes[place:place + len(new)] = new[:max(0, len(image.bytes) - place)]


def record(random, image):
    """The header of a record: its size, and the serial types of its columns, section 2.1."""
    cells = image.cells(random.choice(image.trees((LEAF_TABLE, LEAF_INDEX))))
    if cells:
        place = varint(image.bytes, random.choice(cells))[1] + random.randrange(6)
        image.put(place, 1, random.choice((0, 1, 6, 7, 8, 9, 10, 11, 12, 13, 0x7f, 0x80, 0xff)))


def freelist(random, image):
    """The list of free pages: a trunk that leads to itself, a count beyond the page, a leaf that is in use."""
    trunk = int.from_bytes(image.bytes[32:36], "big")
    if random.random() < 0.3 or not 0 < trunk <= image.page_count:
        return image.put(random.choice((32, 36)), 4, _page(random, image))
    place = (trunk - 1) * image.page_size
    what = random.randrange(3)
    image.put(place + 4 * what, 4, random.choice((trunk, _page(random, image))) if what != 1 else _number(random, image, 4))


def pointer_map(random, image):
    """Page 2 of a database with auto_vacuum, section 1.8; five bytes for each of the pages after it."""
    place = image.page_size + 5 * random.randrange(min(image.page_count, image.usable // 5))
    if random.random() < 0.5:
        image.put(place, 1, random.choice((0, 1, 2, 3, 4, 5, 6, 255)))
    else:
        image.put(place + 1, 4, _page(random, image))


def words(random, image):
    """A letter of the schema or of a text: of a column's name, a keyword, a number, a collation."""
    word = random.choice((b"CREATE", b"notes", b"TEXT", b"INT", b"CHECK", b"note of", b"tag 1", b"W\0I\0T\0H\0", b"\0n\0o\0t\0e"))
    found = image.bytes.find(word, random.randrange(len(image.bytes)) if random.random() < 0.5 else 0)
    place = random.randrange(len(image.bytes)) if found < 0 else found + random.randrange(len(word))
    image.bytes[place] = random.choice((0, 0x20, 0x27, 0x28, 0x29, 0x80, 0xc3, 0xd8, 0xdc, 0xff, random.getrandbits(8)))


def cut(random, image):
    del image.bytes[random.choice((random.randrange(len(image.bytes)), image.page_size * random.randrange(image.page_count))):]


def longer(random, image):
    image.bytes += random.choice((b"\0", random.randbytes(1))) * random.choice((1, 511, image.page_size, 9 * image.page_size))


def pages(random, image):
    """A page takes the place of another one, both change places, or one is all zeros or all chance."""
    size = image.page_size
    one, other = (size * random.randrange(image.page_count) for unused in range(2))
    first, second = bytes(image.bytes[one:one + size]), bytes(image.bytes[other:other + size])
    image.bytes[one:one + size] = random.choice((second, second, bytes(size), random.randbytes(size)))
    if random.random() < 0.3:
        image.bytes[other:other + size] = first


def flips(random, image):
    flip_bits(random, image.bytes)


def flip_bits(random, data):
    """Flips one bit or some in a bytearray."""
    for unused in range(random.choice((1, 1, 2, 8))):
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)


MUTATIONS = (header, header, page_header, page_header, cell_pointer, child, child, overflow, overflow, payload, record, freelist,
             pointer_map, words, words, cut, longer, pages, flips, flips)


def mutated(random, content):
    """``(what was done, bytes)``: one to three mutations of a database."""
    image, names = Image(content), []
    for unused in range(random.choice((1, 1, 1, 2, 3))):
        mutation = random.choice(MUTATIONS)
        names.append(mutation.__name__)
        if len(image.bytes) < image.page_size:
            break
        if len(image.bytes) != image.page_count * image.page_size:
            image.page_count = len(image.bytes) // image.page_size
        mutation(random, image)
    return "+".join(names), bytes(image.bytes)
