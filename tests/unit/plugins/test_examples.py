# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the pages of sources tell somebody to paste does what they say; only the addresses are those of the test."""

from __future__ import annotations

import os
import pathlib
import re
import sqlite3

import yaml

from ansible_collections.appstate.backup.tests.unit.plugins.host import OWNER
from ansible_collections.appstate.backup.tests.unit.plugins.endpoints import (  # pylint: disable=unused-import
    TOKEN, authority, endpoint)  # noqa: F401

PAGES = pathlib.Path(__file__).resolve().parents[3] / "docs" / "sources"
BLOCK = re.compile(r"^```yaml\n(appstate_apps:.*?)^```", re.MULTILINE | re.DOTALL)


def example(page, app):
    """The sources of an app as a page has it."""
    texts = BLOCK.findall((PAGES / page).read_text(encoding="utf-8").replace("{{ vault_opstage_token }}", TOKEN))
    (found,) = [told for text in texts for told in yaml.safe_load(text)["appstate_apps"] if told["name"] == app]
    return found["sources"]


def test_a_dump_of_sqlite3_is_taken_and_fed_back(host):
    sources = [dict(source, run_as=OWNER) for source in example("command.md", "notes")]
    host.database()
    host.backup(sources=sources)
    host.add_notes(5)
    host.restore(sources=sources).restore()
    assert host.notes() == 20 and os.stat(host.at("data/notes.db")).st_uid == OWNER
    host.restore(sources=sources).roll_back()
    assert host.notes() == 25


def test_the_download_for_owners_is_taken(host, endpoint, authority):
    server = endpoint()
    with sqlite3.connect(host.place("opstage.db")) as connection:
        connection.execute("CREATE TABLE users (name TEXT)")
    connection.close()
    with open(host.place("opstage.db"), "rb") as file:
        server.content = file.read()
    (source,) = example("http.md", "opstage")
    source.update(url=source["url"].replace("https://opstage.example.com", server.url("")),
                  ca_file=os.path.join(authority, "ca.pem"))
    told = host.backup(sources=[source]).backup.manifest.sources[0]
    assert told["passport"]["tables"] == {"users": 0}
    assert server.asked[0][:2] == ("POST", "/api/diagnostics/backup")
