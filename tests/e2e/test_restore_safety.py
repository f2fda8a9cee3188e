# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a restore and a backup must never do to a live application, through the playbooks and over ssh."""

from __future__ import annotations

import os
import shutil
import threading
import time

import pytest
from hosts.fleet import Fleet
from ledgers import OWNER, PROGRAM, SCRIPTOR, SUM, Ledger, passport, rows
from trees import below, tree, without_times

BACKUP = "appstate.backup.backup"
RESTORE = "appstate.backup.restore"
MODULE = "appstate.backup.backup_restore"
KEPT = (b"public/uploads", b"data/settings/custom.scriptor-config.php")
# What the application writes to while it runs.
WRITTEN = (b"public/uploads/receipts", b"public/uploads/growing.log")
PART = b"public/uploads/draft.part"
AROUND = {b".", b"data", b"data/settings", b"public"}


@pytest.fixture(scope="module", name="fleet")
def three_hosts_with_a_backup():
    """Each host has a WAL database and a backup of it; host3 has nothing at all yet."""
    with Fleet(3) as fleet:
        fleet.write_inventory({"appstate_apps": [Ledger(None, SCRIPTOR).app()]})
        for host in fleet.hosts[:2]:
            ledger = Ledger(host, SCRIPTOR).install("wal")
            ledger.start()
            ledger.wait_for_writes()
        fleet.playbook(BACKUP, limit="host1,host2").ok()
        yield fleet


@pytest.fixture(name="ledger", params=["host1"])
def ledger_of_a_host(fleet, request):
    """The application on a host, running and writing; afterwards free of flags and of unfinished restores."""
    ledger = Ledger(fleet[request.param], SCRIPTOR)
    ledger.stop()
    ledger.start()
    ledger.wait_for_writes(1)
    yield ledger
    for word in ("hold", "broken", "stubborn"):
        ledger.set_flag(word, False)
    if any(b".before-restore-" in path for path in ledger.tree()):
        fleet.module(MODULE, {"app": ledger.app(), "state": "committed"}, limit=ledger.host.name).ok()


def halt(ledger):
    """Kill the application where it stands, so that its -wal and -shm stay behind, and keep it from writing again."""
    ledger.set_flag("hold")
    ledger.host.run(["kill", "-9", str(ledger.pid())])
    ledger.stop()
    assert os.path.getsize(ledger.outer("data/imanager.db-wal")) > 0


def restore(fleet, ledger, **variables):
    return fleet.playbook(RESTORE, dict(variables, restore_app="scriptor"), limit=ledger.host.name)


def test_a_left_over_wal_brings_no_row_back(fleet, ledger):
    kept = passport(ledger.manifests()[-1])["tables"]["transfers"]
    ledger.wait_for_writes(50)
    halt(ledger)
    restore(fleet, ledger).ok()
    report = ledger.report()
    assert (rows(report), report["sum"], report["integrity"]) == (kept, SUM, "ok")
    asides = [name for name in os.listdir(ledger.outer("data")) if ".before-restore-" in name]
    assert any("-wal" in name for name in asides), asides


def test_a_left_over_wal_without_its_database_brings_no_row_back(fleet, ledger):
    kept = passport(ledger.manifests()[-1])["tables"]["transfers"]
    ledger.wait_for_writes(50)
    halt(ledger)
    os.remove(ledger.outer("data/imanager.db"))
    restore(fleet, ledger).ok()
    assert (rows(ledger.report()), ledger.report()["sum"]) == (kept, SUM)


def test_a_probe_that_fails_rolls_back_to_the_byte(fleet, ledger):
    halt(ledger)
    ledger.set_flag("broken")
    state = ledger.tree()
    run = restore(fleet, ledger)
    assert run.returncode != 0
    assert without_times(ledger.tree(), AROUND) == without_times(state, AROUND)
    said = run.results("ansible.builtin.fail", status="failed")[-1]["msg"]
    assert "scriptor" in said and "not restored" in said and "back" in said, said
    # The application was started again, on its old state.
    ledger.set_flag("hold", False)
    ledger.wait_for_writes(5)


def test_a_service_that_does_not_stop_is_refused_and_named(fleet, ledger):
    ledger.set_flag("stubborn")
    holder = ledger.pid()
    before = ledger.report()
    state = below(ledger.tree(), *KEPT, leave_out=WRITTEN)
    inode = os.stat(ledger.outer("data/imanager.db")).st_ino
    run = restore(fleet, ledger)
    assert run.returncode != 0
    said = run.results(MODULE, status="failed")[0]["msg"]
    assert str(holder) in said and "imanager.db" in said, said
    assert os.stat(ledger.outer("data/imanager.db")).st_ino == inode
    assert below(ledger.tree(), *KEPT, leave_out=WRITTEN) == state
    assert not [name for name in os.listdir(ledger.outer("data")) if ".before-restore-" in name]
    ledger.wait_for_writes(5)
    assert rows(ledger.report()) > rows(before) and ledger.report()["sum"] == SUM
    ledger.set_flag("stubborn", False)


def test_a_stop_command_that_fails_leaves_everything_as_it_was(fleet, ledger):
    halt(ledger)
    state = ledger.tree()
    app = dict(ledger.app(), service={"stop": ["false"], "start": [PROGRAM, "start", "scriptor"]})
    run = fleet.playbook(RESTORE, {"restore_app": "scriptor", "appstate_apps": [app]}, limit="host1")
    assert run.returncode != 0
    assert without_times(ledger.tree(), AROUND) == without_times(state, AROUND)


def test_contexts_are_set_before_the_app_starts_also_where_the_backup_is_in_place_already(fleet, ledger):
    halt(ledger)
    # What a host with SELinux has, as far as the role looks.
    ledger.host.run(["sh", "-c", "mount -t tmpfs tmpfs /sys/fs && mkdir /sys/fs/selinux && touch /sys/fs/selinux/enforce"])
    ledger.host.run(["ln", "-s", "/bin/true", "/usr/local/bin/restorecon"])
    try:
        for _time in ("swapped", "in place already"):
            done = [event["task"].split(" : ")[-1] for event in restore(fleet, ledger).ok().events if event["status"] == "ok"]
            assert "Restore SELinux contexts" in done, done
            assert done.index("Restore SELinux contexts") < done.index("Run the command that starts the app")
    finally:
        ledger.host.run(["umount", "/sys/fs"])


def test_validate_only_touches_nothing_and_stops_nothing(fleet, ledger):
    pid = ledger.pid()
    state = below(ledger.tree(), *KEPT, leave_out=WRITTEN)
    run = restore(fleet, ledger, restore_validate_only=True).ok()
    assert not any(counts["changed"] for counts in run.recap().values())
    assert ledger.pid() == pid
    assert below(ledger.tree(), *KEPT, leave_out=WRITTEN) == state


def test_check_mode_predicts_and_changes_nothing(fleet, ledger):
    halt(ledger)
    state, published = ledger.tree(), ledger.published()
    ledger.start()
    pid = ledger.pid()
    for playbook, variables in ((BACKUP, {}), (RESTORE, {"restore_app": "scriptor"})):
        run = fleet.playbook(playbook, variables, limit="host1", check=True, diff=True).ok()
        assert run.recap()["host1"]["changed"] > 0, playbook
        assert (ledger.tree(), ledger.published(), ledger.pid()) == (state, published, pid), playbook


@pytest.mark.parametrize("spoil", ["one byte", "cut short", "manifest"])
def test_a_damaged_backup_is_refused_before_anything_is_touched(fleet, ledger, spoil):
    halt(ledger)
    ledger.start()
    state, pid = ledger.tree(), ledger.pid()
    name = ledger.manifests()[-1]["id"]
    (archive,) = [each for each in ledger.published() if each.startswith(name) and not each.endswith(".json")]
    path = ledger.host.path("/var/backups/scriptor/%s" % (name + ".json" if spoil == "manifest" else archive))
    shutil.copy2(path, path + ".kept")
    try:
        with open(path, "r+b") as stream:
            middle = os.path.getsize(path) // 2
            stream.seek(middle)
            byte = stream.read(1)
            stream.seek(middle)
            stream.write(bytes([byte[0] ^ 1]))
            if spoil == "cut short":
                stream.truncate(middle)
        run = restore(fleet, ledger, restore_which=name)
        assert run.returncode != 0 and ledger.name in run.results(MODULE, status="failed")[0]["msg"]
        assert (without_times(ledger.tree(), {b"."}), ledger.pid()) == (without_times(state, {b"."}), pid)
    finally:
        os.replace(path + ".kept", path)


def test_a_restore_to_another_place_leaves_the_live_app_alone(fleet, ledger):
    pid = ledger.pid()
    state = below(ledger.tree(), *KEPT, leave_out=WRITTEN)
    run = restore(fleet, ledger, restore_target_root="/srv/look").ok()
    assert "/srv/look" in repr(run.results("ansible.builtin.debug", status="ok"))
    assert below(tree(ledger.host.path("/srv/look")), *KEPT, leave_out=WRITTEN + (PART,)) == \
        below(state, *KEPT, leave_out=(PART,))
    assert ledger.pid() == pid and below(ledger.tree(), *KEPT, leave_out=WRITTEN) == state
    ledger.wait_for_writes(5)
    ledger.host.run(["sqlite3", "/srv/look/data/imanager.db", "PRAGMA integrity_check"], user=OWNER)


def undoing(run):
    """The line that a restore prints to undo it."""
    (line,) = [line for result in run.results("ansible.builtin.debug", status="ok") for line in result["msg"] if line.startswith("undo it: ")]
    return line[len("undo it: "):]


def test_the_line_that_undoes_a_restore_can_be_pasted_anywhere(fleet, ledger):
    halt(ledger)
    state = ledger.tree()
    line = undoing(restore(fleet, ledger).ok())
    assert line == ("ansible-playbook -i %s/inventory appstate.backup.restore --limit host1 -e restore_app=scriptor "
                    "-e restore_state=rolled_back" % fleet.folder)
    fleet.controller.paste(line).ok()
    assert without_times(ledger.tree(), AROUND) == without_times(state, AROUND)


def test_the_line_becomes_whom_the_restore_became(fleet, ledger):
    """As another user there would be no restore to undo, and all would seem well."""
    host = ledger.host
    host.run(["install", "-d", "-o", OWNER, "/srv/wiki", "/srv/wiki/backups"])
    host.write("/srv/wiki/a.txt", "a", owner=OWNER)
    wiki = {"name": "wiki", "root": "/srv/wiki", "destination": "/srv/wiki/backups", "sources": [{"type": "files", "path": "a.txt"}]}
    words = {"ansible_become_method": "su", "ansible_become_flags": "-s /bin/sh"}
    fleet.write_inventory(dict(words, appstate_apps=[ledger.app(), wiki], appstate_state_directory="/srv/wiki/state",
                               appstate_lock_directory="/srv/wiki/locks"))
    host.run(["install", "-d", "-o", OWNER, "/srv/wiki/state", "/srv/wiki/locks"])
    become = ["-b", "--become-user", OWNER]
    try:
        fleet.playbook(BACKUP, {"backup_apps": ["wiki"]}, limit="host1", arguments=become).ok()
        host.write("/srv/wiki/a.txt", "b", owner=OWNER)
        line = undoing(fleet.playbook(RESTORE, {"restore_app": "wiki"}, limit="host1", arguments=become).ok())
        assert " --limit host1 -b --become-user %s -e restore_app=wiki " % OWNER in line
        fleet.controller.paste(line).ok()
        assert host.read("/srv/wiki/a.txt") == b"b"
    finally:
        fleet.write_inventory({"appstate_apps": [ledger.app()]})


def test_a_restore_of_the_database_alone_leaves_the_files(fleet, ledger):
    ledger.wait_for_writes(50)
    halt(ledger)
    ledger.host.write("/opt/scriptor/public/uploads/newer.txt", "is not in the backup", owner=OWNER)
    state = below(ledger.tree(), *KEPT)
    run = restore(fleet, ledger, restore_only=["data/imanager.db"]).ok()
    assert run.results(MODULE, status="ok")[-1]["restored"] == ["/opt/scriptor/data/imanager.db"]
    assert rows(ledger.report()) == passport(ledger.manifests()[-1])["tables"]["transfers"]
    assert below(ledger.tree(), *KEPT) == state
    os.remove(ledger.outer("public/uploads/newer.txt"))


def test_no_room_for_a_restore_leaves_nothing_of_it(fleet, ledger):
    host = ledger.host
    host.run(["sh", "-c", "mkdir /srv/small && mount -t tmpfs -o size=3m,mode=0755 tmpfs /srv/small"])
    run = restore(fleet, ledger, restore_target_root="/srv/small/app")
    assert run.returncode != 0
    said = run.results(MODULE, status="failed")[0]["msg"]
    assert "scriptor" in said and "/srv/small" in said and "space" in said, said
    assert host.run(["find", "/srv/small", "-mindepth", "1"]).stdout == ""


def test_no_room_for_a_backup_leaves_nothing_of_it(fleet, ledger):
    ledger.host.run(["sh", "-c", "mkdir /srv/full && mount -t tmpfs -o size=2m,mode=0755 tmpfs /srv/full"])
    app = dict(ledger.app(), destination="/srv/full", allow_network_destination=True)
    run = fleet.playbook(BACKUP, {"appstate_apps": [app]}, limit="host1")
    assert run.returncode != 0
    said = repr(run.results(BACKUP, status="failed"))
    assert "scriptor" in said and "/srv/full" in said and "space" in said, said
    assert ledger.host.run(["find", "/srv/full", "-type", "f"]).stdout == ""


@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
def test_a_source_on_a_mount_of_its_own_is_refused(fleet, ledger, kind):
    halt(ledger)
    uploads = ledger.root + "/public/uploads"
    ledger.host.run(["mount"] + (["--bind", uploads] if kind == "bind" else ["-t", "tmpfs", "tmpfs"]) + [uploads])
    try:
        state = ledger.tree()
        run = restore(fleet, ledger)
        said = run.results(MODULE, status="failed")[0]["msg"]
        assert run.returncode != 0 and uploads in said and "another file system" in said, said
        assert without_times(ledger.tree(), AROUND) == without_times(state, AROUND)
    finally:
        ledger.host.run(["umount", uploads])


def test_a_second_backup_at_the_same_time_is_refused(fleet, ledger):
    halt(ledger)
    published = ledger.published()
    locked = ledger.host.start(["python3", "-c", EXCLUSIVE, os.path.join(ledger.root, "data/imanager.db")], user=OWNER)
    first = []
    thread = threading.Thread(target=lambda: first.append(fleet.playbook(BACKUP, limit="host1")))
    thread.start()
    try:
        until = time.monotonic() + 30
        while not _running(ledger.host, "scriptor"):
            assert time.monotonic() < until and thread.is_alive(), first and first[0].text
            time.sleep(0.1)
        second = fleet.playbook(BACKUP, limit="host1")
    finally:
        locked.kill()
        locked.wait()
        thread.join()
    assert second.returncode != 0
    said = repr(second.results(BACKUP, status="failed"))
    assert "scriptor" in said and "lock" in said and "process" in said, said
    first[0].ok()
    assert len(ledger.published()) == len(published) + 2


EXCLUSIVE = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA locking_mode = EXCLUSIVE")
connection.execute("BEGIN EXCLUSIVE")
connection.execute("UPDATE accounts SET balance = balance")
time.sleep(600)
"""


def _running(host, app):
    """Whether a lock of the collection is held for an app on a host, as the kernel tells it."""
    folder = host.path("/run/appstate-backup")
    held = set()
    for name in os.listdir(folder) if os.path.isdir(folder) else []:
        status = os.stat(os.path.join(folder, name))
        if app in name:
            held.add("%02x:%02x:%d" % (os.major(status.st_dev), os.minor(status.st_dev), status.st_ino))
    with open("/proc/locks", encoding="ascii") as stream:
        return any(line.split()[-3] in held for line in stream)


def test_a_fresh_host_takes_the_restore_from_a_copied_archive(fleet):
    source, fresh = Ledger(fleet["host2"], SCRIPTOR), Ledger(fleet["host3"], SCRIPTOR)
    manifest = source.manifests()[-1]
    wanted = below(source.tree(), *KEPT, leave_out=WRITTEN + (PART,))
    for name in source.published():
        fresh.host.write("/root/copied/" + name, source.host.read("/var/backups/scriptor/" + name), mode=0o600)
    (archive,) = [name for name in source.published() if not name.endswith(".json")]
    fresh.settle()
    fresh.set_flag("hold")
    run = fleet.playbook(RESTORE, {"restore_app": "scriptor", "restore_archive": "/root/copied/" + archive},
                         limit="host3").ok()
    assert run.results(MODULE, "host3", "ok")[-1]["moved_aside"] == []
    report = fresh.report()
    assert (rows(report), report["sum"]) == (passport(manifest)["tables"]["transfers"], SUM)
    assert report["journal_mode"] == "wal" and report["integrity"] == "ok"
    assert below(fresh.tree(), *KEPT, leave_out=WRITTEN) == wanted
    fresh.set_flag("hold", False)
    fresh.wait_for_writes(5)


def test_an_archive_that_was_cut_short_puts_nothing_on_a_fresh_host(fleet):
    source, fresh = Ledger(fleet["host2"], SCRIPTOR), Ledger(fleet["host3"], SCRIPTOR)
    (archive,) = [name for name in source.published() if not name.endswith(".json")]
    content = source.host.read("/var/backups/scriptor/" + archive)
    fresh.host.write("/root/cut/" + archive, content[:len(content) // 2], mode=0o600)
    fleet.playbook(RESTORE, {"restore_app": "scriptor", "restore_state": "committed"}, limit="host3").ok()
    fresh.stop()
    fresh.host.run(["rm", "-rf", fresh.root])
    run = fleet.playbook(RESTORE, {"restore_app": "scriptor", "restore_archive": "/root/cut/" + archive},
                         limit="host3")
    assert run.returncode != 0
    left = fresh.host.run(["sh", "-c", "find /opt/scriptor -type f 2>/dev/null || true"]).stdout
    assert left == "", left
