# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What PostgreSQL's programs really say, and what becomes of it: texts of versions 11 to 17, as they came."""

from __future__ import annotations

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.postgresql.complaints import (
    Answerer, MissingDatabase, explain, gist, has_error, warnings_of)
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import (
    BusyError, ConfigurationError, DatabaseError, SourceError, SpaceError, StoreUnreachable)

ANSWERER = Answerer("the PostgreSQL database club", "db.example.com, port 5432", "app", "club")
SOCKET = 'connection to server on socket "/var/run/postgresql/.s.PGSQL.5432" failed: '
TCP = 'connection to server at "db.example.com" (192.0.2.7), port 5432 failed: '


@pytest.mark.parametrize("said, kind, message, remedy", [
    ("pg_dump: error: aborting because of server version mismatch\n"
     "pg_dump: detail: server version: 17.2 (Debian 17.2-1.pgdg120+1); pg_dump version: 15.6 (Debian 15.6-0+deb12u1)\n",
     ConfigurationError, "pg_dump 15 is older than the server, which is 17", "postgresql-client-17"),
    ("pg_dump: error: server version: 14.2; pg_dump version: 12.9\n"
     "pg_dump: error: aborting because of server version mismatch\n",
     ConfigurationError, "pg_dump 12 is older than the server, which is 14", "postgresql-client-14"),
    ("pg_restore: error: unsupported version (1.16) in file header\n",
     DatabaseError, "pg_restore is older", "newer one"),
    ("pg_restore: error: could not read from input file: end of file\n",
     DatabaseError, "cut short or damaged", "another backup"),
    ("pg_restore: error: input file appears to be a text format dump. Please use psql.\n",
     DatabaseError, "damaged", "another"),
    ("pg_restore: error: did not find magic string in file header\n", DatabaseError, "damaged", "another"),
    ("psql: error: " + SOCKET + 'FATAL:  Peer authentication failed for user "club"\n',
     SourceError, "trusts club only", "'run_as'"),
    ("psql: error: " + TCP + 'FATAL:  password authentication failed for user "club"\n'
     'password retrieved from file "/x"\n',
     SourceError, "refuses the password of club", "'password_file'"),
    ("psql: error: " + TCP + "fe_sendauth: no password supplied\n", SourceError, "asks for a password", "'password'"),
    ("psql: error: " + TCP + "Connection refused\n"
     "\tIs the server running on that host and accepting TCP/IP connections?\n",
     StoreUnreachable, "db.example.com, port 5432 does not answer", "Start it"),
    ("psql: error: " + SOCKET + "No such file or directory\n"
     "\tIs the server running locally and accepting connections on "
     "that socket?\n", StoreUnreachable, "does not answer", "Start it"),
    ("psql: could not connect to server: Connection refused\n"
     "\tIs the server running on host \"x\" (192.0.2.7) and accepting\n",
     StoreUnreachable, "does not answer", "Start it"),
    ("psql: error: " + TCP + "timeout expired\n", StoreUnreachable, "does not answer", "Start it"),
    ("psql: error: " + TCP + "FATAL:  the database system is starting up\n",
     StoreUnreachable, "does not answer", "Start it"),
    ("psql: error: " + TCP + "FATAL:  sorry, too many clients already\n",
     StoreUnreachable, "no more connections", "max_conn"),
    ("psql: error: " + TCP + "FATAL:  remaining connection slots are reserved "
     "for non-replication superuser connections\n",
     StoreUnreachable, "no more connections", "max_connections"),
    ('psql: error: could not translate host name "db.invalid" to address: Name or service not known\n',
     StoreUnreachable, "no such host", "'host'"),
    ("psql: error: " + TCP + 'FATAL:  no pg_hba.conf entry for host "192.0.2.9", user "club", '
     'database "club", no encryption\n',
     SourceError, "lets nobody in", "pg_hba.conf"),
    ("psql: error: " + TCP + 'FATAL:  database "club" does not exist\n',
     MissingDatabase, "no database club", "'required"),
    ("psql: error: " + TCP + 'FATAL:  role "root" does not exist\n', SourceError, "no role root", "'run_as'"),
    ("psql: error: " + TCP + "SSL error: certificate verify failed\n", SourceError, "certificate", "sslmode"),
    ('psql: error: root certificate file "/root/.postgresql/root.crt" does not exist\n'
     'Either provide the file or change '
     "sslmode to disable server certificate verification.\n", SourceError, "certificate", "root.crt"),
    ("psql: error: " + TCP + "server does not support SSL, but SSL was required\n", SourceError, "TLS", "sslmode"),
    ("psql:<stdin>:9: ERROR:  permission denied to create database\n",
     StoreUnreachable, "may not make", 'ROLE "app" CREATEDB'),
    ("psql:<stdin>:9: ERROR:  must be owner of database club\n", StoreUnreachable, "does not own", 'OWNER TO "app"'),
    ('psql:<stdin>:9: ERROR:  must be member of role "club"\n', SourceError, "to club", 'GRANT "club" TO "app"'),
    ('psql:<stdin>:9: ERROR:  must be able to SET ROLE "club"\n', SourceError, "to club", 'GRANT "club" TO "app"'),
    ('psql:<stdin>:9: ERROR:  database "club" is being accessed by other users\n'
     'DETAIL:  There is 1 other session using the '
     "database.\n", BusyError, "still in use", "Stop what uses it"),
    ("pg_restore: while PROCESSING TOC:\npg_restore: from TOC entry 215; 1259 16 TABLE users club\n"
     'pg_restore: error: could not execute query: ERROR:  role "helper" does not exist\n'
     "Command was: GRANT SELECT ON TABLE public.users TO helper;\n",
     SourceError, "no role helper", 'CREATE ROLE "helper"'),
    ("pg_restore: error: could not execute query: ERROR:  could not open extension control file "
     '"/usr/share/postgresql/15/extension/postgis.control": No such file or directory\n',
     SourceError, "lacks an extension", "Install it on the server"),
    ('pg_restore: error: could not execute query: ERROR:  extension "vector" is not available\n'
     'DETAIL:  Could not open …\n'
     "HINT:  The extension must first be installed on the system where PostgreSQL is running.\n",
     SourceError, "lacks an extension", "Install it on the server"),
    ('pg_restore: error: could not execute query: ERROR:  permission denied to create extension "adminpack"\n',
     SourceError, "may not create the extension adminpack", "administrator"),
    ('psql:<stdin>:9: ERROR:  invalid LC_COLLATE locale name: "de_DE.UTF-8"\n', SourceError, "locale", "Generate"),
    ('psql:<stdin>:9: ERROR:  invalid locale name: "de_DE.UTF-8"\n', SourceError, "locale", "Generate"),
    ('pg_restore: error: COPY failed for table "users": ERROR:  could not extend file '
     '"base/1/2": No space left on device\n',
     SpaceError, "disk is full", "Free some space"),
    ("pg_dump: error: query failed: ERROR:  permission denied for table users\n",
     SourceError, "may not read table users",
     "pg_read_all_data"),
    ('pg_dump: error: query failed: ERROR:  query would be affected by row-level security policy for table "users"\n',
     SourceError, "does not see all rows", "BYPASSRLS"),
    ("pg_dump: error: query failed: ERROR:  canceling statement due to lock timeout\n",
     BusyError, "stayed locked", "pg_locks"),
    ("pg_dump: error: something nobody ever saw\n", SourceError, "something nobody ever saw", None)])
def test_each_complaint_becomes_an_error_with_a_remedy(said, kind, message, remedy):
    error = explain(said, ANSWERER, "be dumped")
    assert isinstance(error, kind) and has_error(said) == ("could not connect to server" not in said)
    assert error.message.startswith("the PostgreSQL database club cannot be dumped: ") and message in error.message
    assert (error.remedy is None and remedy is None) or remedy in error.remedy


@pytest.mark.parametrize("line", [
    "pg_dump: error: x", "ERROR:  x", "psql:<stdin>:3: ERROR:  x", "FATAL:  x", "PANIC:  x", "2026-11-20 FATAL:  x"])
def test_an_error_is_one_whatever_the_status(line):
    assert has_error("NOTICE:  all is well\n%s\n" % line)


@pytest.mark.parametrize("line", [
    "pg_dump: warning: there are circular foreign-key constraints on this table:",
    "NOTICE:  relation errors: none", "", "  "])
def test_other_lines_are_none(line):
    assert not has_error(line) and warnings_of(line) == ([line] if line.strip() else [])


def test_the_gist_leaves_out_what_tells_nothing():
    said = ("pg_restore: while PROCESSING TOC:\npg_restore: from TOC entry 5; 1 2 ACL TABLE users club\n"
            "pg_restore: error: could not execute query: ERROR:  role \"x\" does not exist\n"
            "Command was: GRANT SELECT ON TABLE public.users TO x;\n\n\n"
            "pg_restore: warning: errors ignored on restore: 1\n")
    assert gist(said) == 'pg_restore: error: could not execute query: ERROR:  role "x" does not exist'
    assert gist("") == "" and len(gist("ERROR:  x\n" * 5000)) <= 2000
