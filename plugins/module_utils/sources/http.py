# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Source ``http``: what the application's own backup endpoint answers."""

from __future__ import annotations

import os
import re
import stat

from ..system import files
from ..system.errors import ConfigurationError, DatabaseError, SourceError
from .download import Request, download, origin, shown
from .dump import DumpTaker
from .formats import kind_of_bytes

MOST_HEADERS = 64 * 1024
MOST_BODY = 1 << 20
# RFC 9110, section 5.6.2: a token.
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*\Z")
_OWN = ("127.", "localhost", "::1")
_NOT_A_DUMP = ("it is HTML", "it is JSON", "it is XML")


class HttpTaker(DumpTaker):
    """Takes one HttpSource into an archive."""

    def __init__(self, room, source):
        super().__init__(room, source)
        self._type = ""

    def look(self):
        """Whether the files with the request are there; nothing is asked, since that can be an audited deed."""
        self._request()
        return 0

    def _request(self):
        source = self._source
        headers, body = dict(source.headers), None if source.body is None else source.body.encode("utf-8")
        if source.headers_file is not None:
            headers.update(self._headers_of(source.headers_file))
        if source.body_file is not None:
            body = self._content(source.body_file, "body_file", MOST_BODY)
        if source.ca_file is not None and not os.path.isfile(source.ca_file):
            raise self._wrong("the 'ca_file' %s is not there" % source.ca_file,
                              "Name a file of certificates in PEM format")
        return Request(source.url, source.method, headers, body, source.ca_file)

    def _headers_of(self, path):
        try:
            lines = self._content(path, "headers_file", MOST_HEADERS).decode("utf-8").splitlines()
        except UnicodeDecodeError:
            raise self._wrong("the 'headers_file' %s is no UTF-8" % path, "Write one 'Name: value' a line")
        headers = {}
        for number, line in enumerate(lines, 1):
            if not line.strip() or line.startswith("#"):
                continue
            found = _HEADER.match(line)
            if found is None:
                # Not the line itself: it may be a secret.
                raise self._wrong("line %d of the 'headers_file' %s is no header" % (number, path),
                                  "Write one 'Name: value' a line")
            headers[found.group(1)] = found.group(2)
        return headers

    def _content(self, path, key, most):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise self._wrong("the '%s' %s cannot be read: %s" % (key, path, error.strerror),
                              "Create it, readable by the one who runs backups alone (0600)")
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_size > most:
                raise self._wrong("the '%s' %s is no file of at most %s" % (key, path, files.readable(most)),
                                  "Name the file that holds it")
            if found.st_mode & 0o077:
                self._room.warn("%s: others than its owner may read the '%s' %s; give it mode 0600"
                                % (self._source.path, key, path))
            return files.read_all(descriptor, most)
        finally:
            os.close(descriptor)

    def _wrong(self, text, remedy):
        return ConfigurationError(text, app=self._room.app.name, path=self._source.path, remedy=remedy)

    def _fetch(self, directory, name):
        source, request = self._source, self._request()
        scheme, host, unused = origin(source.url)
        if scheme == "http" and request.has_secrets and not host.startswith(_OWN):
            self._room.warn("%s: credentials are sent to %s unencrypted; use https" % (source.path, host))
        told = download(request, os.path.join(directory, name), source.timeout, source.deadline, source.max_size)
        if told is None:
            if not source.required:
                return False
            raise SourceError("%s answered that there is nothing (404)" % shown(source.url), app=self._room.app.name,
                              path=source.path,
                              remedy="Check 'url', or set 'required: false' where it need not be there")
        self._type = told["type"]
        if not told["whole"] and source.format == "raw":
            self._room.warn("%s: the server does not tell where its answer ends, so nobody could tell if it was cut"
                            % source.path)
        return True

    def _seen(self, directory, name):
        """A page to sign in at, or an excuse, is answered with 200 too."""
        if self._source.format == "raw":
            return
        with open(os.path.join(directory, name), "rb") as stream:
            kind = kind_of_bytes(stream.read(1024))
        if kind in _NOT_A_DUMP:
            raise DatabaseError("%s%s" % (kind, " (%s)" % self._type if self._type else ""))

    def _title(self):
        return shown(self._source.url)
