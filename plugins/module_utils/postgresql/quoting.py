# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names and values as PostgreSQL and its programs read them: nothing that somebody else wrote becomes SQL.

See "Lexical Structure" in the manual of PostgreSQL, and "Connection Strings" in its chapter on libpq.
"""

from __future__ import annotations

from ..system.errors import ConfigurationError

# NAMEDATALEN - 1, in bytes: a longer name is cut by the server without a word.
LONGEST_NAME = 63


def identifier(name):
    """A name of a database, role, table or setting.

    Raises:
        ConfigurationError: a name that PostgreSQL cannot have.
    """
    if not name or "\0" in name:
        raise ConfigurationError("%r cannot be a name in PostgreSQL" % name)
    return '"%s"' % name.replace('"', '""')


def literal(text):
    """A text as a constant; one with escapes means the same whatever ``standard_conforming_strings`` says.

    Raises:
        ConfigurationError: a text that PostgreSQL cannot hold.
    """
    if "\0" in text:
        raise ConfigurationError("%r cannot be a text in PostgreSQL" % text)
    return "E'%s'" % text.replace("\\", "\\\\").replace("'", "''")


def database_argument(name):
    """A database's name for ``--dbname``, where a name with ``=`` would be taken for a connection string."""
    return "dbname='%s'" % name.replace("\\", "\\\\").replace("'", "\\'")


def suffixed(name, suffix):
    """``name`` with ``suffix`` (ASCII) behind it, cut where both would be longer than a name can be."""
    return name.encode("utf-8")[:LONGEST_NAME - len(suffix)].decode("utf-8", "ignore") + suffix


def elements(value):
    """The elements of a setting that is a list of names, which is kept as ``one, "Two"``."""
    found, name, quoted = [], "", False
    position = 0
    while position < len(value):
        letter = value[position]
        if letter == '"' and quoted and value[position + 1:position + 2] == '"':
            name += '"'
            position += 1
        elif letter == '"':
            quoted = not quoted
        elif letter == "," and not quoted:
            found.append(name)
            name = ""
        elif quoted or not letter.isspace():
            name += letter
        position += 1
    return found + [name]
