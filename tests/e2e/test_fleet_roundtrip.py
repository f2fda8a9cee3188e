# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Five hosts over ssh, two live applications on each, one in WAL and one in DELETE journal mode.

One story, told in order: the backup playbook runs while all ten applications write; then each state is damaged, the
restore playbook brings it back, undoes that, does it again for good, and goes back in time.
"""

from __future__ import annotations

import os
import random
import re
import stat
import time
from datetime import datetime, timedelta

import pytest
from hosts.fleet import Fleet
from ledgers import CLUB, OWNER, SCRIPTOR, SUM, Ledger, passport, rows
from trees import below, without_times

BACKUP = "appstate.backup.backup"
RESTORE = "appstate.backup.restore"
HOSTS = ["host%d" % number for number in range(1, 6)]
# What an application writes to while it is backed up, so that it is no constant of the test.
GROWING = (b"public/uploads/receipts", b"public/uploads/growing.log", b"storage/files/receipts",
           b"storage/files/growing.log")
LEFT_OUT = (b"public/uploads/draft.part", b"storage/files/draft.part")
KEPT = {"scriptor": (b"public/uploads", b"data/settings/custom.scriptor-config.php"),
        "club": (b"storage/files", b"settings.json")}
INDEX_LEAF = 0x0A  # https://sqlite.org/fileformat2.html#b_tree_pages
ASIDE = re.compile(rb"\.before-restore-[0-9TZ]+")
# Directories in which a restore renames things: their times are not part of any source.
AROUND = {b".", b"data", b"data/settings", b"public", b"storage"}


def journal(name, number):
    """Every host has both modes, and every application has both over the fleet."""
    return "wal" if (number % 2 == 1) == (name == "scriptor") else "delete"


class Story:
    """The fleet and what is remembered of it between the steps."""

    def __init__(self, fleet):
        self.fleet = fleet
        self.ledgers = {(host.name, layout["name"]): Ledger(host, layout) for host in fleet
                        for layout in (SCRIPTOR, CLUB)}
        self.before = {}
        self.after = {}
        self.trees = {}
        self.damaged = {}
        self.runs = {}

    def of(self, name):
        """The ledgers of one application, in the order of their hosts."""
        return [self.ledgers[host, name] for host in HOSTS]


@pytest.fixture(scope="module", name="story")
def writing_fleet():
    with Fleet(5) as fleet:
        story = Story(fleet)
        fleet.write_inventory({"appstate_apps": [Ledger(None, layout).app() for layout in (SCRIPTOR, CLUB)]})
        for (_host, name), ledger in story.ledgers.items():
            ledger.install(journal(name, HOSTS.index(ledger.host.name) + 1))
        for ledger in story.ledgers.values():
            ledger.start()
        for ledger in story.ledgers.values():
            ledger.wait_for_writes()
        yield story


@pytest.fixture(scope="module", name="taken")
def backup_beside_writers(story):
    for key, ledger in story.ledgers.items():
        story.before[key] = ledger.report()
        story.trees[key] = ledger.tree()
    run = story.fleet.playbook(BACKUP).ok()
    for key, ledger in story.ledgers.items():
        story.after[key] = ledger.report()
        story.runs[key] = set(story.after[key]["runs"])
    return run


@pytest.fixture(scope="module", name="restored")
def damage_and_restore(story, taken):
    for ledger in story.of("scriptor") + story.of("club"):
        ledger.stop()
        ledger.set_flag("hold")
        damage(ledger)
        story.damaged[ledger.host.name, ledger.name] = ledger.tree()
    runs = {}
    for name in ("scriptor", "club"):
        runs[name] = story.fleet.playbook(RESTORE, {"restore_app": name}).ok()
        for ledger in story.of(name):
            ledger.set_flag("hold", False)
    return runs


def damage(ledger):
    """A different misfortune on each host, with the application stopped so that the test knows what it was."""
    database = ledger.layout["database"]
    number = HOSTS.index(ledger.host.name)
    if number == 0:
        ledger.host.run(["sqlite3", os.path.join(ledger.root, database),
                         "DELETE FROM transfers WHERE id > 100; UPDATE accounts SET balance = 0;"], user=OWNER)
        os.remove(ledger.outer(ledger.layout["uploads"] + "/report final.txt"))
    elif number == 1:
        with open(ledger.outer(database), "r+b") as stream:
            stream.write(random.Random(1).randbytes(200_000))
    elif number == 2:
        os.remove(ledger.outer(database))
        ledger.host.run(["rm", "-rf", os.path.join(ledger.root, ledger.layout["uploads"])])
    elif number == 3:
        os.truncate(ledger.outer(database), 5000)
        ledger.host.run(["chown", "-R", "root:root", ledger.root])
        ledger.host.run(["chmod", "-R", "go=", ledger.root])
        # The directories above the sources belong to no backup: they are put right by hand.
        ledger.host.run(["sh", "-c", 'find "$0" -maxdepth 2 -type d -exec chown www-data: {} + -exec chmod 0755 {} +',
                         ledger.root])
    else:
        os.remove(ledger.outer(ledger.layout["settings"]))
        ledger.host.write(os.path.join(ledger.root, ledger.layout["uploads"], "not in the backup"), "new")
        ledger.host.write(os.path.join(ledger.root, ledger.layout["uploads"], "report final.txt"), "overwritten")


def test_the_backup_ran_while_every_application_wrote(story, taken):
    for key in story.ledgers:
        assert rows(story.after[key]) > rows(story.before[key]) + 20, key
    assert all(taken.recap()[host]["changed"] for host, unused in story.ledgers)


def test_each_backup_is_one_moment_of_the_writer(story, taken):
    for key, ledger in story.ledgers.items():
        (manifest,) = ledger.manifests()
        told = passport(manifest)
        assert rows(story.before[key]) <= told["tables"]["transfers"] <= rows(story.after[key]), key
        assert told["tables"]["accounts"] == 50
        assert (told["user_version"], told["application_id"]) == (7, 1280590663)
        assert told["journal_mode"] == journal(key[1], HOSTS.index(key[0]) + 1) or told["journal_mode"] == "rollback"
        assert manifest["host"] == key[0] and manifest["verified"]["level"] == "content"


def test_backups_and_their_folder_are_for_root_alone(story, taken):
    for ledger in story.ledgers.values():
        folder = ledger.host.path("/var/backups/" + ledger.name)
        assert len(ledger.published()) == 2, ledger.published()
        for path, mode in [(folder, 0o700)] + [(os.path.join(folder, name), 0o600) for name in ledger.published()]:
            status = os.stat(path)
            assert (stat.S_IMODE(status.st_mode), status.st_uid) == (mode, 0), path


def test_the_live_state_was_not_touched_by_the_backup(story, taken):
    for (host, name), ledger in story.ledgers.items():
        now = below(ledger.tree(), *KEPT[name], leave_out=GROWING)
        assert now == below(story.trees[host, name], *KEPT[name], leave_out=GROWING)
        assert story.after[host, name]["journal_mode"] == journal(name, HOSTS.index(host) + 1)


def test_the_playbook_told_each_backup(story, taken):
    told = {(event["host"], result["backup"]["app"]) for event in taken.events if event["action"] == BACKUP
            for result in event["result"].get("results", [event["result"]])}
    assert told == set(story.ledgers)


def test_gnu_tar_reads_the_archive(story, taken):
    ledger = story.ledgers["host1", "scriptor"]
    (archive,) = [name for name in ledger.published() if not name.endswith(".json")]
    listed = ledger.host.run(["tar", "-tf", "/var/backups/scriptor/" + archive]).stdout.splitlines()
    assert listed[0] == "data/imanager.db"
    assert listed[-2:] == [".appstate/members.jsonl", ".appstate/manifest.json"]
    assert "public/uploads/this year" in listed and not any("draft.part" in name for name in listed)


def test_every_restored_sum_holds_and_no_row_is_missing_or_new(story, restored):
    for key, ledger in story.ledgers.items():
        report = ledger.report()
        assert (report["sum"], report["integrity"]) == (SUM, "ok"), key
        assert rows(report, story.runs[key]) == passport(ledger.manifests()[0])["tables"]["transfers"], key
        assert report["journal_mode"] == journal(key[1], HOSTS.index(key[0]) + 1), key
        assert (report["user_version"], report["application_id"]) == (7, 1280590663)


def test_every_receipt_that_a_restored_row_names_is_there(story, restored):
    for key, ledger in story.ledgers.items():
        names = [name for name in ledger.report()["receipts"] if name.split("-")[0] in story.runs[key]]
        assert names, key
        for name in names:
            assert os.path.getsize(ledger.outer(ledger.layout["uploads"] + "/receipts/" + name)) > 0


def test_files_came_back_to_the_byte_with_owner_mode_and_time(story, restored):
    for (host, name), ledger in story.ledgers.items():
        wanted = below(story.trees[host, name], *KEPT[name], leave_out=GROWING + LEFT_OUT)
        assert len(wanted) > 170
        assert below(ledger.tree(), *KEPT[name], leave_out=GROWING) == wanted, (host, name)


def test_the_database_came_back_with_its_owner_and_mode(story, restored):
    for key, ledger in story.ledgers.items():
        told = ledger.host.run(["stat", "-c", "%U:%G %a", os.path.join(ledger.root, ledger.layout["database"])]).stdout
        assert told == "www-data:www-data 640\n", key


def test_what_was_live_before_was_moved_aside_whole(story, restored):
    for (host, name), ledger in story.ledgers.items():
        (result,) = [told for told in restored[name].results("appstate.backup.backup_restore", host)
                     if told.get("state") == "restored"]
        assert result["moved_aside"] and all(os.path.lexists(ledger.host.path(path)) for path in result["moved_aside"])
        aside = {ASIDE.sub(b"", path): entry for path, entry in ledger.tree().items() if ASIDE.search(path)}
        database = ledger.layout["database"].encode()
        state = KEPT[name] + tuple(database + suffix for suffix in (b"", b"-wal", b"-shm", b"-journal"))
        assert aside == below(story.damaged[host, name], *state), (host, name)


def test_the_closing_message_says_where_the_old_state_is(story, restored):
    for name in ("scriptor", "club"):
        for host in HOSTS:
            said = " ".join(repr(result.get("msg")) for result in
                            restored[name].results("ansible.builtin.debug", host, "ok"))
            assert ".before-restore-" in said and name in said, said


def test_the_application_was_started_again(story, restored):
    for ledger in story.ledgers.values():
        ledger.wait_for_writes(5)


def test_rolling_back_brings_the_old_state_back_to_the_byte(story, restored):
    for ledger in story.of("scriptor"):
        ledger.stop()
        ledger.set_flag("hold")
        ledger.start()
    story.fleet.playbook(RESTORE, {"restore_app": "scriptor", "restore_state": "rolled_back"}).ok()
    for ledger in story.of("scriptor"):
        damaged = story.damaged[ledger.host.name, "scriptor"]
        assert without_times(ledger.tree(), AROUND) == without_times(damaged, AROUND), ledger.host.name
    again = story.fleet.playbook(RESTORE, {"restore_app": "scriptor", "restore_state": "rolled_back"}).ok()
    assert not any(counts["changed"] for counts in again.recap().values())


def test_committing_removes_what_was_set_aside_and_nothing_else(story, restored):
    live = {host: below(story.ledgers[host, "club"].tree(), *KEPT["club"], leave_out=GROWING) for host in HOSTS}
    story.fleet.playbook(RESTORE, {"restore_app": "club", "restore_state": "committed"}).ok()
    for ledger in story.of("club"):
        now = ledger.tree()
        assert not [path for path in now if b".before-restore-" in path or b".appstate" in path]
        assert below(now, *KEPT["club"], leave_out=GROWING) == live[ledger.host.name]
        ledger.wait_for_writes(5)
    again = story.fleet.playbook(RESTORE, {"restore_app": "club", "restore_state": "committed"}).ok()
    assert not any(counts["changed"] for counts in again.recap().values())


def corrupt_an_index(path):
    """Change one key in an index: every query of the app's assertions still gives what it gave."""
    with open(path, "rb") as stream:
        content = stream.read()
    size = int.from_bytes(content[16:18], "big")
    leaf = next(start for start in range(size, len(content), size) if content[start] == INDEX_LEAF)
    key = re.compile(rb"[0-9a-f]{16}").search(content, leaf).start()
    with open(path, "r+b") as stream:
        stream.seek(key)
        stream.write(b"g")


def test_one_corrupt_database_harms_no_other_host_and_is_never_published(story, restored):
    broken = story.ledgers["host3", "club"]
    broken.stop()
    corrupt_an_index(broken.outer(broken.layout["database"]))
    published = broken.published()
    time.sleep(1.1)  # identifiers count seconds
    run = story.fleet.playbook(BACKUP, {"backup_apps": ["club"]})
    assert run.returncode != 0 and run.failed_hosts() == {"host3"}
    assert broken.published() == published
    assert "club" in run.text and "/srv/club/club.sqlite3" in run.text
    for ledger in story.of("club"):
        if ledger is not broken:
            assert len(ledger.manifests()) == 2, ledger.host.name


def test_restore_before_goes_back_to_the_older_backup(story, restored):
    ledger = story.ledgers["host1", "club"]
    first, second = ledger.manifests()
    moment = datetime.fromisoformat(second["created"].replace("Z", "+00:00")) - timedelta(seconds=1)
    run = story.fleet.playbook(RESTORE, {"restore_app": "club", "restore_before": moment.isoformat()}, limit="host1")
    run.ok()
    (result,) = run.results("appstate.backup.backup_restore", status="ok")[-1:]
    assert result["backup"]["id"] == first["id"]
    report = ledger.report()
    assert report["sum"] == SUM
    assert rows(report, story.runs["host1", "club"]) == passport(first)["tables"]["transfers"]


def test_a_time_before_every_backup_changes_nothing(story, restored):
    ledger = story.ledgers["host2", "club"]
    ledger.stop()
    ledger.set_flag("hold")
    state = ledger.tree()
    run = story.fleet.playbook(RESTORE, {"restore_app": "club", "restore_before": "2020-01-01T00:00:00Z"},
                               limit="host2")
    assert run.returncode != 0 and "club" in run.text and "2020-01-01" in run.text
    assert ledger.tree() == state
