# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the bytes of an archive come from: an open file, or a stream that can only be read from its beginning.

Both are opened as often as an operation has to read them. What comes out is plain, whatever compressed and encrypted it.
"""

from __future__ import annotations

import os
import threading

from ..system.errors import ArchiveError
from .age import ENDING, MAGIC_SIZE, is_encrypted
from .members import new_digest
from .streams import Feed, open_feed, open_plain
from .tar import CHUNK


class FileOrigin:
    """An archive in an open file.

    Args:
        identity: secret keys that open it where it is encrypted, or None.
    """

    def __init__(self, descriptor, identity=None):
        self._descriptor = descriptor
        self._identity = identity

    @property
    def size(self):
        return os.fstat(self._descriptor).st_size

    @property
    def is_encrypted(self):
        return is_encrypted(os.pread(self._descriptor, MAGIC_SIZE, 0))

    def open(self):
        """The plain bytes, as something with ``read``, ``close``, and ``hexdigest`` of the file itself."""
        return _OpenFile(self._descriptor, self._identity)

    def hexdigest(self):
        """The digest of the file itself."""
        digest = FileDigest(self._descriptor)
        try:
            return digest.hexdigest()
        finally:
            digest.abandon()


class _OpenFile:
    """A file that is read and digested at the same time."""

    def __init__(self, descriptor, identity):
        self._digest = FileDigest(descriptor)
        try:
            self._stream = open_plain(descriptor, identity)
        except BaseException:
            self._digest.abandon()
            raise
        self.read = self._stream.read

    def hexdigest(self):
        return self._digest.hexdigest()

    def close(self):
        self._stream.close()
        self._digest.abandon()


class FileDigest:
    """The digest of an open file, worked out in a thread of its own while somebody else reads that file too."""

    def __init__(self, descriptor):
        self._descriptor = descriptor
        self._digest = new_digest()
        self._error = None
        self._stop = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        offset = 0
        try:
            while not self._stop:
                piece = os.pread(self._descriptor, CHUNK, offset)
                if not piece:
                    return
                self._digest.update(piece)
                offset += len(piece)
        except OSError as error:
            self._error = error

    def hexdigest(self):
        """Waits for the end of the file; raises the OSError that reading it met."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._digest.hexdigest()

    def abandon(self):
        """Ends the thread where the digest is not wanted any more."""
        self._stop = True
        self._thread.join()


class StreamOrigin:
    """An archive that comes from elsewhere, without ever being a file here.

    Args:
        start: function that begins to send it; what it gives has ``fileno``, ``complaint`` (after the end: the
            AppStateError of what went wrong, or None), ``stop`` and ``close``.
        name: of the archive, which tells whether it is encrypted.
        size: bytes that it has.
        identity: as a FileOrigin has it.
    """

    def __init__(self, start, name, size, identity=None):
        self._start = start
        self._identity = identity
        self.size = size
        self.is_encrypted = name.endswith(ENDING)

    def open(self):
        """See FileOrigin."""
        return _OpenStream(self._start(), self.size, self._identity)

    def hexdigest(self):
        """See FileOrigin."""
        counted = _Counted(self._start(), self.size)
        try:
            counted.drain()
            return counted.hexdigest()
        finally:
            counted.stop()
            counted.close()


class _Counted:
    """A sender whose bytes are counted and digested as they come."""

    def __init__(self, sender, size):
        self._sender = sender
        self._left = size
        self._digest = new_digest()
        self.feed = Feed(sender.fileno(), self._saw)
        self.fileno = sender.fileno

    def _saw(self, piece):
        self._left -= len(piece)
        self._digest.update(piece)

    def drain(self):
        """Goes on to the end; raises what makes it no good one."""
        while self.feed.read(CHUNK):
            pass
        complaint = self.complaint()
        if complaint is not None:
            raise complaint

    def complaint(self):
        found = self._sender.complaint()
        if found is None and self._left:
            found = ArchiveError("%s bytes of the archive came %s than its manifest says"
                                 % (abs(self._left), "less" if self._left > 0 else "more"))
        return found

    def hexdigest(self):
        return self._digest.hexdigest()

    def stop(self):
        self._sender.stop()

    def close(self):
        self._sender.close()


class _OpenStream:
    """The plain bytes of a stream."""

    def __init__(self, sender, size, identity):
        self._counted = _Counted(sender, size)
        self._stream = open_feed(self._counted.feed, self._counted, identity)
        self.read = self._stream.read

    def hexdigest(self):
        """The digest is of all bytes, wherever a reader has stopped. Until he goes on to the end, the sender waits for him; and
        what an archive ends with may be of no interest to who decompresses it."""
        while self._stream.read(CHUNK):
            pass
        self._counted.drain()
        return self._counted.hexdigest()

    def close(self):
        self._stream.close()
