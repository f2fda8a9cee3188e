# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Opstage CE by its profile: what its own page says about backups and versions, and its download over real TLS.

One story, told in order. Upgrades, and the way back, have a file of their own.
"""

from __future__ import annotations

import json
import time

import pytest
from hosts.certificates import Certificates
from hosts.fleet import Fleet
from systems import BACKUP, DESTINATION, MODULE, RESTORE, Backups, System, said, source

ROOT = "/app/data"
TLS = "/etc/opstage"
OWNER_TOKEN = "owner-token-1234567890"
HEADERS = "/etc/opstage-backup-headers"
SERVICE = {"service": {"name": "opstage"},
           "health": {"url": "https://localhost:8443/api/system/health", "validate_certs": False, "delay": 0.3,
                      "retries": 20}}
APP = dict({"name": "opstage", "profile": "opstage", "destination": DESTINATION}, **SERVICE)
NEWEST = 20260405080000
DOWNLOAD = {"type": "http", "replaces": "opstage.db", "path": "opstage.db", "format": "sqlite",
            "url": "https://localhost:8443/api/system/backup/sqlite", "headers_file": HEADERS,
            "ca_file": TLS + "/authority.crt",
            "assertions": [{"sql": "SELECT count(*) FROM Service", "min": 1}]}
BY_DOWNLOAD = dict(APP, name="opstage-download", sources=[DOWNLOAD])


class Story:
    """The fleet and the console."""

    def __init__(self, fleet):
        self.fleet = fleet
        self.host = fleet["host1"]
        self.console = System(self.host, "opstage", ROOT, "opstage", "opstage", 8443)
        self.console.scheme = "https"
        self.backups = Backups(self.host, "opstage")
        self.downloads = Backups(self.host, "opstage-download")
        Certificates(self.host, TLS, ["localhost", "127.0.0.1"], "opstage")
        self.host.write(HEADERS, "Authorization: Bearer %s\n" % OWNER_TOKEN, mode=0o600)

    def install(self, migrations=3):
        """A version of the console, which is started the next time."""
        self.console.unit(["OPSTAGE_TLS=" + TLS, "OPSTAGE_MIGRATIONS=%d" % migrations])

    def backup(self, app=None):
        """Run the backup playbook."""
        time.sleep(1.1)
        return self.fleet.playbook(BACKUP, {"appstate_apps": [app or APP]})

    def restore(self, app=None, **variables):
        """Run the restore playbook, for good where it goes well."""
        app = app or APP
        told = {"appstate_apps": [app], "restore_app": app["name"], "restore_commit": True}
        return self.fleet.playbook(RESTORE, dict(told, **variables))

    def health(self):
        """What the console says in Settings, Diagnostics."""
        return json.loads(self.console.answer("/api/system/health", "--cacert", TLS + "/authority.crt"))

    def audited(self):
        """How often a backup was written down in the audit log."""
        query = "SELECT count(*) FROM AuditEvent WHERE action = 'backup.sqlite.created'"
        return int(self.console.sql("opstage.db", query))

    def wreck(self):
        """Lose all services, with the console stopped."""
        self.console.stop()
        self.console.sql("opstage.db", "DELETE FROM Service; DELETE FROM Agent")


@pytest.fixture(scope="module", name="story")
def console_with_agents():
    with Fleet(1, systemd=["host1"]) as fleet:
        story = Story(fleet)
        # curl of the tests trusts the authority, as the console's users do.
        story.host.write("/root/.curlrc", "cacert = %s/authority.crt\n" % TLS)
        fleet.write_inventory({"appstate_apps": [APP]})
        story.console.make()
        story.install()
        story.console.start()
        yield story


@pytest.fixture(scope="module", name="taken")
def backup_beside_agents(story):
    return story.fleet.playbook(BACKUP).ok()


def test_a_backup_has_the_database_alone_and_its_migration(story, taken):
    assert [name for name in story.backups.listed() if not name.startswith(".appstate/")] == ["opstage.db"]
    (manifest,) = story.backups.manifests()
    assert manifest["schema_version"] == NEWEST
    assert source(manifest, "opstage.db")["passport"]["tables"]["Service"] == 40


def test_a_restore_brings_every_service_back(story, taken):
    story.wreck()
    story.restore().ok()
    assert story.health() == {"status": "ok", "migration": "20260405080000_audit", "version": "1.4.0", "services": 40}
    assert story.host.read(ROOT + "/backups/opstage-by-hand.db")
    assert story.host.run(["stat", "-c", "%U", ROOT + "/opstage.db"]).stdout == "opstage\n"


def test_a_copy_at_rest_is_restored(story, taken):
    """As the page says: the console stopped, ``cp``, the console started."""
    story.console.stop()
    story.host.run(["cp", ROOT + "/opstage.db", "/root/opstage-2026-05-20.db"])
    story.wreck()
    story.restore(restore_archive="/root/opstage-2026-05-20.db").ok()
    assert story.health()["services"] == 40


def test_an_older_backup_in_a_newer_console_is_restored_with_a_note_and_migrated(story, taken):
    older = dict(APP, version_max=NEWEST + 1)
    story.console.stop()
    story.console.sql("opstage.db", "DELETE FROM _prisma_migrations WHERE migration_name LIKE '%_audit'")
    story.backup().ok()
    story.console.start()
    assert story.health()["migration"].endswith("_audit")
    run = story.restore(older).ok()
    assert "migrat" in said(run, MODULE, "ok"), said(run, MODULE, "ok")
    assert story.health()["migration"].endswith("_audit")


def test_a_newer_backup_in_an_older_console_is_refused_with_78(story, taken):
    which = story.backups.manifests()[0]["id"]
    run = story.restore(dict(APP, version_max=20260214120000), restore_which=which)
    (result,) = run.results(MODULE, status="failed")
    assert (result["exit_code"], result["error"]["event"]) == (78, "schema_version_too_new")
    assert str(NEWEST) in result["msg"] and story.console.active() and story.health()["services"] == 40


def test_the_download_is_a_backup_and_is_audited(story, taken):
    before = story.audited()
    run = story.backup(BY_DOWNLOAD).ok()
    assert story.audited() == before + 1
    assert OWNER_TOKEN not in run.text and OWNER_TOKEN not in json.dumps(story.downloads.manifests())
    (manifest,) = story.downloads.manifests()
    assert source(manifest, "opstage.db")["passport"]["tables"]["Service"] == 40
    assert manifest["schema_version"] == NEWEST


def test_what_was_downloaded_is_restored(story, taken):
    story.wreck()
    story.restore(BY_DOWNLOAD).ok()
    assert story.health()["services"] == 40


def test_the_token_of_a_vault_is_shown_to_nobody(story, taken):
    direct = {key: value for key, value in DOWNLOAD.items() if key != "headers_file"}
    direct["headers"] = {"Authorization": "Bearer " + OWNER_TOKEN}
    time.sleep(1.1)
    run = story.fleet.playbook(BACKUP, {"appstate_apps": [dict(BY_DOWNLOAD, sources=[direct])]}, diff=True,
                               arguments=["-vvv"]).ok()
    assert OWNER_TOKEN not in json.dumps(run.events)
    journal = story.host.run(["journalctl", "--no-pager"]).stdout
    assert OWNER_TOKEN not in journal and "backup" in journal


@pytest.fixture(scope="module", name="refused")
def eight_misfortunes_in_one_run(story, taken):
    for name, header in (("wrong", "wrong"), ("viewer", "viewer-token-123456789")):
        story.host.write("/etc/opstage-%s-headers" % name, "Authorization: Bearer %s\n" % header, mode=0o600)
    apps = [dict(BY_DOWNLOAD, name=name, sources=[dict(DOWNLOAD, **change)]) for name, change, _word in MISFORTUNES]
    run = story.fleet.playbook(BACKUP, {"appstate_apps": apps})
    assert run.returncode != 0 and OWNER_TOKEN not in run.text
    (told,) = run.results(BACKUP, status="failed")
    return {result["_ansible_item_label"]: result["msg"] for result in told["results"]}


MISFORTUNES = [
    ("wrong-token", {"headers_file": "/etc/opstage-wrong-headers"}, "401"),
    ("no-owner", {"headers_file": "/etc/opstage-viewer-headers"}, "403"),
    ("failing", {"url": DOWNLOAD["url"] + "/500"}, "500"),
    ("html", {"url": DOWNLOAD["url"] + "/html"}, "HTML"),
    ("cut", {"url": DOWNLOAD["url"] + "/cut"}, "bytes"),
    ("slow", {"url": DOWNLOAD["url"] + "/slow", "timeout": 2}, "for 2 s"),
    ("too-much", {"max_size": 8192}, "max_size"),
    ("unknown-authority", {"ca_file": None}, "certificate")]


@pytest.mark.parametrize("name, word", [(name, word) for name, _change, word in MISFORTUNES],
                         ids=[name for name, _change, _word in MISFORTUNES])
def test_what_is_no_database_is_never_a_backup(story, refused, name, word):
    told = refused[name]
    assert name in told and "https://localhost:8443" in told and word in told, told
    assert Backups(story.host, name).published() == []
