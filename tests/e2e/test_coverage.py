# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbook coverage over ssh: a database that nobody backs up is found, whatever its name, and named."""

from __future__ import annotations

import pytest
from hosts.fleet import Fleet
from notebooks import Notebook

COVERAGE = "appstate.backup.coverage"
# Below these the hosts have nothing of the outer machine.
PATHS = {"coverage_paths": ["/srv", "/home", "/root"]}
FORGOTTEN = "/srv/forgotten/state.bin"


@pytest.fixture(scope="module", name="fleet")
def two_hosts():
    with Fleet(2) as fleet:
        for host in fleet:
            notes = Notebook(host, "notes").install()
            host.run(["mkdir", "-p", "/srv/backups/notes", "/srv/notes/.cache"])
            # Neither a backup nor a cache is an application's state.
            for place in ("/srv/backups/notes/old.db", "/srv/notes/.cache/thumbnails.db"):
                host.run(["cp", notes.database, place])
            host.write("/srv/notes/looks-like.sqlite3", "SQLite is what I like\n" * 100)
        fleet["host2"].run(["mkdir", "-p", "/srv/forgotten"])
        fleet["host2"].run(["sqlite3", FORGOTTEN, "CREATE TABLE t (a); INSERT INTO t VALUES (1);"])
        fleet.write_inventory({"appstate_apps": [dict(notes.app("127.0.0.1"), destination="/srv/backups")]})
        yield fleet


def test_a_host_with_a_database_that_no_app_covers_fails_and_names_it(fleet):
    run = fleet.playbook(COVERAGE, PATHS)
    assert run.failed_hosts() == {"host2"}
    assert "No app covers %s." % FORGOTTEN in run.text
    assert "1 databases" in run.text
    assert not any(counts["changed"] for counts in run.recap().values())


def test_what_is_to_be_left_out_is_left_out(fleet):
    fleet.playbook(COVERAGE, dict(PATHS, coverage_skip=["/srv/forgotten"]), check=True).ok()


def test_a_database_that_is_taken_as_a_plain_file_is_not_covered(fleet):
    apps = [{"name": "notes", "root": "/srv/notes", "destination": "/srv/backups",
             "sources": [{"type": "files", "path": "notes.db"}]}]
    run = fleet.playbook(COVERAGE, dict(PATHS, appstate_apps=apps), limit="host1")
    assert run.failed_hosts() == {"host1"} and "No app covers /srv/notes/notes.db." in run.text
