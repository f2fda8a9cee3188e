# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The first 100 bytes of a database file, as https://www.sqlite.org/fileformat2.html#the_database_header has them."""

from __future__ import annotations

import struct
from collections import namedtuple

from ..system.errors import DatabaseError

MAGIC = b"SQLite format 3\0"
SIDECARS = ("-wal", "-shm", "-journal")
HEADER_SIZE = 100
_ENCODINGS = {0: "UTF-8", 1: "UTF-8", 2: "UTF-16le", 3: "UTF-16be"}

#: ``page_count`` is 0 where the header does not know it (written by SQLite before 3.7.0); ``journal`` is ``wal`` or
#: ``rollback``; ``change_counter`` moves with every transaction of a rollback-journal database.
Header = namedtuple("Header", "page_size page_count journal encoding user_version application_id change_counter")


def looks_like_sqlite(start):
    """Whether a file that starts with these bytes claims to be a SQLite 3 database."""
    return start[:len(MAGIC)] == MAGIC


def parse_header(start):
    """The header in the first 100 bytes of a file.

    Raises:
        DatabaseError: these are not the first bytes of a SQLite 3 database; the caller adds the path.
    """
    if not start:
        raise DatabaseError("is empty: no SQLite database")
    if not looks_like_sqlite(start):
        raise DatabaseError("is not a SQLite database")
    if len(start) < HEADER_SIZE:
        raise DatabaseError("is cut short: a SQLite database has a header of 100 bytes, this file has %d" % len(start))
    # A page size of 65536 does not fit the field's two bytes; it is written as 1.
    page_size = struct.unpack(">H", start[16:18])[0]
    page_size = 65536 if page_size == 1 else page_size
    write_version, read_version = start[18], start[19]
    change_counter, page_count = struct.unpack(">II", start[24:32])
    encoding, user_version = struct.unpack(">Ii", start[56:64])
    application_id, valid_for = struct.unpack(">i20xI", start[68:96])
    if page_size < 512 or page_size & (page_size - 1) or encoding not in _ENCODINGS:
        raise DatabaseError("is corrupt: its header has page size %d and encoding %d" % (page_size, encoding))
    return Header(page_size=page_size, page_count=page_count if valid_for == change_counter else 0,
                  journal="wal" if write_version == 2 and read_version == 2 else "rollback",
                  encoding=_ENCODINGS[encoding], user_version=user_version, application_id=application_id,
                  change_counter=change_counter)
