# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What PostgreSQL's programs complain of, in the operator's words.

They speak English where ``LC_ALL`` is ``C``. What is told here are the messages of libpq, of the server (src/backend)
and of pg_dump and pg_restore (src/bin/pg_dump), of versions 10 to 18. A server that is set up to speak another language
is told as it speaks.
"""

from __future__ import annotations

import re

from ..system.errors import BusyError, ConfigurationError, DatabaseError, SourceError, SpaceError, StoreUnreachable

# An error, wherever it comes from: "pg_dump: error: …", "ERROR:  …", "psql:<stdin>:1: ERROR: …", "… FATAL:  …".
ERROR = re.compile(r"(?:^|[\s:])(?:error|ERROR|FATAL|PANIC|fatal): ")
# How many lines of complaint an error tells.
MOST_LINES = 6
# Lines of pg_restore that tell where it is, and those that repeat what was said.
_NOISE = re.compile(r"from TOC entry|while (?:INITIALIZING|PROCESSING|FINALIZING)|^Command was:"
                    r"|errors ignored on restore")
_DETAILS = ("DETAIL:", "HINT:", "pg_dump: detail:", "pg_restore: detail:")


class MissingDatabase(SourceError):
    """The server is there, and the database is not."""


class Answerer:
    """Whom a complaint is about.

    Attributes:
        title: what messages call the database, for example ``PostgreSQL database club``.
        where: how its server is reached, for example ``db.example.com, port 5432``.
        user: the role that was asked for, or None.
        name: the database's name.
    """

    def __init__(self, title, where, user, name):
        self.title = title
        self.where = where
        self.user = user
        self.name = name


def has_error(said):
    """Whether a program complained of an error, whatever its exit status was."""
    return any(ERROR.search(line) for line in said.splitlines())


def warnings_of(said):
    """The other lines that a program said, without empty ones."""
    return [line.strip() for line in said.splitlines() if line.strip() and not ERROR.search(line)]


def gist(said):
    """What a program complained of, in one line."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if ERROR.search(line) and not _NOISE.search(line)]
    told = (errors or [line for line in lines if not _NOISE.search(line)] or lines)[:MOST_LINES]
    details = [line for line in lines if line.startswith(_DETAILS)]
    return "; ".join(told + [line for line in details[:2] if line not in told])[:2000]


def explain(said, answerer, doing):
    """The error that what a program said amounts to.

    Args:
        said: its standard error.
        answerer: the Answerer.
        doing: what could not be done, for example ``be dumped``.

    Returns:
        An AppStateError.
    """
    for pattern, kind, message, remedy in _KNOWN:
        found = re.search(pattern, said, re.MULTILINE)
        if found:
            names = dict({"user": answerer.user or "this role", "where": answerer.where, "database": answerer.name},
                         **{key: value for key, value in found.groupdict().items() if value is not None})
            return kind("%s cannot %s: %s (%s)" % (answerer.title, doing, message.format(**names), gist(said)),
                        remedy=remedy.format(**names))
    return SourceError("%s cannot %s: %s" % (answerer.title, doing, gist(said) or "the program said nothing"))


# Pattern, class, what is wrong, what to do. The first that is found counts.
_KNOWN = (
    (r'password authentication failed for user "(?P<user>[^"]*)"', SourceError,
     "the server refuses the password of {user}",
     "Correct 'password', or what stands in 'password_file'"),
    (r"no password supplied", SourceError, "the server asks for a password",
     "Give 'password' or 'password_file'; for a server on this host, 'run_as' names the account that it trusts"),
    (r'[Pp]eer authentication failed for user "(?P<user>[^"]*)"', SourceError,
     "the server trusts {user} only where an account of this host is mapped to that role",
     "Set 'run_as' to that account, mostly 'postgres' or the application's own, or give a 'host' and a password"),
    (r"no pg_hba\.conf entry for (?P<entry>.*)", SourceError, "the server lets nobody in that comes like this",
     "Add a line to pg_hba.conf; for a restore it has to allow all databases, as the new one has a name of its own"),
    (r"certificate verify failed|root certificate file .* does not exist|server certificate for",
     SourceError, "the server's certificate cannot be verified",
     "Put the certificate of its authority into ~/.postgresql/root.crt of the account that asks, or change 'sslmode'"),
    (r"server does not support SSL", SourceError, "the server does not speak TLS",
     "Set up TLS there, or change 'sslmode'"),
    (r"could not translate host name", StoreUnreachable, "no such host is known", "Correct 'host'"),
    (r"(Connection refused|Is the server running|timeout expired|No route to host|Network is unreachable"
     r"|Connection timed out|the database system is (starting up|shutting down|in recovery mode)"
     r"|server closed the connection unexpectedly|terminating connection due to administrator command)",
     StoreUnreachable, "the server at {where} does not answer", "Start it, or correct 'host' and 'port'"),
    (r"(too many (?:connections|clients)|remaining connection slots are reserved)", StoreUnreachable,
     "the server takes no more connections", "Try again later, or raise max_connections"),
    (r'database "(?P<database>.*)" does not exist', MissingDatabase, "there is no database {database}",
     "Correct 'database', or set 'required: false' where it need not exist"),
    (r'database "(?P<database>.*)" is being accessed by other users', BusyError, "it is still in use",
     "Stop what uses it, then try again; nothing was changed"),
    (r"(canceling statement due to lock timeout|could not obtain lock)", BusyError,
     "a table stayed locked", "Find out in pg_locks who holds it, or set a longer 'snapshot_deadline'"),
    # Whether the dump is good is not to be told then: as with a server that does not answer.
    (r"permission denied to (create|rename) database", StoreUnreachable, "the role {user} may not make databases",
     'Say to the server, as its administrator: ALTER ROLE "{user}" CREATEDB'),
    (r"must be owner of database (?P<database>\S+)", StoreUnreachable,
     "the role {user} does not own the database {database}",
     'Say to the server, as its administrator: ALTER DATABASE "{database}" OWNER TO "{user}"'),
    (r'must be (?:member of|able to SET ROLE) (?:role )?"(?P<role>[^"]*)"', SourceError,
     "the role {user} may not give anything to {role}",
     'Restore as an administrator (\'run_as: postgres\'), or say: GRANT "{role}" TO "{user}"'),
    (r"server version: (?P<server>\d+).*; pg_dump version: (?P<program>\d+)", ConfigurationError,
     "pg_dump {program} is older than the server, which is {server}", "Install the package postgresql-client-{server}"),
    (r"unsupported version \((?P<format>[\d.]+)\) in file header", DatabaseError,
     "pg_restore is older than the pg_dump that made this dump (format {format})",
     "Install the package postgresql-client of the version that the dump was made with, or a newer one"),
    (r"(could not read from input file|unexpected end of file|did not find magic string|input file is too short"
     r"|does not appear to be a valid archive|corrupt|appears to be a text format dump|could not uncompress data)",
     DatabaseError, "the dump is cut short or damaged", "Choose another backup"),
    (r'FATAL:  role "(?P<role>[^"]*)" does not exist', SourceError, "the server has no role {role} that could log in",
     "Set 'user' to the role that the application uses, or 'run_as' to the account that is mapped to one"),
    (r'(?:role|user) "(?P<role>[^"]*)" does not exist', SourceError, "the server has no role {role}",
     'Say to the server, as its administrator: CREATE ROLE "{role}"'),
    (r'extension "(?P<extension>[^"]*)" (?:is not available|has no installation script)|'
     r'could not open extension control file.*/(?P<file>[^/"]*)\.control', SourceError,
     "the server lacks an extension that the database uses", "Install it on the server"),
    (r'permission denied to create extension "(?P<extension>[^"]*)"', SourceError,
     "the role {user} may not create the extension {extension}",
     "Restore as an administrator, for example with 'run_as: postgres'"),
    (r"invalid (?:LC_COLLATE )?locale name|invalid LC_C\w+ locale name|could not create locale", SourceError,
     "the server's host does not know the locale of the database", "Generate that locale there"),
    (r"(No space left on device|could not extend file)", SpaceError, "the server's disk is full",
     "Free some space there"),
    (r"permission denied for (?P<what>\w+) (?P<thing>\S+)", SourceError, "the role {user} may not read {what} {thing}",
     'Use the role that owns the database, or say to the server: GRANT pg_read_all_data TO "{user}"'),
    (r"query would be affected by row-level security policy", SourceError, "the role {user} does not see all rows",
     'Use a role that does: ALTER ROLE "{user}" BYPASSRLS'),
)
