# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One download of an application's own backup endpoint, by a child whose time is limited whatever the other end does.

Nothing of a request but its method, and of its URL the scheme, the host and the path, is ever in a message: header
values, the body, and what may stand before the host or after the path are secrets. Nor is anything of an answer's body.

Proxies that the environment names are not used: that of a terminal is not that of cron, and who asks an application for
all of its state does not want somebody between. A redirect within the same origin is followed as it is. One to another
origin is followed without any of the operator's headers and only where there is no body, and never from https to http.
"""

from __future__ import annotations

import base64
import http.client
import socket
import ssl
import urllib.error
import urllib.parse
import urllib.request

from ..system import files
from ..system.errors import NO_SPACE, AppStateError, ChildError, ConfigurationError, SourceError, SpaceError
from ..system.process import Limits, start_child

CHUNK = 1 << 18
MOST_REDIRECTS = 5
AGENT = "appstate-backup"


class Request:
    """What is asked: ``url`` (text), ``method``, ``headers`` (dictionary), ``body`` (bytes or None), ``ca_file``."""

    def __init__(self, url, method="GET", headers=None, body=None, ca_file=None):
        self.url = url
        self.method = method
        self.headers = dict(headers or {})
        self.body = body
        self.ca_file = ca_file

    @property
    def has_secrets(self):
        """Whether somebody who reads along could learn something."""
        parts = urllib.parse.urlsplit(self.url)
        return bool(self.headers or self.body or parts.query or "@" in parts.netloc)


def shown(url):
    """A URL without what may be secret."""
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def origin(url):
    """``(scheme, host, port)`` of a URL."""
    parts = urllib.parse.urlsplit(url)
    scheme = parts.scheme.lower()
    return scheme, (parts.hostname or "").lower(), parts.port or (443 if scheme == "https" else 80)


def download(request, path, timeout, deadline, max_size):
    """Downloads into a file that is there.

    Args:
        timeout: seconds without a byte.
        deadline: seconds for all of it.
        max_size: bytes.

    Returns:
        A dictionary: ``bytes``, ``type`` (the answer's Content-Type, or ""), ``whole``: whether the server told where
        the answer ends, so that nothing of it is missing. None where the answer is 404 or 410.
    Raises:
        SourceError, ConfigurationError, SpaceError: what went wrong, without a path.
    """
    child = start_child(_download, (request, path, timeout, max_size),
                        limits=Limits(cpu_seconds=deadline + 1, wall_seconds=deadline))
    with child:
        try:
            return child.result()
        except ChildError as error:
            if child.overran in ("wall", "cpu"):
                raise SourceError("%s was not done within %g s" % (shown(request.url), deadline),
                                  remedy="Give it a longer 'deadline', or find out why it is so slow") from error
            raise


def _download(request, path, timeout, max_size):
    where = shown(request.url)
    try:
        return _fetch(request, path, timeout, max_size)
    except SpaceError:
        raise
    except AppStateError as error:
        error.message = "%s %s" % (where, error.message)
        raise
    except urllib.error.HTTPError as error:
        if error.code in (404, 410):
            return None
        raise _refused(where, error.code)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _meaning(where, getattr(error, "reason", error), timeout)
    except Exception as error:
        # Its text may hold a part of the request.
        raise SourceError("%s could not be asked (%s)" % (where, type(error).__name__))


def _fetch(request, path, timeout, max_size):
    url, headers = _plain(request)
    asked = urllib.request.Request(url, data=request.body, method=request.method)
    for name, value in headers.items():
        # What http.client encodes as Latin-1 is the UTF-8 that the operator wrote.
        asked.add_header(name, value.encode("utf-8").decode("latin-1"))
    asked.operators = set(name.capitalize() for name in headers)
    with _opener(request.ca_file).open(asked, timeout=timeout) as answer:
        if answer.status != 200:
            raise SourceError("answered %d, and only 200 is a whole answer" % answer.status,
                              remedy="Check 'url', 'method', 'headers' and 'body'")
        told = _told_length(answer)
        if told is not None and told > max_size:
            raise _too_much(max_size)
        if answer.headers.get("Content-Encoding", "identity").lower() not in ("identity", ""):
            raise SourceError("answered with a Content-Encoding that was not asked for",
                              remedy="Have the server, or what stands before it, send the dump as it is")
        with open(path, "wb", buffering=0) as stream:
            if told is not None:
                files.need_space(stream.fileno(), told, None, "the download of %s" % shown(request.url))
            size = _copy(answer, stream, told, max_size)
        if told is not None and size != told:
            raise SourceError("was cut: %d of %d bytes came" % (size, told),
                              remedy="Try again; look whether something between ends long answers")
        chunked = "chunked" in answer.headers.get("Transfer-Encoding", "").lower()
        kind = answer.headers.get_content_type() if "Content-Type" in answer.headers else ""
        return {"bytes": size, "type": kind[:80], "whole": told is not None or chunked}


def _plain(request):
    """The URL without a user and a password, and the headers with them."""
    parts = urllib.parse.urlsplit(request.url)
    headers = dict({"User-Agent": AGENT, "Accept": "*/*"}, **request.headers)
    user, at, host = parts.netloc.rpartition("@")
    if at:
        name, unused, password = user.partition(":")
        told = "%s:%s" % (urllib.parse.unquote(name), urllib.parse.unquote(password))
        headers["Authorization"] = "Basic " + base64.b64encode(told.encode("utf-8")).decode("ascii")
    return urllib.parse.urlunsplit(parts._replace(netloc=host, fragment="")), headers


def _opener(ca_file):
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError("cannot be checked: 'ca_file' (%s) cannot be read as certificates: %s"
                                 % (ca_file, getattr(error, "strerror", None) or type(error).__name__),
                                 remedy="Name a file of certificates in PEM format")
    return urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context),
                                       _Redirects())


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, and takes no secret to another origin."""

    max_redirections = MOST_REDIRECTS
    http_error_308 = urllib.request.HTTPRedirectHandler.http_error_302

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        before, after = origin(req.full_url), origin(newurl)
        keeps_body = code in (307, 308)
        if after[0] != "https" and (before[0] == "https" or after[0] != "http"):
            raise SourceError("redirects from %s to %s, which is not followed" % (before[0], after[0] or "nothing"))
        if req.data is not None and keeps_body and before != after:
            raise SourceError("redirects a request with a body to another origin (%s://%s), which is not followed"
                              % after[:2], remedy="Name that URL itself, where it is the right one")
        stays = req.get_method() in ("GET", "HEAD") or keeps_body
        new = urllib.request.Request(newurl, data=req.data if keeps_body else None,
                                     method=req.get_method() if stays else "GET")
        dropped = () if before == after else req.operators - {"User-agent", "Accept"}
        for name, value in req.header_items():
            if name not in dropped and name not in ("Host", "Content-length") and (
                    keeps_body or name != "Content-type"):
                new.add_header(name, value)
        new.operators = req.operators - set(dropped)
        return new


def _told_length(answer):
    told = answer.headers.get("Content-Length")
    if told is None or "chunked" in answer.headers.get("Transfer-Encoding", "").lower():
        return None
    if not told.strip().isdigit():
        raise SourceError("answered with a Content-Length that is no number")
    return int(told)


def _copy(answer, stream, told, max_size):
    """Copies the answer as it comes, up to the length that was told; returns its size."""
    size = 0
    while size != told:
        # At most one read of the network: what came counts, however little it is.
        piece = answer.read1(CHUNK if told is None else min(CHUNK, told - size))
        if not piece:
            break
        size += len(piece)
        if size > max_size:
            raise _too_much(max_size)
        files.write_all(stream.fileno(), piece)
    return size


def _too_much(max_size):
    return SourceError("answers with more than 'max_size' (%s)" % files.readable(max_size),
                       remedy="Raise 'max_size' where so much is right")


def _refused(where, code):
    phrase = http.client.responses.get(code, "")
    text = ("%s answered %d %s" % (where, code, phrase)).rstrip()
    if code in (401, 403, 407):
        return SourceError(text, remedy="Check the credentials in 'headers' or 'headers_file': they may have expired, "
                                        "or lack the right to download a backup")
    if 300 <= code < 400:
        return SourceError("%s and redirects in a way that is not followed" % text, remedy="Name the URL where it ends")
    if code == 429:
        return SourceError(text, remedy="Ask less often")
    if code >= 500:
        return SourceError(text, remedy="Look into the application's log")
    return SourceError(text, remedy="Check 'url', 'method', 'headers' and 'body'")


def _meaning(where, reason, timeout):
    """What an error of the network means; its text is only told where it cannot hold a part of the request."""
    if isinstance(reason, ssl.SSLCertVerificationError):
        return SourceError("%s shows a certificate that is not trusted: %s" % (where, reason.verify_message),
                           remedy="Name the certificate of a private CA as 'ca_file'; the check cannot be switched off")
    if isinstance(reason, ssl.SSLError) and not isinstance(reason, socket.timeout) and "timed out" not in str(reason):
        return SourceError("%s: TLS failed (%s)" % (where, reason.reason or "the connection broke"),
                           remedy="Check that 'url' has the right scheme and port")
    if isinstance(reason, socket.timeout) or "timed out" in str(reason):
        return SourceError("%s sent nothing for %g s" % (where, timeout),
                           remedy="Look whether the application hangs, or give it a longer 'timeout'")
    if isinstance(reason, socket.gaierror):
        return SourceError("%s: the name of the host is not known" % where, remedy="Check 'url', and DNS on this host")
    if isinstance(reason, ConnectionRefusedError):
        return SourceError("%s: the connection was refused" % where,
                           remedy="Look whether the application runs, and its port")
    if isinstance(reason, (http.client.IncompleteRead, http.client.RemoteDisconnected, ConnectionError)):
        return SourceError("%s was cut: the connection was closed before the answer's end" % where,
                           remedy="Try again; look into the application's log")
    if isinstance(reason, OSError) and reason.errno in NO_SPACE:
        return SpaceError("there is no room for what %s answers" % where, remedy="Free some space at the destination")
    if isinstance(reason, http.client.HTTPException):
        return SourceError("%s did not answer as HTTP has it (%s)" % (where, type(reason).__name__),
                           remedy="Check the port and the scheme of 'url'")
    detail = reason.strerror if isinstance(reason, OSError) and reason.strerror else type(reason).__name__
    return SourceError("%s could not be asked (%s)" % (where, detail), remedy="Check 'url' and the network")
