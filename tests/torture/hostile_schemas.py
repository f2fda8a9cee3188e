# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Databases whose schema is the attack: expressions that want more memory or time than there is, and nonsense.

With ``PRAGMA writable_schema`` anybody can write what he likes into sqlite_master, and SQLite evaluates it when it checks
rows (https://www.sqlite.org/security.html). CHECK constraints, generated columns that are NOT NULL, and expressions of
indexes are evaluated by ``integrity_check`` itself; a view is, where something asks it.
"""

from __future__ import annotations

import collections

from mutated_images import BASES, MANY, NOTES, database

ENDLESS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT %s FROM n"
# What a bomb needs: more than any child may have, but no more than this machine has where nothing stops it.
MUCH = "hex(zeroblob(250000000))"
LONG = "length(hex(zeroblob(4000000 + a))) > 0"
# ``statements`` make it; ``checked``: integrity_check itself sets it off, else only what the engine asks beyond that, with
# ``assertion`` where that is an assertion of the app.
Bomb = collections.namedtuple("Bomb", "statements checked assertion", defaults=(True, None))


def _planted(sql, rows=1, name="bomb"):
    """A table with rows whose declaration is then another one."""
    return ("CREATE TABLE bomb (a)", "CREATE INDEX bombs ON bomb (a)", MANY % rows + "INSERT INTO bomb SELECT i FROM n") + \
        _declared(sql, name)


def _declared(sql, name):
    return ("PRAGMA writable_schema=ON", "UPDATE sqlite_master SET sql = '%s' WHERE name = '%s'" % (sql.replace("'", "''"), name))


def _indexed(expression, rows, where=""):
    return _planted("CREATE INDEX bombs ON bomb (%s) %s" % (expression, where), rows, "bombs")


BOMBS = {
    "check-memory": Bomb(_planted("CREATE TABLE bomb (a CHECK (length(%s) > 0))" % MUCH)),
    "check-time": Bomb(_planted("CREATE TABLE bomb (a CHECK (%s))" % LONG, 20000)),
    "check-printf": Bomb(_planted("CREATE TABLE bomb (a CHECK (length(printf('%.*c', 450000000, 'x')) > 0))")),
    "check-random": Bomb(_planted("CREATE TABLE bomb (a CHECK (length(randomblob(450000000)) > 0))")),
    "check-replace": Bomb(_planted("CREATE TABLE bomb (a CHECK (length(replace(hex(zeroblob(100000)), '0', "
                                   "hex(zeroblob(1000)))) > 0))")),
    "generated-memory": Bomb(_planted("CREATE TABLE bomb (a, b TEXT NOT NULL AS (%s) VIRTUAL)" % MUCH)),
    "generated-time": Bomb(_planted("CREATE TABLE bomb (a, b TEXT NOT NULL AS (hex(zeroblob(4000000 + a))) VIRTUAL)", 20000)),
    "index-memory": Bomb(_indexed(MUCH, 1)),
    "index-time": Bomb(_indexed("a + 0 * length(hex(zeroblob(4000000 + a)))", 20000)),
    "partial-memory": Bomb(_indexed("a", 1, "WHERE length(%s) > 0" % MUCH)),
    "partial-time": Bomb(_indexed("a", 3000, "WHERE " + LONG)),
    "view-time": Bomb(NOTES + ("CREATE VIEW forever AS " + ENDLESS % "i",), False, "SELECT count(*) FROM forever"),
    "view-memory": Bomb(NOTES + ("CREATE VIEW much AS SELECT %s AS a" % MUCH,), False, "SELECT length(a) FROM much"),
    "view-sort": Bomb(NOTES + ("CREATE VIEW sorted AS %s ORDER BY 1" % ENDLESS % "randomblob(1000)",), False,
                      "SELECT count(*) FROM (SELECT * FROM sorted LIMIT 1)"),
    "view-group": Bomb(NOTES + ("CREATE VIEW grouped AS " + ENDLESS % "group_concat(hex(zeroblob(100000)))",), False,
                       "SELECT length(\"group_concat(hex(zeroblob(100000)))\") FROM grouped"),
    "content-of-fts5": Bomb(("CREATE VIEW forever AS " + ENDLESS % "i AS id, 'text' AS body",
                             "CREATE VIRTUAL TABLE f USING fts5(body, content='forever', content_rowid='id')"), False),
    "content-of-fts4": Bomb(("CREATE VIEW forever AS " + ENDLESS % "i AS docid, i AS rowid, 'text' AS body",
                             "CREATE VIRTUAL TABLE f USING fts4(body, content='forever')"), False),
}

# Triggers, views and names that nothing sets off, or that SQLite should stumble over; each is put into two of the databases.
_TABLE = "WHERE name = 'notes'"
_SET = "UPDATE sqlite_master SET %s "
NONSENSE = {
    "trigger": ("CREATE TRIGGER t AFTER INSERT ON notes BEGIN DELETE FROM notes; SELECT %s; END" % MUCH,
                "CREATE TRIGGER u BEFORE UPDATE ON notes BEGIN SELECT count(*) FROM (%s); END" % ENDLESS % "i"),
    "view-of-itself": ("CREATE VIEW one AS SELECT 1",
                       _SET % "sql = 'CREATE VIEW one AS SELECT * FROM one'" + "WHERE name = 'one'"),
    "broken-check": ("PRAGMA ignore_check_constraints=ON", "UPDATE notes SET size = -1 WHERE id = 7"),
    "never-true": (_SET % "sql = replace(sql, 'size >= 0', '0')" + _TABLE,),
    "root-0": (_SET % "rootpage = 0" + _TABLE,),
    "root-1": (_SET % "rootpage = 1" + _TABLE,),
    "root-negative": (_SET % "rootpage = -1" + _TABLE,),
    "root-far": (_SET % "rootpage = 2147483647" + _TABLE,),
    "root-text": (_SET % "rootpage = 'two'" + _TABLE,),
    "root-of-another": (_SET % "rootpage = (SELECT rootpage FROM sqlite_master WHERE name = 'notes_text')" + _TABLE,),
    "index-of-another": (_SET % "rootpage = (SELECT rootpage FROM sqlite_master WHERE name = 'notes_both')"
                         + "WHERE name = 'notes_text'",),
    "no-sql": (_SET % "sql = NULL" + _TABLE,),
    "empty-sql": (_SET % "sql = ''" + _TABLE,),
    "blob-as-sql": (_SET % "sql = X'00ff'" + _TABLE,),
    "half-a-word": (_SET % "sql = 'CREATE TABLE notes (id'" + _TABLE,),
    "another-statement": (_SET % "sql = 'DELETE FROM notes'" + _TABLE,),
    "no-name": (_SET % "name = NULL, tbl_name = NULL" + _TABLE,),
    "name-not-utf-8": (_SET % "name = CAST(X'c328ff' AS TEXT), tbl_name = CAST(X'c328ff' AS TEXT)" + _TABLE,),
    "name-with-nul": (_SET % "name = CAST(X'6e00f0' AS TEXT)" + _TABLE,),
    "name-of-sqlite": (_SET % "name = 'sqlite_notes', tbl_name = name, sql = replace(sql, 'notes', 'sqlite_notes')" + _TABLE,),
    "long-name": (_SET % "name = hex(zeroblob(200000)), tbl_name = name" + _TABLE,),
    "blob-as-type": (_SET % "type = X'7461626c65'" + _TABLE,),
    "twice": ("INSERT INTO sqlite_master SELECT * FROM sqlite_master",),
    "thousands": (MANY % 3000 + "INSERT INTO sqlite_master "
                  "SELECT 'table', 't' || i, 't' || i, 2, 'CREATE TABLE t' || i || ' (a)' FROM n",),
    "strict": (_SET % "sql = sql || ' STRICT'" + _TABLE,),
    "without-rowid": (_SET % "sql = sql || ' WITHOUT ROWID'" + _TABLE,),
    "more-columns": (_SET % "sql = replace(sql, 'size INT', 'a,b,c,d,e,f,g,h UNIQUE, size INT')" + _TABLE,),
    "not-null": (_SET % "sql = replace(sql, 'size INT', 'size INT, more INT NOT NULL')" + _TABLE,),
    "other-collation": (_SET % "sql = replace(sql, '(text)', '(text COLLATE NOCASE)')" + "WHERE name = 'notes_text'",),
    "absent-collation": (_SET % "sql = replace(sql, '(text)', '(text COLLATE absent)')" + "WHERE name = 'notes_text'",),
    "other-order": (_SET % "sql = replace(sql, '(text)', '(text DESC)')" + "WHERE name = 'notes_text'",),
    "absent-module": ("INSERT INTO sqlite_master VALUES ('table', 'v', 'v', 0, 'CREATE VIRTUAL TABLE v USING absent(a)')",),
    "shadow-less": ("INSERT INTO sqlite_master VALUES ('table', 'v', 'v', 0, 'CREATE VIRTUAL TABLE v USING fts5(a)')",),
    "deep-expression": (_SET % "sql = replace(sql, 'size >= 0', '%s1%s')" % ("(" * 990, ")" * 990) + _TABLE,),
    "invalid-text": ("INSERT INTO notes (text, size) VALUES (CAST(X'c328ff' AS TEXT), 1), (CAST(X'00d8' AS TEXT), 2), "
                     "(CAST(X'dc00d800ff' AS TEXT), 3), (CAST(X'410042' AS TEXT), 4), (CAST(X'' AS TEXT), 5)",),
    "versions": ("PRAGMA user_version=-2147483648", "PRAGMA application_id=-1"),
}
FOR_NONSENSE = ("plain", "utf-16le")


def bomb(name):
    """The bytes of a database with one bomb."""
    return database(BOMBS[name].statements)


def nonsense(name, base):
    """The bytes of a database with some nonsense in it."""
    return database(("PRAGMA writable_schema=ON",) + NONSENSE[name], database(BASES[base]))
