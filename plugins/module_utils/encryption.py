# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whom backups are encrypted to: public keys of age(1), or of SSH."""

from __future__ import annotations

import re

RECIPIENT = re.compile(r"age1[0-9a-z]{20,5000}\Z|ssh-(ed25519|rsa) [A-Za-z0-9+/]+={0,3}( [^\0\n]*)?\Z")
SECRET = re.compile(r"(?i)AGE-SECRET-KEY-|PRIVATE KEY|AGE-PLUGIN-")


def read_recipients(reader, told):
    """The recipients in an app's dictionary, none where its backups are not encrypted; ``reader`` is its
    ``description.Reader``."""
    encryption = told.get("encryption")
    if encryption is None:
        return ()
    what = "'encryption'"
    reader.known(encryption, ("recipients",), what)
    recipients = reader.items(encryption, "recipients", what)
    if not recipients:
        reader.fail("'encryption' needs 'recipients', a list with at least one public key",
                    "Make a pair of keys with age-keygen, on another machine, and name its public key here")
    return tuple(_recipient(reader, value, "recipient %d of 'encryption'" % number)
                 for number, value in enumerate(recipients, 1))


def _recipient(reader, value, what):
    text = value.strip() if isinstance(value, str) else ""
    if SECRET.search(text):
        # Nobody should have it here, and no message shows it.
        reader.fail("%s is a secret key" % what, "Name the public key that belongs to it, and keep this one elsewhere")
    if not RECIPIENT.match(text):
        reader.fail("%s is no public key" % what, "It begins with age1, ssh-ed25519 or ssh-rsa")
    return text
