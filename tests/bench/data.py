# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of an application as the benchmark needs it: a text-heavy database, random uploads, many small files.

Everything comes from seeded generators, so two runs measure the same bytes.
"""

from __future__ import annotations

import functools
import itertools
import json
import multiprocessing
import multiprocessing.pool
import random
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

from prose import SEED, Prose, Row

MEGABYTE = 1_000_000
DATABASE = "data/content.db"
UPLOADS = "public/uploads"
SETTINGS = "data/settings/custom.json"
SMALL_FILES = "files"

ROWS_PER_BATCH = 500

SCHEMA = """
PRAGMA journal_mode=WAL;
PRAGMA synchronous=OFF;
PRAGMA user_version=7;
CREATE TABLE items (id INTEGER PRIMARY KEY, slug TEXT, html TEXT, document TEXT, note TEXT, created INTEGER);
CREATE INDEX items_slug ON items (slug);
CREATE INDEX items_created ON items (created);
CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL);
CREATE TABLE transfers (id INTEGER PRIMARY KEY, debit INTEGER, credit INTEGER, amount INTEGER, note TEXT);
"""


@dataclass(frozen=True)
class Size:
    """How much data one run of the benchmark makes; bytes and counts."""

    name: str
    database_bytes: int
    upload_bytes: int
    small_files: int


SIZES = {
    "full": Size("full", 600 * MEGABYTE, 402 * MEGABYTE, 300_000),
    "small": Size("small", 60 * MEGABYTE, 40 * MEGABYTE, 20_000),
}


@functools.lru_cache(maxsize=1)
def _prose() -> Prose:
    """The generator of this process; its vocabulary takes a moment to make."""
    return Prose()


def batch(first: int) -> list[Row]:
    """Return rows that depend on the number of the first one only."""
    prose = _prose()
    prose.begin(first)
    return [prose.row(first + offset) for offset in range(ROWS_PER_BATCH)]


def make_database(path: Path, size: int) -> None:
    """Write a WAL database of at least ``size`` bytes of text, with indexes, and accounts for a writer to book on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript(SCHEMA)
    connection.executemany("INSERT INTO accounts VALUES (?, 1000)", ((number,) for number in range(1, 101)))
    with multiprocessing.Pool(2) as pool:
        for rows in _batches(pool):
            connection.execute("BEGIN")
            connection.executemany("INSERT INTO items VALUES (?, ?, ?, ?, ?, ?)", rows)
            connection.execute("COMMIT")
            if _bytes(connection) >= size:
                break
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def _batches(pool: multiprocessing.pool.Pool) -> Iterator[list[Row]]:
    """Yield batches in order, made a few ahead (``imap`` would ask an endless input for everything at once)."""
    firsts = itertools.count(1, ROWS_PER_BATCH)
    ahead = [pool.apply_async(batch, (next(firsts),)) for _batch_ahead in range(6)]
    while True:
        yield ahead.pop(0).get()
        ahead.append(pool.apply_async(batch, (next(firsts),)))


def _bytes(connection: sqlite3.Connection) -> int:
    count, = connection.execute("PRAGMA page_count").fetchone()
    size, = connection.execute("PRAGMA page_size").fetchone()
    return count * size


def make_uploads(directory: Path, size: int) -> int:
    """Write random bytes as files of mixed sizes, most of them some hundred kilobytes; return how many files."""
    draw = random.Random(SEED)
    written = number = 0
    while written < size:
        length = min(int(draw.lognormvariate(12.3, 1.6)), 40 * MEGABYTE, size - written)
        folder = directory / ("%02d" % (number % 50))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ("%05d.jpg" % number)).write_bytes(draw.randbytes(length))
        written += length
        number += 1
    return number


def make_settings(path: Path) -> None:
    """Write a settings file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"title": "Bench", "language": "en", "pages": 20}, indent=2) + "\n", encoding="utf-8")


def make_small_files(directory: Path, count: int) -> int:
    """Write that many text files of some hundred bytes, two hundred in a directory; return the sum of their sizes."""
    prose = _prose()
    prose.begin(SEED)
    text = prose.paragraph(20_000).encode()
    draw = random.Random(SEED)
    total = 0
    for number in range(count):
        folder = directory / ("%04d" % (number // 200))
        if number % 200 == 0:
            folder.mkdir(parents=True)
        start = draw.randrange(len(text) - 1000)
        content = text[start:start + draw.randint(50, 900)]
        with open(folder / ("note-%06d.txt" % number), "wb") as file:
            file.write(content)
        total += len(content)
    return total


def make_application(root: Path, size: Size) -> None:
    """Write the state of the application that time is measured on."""
    make_database(root / DATABASE, size.database_bytes)
    make_uploads(root / UPLOADS, size.upload_bytes)
    make_settings(root / SETTINGS)


def make_small_application(root: Path, size: Size) -> None:
    """Write the state of an application that has many small files beside a little database."""
    make_database(root / DATABASE, 5 * MEGABYTE)
    make_small_files(root / SMALL_FILES, size.small_files)
