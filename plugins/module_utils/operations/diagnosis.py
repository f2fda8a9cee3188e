# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Says by itself what a person would look for when a restored application is not what it was.

No pages: a table that has rows now has none in the backup, or a log was not in an old archive. A broken start: settings
name what is not there. None of it keeps a restore from being done.
"""

from __future__ import annotations

import os
import stat

from ..sqlite.emptiness import empty_tables, filled_tables
from ..sqlite.header import SIDECARS
from ..sqlite.sandbox import read_header
from ..system import files
from ..system.errors import AppStateError
from ..system.trees import descend

# Of many, that many are told by name.
NAMED = 10
# Settings are small; of a larger file the beginning is looked at, and of a larger tree the first files.
MOST_BYTES = 1024 * 1024
MOST_FILES = 1000


def vacant_text(path, directory, copy, live, earlier):
    """What is said of a database whose backup has no rows where there are some now; None where there is nothing to say.

    Args:
        path: of the database, relative to the app's root.
        directory, copy: the private directory and the name of the backup's copy in it, which was found to be good.
        live: absolute path of the live database, or None where it is not looked at.
        earlier: function that gives the Manifest of another good backup, or None; it is asked where the live database
            does not tell.
    """
    try:
        empty = empty_tables(directory, copy)
        if not empty:
            return None
        filled, when = _filled(live, empty), "now"
        if filled is None:
            other = earlier()
            filled, when = _filled_in(other, path, empty), "in the backup %s" % (other and other.id)
    except (AppStateError, OSError):
        return None  # Nothing depends on it.
    if not filled:
        return None
    named = ", ".join(filled[:NAMED])
    if len(filled) > NAMED:
        named += " and %d more" % (len(filled) - NAMED)
    return "%s has no rows in the %s %s, and some %s: see whether this is the right backup" % (
        path, "table" if len(filled) == 1 else "tables", named, when)


def _filled(live, tables):
    """Those of some tables that have rows now; None where that cannot be told.

    Nothing live is changed to say a word more: where a journal lies beside a database, reading it may roll that back,
    and in WAL mode it makes the log and its index where they are not there.
    """
    if live is None or os.path.lexists(live + "-journal"):
        return None
    try:
        if read_header(live).journal == "wal" and not os.path.lexists(live + "-shm"):
            return None
        return filled_tables(live, tables)
    except AppStateError:
        return None


def _filled_in(manifest, path, tables):
    """Those of some tables that have rows by what a manifest says."""
    for source in manifest.sources if manifest is not None else ():
        if source["path"] == path:
            counts = (source.get("passport") or {}).get("tables") or {}
            return [table for table in tables if counts.get(table)]
    return []


def lost_log_text(path, directory, copy):
    """What is said of a database of an old archive that is in WAL mode and came without its log; or None."""
    place = os.path.join(files.as_bytes(directory), files.as_bytes(copy))
    if any(os.path.lexists(place + ending.encode()) for ending in SIDECARS if ending != "-shm"):
        return None
    try:
        if read_header(place).journal != "wal":
            return None
    except AppStateError:
        return None  # Whoever checks it says so.
    return ("%s is in WAL mode, and the archive has no %s-wal: if it was copied as a file while the application ran, the "
            "last writes are missing" % (path, path))


def missing_texts(source, contents, roots):
    """Yields what is said of things that a source's files name and that are nowhere.

    Args:
        source: a FilesSource with ``mentions``.
        contents: iterable of ``(path relative to the app's root, beginning of the file)``.
        roots: descriptors of directories, in one of which it should be.
    """
    for path, content in contents:
        told = set()
        for mention in source.mentions:
            for found in mention.pattern.finditer(content):
                name = os.path.normpath(found.group(1).strip(b"/")) if found.group(1) else b"."
                place = files.as_bytes(mention.under) + b"/" + name
                if name != b"." and place not in told and not any(_is_there(root, place) for root in roots):
                    told.add(place)
                    yield "%s names %s, which is not there" % (path, place.decode("utf-8", "backslashreplace"))


def _is_there(root, place):
    try:
        return files.lookup(root, place) is not None
    except OSError:
        return True  # Behind a link, where nobody looks.
    except AppStateError:
        return False  # It leads out.


def contents_below(directory, path):
    """Yields ``(path, beginning)`` of the file at a path below an open directory, or of each file in it; what cannot be
    read is left out, since others say so."""
    try:
        parent, name = files.open_parent(directory, path)
    except OSError:
        return
    try:
        found = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if stat.S_ISREG(found.st_mode):
            yield path, _beginning(parent, name)
        elif stat.S_ISDIR(found.st_mode):
            yield from _files_in(parent, name, files.as_bytes(path))
    except OSError:
        return
    finally:
        os.close(parent)


def _files_in(parent, name, path):
    inner = os.open(name, files.DIRECTORY, dir_fd=parent)
    try:
        left = MOST_FILES
        for entry in descend(inner, path, on_error=lambda unused, error: None):
            if stat.S_ISREG(entry.stat.st_mode):
                yield entry.path.decode("utf-8", "backslashreplace"), _beginning(entry.directory, entry.name)
                left -= 1
                if not left:
                    return
    finally:
        os.close(inner)


def _beginning(directory, name):
    try:
        descriptor = os.open(name, files.READ, dir_fd=directory)
    except OSError:
        return b""
    try:
        return os.read(descriptor, MOST_BYTES)
    except OSError:
        return b""
    finally:
        os.close(descriptor)
