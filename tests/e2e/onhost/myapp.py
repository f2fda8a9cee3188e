# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stands in for any small application: all that it has is one database, to which it writes as fast as it can.

    myapp make ROOT      a database with a few thousand events
    myapp serve ROOT     answers with their number, and with the sum that every transaction keeps at 0
"""

from __future__ import annotations

from application import Application, main

SCHEMA = """
CREATE TABLE events (id INTEGER PRIMARY KEY, amount INTEGER NOT NULL, text TEXT NOT NULL);
WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 4000)
INSERT INTO events SELECT n, CASE n % 2 WHEN 0 THEN n - 1 ELSE -n END, hex(randomblob(50)) FROM number;
"""


class MyApp(Application):
    """An application that never pauses."""

    port = 8090
    database = "db"
    pause = 0.001

    def __init__(self, root):
        super().__init__(root)
        self.connection = None

    def make(self):
        """A database with a few thousand events, whose amounts add up to 0."""
        self.create(SCHEMA)

    def work(self):
        """Two events that belong together."""
        self.connection = self.connection or self.open()
        self.connection.execute("BEGIN IMMEDIATE")
        for amount in (self.number, -self.number):
            self.connection.execute("INSERT INTO events (amount, text) VALUES (?, hex(randomblob(50)))", (amount,))
        self.connection.execute("COMMIT")

    def answer(self, method, path, body, headers):
        """How many events there are, and their sum."""
        return 200, dict(zip(("events", "sum"), self.query("SELECT count(*), sum(amount) FROM events")[0]))


if __name__ == "__main__":
    main(MyApp)
