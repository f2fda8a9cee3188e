# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An S3 bucket in memory that takes every key, also those that no directory can hold, and does what a test wants meanwhile.

It knows as much of S3's REST interface as rclone asks a bucket for, and believes everybody.
"""

from __future__ import annotations

import hashlib
import http.server
import threading
from urllib.parse import parse_qsl, quote, unquote
from xml.sax.saxutils import escape

from .object_store import KEY_ID, SECRET


class OddBucket:
    """The endpoint with the one bucket ``odd``; a context manager.

    Attributes:
        objects: from key to content.
        before_get: called with a key before it is answered.
    """

    def __init__(self, objects=()):
        self.objects = dict(objects)
        self.before_get = lambda key: None
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"bucket": self}))
        self._server.daemon_threads = True

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *unused):
        self._server.shutdown()
        self._server.server_close()

    def source(self, **words):
        """It as a source of an app."""
        options = {"type": "s3", "provider": "Minio", "endpoint": "http://127.0.0.1:%d" % self._server.server_port, "region": "us-east-1",
                   "access_key_id": KEY_ID, "secret_access_key": SECRET, "force_path_style": True}
        return dict({"type": "bucket", "remote": "odd:odd", "options": options}, **words)

    def listing(self, asked):
        """What ListObjects answers."""
        prefix, delimiter = asked.get("prefix", ""), asked.get("delimiter", "")
        told, groups = [], set()
        for key, content in sorted(self.objects.items()):
            if not key.startswith(prefix):
                continue
            head, found, unused = key[len(prefix):].partition(delimiter) if delimiter else ("", "", "")
            if found:
                groups.add(prefix + head + delimiter)
            else:
                told.append("<Contents><Key>%s</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>\"%s\"</ETag>"
                            "<Size>%d</Size></Contents>" % (_as_asked(key, asked), _etag(content), len(content)))
        told += ["<CommonPrefixes><Prefix>%s</Prefix></CommonPrefixes>" % _as_asked(group, asked) for group in sorted(groups)]
        encoding = "<EncodingType>url</EncodingType>" if "encoding-type" in asked else ""
        return ("<ListBucketResult><Name>odd</Name>%s<IsTruncated>false</IsTruncated>%s</ListBucketResult>"
                % (encoding, "".join(told))).encode()


def _as_asked(key, asked):
    return quote(key) if "encoding-type" in asked else escape(key)


def _etag(content):
    return hashlib.md5(content).hexdigest()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *unused):  # pylint: disable=arguments-differ
        """Nobody reads it."""

    def do_GET(self):  # pylint: disable=invalid-name
        """An object, or a listing."""
        key, asked = self._asked()
        if not key:
            self._answer(200, self.bucket.listing(asked))
            return
        if self.command == "GET":
            self.bucket.before_get(key)
        content = self.bucket.objects.get(key)
        if content is None:
            self._answer(404)
        else:
            self._answer(200, content, {"ETag": '"%s"' % _etag(content), "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"})

    do_HEAD = do_GET

    def do_PUT(self):  # pylint: disable=invalid-name
        """A new object, or a copy of one."""
        key = self._asked()[0]
        content = self._body()
        origin = self.headers.get("x-amz-copy-source")
        if origin is not None:
            content = self.bucket.objects[unquote(origin).lstrip("/").partition("/")[2]]
        self.bucket.objects[key] = content
        told = '<CopyObjectResult><ETag>"%s"</ETag></CopyObjectResult>' % _etag(content) if origin is not None else ""
        self._answer(200, told.encode(), {"ETag": '"%s"' % _etag(content)})

    def do_DELETE(self):  # pylint: disable=invalid-name
        """One object less."""
        self.bucket.objects.pop(self._asked()[0], None)
        self._answer(204)

    def _asked(self):
        path, unused, query = self.path.partition("?")
        return unquote(path[1:]).partition("/")[2], dict(parse_qsl(query, keep_blank_values=True))

    def _body(self):
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if "aws-chunked" not in self.headers.get("Content-Encoding", ""):
            return raw
        content = b""
        while raw:
            size, unused, raw = raw.partition(b"\r\n")
            count = int(size.split(b";")[0], 16)
            if not count:
                break
            content, raw = content + raw[:count], raw[count + 2:]
        return content

    def _answer(self, status, body=b"", headers=None):
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
