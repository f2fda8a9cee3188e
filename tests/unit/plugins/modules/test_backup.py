# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os

import pytest


def test_check_run_check_again_and_run_again(host, run, tree, returned):
    host.fill("delete")
    before = tree(host.path)
    predicted = run.ok(app=host.described(), check=True)
    assert predicted == {"changed": True, "backup": None, "complete": True, "copies": [], "pruned": [], "cold": False}
    assert tree(host.path) == before
    made = run.ok(app=host.described())
    assert made["changed"] and made["complete"] and set(returned) <= set(made)
    assert made["backup"]["path"].startswith(host.destination + "/notes/notes-")
    assert made["backup"]["size"] == os.path.getsize(made["backup"]["path"])
    assert made["backup"]["verified"]["level"] == "content"
    assert [source["path"] for source in made["backup"]["sources"]] == ["data/notes.db", "uploads", "data/settings.json"]
    assert made["backup"]["sources"][0]["passport"]["tables"] == {"notes": 20}
    after = tree(host.path)
    run.ok(app=host.described(), check=True)
    assert tree(host.path) == after
    assert run.ok(app=host.described())["backup"]["id"] != made["backup"]["id"]


def test_the_difference_is_the_newest_backup(host, run):
    host.fill()
    predicted = run.ok(app=host.described(), check=True, diff=True)["diff"]
    assert (predicted["before"], predicted["after"]) == ("None\n", "a new backup\n")
    made = run.ok(app=host.described(), diff=True)
    assert made["diff"]["after"] == made["backup"]["id"] + "\n"
    assert run.ok(app=host.described(), diff=True)["diff"]["before"] == made["backup"]["id"] + "\n"


def test_warnings_are_warnings_of_the_task(host, run, capfd):
    host.fill()
    os.symlink("/etc/passwd", host.at("uploads/out"))
    made = run.ok(app=host.described())
    # Beside a controller, which a test is, ansible-core 2.19 shows warnings itself.
    warned = str(made.get("warnings", "")) + capfd.readouterr().err
    assert warned.count("uploads/out is a symbolic link that leads out of the source (to /etc/passwd), and was left out") == 1


@pytest.mark.parametrize("words, said, code", [
    ({"root": "relative"}, "app notes: 'root' is not an absolute path: 'relative'. Begin it with a slash.", 78),
    ({"sorces": []}, "app notes: the app has an unknown key 'sorces'. Did you mean 'sources'?", 78),
    ({"sources": [{"type": "sqlite", "path": "../x.db"}]}, "leaves the root", 78),
    ({"sources": [{"type": "sqlite", "path": "data/none.db"}]}, "data/none.db: the database is missing. Correct the path", 1),
    ({"sources": [{"type": "sqlite", "path": "uploads"}]}, "uploads: is not a regular file", 1),
    ({"destination": None}, "needs 'destination'", 78)])
@pytest.mark.parametrize("check", [False, True])
def test_bad_input_names_app_path_and_remedy(host, run, tree, words, said, code, check):
    host.fill("delete")
    before = tree(host.path)
    failed = run.failed(app=host.described(**words), check=check)
    assert said in failed["msg"] and failed["msg"].startswith("app notes: ")
    assert failed["exit_code"] == code and failed["error"]["app"] == "notes"
    assert {path: told for path, told in tree(host.path).items() if not path.startswith((b"locks", b"state", b"backups/notes"))} == before
    assert host.left() == []


def test_a_corrupt_database_fails_the_task_and_leaves_nothing(host, run):
    host.database(rows=400, journal="delete")
    with open(host.at("data/notes.db"), "r+b") as file:
        file.seek(2 * 4096)
        file.write(b"\xff" * 600)
    failed = run.failed(app=host.described(sources=[{"type": "sqlite", "path": "data/notes.db"}]))
    assert failed["error"]["class"] == "DatabaseError" and "corrupt" in failed["msg"]
    assert os.listdir(host.app().directory) == []


def test_a_cold_backup_says_so_and_check_mode_stops_nothing(host, run):
    host.fill()
    log = host.place("log")
    service = {step: ["sh", "-c", "echo %s >> %s" % (step, log)] for step in ("stop", "start")}
    app = host.described(mode="cold", service=service)
    assert run.ok(app=app, check=True)["cold"] is True
    with pytest.raises(FileNotFoundError):
        open(log, encoding="ascii").close()
    done = run.ok(app=app)
    assert done["cold"] is True and done["backup"]["downtime"] > 0
    with open(log, encoding="ascii") as file:
        assert file.read() == "stop\nstart\n"


def test_an_app_that_does_not_start_again_fails_the_module_beside_its_backup(host, run):
    host.fill()
    result = run.failed(app=host.described(mode="cold", service={"stop": ["true"], "start": ["false"]}))
    assert "THE APP DOES NOT RUN" in result["msg"] and result["backup"]["good"] is True
