# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Drills of real backups: what each check says of a good one, and of one that only that check can tell from it."""

from __future__ import annotations

import os
import sqlite3
from datetime import timedelta

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.operations import drill as drill_file
from ansible_collections.appstate.backup.plugins.module_utils.operations.drill import DrillRequest, chosen, drill
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import AppStateError, ConfigurationError
from ansible_collections.appstate.backup.tests.unit.plugins.leftovers import nothing_left

ROOT = os.geteuid() == 0
ASSERTED = [{"sql": "SELECT count(*) FROM notes", "min": 1}, {"sql": "SELECT 1"}]


def described(host, **words):
    """The application's sources, with something to ask its database."""
    sources = host.sources()
    sources[0] = dict(sources[0], assertions=ASSERTED, references=[{"sql": "SELECT 'a.bin'", "under": "uploads"}], **words)
    return sources


@pytest.fixture
def filled(host):
    host.fill()
    return host


def run(host, request=None, **words):
    """A drill that leaves nothing behind, in this process and on this host."""
    with nothing_left():
        done = drill(host.app(**dict({"sources": described(host)}, **words)), host.machine, DrillRequest(**(request or {})))
    assert host.left() == []
    return done


def outcomes(done):
    return [(case.check, case.outcome) for case in done.cases]


def failures(done):
    assert done.ok == (not done.failed) and (done.problem is None) == done.ok
    return [(case.check, case.message) for case in done.failed]


def everything(top):
    """All that a file system knows of a tree, its inodes' own times among them."""
    found = {}
    for folder, folders, names in os.walk(top):
        for name in [""] + folders + names:
            path = os.path.join(folder, name)
            seen = os.lstat(path)
            found[path] = (seen.st_ino, seen.st_mode, seen.st_uid, seen.st_gid, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_nlink)
    return found


def test_a_good_backup_passes_every_check_and_live_state_is_not_touched(filled):
    filled.backup(sources=described(filled))
    filled.damage()
    before = everything(filled.root), everything(filled.destination)
    done = run(filled, version={"sql": "SELECT 7"}, version_max=9, objectives={"rpo": "1h", "rto": "5m"})
    after = everything(filled.root), everything(filled.destination)
    # The scratch directory came and went at the destination: the directory's own times and links tell of that.
    assert after[0] == before[0] and {path: seen for path, seen in after[1].items() if path != filled.destination + "/"} == \
        {path: seen for path, seen in before[1].items() if path != filled.destination + "/"}
    assert outcomes(done) == [
        ("rpo", "passed"), ("choose", "passed"), ("checksum", "passed"), ("integrity", "passed"), ("assertion", "passed"),
        ("assertion", "passed"), ("passport", "passed"), ("version", "passed"), ("references", "passed"), ("restore", "passed"),
        ("ownership", "passed" if ROOT else "skipped"), ("rto", "passed")]
    told = done.to_dict()
    assert told["ok"] and told["problem"] is None and told["app"] == "notes" and told["which"] == "latest" and told["remote"] is None
    assert 0 <= told["rpo_seconds"] < 60 and 0 < told["rto_seconds"] == told["restored_seconds"] < 60 and told["healthy_seconds"] is None
    assert told["objectives"] == {"rpo_seconds": 3600.0, "rto_seconds": 300.0} and told["bytes"] > 3000
    assert told["backup"]["good"] and told["cases"][4]["about"] == "data/notes.db: SELECT count(*) FROM notes"


def test_a_backup_is_taken_while_a_drill_goes_on(filled, monkeypatch):
    filled.backup()
    real = drill_file._DrillStaging._whole

    def beside(self):
        filled.backup()
        real(self)

    monkeypatch.setattr(drill_file._DrillStaging, "_whole", beside)
    assert run(filled).ok


@pytest.mark.parametrize("damage, expected", [("cut", "checksum"), ("flip", "checksum")])
def test_a_damaged_archive_fails(filled, damage, expected):
    path = filled.backup().backup.path
    with open(path, "r+b") as archive:
        if damage == "cut":
            archive.truncate(os.path.getsize(path) // 2)
        else:
            archive.seek(os.path.getsize(path) // 2)
            byte = archive.read(1)
            archive.seek(-1, os.SEEK_CUR)
            archive.write(bytes([byte[0] ^ 1]))
    done = run(filled, {"archive": path} if damage == "flip" else None)
    assert [check for check, unused in failures(done)] in ([expected], ["choose"])
    assert ("restore", "skipped") in outcomes(done) and done.restored is None


def test_an_assertion_that_does_not_hold_fails_by_itself(filled):
    filled.backup()
    sources = described(filled)
    sources[0]["assertions"] = [{"sql": "SELECT count(*) FROM notes", "min": 1000}]
    done = run(filled, sources=sources)
    (failure,) = failures(done)
    assert failure[0] == "assertion" and "at least 1000" in failure[1]
    assert "app notes: drill: assertion: " in done.problem


def test_a_file_that_a_database_names_and_the_backup_lacks_fails(filled):
    filled.backup()
    sources = described(filled)
    sources[0]["references"] = [{"sql": "SELECT 'gone.bin'", "under": "uploads"}]
    (failure,) = failures(run(filled, sources=sources))
    assert failure[0] == "references" and "gone.bin" in failure[1]
    sources[0]["references"] = [{"sql": "SELECT nonsense", "under": "uploads"}]
    (failure,) = failures(run(filled, sources=sources))
    assert failure[0] == "references" and "cannot be read" in failure[1]


def test_data_that_the_application_does_not_understand_fails(filled):
    filled.backup()
    (failure,) = failures(run(filled, version={"sql": "SELECT 7"}, version_max=6))
    assert failure[0] == "version" and "schema version 7" in failure[1]
    done = run(filled, version={"sql": "SELECT 7"}, version_max={"argv": ["/nonexistent"]})
    assert done.ok and ("version", "skipped") in outcomes(done)


def test_objectives_that_are_missed_fail(filled):
    filled.backup()
    now = filled.machine.now
    filled.machine.now = lambda: now() + timedelta(hours=27)
    done = run(filled, objectives={"rpo": "26h", "rto": 0.000001})
    assert [check for check, unused in failures(done)] == ["rpo", "rto"]
    assert "27.0 h, and the objective is 26.0 h" in done.cases[0].message and round(done.rpo / 3600) == 27


@pytest.mark.parametrize("objectives", [{}, {"rpo": "26h"}])
def test_a_backup_from_the_future_is_no_new_one(filled, objectives):
    """A clock was wrong for one run: until it is as late as that, nobody would see that there are no others."""
    filled.backup()
    now = filled.machine.now
    filled.machine.now = lambda: now() - timedelta(minutes=9)
    assert run(filled, objectives=objectives).ok
    filled.machine.now = lambda: now() - timedelta(days=3)
    done = run(filled, objectives=objectives)
    (check, message), = failures(done)
    assert check == "rpo" and message == "the newest good backup is from the future, by 3.0 d: see the clock of the host"


def test_without_any_backup_it_fails_and_says_so(filled):
    done = run(filled, objectives={"rpo": "26h", "rto": "1h"})
    assert [check for check, unused in failures(done)] == ["rpo", "choose", "rto"]
    assert ("restore", "skipped") in outcomes(done) and done.backup is None


@pytest.mark.skipif(not ROOT, reason="files belong to somebody else for root alone")
def test_who_gets_the_files_is_checked(filled):
    filled.backup()
    assert failures(run(filled, owner="nobody")) == []
    done = run(filled, owner="nobody-of-that-name")
    assert done.ok and [case.message for case in done.cases if case.check == "ownership"] == [
        "the user 'nobody-of-that-name' does not exist on this host"]


@pytest.mark.skipif(not ROOT, reason="files belong to somebody else for root alone")
def test_files_that_were_not_given_to_the_owner_fail(filled, monkeypatch):
    filled.backup()
    monkeypatch.setattr(drill_file.Ownership, "ids", lambda self, owner="", group="", uid=-1, gid=-1: (-1 if uid != -1 else 65534, -1))
    (failure,) = failures(run(filled, owner="nobody"))
    assert failure[0] == "ownership" and "was not given to the owner" in failure[1]


def test_a_full_disk_fails(filled, small_disk):
    filled.write("uploads/large.bin", os.urandom(4 << 20))
    filled.backup()
    (failure,) = failures(run(filled, drill={"scratch": small_disk}))
    assert failure[0] in ("restore", "checksum") and "room" in failure[1] or "space" in failure[1]
    assert os.listdir(small_disk) == []


def test_a_backup_is_chosen_at_random_within_a_time(filled, monkeypatch):
    ids = {filled.backup().backup.id for unused in range(3)}
    app = filled.app()
    seen = set()
    for unused in range(60):
        with chosen(app, filled.machine, DrillRequest("random", "1d")) as selected:
            seen.add(selected.id)
    assert seen == ids
    now = filled.machine.now
    filled.machine.now = lambda: now() + timedelta(hours=48)
    with pytest.raises(AppStateError, match="no good backup of the last 1d"):
        chosen(app, filled.machine, DrillRequest("random", "1d"))
    with chosen(app, filled.machine, DrillRequest("random")) as selected:
        assert selected.id in ids
    with chosen(app, filled.machine, DrillRequest(sorted(ids)[0])) as selected:
        assert selected.id == sorted(ids)[0]


@pytest.mark.parametrize("words", [{"within": "1d"}, {"which": "random", "within": "soon"}, {"which": "random", "archive": "/x"}])
def test_what_cannot_be_asked_for(words):
    with pytest.raises(ConfigurationError):
        DrillRequest(**words)


def test_an_old_archive_is_drilled_too(filled, tmp_path):
    connection = sqlite3.connect(str(tmp_path / "notes.db"))
    connection.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)")
    connection.execute("INSERT INTO notes (text) VALUES ('one')")
    connection.commit()
    connection.close()
    done = run(filled, {"archive": str(tmp_path / "notes.db")}, objectives={"rpo": "1h"}, sources=[dict(filled.sources()[0], assertions=ASSERTED)])
    assert done.ok, failures(done)
    assert [check for check, unused in outcomes(done)].count("assertion") == 2 and done.rpo is None
