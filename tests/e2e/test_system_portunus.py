# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Portunus by its profile: what its own page says about backup, restore and reset, checked line by line.

host1 has the server, host2 is a fresh host that the state is taken to. One story, told in order.
"""

from __future__ import annotations

import json
import os
import re
import stat
import time

import pytest
from hosts.fleet import Fleet
from systems import BACKUP, DESTINATION, MODULE, RESTORE, Backups, System, said, source

ROOT = "/var/lib/portunus"
DATABASE = ROOT + "/state.db"
APP = {"name": "portunus", "profile": "portunus", "destination": DESTINATION}
PROGRAM = "/usr/local/lib/applications/portunus"
RESET = "appstate.backup.sqlite_reset"
BESIDE = ("server.crt", "server.key", "server.toml")


class Story:
    """The fleet and the servers."""

    def __init__(self, fleet):
        self.fleet = fleet
        self.server, self.other = (System(host, "portunus", ROOT, "portunus", "portunus-server", 8445)
                                   for host in fleet)
        self.backups = Backups(fleet["host1"], "portunus")

    def backup(self, **more):
        """Run the backup playbook on host1."""
        time.sleep(1.1)
        return self.fleet.playbook(BACKUP, {"appstate_apps": [dict(APP, **more)]}, limit="host1")

    def restore(self, app=None, limit="host1", **variables):
        """Run the restore playbook, for good where it goes well."""
        told = {"appstate_apps": [app or APP], "restore_app": "portunus", "restore_commit": True}
        return self.fleet.playbook(RESTORE, dict(told, **variables), limit=limit)

    def reset(self, path=DATABASE, confirm=True, **options):
        """Run the module that takes the place of ``portunus-server reset``."""
        return self.fleet.module(RESET, {"path": path, "confirm": confirm}, limit="host1", **options)

    def install(self, schema):
        """Another version of the server, which is started the next time."""
        self.server.unit(["PORTUNUS_SCHEMA=%d" % schema])

    def state(self):
        """Everything in the data directory, to the byte."""
        folder = self.server.outer()
        return {name: self.server.host.read("%s/%s" % (ROOT, name)) for name in os.listdir(folder)}

    def health(self, server=None):
        """What the server answers."""
        return json.loads((server or self.server).answer("/"))


@pytest.fixture(scope="module", name="story")
def server_with_traffic():
    with Fleet(2, systemd=["host1", "host2"]) as fleet:
        story = Story(fleet)
        fleet.write_inventory({"appstate_apps": [APP]})
        story.server.make()
        for server in (story.server, story.other):
            server.unit()
        story.server.start()
        yield story


@pytest.fixture(scope="module", name="taken")
def backup_while_traffic_flows(story):
    run = story.fleet.playbook(BACKUP, limit="host1").ok()
    before = traffic(story)
    time.sleep(0.3)
    assert traffic(story) > before
    return run


def traffic(story):
    return int(story.server.sql("state.db", "SELECT count(*) FROM traffic"))


def understood(schema):
    """The command by which a version of the server says how new a schema may be."""
    return ["env", "PORTUNUS_SCHEMA=%d" % schema, PROGRAM, "max_schema", ROOT]


def beside(story):
    """TLS material and settings: bytes, mode and when they were written."""
    found = {}
    for name in BESIDE:
        status = os.stat(story.server.outer(name))
        found[name] = (story.server.host.read("%s/%s" % (ROOT, name)), stat.S_IMODE(status.st_mode), status.st_mtime_ns)
    return found


def test_a_backup_of_three_lines_tells_the_version_of_the_schema(story, taken):
    (manifest,) = story.backups.manifests()
    assert manifest["schema_version"] == 9
    assert source(manifest, "state.db")["passport"]["tables"]["forwards"] == 30
    story.server.host.run(["mkdir", "/root/look"])
    story.server.host.run(["tar", "-xf", story.backups.archive(), "-C", "/root/look"])
    verify = "SELECT version FROM schema_migrations ORDER BY version DESC LIMIT 1;"
    assert story.server.host.run(["sqlite3", "/root/look/state.db", verify]).stdout == "9\n"


def test_a_backup_has_tls_material_and_settings_and_no_lock(story, taken):
    listed = [name for name in story.backups.listed() if not name.startswith(".appstate/")]
    assert sorted(listed) == ["server.crt", "server.key", "server.toml", "state.db"]


def test_a_second_backup_overwrites_nothing(story, taken):
    folder = story.backups.folder + "/"
    before = {name: story.server.host.read(folder + name) for name in story.backups.published()}
    story.backup().ok()
    assert len(story.backups.published()) == 2 * len(before)
    assert all(story.server.host.read(folder + name) == text for name, text in before.items())


def test_reset_without_confirm_only_says_what_would_go(story, taken):
    state = set(story.state())
    run = story.reset(confirm=False).ok()
    (result,) = run.results(RESET)
    assert not result["changed"] and set(story.state()) == state and story.server.active()
    assert set(result["would_remove"]) >= {DATABASE, DATABASE + "-wal", DATABASE + "-shm", DATABASE + ".lock"}


def test_reset_beside_a_running_server_is_refused_and_names_it(story, taken):
    run = story.reset()
    assert run.returncode != 0 and "state.db" in said(run, RESET) and "portunus" in said(run, RESET)
    assert story.health()["clients"] == 30


def test_reset_removes_the_database_its_sidecars_and_the_lock_and_leaves_tls_material(story, taken):
    before = beside(story)
    story.server.host.run(["systemctl", "kill", "--kill-whom=main", "--signal=KILL", "portunus-server"])
    assert {"state.db", "state.db-wal", "state.db-shm", "state.db.lock"} <= set(story.state())
    assert story.reset().ok().results(RESET)[0]["changed"]
    assert set(story.state()) == set(BESIDE) and beside(story) == before


def test_reset_on_an_empty_data_directory_does_nothing(story, taken):
    assert not story.reset().ok().results(RESET)[0]["changed"]


def test_reset_refuses_a_file_that_is_no_database(story, taken):
    run = story.reset(ROOT + "/server.key")
    assert run.returncode != 0 and "server.key" in said(run, RESET)
    assert story.server.host.read(ROOT + "/server.key") == b"key\n"


def test_stop_reset_restore_start_brings_every_client_back(story, taken):
    """The procedure of the page, in its order, with an older program's schema left as it is."""
    story.restore().ok()
    assert story.health() == {"status": "ok", "schema": 9, "clients": 30, "forwards": 30}
    assert story.server.host.run(["stat", "-c", "%U %a", DATABASE]).stdout == "portunus 600\n"


def test_a_restore_over_a_live_state_moves_the_lock_and_the_journals_aside(story, taken):
    story.server.sql("state.db", "DELETE FROM clients WHERE id > 3")
    story.server.host.run(["systemctl", "kill", "--kill-whom=main", "--signal=KILL", "portunus-server"])
    story.server.host.run(["rm", ROOT + "/server.crt"])
    run = story.restore().ok()
    aside = next(told["moved_aside"] for told in run.results(MODULE, status="ok") if told.get("moved_aside"))
    names = {os.path.relpath(re.sub(r"\.before-restore-[0-9TZ]+", "", path), ROOT) for path in aside}
    assert {"state.db", "state.db-wal", "state.db-shm", "state.db.lock", "server.key"} <= names, aside
    assert story.health()["clients"] == 30 and story.server.host.read(ROOT + "/server.crt") == b"certificate\n"


def test_a_restore_of_the_database_alone_leaves_tls_material_untouched(story, taken):
    before = beside(story)
    story.restore(restore_only=["state.db"]).ok()
    assert beside(story) == before and story.health()["clients"] == 30


def test_an_older_schema_is_restored_with_a_note_and_the_server_migrates_it(story, taken):
    story.install(10)
    run = story.restore(dict(APP, version_max={"argv": understood(10)})).ok()
    assert "migrat" in said(run, MODULE, "ok"), said(run, MODULE, "ok")
    story.server.wait()
    assert story.health()["schema"] == 10


def test_a_newer_schema_is_refused_with_78_before_anything_is_touched(story, taken):
    started = story.server.host.run(["systemctl", "show", "-p", "MainPID", "portunus-server"]).stdout
    state = set(story.state())
    run = story.restore(dict(APP, version_max={"argv": understood(8)}))
    (result,) = run.results(MODULE, status="failed")
    assert result["exit_code"] == 78 and result["error"]["event"] == "schema_version_too_new", result
    assert "portunus" in result["msg"] and "9" in result["msg"] and "8" in result["msg"], result["msg"]
    assert set(story.state()) == state
    assert story.server.host.run(["systemctl", "show", "-p", "MainPID", "portunus-server"]).stdout == started


def test_a_server_that_refuses_the_restored_schema_gets_its_old_state_back(story, taken):
    """Nobody has said what the installed program understands; the server itself ends with 78."""
    story.server.stop()
    story.reset().ok()
    story.install(8)
    story.server.make("8", environment=["PORTUNUS_SCHEMA=8"])
    story.server.start()
    run = story.restore(dict(APP, health={"url": "http://localhost:8445/", "retries": 3, "delay": 0.3}))
    assert run.returncode != 0 and "startup.schema_version_too_new" in story.server.journal()
    story.server.wait()
    assert story.health()["schema"] == 8 and not [name for name in story.state() if ".before-restore-" in name]
    story.install(9)
    story.server.stop()
    story.server.start()


def test_a_second_process_on_the_store_is_named_and_nothing_is_restored(story, taken):
    holder = story.server.host.start(["sh", "-c", "exec 3<%s; exec sleep 60" % DATABASE], user="portunus")
    time.sleep(0.3)
    run = story.restore()
    holder.kill()
    holder.wait()
    (result,) = run.results(MODULE, status="failed")
    assert result["exit_code"] == 75 and DATABASE in result["msg"] and "sleep" in result["msg"], result
    story.server.wait()
    assert story.health()["schema"] == 9


def test_what_its_own_backup_command_wrote_is_restored(story, taken):
    story.server.host.run([PROGRAM, "backup", ROOT, "/root/portunus-backup-2026-05-08.db"])
    story.server.sql("state.db", "DELETE FROM clients")
    story.restore(restore_archive="/root/portunus-backup-2026-05-08.db").ok()
    story.server.wait()
    assert story.health()["forwards"] == 30


def test_a_data_directory_on_tmpfs_is_refused(story, taken):
    host = story.server.host
    host.run(["sh", "-c", "mkdir /srv/memory && mount -t tmpfs tmpfs /srv/memory && cp -a %s/. /srv/memory" % ROOT])
    run = story.backup(root="/srv/memory")
    assert run.returncode != 0 and "tmpfs" in said(run, BACKUP) and "/srv/memory" in said(run, BACKUP)


def test_the_state_is_taken_to_another_host(story, taken):
    story.server.host.write(ROOT + "/identity.json", "{}", mode=0o600)
    story.server.host.run(["chown", "portunus:", ROOT + "/identity.json"])
    story.backup().ok()
    archive = story.backups.archive()
    for name in story.backups.published():
        content = story.server.host.read("%s/%s" % (story.backups.folder, name))
        story.other.host.write("/root/" + name, content, mode=0o600)
    story.other.host.run(["rmdir", ROOT])
    story.other.host.run(["install", "-d", "-o", "portunus", "-g", "portunus", ROOT])
    story.restore(limit="host2", restore_archive="/root/" + os.path.basename(archive)).ok()
    story.other.wait()
    assert story.health(story.other)["forwards"] == 30
    told = story.other.host.run(["stat", "-c", "%n %U %a", ROOT + "/identity.json", ROOT + "/server.key", DATABASE])
    assert [line.split()[1:] for line in told.stdout.splitlines()] == [["portunus", "600"]] * 3
