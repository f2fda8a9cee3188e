# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Versions and references of a database that only a server can ask."""

from __future__ import annotations

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.system.errors import ConfigurationError, DataTooNewError

VERSION = {"sql": "SELECT max(version) FROM schema_migrations"}
LACKING = "postgresql/club.dump names 1 file below blobs that the backup lacks: gone.tar.gz"


@pytest.fixture
def club(host, postgres):
    """The words of an app whose server is at schema version 12, and which names two files, one of which is there."""
    postgres.create()
    postgres.sql("CREATE TABLE schema_migrations (version integer); INSERT INTO schema_migrations VALUES (11), (12);"
                 "CREATE TABLE blobs (path text); INSERT INTO blobs VALUES ('/a.tar.gz'), ('gone.tar.gz'), (NULL)", "club", "club")
    host.write("blobs/a.tar.gz")
    host.write("blobs/extra.tar.gz")
    references = [{"sql": "SELECT path FROM blobs", "under": "blobs"}]
    return {"sources": [postgres.source(references=references), {"type": "files", "path": "blobs"}], "version": VERSION}


def test_a_newer_backup_is_refused_and_nothing_is_left_in_the_server(host, postgres, club):
    taken = host.backup(**club)
    assert taken.backup.manifest.content["schema_version"] == 12
    assert taken.warnings == [LACKING]
    for step in ("validate", "stage", "restore"):
        with pytest.raises(DataTooNewError, match="schema version 12.* no newer one than 11"):
            getattr(host.restore(version_max=11, **club), step)()
    assert postgres.databases() == {"club"} and host.left() == []


def test_an_older_one_is_restored_with_what_there_is_to_say(host, postgres, club):
    host.backup(**club)
    told = host.restore(version_max=13, **club).restore().to_dict()["warnings"]
    assert "the backup has schema version 12; the application understands 13 and will migrate it on start" in told
    assert LACKING in told


def test_verifying_asks_a_copy_in_the_server(host, postgres, club):
    host.backup(**club)
    found = host.verify(app=host.app(version_max=11, **club))
    assert [problem["problem"] for problem in found.problems] == [
        "the backup has schema version 12, and the installed application understands no newer one than 11",
        "names 1 file below blobs that the backup lacks: gone.tar.gz"]
    assert found.problems[0]["event"] == "schema_version_too_new"
    assert "1 file below blobs is named by nothing in postgresql/club.dump: extra.tar.gz" in found.notes
    assert postgres.databases() == {"club"}


def test_a_version_that_is_no_number_fails_the_backup(host, postgres, club):
    for sql in ("SELECT 'twelve'", "SELECT version FROM schema_migrations", "SELECT version FROM nowhere"):
        with pytest.raises(ConfigurationError, match="'sql' of 'version'"):
            host.backup(**dict(club, version={"sql": sql}))
