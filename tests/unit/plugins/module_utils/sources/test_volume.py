# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Volumes are taken member by member through real podman; what goes wrong there is an error that says what to do."""

from __future__ import annotations

import io
import os
import sqlite3
import subprocess
import tarfile
import tempfile

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.system.errors import BusyError, DatabaseError, SourceError
from ansible_collections.appstate.backup.tests.unit.plugins.podman_machine import (  # pylint: disable=unused-import
    FAST, Containers, containers, containers_of_module)  # noqa: F401

FILL = r"""
mkdir -p deep/er cache
echo content > deep/er/file
ln deep/er/file hard
ln hard harder
ln -s deep/er/file link
echo junk > cache/junk
echo junk > deep/junk.tmp
touch "$(printf 'new\nline')" "$(printf 'no\377text')"
chown 33:44 deep/er/file
chmod 640 deep/er/file
chmod 2750 deep
chown 33:33 .
"""
KILL_HELPER = """
until name=$(podman ps --quiet --filter label=appstate.backup.helper) && [ -n "$name" ]; do :; done
exec podman kill $name
"""


def source(**words):
    return dict({"type": "volume", "engine": "podman", "volume": "uploads"}, **words)


def backup(host, **words):
    return host.backup(sources=[source(**words)])


def members(taken):
    """The archive's own members by path below the source: TarInfo, and the content of files."""
    name = taken.backup.path
    program = "zstd" if name.endswith("zst") else "gzip"
    data = subprocess.run([program, "-d", "-c", name], stdout=subprocess.PIPE, check=True)
    found = {}
    with tarfile.open(fileobj=io.BytesIO(data.stdout)) as archive:
        for info in archive:
            path = info.name.partition("volumes/uploads")[2].lstrip("/")
            if not info.name.startswith(".appstate"):
                found[path] = info, archive.extractfile(info).read() if info.isreg() else None
    return found


def told(taken):
    return taken.backup.manifest.content["sources"][0]


@pytest.fixture
def uploads(containers):
    """Containers, and a volume with something of everything."""
    containers.podman("volume", "create", "uploads")
    containers.inside("uploads", FILL)
    return containers


class TestTree:
    def test_what_is_there_is_taken_with_numbers_for_owners(self, host, uploads):
        taken = backup(host, exclude=["/cache", "*.tmp"])
        found = members(taken)
        assert set(found) == {"", "deep", "deep/er", "deep/er/file", "hard", "harder", "link", "new\nline",
                              "no\udcfftext"}
        info, content = found["deep/er/file"]
        assert (info.uid, info.gid, info.uname, info.gname, info.mode, content) == (33, 44, "", "", 0o640, b"content\n")
        assert found["hard"][1] == found["harder"][1] == b"content\n" and found["link"][0].linkname == "deep/er/file"
        assert (found["deep"][0].mode, found[""][0].uid) == (0o2750, 33)
        assert not taken.warnings and taken.complete
        assert (told(taken)["volume"], told(taken)["members"]) == ("uploads", 9)

    def test_the_docker_client_brings_the_same(self, host, uploads):
        uploads.serve()
        for engine in ("podman", "docker"):
            found = {path: (info.uid, info.gid, info.mode, info.mtime, content)
                     for path, (info, content) in members(backup(host, engine=engine)).items()}
            first = found if engine == "podman" else first
        assert found == first and len(found) > 9

    def test_a_compose_volume_is_named_as_it_is(self, host, uploads):
        uploads.podman("volume", "create", "shop_blobs")
        assert told(backup(host, volume="blobs"))["volume"] == "shop_blobs"

    def test_links_out_and_specials_are_told_and_left_out(self, host, uploads):
        uploads.inside("uploads", "mkfifo deep/fifo; ln -s /etc/passwd out; ln -s ../../x deep/up")
        taken = backup(host)
        assert not {"deep/fifo", "out", "deep/up"} & set(members(taken))
        assert ["fifo" in text or "leads out" in text for text in taken.warnings] == [True] * 3

    def test_a_database_that_nobody_named_is_told(self, host, uploads):
        make_database(uploads, "deep/notes.db")
        assert ["name it in the source's 'databases'" in text for text in backup(host).warnings] == [True]

    def test_what_a_restore_set_aside_is_no_state(self, host, uploads):
        uploads.inside("uploads", "mkdir .appstate-0123456789abcdef deep/.appstate-0123456789abcdef; "
                       "touch x.before-restore-20261119T030000Z")
        assert not [path for path in members(backup(host)) if "appstate" in path or "before" in path]

    def test_a_place_in_a_volume_by_its_path_in_a_container(self, host, uploads):
        uploads.run("web", "--volume", "uploads:/srv/data")
        words = {"volume": None, "container": "web", "path": "volumes/uploads"}
        assert set(members(backup(host, container_path="/srv/data/deep/er", **words))) == {"", "file"}
        single = members(backup(host, container_path="/srv/data/deep/er/file", **words))
        assert list(single) == [""] and single[""][1] == b"content\n"

    def test_a_directory_of_the_host_that_a_container_mounts(self, host, uploads, tmp_path):
        (tmp_path / "settings.json").write_text("{}", encoding="utf-8")
        uploads.run("web", "--volume", "%s:/srv/settings" % tmp_path)
        taken = backup(host, volume=None, container="web", container_path="/srv/settings", path="volumes/uploads")
        assert set(members(taken)) == {"", "settings.json"}

    def test_in_the_running_container_itself(self, host, uploads):
        uploads.run("web", "--volume", "uploads:/srv/data", "--user", "1234")
        taken = backup(host, volume=None, container="web", container_path="/srv/data", path="volumes/uploads",
                       method="exec")
        assert set(members(taken)) == set(members(backup(host)))

    def test_nothing_is_left_of_the_helper(self, host, uploads):
        backup(host)
        assert uploads.podman("ps", "--all", "--quiet") == b""


class TestLayer:
    def place(self, path):
        return {"volume": None, "container": "web", "container_path": path, "path": "volumes/uploads"}

    @pytest.mark.parametrize("engine", ["podman", "docker"])
    def test_one_file_is_taken_also_while_the_container_is_stopped(self, host, containers, engine):
        containers.serve()
        containers.run("web")
        containers.podman("exec", "web", "sh", "-c", "echo '<?php' > /etc/config.php; chown 33:44 /etc/config.php")
        found = members(backup(host, engine=engine, **self.place("/etc/config.php")))
        assert list(found) == [""] and found[""][1] == b"<?php\n" and (found[""][0].uid, found[""][0].gid) == (33, 44)
        containers.podman("stop", "--time=0", "web")
        taken = backup(host, engine=engine, **self.place("/etc/config.php"))
        assert members(taken)[""][1] == b"<?php\n"
        told_owner = [text for text in taken.warnings if text.startswith("the owner of /etc/config.php")]
        assert len(told_owner) == len(taken.warnings) == (engine == "podman")

    def test_a_directory_there_is_refused_with_the_reason(self, host, containers):
        containers.run("web")
        with pytest.raises(SourceError, match="directory in the container's own layer, which is lost"):
            backup(host, **self.place("/bin"))

    def test_a_file_that_is_missing(self, host, containers):
        containers.run("web")
        with pytest.raises(SourceError, match="there is no /etc/nothing in container web"):
            backup(host, **self.place("/etc/nothing"))
        assert told(backup(host, required=False, **self.place("/etc/nothing")))["present"] is False


class TestTrouble:
    def refused(self, host, **words):
        with pytest.raises(SourceError) as caught:
            backup(host, **words)
        assert caught.value.app == "notes" and caught.value.remedy
        assert not os.listdir(os.path.join(host.destination, "notes"))
        return str(caught.value)

    def test_an_engine_that_is_not_installed(self, host, monkeypatch):
        monkeypatch.setenv("PATH", host.path)
        assert "volumes/uploads: podman is not installed on this host. Install the package podman" in \
            self.refused(host)

    def test_a_volume_that_does_not_exist(self, host, containers):
        assert "there is no volume uploads" in self.refused(host)
        assert told(backup(host, required=False))["present"] is False
        assert containers.podman("volume", "ls", "--quiet") == b""

    def test_a_container_that_does_not_exist(self, host, containers):
        words = {"volume": None, "container": "web", "container_path": "/data"}
        assert "there is no container web" in self.refused(host, **words)

    def test_exec_in_a_container_that_is_stopped(self, host, containers):
        containers.podman("create", "--name", "web", "--volume", "uploads:/data", "docker.io/library/busybox", "true")
        words = {"volume": None, "container": "web", "container_path": "/data", "method": "exec"}
        assert "the container web does not run. Start it, or use 'method: helper'" in self.refused(host, **words)

    def test_an_image_that_is_not_there(self, host, uploads):
        said = self.refused(host, image="localhost/nothing:1")
        assert "image localhost/nothing:1 of the helper container is not on this host" in said
        assert "podman pull localhost/nothing:1" in said

    def test_an_image_without_a_shell(self, host, uploads):
        uploads.make_image("localhost/bare", [])
        assert "has no shell, or not all that is needed" in self.refused(host, image="localhost/bare")

    def test_a_helper_that_is_killed_in_the_middle(self, host, uploads):
        uploads.inside("uploads", "head -c 300000000 /dev/zero > big")
        killer = subprocess.Popen(["sh", "-c", KILL_HELPER], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        said = self.refused(host)
        killer.wait()
        assert "podman failed on the volume uploads with status 137" in said or "cut short" in said

    @pytest.mark.parametrize("said,ends", [
        ("tar: ./deep: file changed as we read it", 1),
        ("tar: ./a: File removed before we read it\ntar: ./b: No such file or directory", 2)])
    def test_a_tree_that_changes_is_a_warning(self, host, uploads, said, ends):
        change_tar(uploads, said, ends)
        taken = backup(host, image="localhost/odd")
        # Once for the tree, and once for its hard links.
        assert set(taken.warnings) == {"volumes/uploads: " + line for line in said.splitlines()}

    @pytest.mark.parametrize("said", ["tar: ./deep: Cannot open: Permission denied",
                                      "tar: ./a: No such file or directory\nx", ""])
    def test_anything_else_that_tar_complains_of_is_a_failure(self, host, uploads, said):
        change_tar(uploads, said, 1)
        assert "podman failed on the volume uploads with status 1" in self.refused(host, image="localhost/odd")

    def test_one_that_takes_too_long(self, host, uploads):
        uploads.inside("uploads", "head -c 300000000 /dev/zero > big")
        assert "did not end within 0.3 s and was killed" in self.refused(host, timeout=0.3)
        assert uploads.podman("ps", "--quiet", "--filter", "label=appstate.backup.helper") == b""


def change_tar(containers, said, ends):
    """An image in which tar seems not to be content with what it did. Its shell would not start another tar."""
    script = "#!/bin/busybox sh\n/bin/busybox sh \"$@\" && printf '%%s' '%s' >&2; exit %d\n" % (said, ends)
    containers.run("maker")
    change = 'rm /bin/sh; printf "%s" "$1" > /bin/sh; chmod 755 /bin/sh'
    containers.podman("exec", "maker", "sh", "-c", change, "sh", script)
    containers.podman("commit", "--quiet", "maker", "localhost/odd")


def make_database(containers, name, volume="uploads", rows=5):
    """A database in a volume, as its application in a container (user 33) would make it."""
    top = containers.mountpoint(volume)
    connection = sqlite3.connect(os.path.join(top, name))
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE notes (text TEXT)")
    connection.executemany("INSERT INTO notes VALUES (?)", [("note",)] * rows)
    connection.commit()
    connection.close()
    os.chown(os.path.join(top, name), 33, 44)
    os.chown(os.path.dirname(os.path.join(top, name)), 33, 44)


WRITER = """
import os, sqlite3, sys
os.setgid(44)
os.setuid(33)
connection = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)
connection.execute("PRAGMA wal_autocheckpoint=0")
while True:
    connection.execute("INSERT INTO notes VALUES ('more')")
    print(connection.execute("SELECT count(*) FROM notes").fetchone()[0], flush=True)
"""


class TestDatabases:
    def test_one_that_is_written_is_taken_at_one_transaction(self, host, uploads):
        make_database(uploads, "deep/notes.db")
        uploads.run("web", "--volume", "uploads:/data")
        writer = subprocess.Popen(["python3", "-c", WRITER, "/proc/self/cwd/notes.db"], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, cwd=uploads.mountpoint("uploads") + "/deep")
        taken = backup(host, databases=[{"path": "deep/notes.db"}])
        database = told(taken)["databases"][0]
        assert database["method"] == "backup" and database["passport"]["tables"]["notes"] >= 5
        found = members(taken)
        assert not {"deep/notes.db-wal", "deep/notes.db-shm"} & set(found)
        info = found["deep/notes.db"][0]
        assert (info.uid, info.gid) == (33, 44) and not taken.warnings
        writer.kill()
        writer.communicate()

    def test_one_that_is_missing(self, host, uploads):
        with pytest.raises(SourceError, match="the database notes.db is missing in the volume uploads"):
            backup(host, databases=[{"path": "notes.db"}])
        assert told(backup(host, databases=[{"path": "notes.db", "required": False}]))["databases"] == []

    def test_a_corrupt_one_makes_no_backup(self, host, uploads):
        make_database(uploads, "notes.db", rows=2000)
        with open(uploads.mountpoint("uploads") + "/notes.db", "r+b") as stream:
            stream.seek(8192)
            stream.write(b"\xff" * 4096)
        with pytest.raises(DatabaseError, match="corrupt") as caught:
            backup(host, databases=[{"path": "notes.db"}])
        assert caught.value.path == "volumes/uploads/notes.db"

    def test_a_link_that_a_container_plants_leads_no_further_than_the_volume(self, host, uploads):
        make_database(uploads, "notes.db")
        outside = os.path.join(host.path, "private.db")
        sqlite3.connect(outside).execute("CREATE TABLE secret (text TEXT)").connection.close()
        uploads.inside("uploads", 'rm notes.db; ln -s "$1" notes.db; mkdir sub; ln -s "$2" sub/up', outside, host.path)
        for path in ("notes.db", "sub/up/private.db"):
            with pytest.raises(SourceError, match="is missing in the volume"):
                backup(host, databases=[{"path": path}])

    def test_one_that_stays_locked(self, host, uploads):
        make_database(uploads, "notes.db")
        holder = sqlite3.connect(uploads.mountpoint("uploads") + "/notes.db", isolation_level=None)
        holder.execute("PRAGMA locking_mode=EXCLUSIVE")
        holder.execute("BEGIN EXCLUSIVE")
        holder.execute("INSERT INTO notes VALUES ('x')")
        try:
            with pytest.raises(BusyError):
                host.backup(sources=[source(databases=[{"path": "notes.db"}])], snapshot_deadline=0.3)
        finally:
            holder.close()


@pytest.fixture(scope="module")
def hidden_of_module():
    with tempfile.TemporaryDirectory(prefix="ast-", dir=FAST) as place:
        machine = Containers(os.path.join(place, "c"), hidden=True)
        yield machine
        machine.close()


@pytest.fixture
def hidden(hidden_of_module, monkeypatch):
    """Containers whose volumes this host cannot read, one of them with a database whose log holds a note."""
    monkeypatch.setenv("PATH", hidden_of_module.programs + os.pathsep + os.environ["PATH"])
    hidden_of_module.podman("volume", "create", "uploads")
    hidden_of_module.enter("python3", "-c", CRASH, hidden_of_module.mountpoint("uploads") + "/notes.db")
    assert not os.path.exists(hidden_of_module.mountpoint("uploads"))
    yield hidden_of_module
    hidden_of_module.clear()


CRASH = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA journal_mode=WAL")
connection.execute("PRAGMA wal_autocheckpoint=0")
connection.execute("CREATE TABLE notes (text TEXT)")
connection.execute("INSERT INTO notes VALUES ('crash')")
os._exit(0)
"""


class TestHidden:
    def test_a_database_is_fetched_with_its_log_while_nothing_runs(self, host, hidden):
        assert b"notes.db-wal" in hidden.inside("uploads", "ls")
        taken = backup(host, databases=[{"path": "notes.db"}])
        database = told(taken)["databases"][0]
        assert (database["method"], database["passport"]["tables"]) == ("cold", {"notes": 1})
        assert set(members(taken)) == {"", "notes.db"} and not taken.warnings

    def test_it_is_refused_while_a_container_uses_it(self, host, hidden):
        hidden.run("web", "--volume", "uploads:/data")
        with pytest.raises(SourceError, match="the running container web uses") as caught:
            backup(host, databases=[{"path": "notes.db"}])
        assert "mode: cold" in caught.value.remedy and caught.value.path == "volumes/uploads/notes.db"

    def test_it_comes_back(self, host, hidden):
        words = {"sources": [source(databases=[{"path": "notes.db"}])]}
        host.backup(**words)
        hidden.inside("uploads", "rm notes.db*")
        host.restore(**words).restore()
        host.restore(**words).commit()
        assert hidden.inside("uploads", "ls -A") == b"notes.db\n"


def test_more_hard_links_than_one_command_takes(host, containers):
    containers.podman("volume", "create", "uploads")
    containers.inside("uploads", "echo content > 0; name=$(printf %0200d 0); "
                      "for n in $(seq 400); do ln 0 $name$n; done")
    found = members(backup(host))
    assert len(found) == 402 and {content for unused, content in found.values()} == {None, b"content\n"}
