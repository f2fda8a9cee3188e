# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stands in for Scriptor: pages, users and settings in SQLite, uploads beside it, an override file, plugins in vendor/.

    scriptor make ROOT       a site with pages, images and an editor's account
    scriptor serve ROOT      the site; somebody edits it all the time
"""

from __future__ import annotations

import hashlib
import os
import re
import urllib.parse

from application import Application, main

SCHEMA = """
CREATE TABLE categories (id INTEGER PRIMARY KEY, slug TEXT NOT NULL UNIQUE, name TEXT NOT NULL);
CREATE TABLE fields (id INTEGER PRIMARY KEY, category_id INTEGER NOT NULL REFERENCES categories, name TEXT NOT NULL,
                     type TEXT NOT NULL, options TEXT NOT NULL DEFAULT '{}');
CREATE TABLE items (id INTEGER PRIMARY KEY, category_id INTEGER NOT NULL REFERENCES categories, slug TEXT NOT NULL,
                    title TEXT NOT NULL, content TEXT NOT NULL, active INTEGER NOT NULL DEFAULT 1,
                    updated INTEGER NOT NULL DEFAULT 0);
CREATE TABLE files (id INTEGER PRIMARY KEY, item_id INTEGER NOT NULL REFERENCES items ON DELETE CASCADE,
                    path TEXT NOT NULL, title TEXT NOT NULL, width INTEGER, height INTEGER);
CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, password TEXT NOT NULL, role TEXT NOT NULL);
CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE INDEX items_by_slug ON items (slug);
INSERT INTO categories VALUES (1, 'pages', 'Pages');
INSERT INTO fields VALUES (1, 1, 'images', 'fileupload', '{"thumbnails": true}');
INSERT INTO settings VALUES ('theme', 'basic');
"""
SCHEMA_SEARCH = "CREATE VIRTUAL TABLE search USING fts5(title, content);"
TITLES = ("Home", "About us", "Größe und Maß", "Contact", "Imprint")
OVERRIDE = """<?php
return [
    'site_name' => 'The garden of forking paths',
    'plugins' => ['disabled' => ['acme/gallery']],
];
"""
PLUGINS = ("acme/gallery", "acme/forms")


class Scriptor(Application):
    """A site."""

    port = 8081
    # As PHP does: a connection for each request.
    holds = False
    database = "data/imanager.db"
    override = "data/settings/custom.scriptor-config.php"

    def make(self):
        """A site with a page for each title and an image on every page."""
        rows = []
        for number, title in enumerate(TITLES, 1):
            image = "%d/picture.png" % number
            for name in (image, "%d/thumbnail/150x_picture.png" % number):
                self.write_file("public/uploads/" + name, picture(name))
            rows.append("INSERT INTO items VALUES (%d, 1, 'page-%d', '%s', 'Text of %s.', 1, 0);"
                        "INSERT INTO files VALUES (%d, %d, '%s', 'A picture', 640, 480);"
                        % (number, number, title, title, number, number, image))
            rows.append("INSERT INTO search VALUES ('%s', 'Text of %s.');" % (title, title))
        rows.append("INSERT INTO users VALUES (1, 'editor', '%s', 'admin');" % hashed("correct horse"))
        self.create(SCHEMA + SCHEMA_SEARCH + "".join(rows))
        self.write_file(self.override, OVERRIDE.encode("utf-8"))
        for plugin in PLUGINS:
            self.write_file("vendor/%s/composer.json" % plugin, b"{}")
        for path in ("data/cache/page-1.html", "data/logs/scriptor.log", "data/sessions/sess_1", "index.php",
                     "public/editor-assets/editor.js"):
            self.write_file(path, b"is rebuilt or not needed\n")

    def work(self):
        """A page is edited: a new image, then its row and a new text."""
        name = "1/edit-%s-%d.png" % (self.run, self.number)
        if self.number % 5 == 0:
            self.write_file("public/uploads/" + name, picture(name))
        with self.connected() as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("UPDATE items SET updated = updated + 1 WHERE id = 1")
            if self.number % 5 == 0:
                connection.execute("INSERT INTO files (item_id, path, title) VALUES (1, ?, 'An edit')", (name,))
            connection.execute("INSERT INTO settings VALUES (?, 'revision')",
                               ("edit-%s-%d" % (self.run, self.number),))
            connection.execute("COMMIT")

    def answer(self, method, path, body, headers):
        """The frontend, the editor, and the uploads."""
        if path == "/":
            return 200, "".join("<a href='/%s'>%s</a>\n" % row for row in
                                self.query("SELECT slug, title FROM items WHERE active ORDER BY id"))
        if path == "/editor/login":
            return self.log_in(dict(urllib.parse.parse_qsl(body)))
        if path == "/editor/plugins":
            return 200, self.plugins()
        if path.startswith("/uploads/"):
            with open(self.path("public", path.lstrip("/")), "rb") as stream:
                return 200, stream.read()
        rows = self.query("SELECT i.title, i.content, f.path FROM items i LEFT JOIN files f ON f.item_id = i.id "
                          "WHERE i.slug = ? ORDER BY f.id", (path.lstrip("/"),))
        if not rows:
            return 404, "no such page"
        return 200, "<h1>%s</h1><p>%s</p>" % rows[0][:2] + "".join("<img src='/uploads/%s'>\n" % row[2] for row in rows)

    def log_in(self, form):
        """Whether a user of the database has this password."""
        rows = self.query("SELECT role FROM users WHERE name = ? AND password = ?",
                          (form.get("name"), hashed(form.get("password", ""))))
        return (200, "welcome, %s" % rows[0][0]) if rows else (403, "wrong name or password")

    def plugins(self):
        """The table of the Plugins module; a plugin that the override names and vendor/ lacks is an error there."""
        with open(self.path(self.override), encoding="utf-8") as stream:
            told = re.search(r"'disabled' => \[([^]]*)\]", stream.read()).group(1)
        disabled = re.findall(r"'([^']+)'", told)
        there = [plugin for plugin in PLUGINS if os.path.isdir(self.path("vendor", plugin))]
        lines = ["%s: %s" % (plugin, "disabled" if plugin in disabled else "enabled") for plugin in there]
        return "\n".join(lines + ["%s: class not found" % plugin for plugin in disabled if plugin not in there]) + "\n"


def picture(name):
    """The bytes of an image, other ones for each name."""
    return b"\x89PNG\r\n\x1a\n" + hashlib.sha512(name.encode("utf-8")).digest() * 40


def hashed(password):
    """A password as the database has it."""
    return hashlib.pbkdf2_hmac("sha256", password.encode("utf-8"), b"salt", 1000).hex()


if __name__ == "__main__":
    main(Scriptor)
