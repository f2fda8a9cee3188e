# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Archives that an operator's shell recipe made, restored through the playbook."""

from __future__ import annotations

import os

import pytest
from hosts.fleet import Fleet
from ledgers import OWNER, SCRIPTOR, SUM, Ledger, rows
from trees import below, without_times

RESTORE = "appstate.backup.restore"
MODULE = "appstate.backup.backup_restore"
FILES = (b"public/uploads", b"data/settings/custom.scriptor-config.php")
# Each makes /root/old/NAME beside a stopped application whose last rows are only in its -wal.
RECIPES = {
    "plain.tgz": """
        sqlite3 data/imanager.db ".backup '/root/old/snapshot.db'"
        mkdir -p /root/old/tree/data && cp -p /root/old/snapshot.db /root/old/tree/data/imanager.db
        tar czf /root/old/plain.tgz -C /root/old/tree data/imanager.db \
            -C /opt/scriptor public/uploads data/settings/custom.scriptor-config.php""",
    "cold.tar.gz": """
        tar czf /root/old/cold.tar.gz ./data/imanager.db ./data/imanager.db-wal ./data/imanager.db-shm \
            ./public/uploads/ ./data/settings/custom.scriptor-config.php""",
    "imanager.db": "sqlite3 data/imanager.db \"VACUUM INTO '/root/old/imanager.db'\"",
    "imanager.db.gz": """
        sqlite3 data/imanager.db ".backup '/root/old/to-pack.db'"
        gzip -c /root/old/to-pack.db >/root/old/imanager.db.gz""",
}
# The recipe of an application's own manual: its --transform never matches, so the archive has no data/imanager.db.
WITHOUT_DATABASE = """
    SNAPSHOT=/tmp/imanager.db.snapshot.$$
    sqlite3 data/imanager.db ".backup '$SNAPSHOT'"
    tar czf /root/old/broken.tgz -C /opt/scriptor --transform "s|$SNAPSHOT|data/imanager.db|" "$SNAPSHOT" \
        public/uploads/ data/settings/custom.scriptor-config.php"""


@pytest.fixture(scope="module", name="stopped")
def stopped_application():
    with Fleet(1) as fleet:
        fleet.write_inventory({"appstate_apps": [Ledger(None, SCRIPTOR).app()]})
        ledger = Ledger(fleet["host1"], SCRIPTOR).install("wal")
        ledger.start()
        ledger.wait_for_writes()
        ledger.set_flag("hold")
        ledger.host.run(["kill", "-9", str(ledger.pid())])
        ledger.host.run(["mkdir", "-m", "0700", "/root/old"])
        ledger.host.run(["cp", "-a", "/opt/scriptor", "/root/as-it-was"])
        yield fleet, ledger


def restore(fleet, name):
    return fleet.playbook(RESTORE, {"restore_app": "scriptor", "restore_archive": "/root/old/" + name})


def make(ledger, recipe):
    """Run a recipe on the state as it was before any restore, put into the live place again."""
    again = "rm -rf /opt/scriptor /var/lib/appstate-backup; cp -a /root/as-it-was /opt/scriptor; cd /opt/scriptor\n"
    ledger.host.run(["sh", "-euc", again + recipe])


@pytest.mark.parametrize("name", RECIPES)
def test_what_an_old_recipe_made_is_restored(stopped, name):
    fleet, ledger = stopped
    make(ledger, RECIPES[name])
    wanted, files = ledger.report(), below(ledger.tree(), *FILES)
    ledger.host.run(["sqlite3", "/opt/scriptor/data/imanager.db", "DELETE FROM transfers"], user=OWNER)
    os.remove(ledger.outer("public/uploads/report final.txt"))
    restore(fleet, name).ok()
    report = ledger.report()
    assert (rows(report), report["sum"], report["integrity"]) == (rows(wanted), SUM, "ok")
    if "tar" in name or "tgz" in name:
        # Such an archive knows whole seconds at the most.
        now = below(ledger.tree(), *FILES)
        assert without_times(now, set(now)) == without_times(files, set(files))


def test_a_database_under_another_name_is_found_and_the_operator_is_told(stopped):
    fleet, ledger = stopped
    make(ledger, WITHOUT_DATABASE)
    wanted = rows(ledger.report())
    ledger.host.run(["sqlite3", "/opt/scriptor/data/imanager.db", "DELETE FROM transfers WHERE id > 100"], user=OWNER)
    run = restore(fleet, "broken.tgz").ok()
    assert rows(ledger.report()) == wanted
    (told,) = [text for text in run.results(MODULE, status="ok")[-1]["warnings"] if "imanager.db.snapshot" in text]
    assert "data/imanager.db" in told
