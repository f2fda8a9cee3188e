# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What rclone(1) says when something went wrong, in the operator's words, and whether it is worth another try.

Source: rclone's documentation, "Exit code": 3 and 4 are a directory and a file that are not there, 5 is temporary, 6 and 7
are not worth a retry. Backends tell most of the rest by what the other side has answered.
"""

from __future__ import annotations

import json
import re

from ..system.errors import RemoteError, SpaceError

NOT_FOUND = (3, 4)
IN_A_PATH = "((?<=[/:\"'])|(?<=%%2F))%(name)s|%(name)s(?=[/:\"'?]|%%2F)"
LINE = re.compile(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d (?:ERROR|CRITICAL|NOTICE|Failed|)[ :]*(.*)")
WORDS = (
    (re.compile(r"LoadCustomCABundleError"),
     "this version of rclone cannot take AWS_CA_BUNDLE from its environment",
     "Unset AWS_CA_BUNDLE on this host: rclone goes by the certificates that the system trusts; or install a newer rclone"),
    (re.compile(r"SignatureDoesNotMatch|InvalidAccessKeyId|Unauthorized|unable to authenticate|handshake failed|"
                r"invalid_grant|AuthenticationFailed|permission denied \(publickey|\b401\b|ExpiredToken|InvalidToken", re.I),
     "the credentials are not accepted", "Correct the credentials in its 'options'"),
    (re.compile(r"no space left|remaining disk space|disk full|QuotaExceeded|quota|storage limit|InsufficientStorage|\b507\b|"
                r"EntityTooLarge|SSH_FX_FAILURE|XMinioStorageFull", re.I),
     "it has no space left, or refuses that much", "Free some space there, or raise its quota"),
    (re.compile(r"AccessDenied|Forbidden|\b403\b|permission denied|InsufficientPermission", re.I),
     "it does not allow that", "Give these credentials the right to do it, or see whether the bucket is write-protected"),
    (re.compile(r"NoSuchBucket|directory not found|bucket.*(not exist|not found)|container.*not exist", re.I),
     "there is no such bucket or directory", "Create it first, or correct 'remote'"),
    (re.compile(r"didn't find section|didn't find backend|unknown type", re.I),
     "rclone does not know it", "Look at 'options', above all at 'type', and at 'config_file'"),
    (re.compile(r"knownhosts|host key|certificate|x509", re.I),
     "it cannot prove who it is", "Look at its host key or certificate, and at 'known_hosts_file' in 'options'"),
    # Only this last one may be otherwise in a moment.
    (re.compile(r"no such host|connection refused|connection reset|timeout|timed out|network is unreachable|no route|EOF\b|"
                r"broken pipe|send request failed|couldn't connect|closed network connection", re.I),
     "it cannot be reached, or the connection broke", "Look at the network, and at the address in 'options'"),
)


def messages_of(text):
    """What rclone said, a line for each message, without time, level and the place in its source."""
    messages = []
    for line in text.splitlines():
        if line.startswith(("\t", " ", "caused by: ")) and messages:  # It goes on from the line before.
            messages[-1] += " " + line.strip()
        else:
            messages.append(_message(line))
    return [message for message in messages if message]


def said_of(messages):
    """The one message that says most: the last error."""
    told = [message for message in messages if "Failed to" in message or "last error was" in message] or messages
    return told[-1].partition("last error was: ")[2] or told[-1] if told else ""


def _message(line):
    if line.startswith("{"):
        try:
            told = json.loads(line)
            return "" if "stats" in told else " ".join(str(told.get("msg", "")).split())
        except ValueError:
            return ""
    found = LINE.match(line)
    return (found.group(1) if found else line).strip()


def explain(messages, status, title, names=()):
    """The error for a call of rclone that has failed; its ``lasting`` says whether another try would end the same way.

    Args:
        messages: what it said, without secrets; see ``messages_of``.
        status: its exit status.
        title: what messages call the place.
        names: of what it was called with; they stand in what it says, and say nothing of why.
    """
    said, text = said_of(messages), "\n".join(messages)
    for name in sorted(names, key=len, reverse=True):
        # As a part of a path or a URL alone: a directory may be called disk, and still have no disk space left.
        text = re.sub(IN_A_PATH % {"name": re.escape(name)}, "", text)
    for pattern, meaning, remedy in WORDS:
        if pattern.search(text):
            kind = SpaceError if "space" in meaning else RemoteError
            error = kind("%s: %s (%s)" % (title, meaning, said[-500:]), remedy=remedy)
            error.lasting = pattern is not WORDS[-1][0]
            return error
    error = RemoteError("%s: rclone ended with status %d: %s" % (title, status, said[-1000:] or "it said nothing"),
                        remedy="See the documentation of rclone for what that means")
    error.lasting = status in (2, 6, 7)
    return error
