# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pings: a dead man's switch on another machine is told of start, success and failure.

Three manners, since each service has its own: Healthchecks and compatible ones (POST to ``<url>/start``, ``<url>``,
``<url>/fail``, with the log's tail as the body), Dead Man's Snitch (``s`` is the exit status, ``m`` a message; it knows
no start), Uptime Kuma's push monitors (``status``, ``msg`` and ``ping`` in the query; no start either).

The URL is a secret: whoever has it can say that all is well. So no problem that is reported ever holds it.
"""

from __future__ import annotations

import http.client
import socket
import time
import urllib.error
import urllib.parse
import urllib.request

START, SUCCESS, FAILURE = "start", "success", "failure"
# What Healthchecks keeps of a body is 100 kB; the end of a log is enough to know what is wrong.
TAIL = 10000
PAUSE = 1.0


def send(ping, event, text="", seconds=0.0):
    """Sends a ping; returns None, or why it could not be sent.

    Args:
        ping: the app's ``settings.Ping``.
        event: START, SUCCESS or FAILURE.
        text: the log, of which the tail is sent.
        seconds: how long the run took.
    """
    if event == START and ping.style != "healthchecks":
        return None
    problem = None
    for attempt in range(ping.attempts):
        if attempt:
            time.sleep(PAUSE)
        problem = _attempt(ping, event, text, seconds)
        if problem is None:
            return None
    return "the ping of %s could not be sent: %s" % (event, problem)


def _attempt(ping, event, text, seconds):
    try:
        request = _request(ping, event, text.encode("utf-8", "replace")[-TAIL:], seconds)
        with urllib.request.build_opener().open(request, timeout=ping.timeout) as answer:
            answer.read(1000)
        return None
    except urllib.error.HTTPError as error:
        error.close()
        return "HTTP status %d" % error.code
    except urllib.error.URLError as error:
        return _without_address(error.reason)
    except (OSError, ValueError, http.client.HTTPException) as error:
        return _without_address(error)


def _without_address(error):
    """What went wrong, in words that cannot hold the URL."""
    if isinstance(error, socket.timeout):
        return "no answer in time"
    return getattr(error, "strerror", None) or type(error).__name__


def _request(ping, event, tail, seconds):
    if ping.style == "healthchecks":
        ending = {START: "/start", SUCCESS: "", FAILURE: "/fail"}[event]
        return urllib.request.Request(_with_ending(ping.url, ending), data=tail, method="POST")
    if ping.style == "snitch":
        body = {"s": "0" if event == SUCCESS else "1", "m": tail[-1000:].decode("utf-8", "ignore")}
        return urllib.request.Request(ping.url, data=urllib.parse.urlencode(body).encode("ascii"), method="POST")
    query = {"status": "up" if event == SUCCESS else "down", "msg": tail[-200:].decode("utf-8", "ignore") or "OK",
             "ping": "%d" % (seconds * 1000)}
    return urllib.request.Request(_with_query(ping.url, query), method="GET")


def _with_ending(url, ending):
    """A URL with an ending to its path: what follows the path, such as ``?create=1``, stays where it is."""
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit(parts._replace(path=parts.path.rstrip("/") + ending))


def _with_query(url, query):
    """Uptime Kuma shows push URLs with an example query; what we say replaces it."""
    parts = urllib.parse.urlsplit(url)
    told = dict(urllib.parse.parse_qsl(parts.query), **query)
    return urllib.parse.urlunsplit(parts._replace(query=urllib.parse.urlencode(told)))
