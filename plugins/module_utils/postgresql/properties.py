# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What belongs to a database and stands in no dump of it: encoding, locale, owner, settings, grants.

They are recorded as values, and made to SQL again only where they are put back, each name and value quoted: a manifest
is never run. See CREATE DATABASE, ALTER DATABASE, GRANT and the catalogs pg_database and pg_db_role_setting in the
manual.
"""

from __future__ import annotations

from .quoting import elements, identifier, literal

# Settings that are lists of names, whose elements have to be quoted one by one.
LISTS = ("local_preload_libraries", "search_path", "session_preload_libraries", "shared_preload_libraries",
         "temp_tablespaces", "unix_socket_directories")
PRIVILEGES = ("CREATE", "CONNECT", "TEMPORARY")
_PROVIDERS = {"c": "libc", "i": "icu", "b": "builtin"}

_DATABASE = """
SELECT pg_catalog.pg_encoding_to_char(d.encoding) AS encoding, d.datcollate AS collate, d.datctype AS ctype,
       r.rolname AS owner, d.datconnlimit AS connections, d.datacl IS NOT NULL AS granted,
       pg_catalog.shobj_description(d.oid, 'pg_database') AS comment, %s AS provider, %s AS locale
FROM pg_catalog.pg_database d JOIN pg_catalog.pg_roles r ON r.oid = d.datdba WHERE d.datname = %s"""
_SETTINGS = """
SELECT r.rolname AS role, s.setting AS setting
FROM pg_catalog.pg_db_role_setting p JOIN pg_catalog.pg_database d ON d.oid = p.setdatabase
     LEFT JOIN pg_catalog.pg_roles r ON r.oid = p.setrole, pg_catalog.unnest(p.setconfig) AS s(setting)
WHERE d.datname = %s ORDER BY 1, 2"""
_GRANTS = """
SELECT r.rolname AS role, a.privilege_type AS privilege, a.is_grantable AS grantable
FROM pg_catalog.pg_database d, pg_catalog.aclexplode(d.datacl) AS a LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
WHERE d.datname = %s ORDER BY 1, 2"""


def read_properties(session, name):
    """A dictionary fit for JSON, or None where there is no such database.

    Returns:
        ``encoding``, ``collate``, ``ctype``, ``provider`` (libc, icu, builtin), ``locale`` (of the last two, else
        None), ``owner``, ``connections`` (limit, -1 for none), ``comment``, ``settings`` (list of ``{"role", "name",
        "value"}``, role None for all), ``grants`` (None where nothing was ever granted or revoked, else a list of
        ``{"role", "privilege", "grantable"}``, role None for everybody).
    """
    provider = "d.datlocprovider" if session.version >= 150000 else "'c'"
    locale = "d.datlocale" if session.version >= 170000 else "d.daticulocale" if session.version >= 150000 else "NULL"
    found = session.rows(_DATABASE % (provider, locale, literal(name)))
    if not found:
        return None
    encoding, collate, ctype, owner, connections, granted, comment, provider, locale = found[0]
    return {"encoding": encoding, "collate": collate, "ctype": ctype, "owner": owner, "connections": connections,
            "comment": comment, "provider": _PROVIDERS.get(provider, "libc"), "locale": locale,
            "settings": [_setting(role, text) for role, text in session.rows(_SETTINGS % literal(name))],
            "grants": [{"role": role, "privilege": privilege, "grantable": grantable}
                       for role, privilege, grantable in session.rows(_GRANTS % literal(name))] if granted else None}


def _setting(role, text):
    name, unused, value = text.partition("=")
    return {"role": role, "name": name, "value": value}


def creation(name, properties):
    """The statement that makes an empty database like one that has these properties; None takes the server's own."""
    words = ["CREATE DATABASE", identifier(name), "TEMPLATE template0"]
    if properties is not None:
        words.append("ENCODING %s LC_COLLATE %s LC_CTYPE %s" % tuple(
            literal(properties[key]) for key in ("encoding", "collate", "ctype")))
        provider, locale = properties.get("provider"), properties.get("locale")
        if provider in ("icu", "builtin") and locale:
            words.append("LOCALE_PROVIDER %s %s_LOCALE %s" % (provider, provider.upper(), literal(locale)))
        words.append("OWNER %s" % identifier(properties["owner"]))
    return " ".join(words)


def dressing(name, properties):
    """The statements that give an existing database the rest: what a role that only owns it may not always do."""
    if properties is None:
        return []
    database = identifier(name)
    statements = []
    if properties["connections"] != -1:
        statements.append("ALTER DATABASE %s CONNECTION LIMIT %d" % (database, properties["connections"]))
    if properties["comment"]:
        statements.append("COMMENT ON DATABASE %s IS %s" % (database, literal(properties["comment"])))
    for setting in properties["settings"]:
        role = "ROLE %s IN " % identifier(setting["role"]) if setting["role"] is not None else ""
        statements.append("ALTER %sDATABASE %s SET %s TO %s" % (
            role, database, identifier(setting["name"]), _value(setting["name"], setting["value"])))
    return statements + _grants(database, properties)


def _value(name, value):
    if name.lower() in LISTS:
        return ", ".join(literal(element) for element in elements(value))
    return literal(value)


def _grants(database, properties):
    if properties["grants"] is None:
        return []
    statements = ["REVOKE ALL ON DATABASE %s FROM PUBLIC" % database]
    for grant in properties["grants"]:
        if grant["privilege"] not in PRIVILEGES:
            continue
        role = "PUBLIC" if grant["role"] is None else identifier(grant["role"])
        # Spelt out, not taken from the record.
        privilege = PRIVILEGES[PRIVILEGES.index(grant["privilege"])]
        statements.append("GRANT %s ON DATABASE %s TO %s%s" % (
            privilege, database, role, " WITH GRANT OPTION" if grant["grantable"] else ""))
    return statements


def is_sound(properties):
    """Whether what a manifest tells has the shape that ``read_properties`` gives it."""
    if properties is None:
        return True
    texts = ("encoding", "collate", "ctype", "owner")
    return isinstance(properties, dict) and all(isinstance(properties.get(key), str) for key in texts) \
        and isinstance(properties.get("connections"), int) \
        and isinstance(properties.get("comment"), (str, type(None))) \
        and isinstance(properties.get("locale"), (str, type(None))) \
        and _all_have(properties.get("settings"), ("name", "value")) \
        and (properties.get("grants", 0) is None or _all_have(properties.get("grants"), ("privilege",)))


def _all_have(items, keys):
    return isinstance(items, list) and all(
        isinstance(item, dict) and isinstance(item.get("role"), (str, type(None)))
        and all(isinstance(item.get(key), str) for key in keys) for item in items)
