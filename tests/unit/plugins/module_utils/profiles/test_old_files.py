# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the systems' own recipes and commands left behind, restored by their profiles: each file by itself."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess


def described(profile, database):
    """An app by its profile; its database is in memory, and this host does not know its owner."""
    return {"profile": profile, "owner": os.getuid(), "sources": [{"path": database, "allow_any_file_system": True}]}


def restored(host, archive, app, only=()):
    """Verifies and restores a file; what the restore says."""
    assert host.verify(archive=archive, app=host.app(**app)).problems == []
    return host.restore({"archive": archive, "only": only}, **app).restore().to_dict()


def copied(host, database, name):
    """A copy of the database by SQLite's own program, outside of the root."""
    subprocess.run(["sqlite3", host.at(database), ".backup '%s'" % host.place(name)], check=True)
    return host.place(name)


def test_clubs_script_left_a_database_and_a_tar_of_blobs(host):
    app = described("club", "db/club.db")
    host.database("db/club.db")
    host.write("blobs/http-1.0.0.tar.gz", b"a tarball")
    database = copied(host, "db/club.db", "club-20260409-020000.db")
    blobs = host.place("blobs-20260409-020000.tar.gz")
    subprocess.run(["tar", "-czf", blobs, "-C", host.root, "blobs/"], check=True)
    host.add_notes(5, "db/club.db")
    host.write("blobs/http-1.0.0.tar.gz", b"damaged")
    told = restored(host, database, app)
    assert host.notes("db/club.db") == 20 and told["restored"] == [host.at("db/club.db")]
    with open(host.at("blobs/http-1.0.0.tar.gz"), "rb") as file:
        assert file.read() == b"damaged"
    host.restore(**app).commit()
    told = restored(host, blobs, app, ["blobs"])
    assert told["restored"] == [host.at("blobs")] and host.notes("db/club.db") == 20
    with open(host.at("blobs/http-1.0.0.tar.gz"), "rb") as file:
        assert file.read() == b"a tarball"


def test_what_portunus_wrote_leaves_settings_and_tls_material_alone(host):
    app = described("portunus", "state.db")
    host.database("state.db")
    subprocess.run(["sqlite3", host.at("state.db"), "CREATE TABLE schema_migrations (version); INSERT INTO schema_migrations"
                    " VALUES (11), (12)"], check=True)
    for name in ("server.toml", "server.crt", "server.key"):
        host.write(name, name.encode("ascii"), 0o600)
    archive = copied(host, "state.db", "portunus-backup-2026-05-08.db")
    host.add_notes(5, "state.db")
    host.write("state.db.lock", b"")
    told = restored(host, archive, app)
    assert host.notes("state.db") == 20 and told["restored"] == [host.at("state.db")]
    # The lock of the old store is aside with it.
    assert not os.path.exists(host.at("state.db.lock"))
    assert all(os.path.getsize(host.at(name)) for name in ("server.toml", "server.crt", "server.key"))


def test_a_compressed_copy_of_litestreams_recipe(host):
    host.database("db")
    app = {"profile": "generic", "sources": [{"type": "sqlite", "path": "db", "allow_any_file_system": True}]}
    archive = host.place("backup.gz")
    with open(copied(host, "db", "backup"), "rb") as source, gzip.open(archive, "wb") as target:
        shutil.copyfileobj(source, target)
    host.add_notes(5, "db")
    restored(host, archive, app)
    assert host.notes("db") == 20
