# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs of an app with remotes, rolling names or encryption: what each of them gets, and how what fails is told."""

from __future__ import annotations

import datetime
import os
import re
import signal
import sqlite3
import threading
import time

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.archive.age import make_pair
from ansible_collections.appstate.backup.plugins.module_utils.operations import run as run_file
from ansible_collections.appstate.backup.plugins.module_utils.operations.copies import copy_to
from ansible_collections.appstate.backup.plugins.module_utils.operations.hold import hold


def offsite(watched, *names, **words):
    """Remotes that are directories of this host; the first ones are there."""
    for name in names:
        if not os.path.isdir(watched.host.place(name)):
            os.mkdir(watched.host.place(name))
    return [dict({"name": name, "remote": watched.host.place(name)}, **words) for name in names]


def at_remote(watched, name):
    folder = watched.host.place(name, "host", "notes")
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def remote_metrics(watched):
    with open(watched.host.place("metrics", "appstate_backup_notes.prom"), encoding="ascii") as file:
        found = re.findall(r'^appstate_backup_(\w+)\{app="notes",remote="(\w+)"\} (.*)$', file.read(), re.MULTILINE)
    return {(name, remote): float(value) for name, remote, value in found}


def names_of(backup):
    return sorted([backup.stem + ".json", os.path.basename(backup.path)])


def test_each_remote_gets_its_copy(watched):
    watched.words["remotes"] = offsite(watched, "one", "two")
    ran = watched.run()
    assert watched.is_green(ran)
    assert at_remote(watched, "one") == at_remote(watched, "two") == names_of(ran.backup)
    assert [(copied.remote, copied.error, copied.size) for copied in ran.copies] == [
        (name, None, os.path.getsize(ran.backup.path)) for name in ("one", "two")]
    told = watched.status()["remotes"]
    assert set(told) == {"one", "two"} and told["one"]["backup"] == ran.backup.id and told["one"]["last_success"] == watched.status()["ended"]
    metrics = remote_metrics(watched)
    assert metrics["remote_last_copy_success", "one"] == metrics["remote_last_copy_success", "two"] == 1
    assert metrics["remote_copy_seconds", "one"] > 0
    assert [(line["remote"], line["result"], line["backup"]) for line in watched.audit() if line["action"] == "copy"] == [
        ("one", "ok", ran.backup.id), ("two", "ok", ran.backup.id)]


def test_a_remote_that_fails_costs_nobody_else_anything_and_is_red(watched):
    watched.words.update(remotes=offsite(watched, "one", "two"), retention={"keep_last": 1})
    first = watched.run()
    os.rename(watched.host.place("one"), watched.host.place("away"))
    ran = watched.run()
    assert watched.is_red(ran, "remote one: %s does not exist" % watched.host.place("one"))
    assert not os.path.exists(watched.host.place("one"))
    assert ran.backup.id in watched.backups() and first.backup.id in watched.backups() and ran.pruned is None and ran.pruned_remotes == []
    assert at_remote(watched, "two") == sorted(names_of(first.backup) + names_of(ran.backup))
    told = watched.status()["remotes"]
    assert told["one"]["problem"] == str(ran.error) and told["one"]["backup"] == first.backup.id
    assert told["one"]["last_success"] < told["two"]["last_success"] and told["two"]["problem"] is None
    assert remote_metrics(watched)["remote_last_copy_success", "one"] == 0 and remote_metrics(watched)["remote_last_copy_success", "two"] == 1
    lines = {line["remote"]: line["result"] for line in watched.audit() if line["action"] == "copy"}
    assert lines == {"one": str(ran.error), "two": "ok"}
    os.rename(watched.host.place("away"), watched.host.place("one"))
    ran = watched.run()
    assert watched.is_green(ran) and watched.status()["remotes"]["one"]["problem"] is None
    assert at_remote(watched, "one") == at_remote(watched, "two") == names_of(ran.backup)


def test_each_remote_has_its_own_rules(watched, stepwise):
    remotes = offsite(watched, "app") + offsite(watched, "own", retention={"keep_last": 3}) + offsite(watched, "ever", delete=False)
    ids = []
    for unused in range(4):
        ran = watched.run(remotes=remotes, retention={"keep_last": 2})
        assert ran.exit_code == 0, ran.problem
        ids.insert(0, ran.backup.id)
    assert watched.backups() == ids[:2]
    assert [len(at_remote(watched, name)) // 2 for name in ("app", "own", "ever")] == [2, 3, 4]
    assert {name.split(".")[0] for name in at_remote(watched, "own")} == set(ids[:3])
    pruned = [line for line in watched.audit() if line["action"] == "prune" and line.get("remote") == "own"]
    assert [line["removed"] for line in pruned] == [[ids[3]]]


def test_rolling_names_here_and_there(watched, stepwise):
    watched.words.update(remotes=offsite(watched, "one") + offsite(watched, "ever", delete=False), filename="{app}-%d")
    first, second = watched.run(), watched.run()
    assert watched.is_green(second)
    assert second.backup.stem == "notes-19" and os.path.exists(second.backup.path)
    assert sorted(os.listdir(os.path.join(watched.host.destination, "notes"))) == at_remote(watched, "one") == names_of(second.backup)
    assert len(at_remote(watched, "ever")) == 4 and {name.split(".")[0] for name in at_remote(watched, "ever")} == {first.backup.id, second.backup.id}
    watched.host.time += datetime.timedelta(days=1)
    assert watched.is_green(watched.run()) and len(at_remote(watched, "one")) == 4


def test_what_is_on_hold_keeps_its_rolling_name(watched, stepwise):
    watched.words.update(remotes=offsite(watched, "one"), filename="{app}-%d")
    held = watched.run().backup
    hold(watched.app(), watched.host.machine, held.id, "why")
    ran = watched.run()
    assert ran.exit_code == 0 and "%s is on hold, so %s keeps its own name" % (held.id, ran.backup.id) in ran.warnings
    assert watched.backups() == [ran.backup.id, held.id] and ran.backup.stem == ran.backup.id
    assert at_remote(watched, "one") == sorted(names_of(held) + names_of(ran.backup))


def test_a_hold_that_comes_while_it_is_copied_keeps_the_rolling_name(watched, stepwise, monkeypatch):
    """It may take hours until a copy has arrived, and a hold does not wait for that."""
    watched.words.update(remotes=offsite(watched, "one", "two"), filename="{app}-%d")
    held = watched.run().backup
    send = run_file.copy_to

    def meanwhile(*words):
        assert hold(watched.app(), watched.host.machine, held.id, "why")[0] == held.id
        return send(*words)
    monkeypatch.setattr(run_file, "copy_to", meanwhile)
    ran = watched.run()
    assert ran.exit_code == 0
    for place in ("", " at remote one", " at remote two"):
        assert "%s is on hold, so %s keeps its own name%s" % (held.id, ran.backup.id, place) in ran.warnings
    assert watched.backups() == [ran.backup.id, held.id] and ran.backup.stem == ran.backup.id
    assert at_remote(watched, "one") == at_remote(watched, "two") == sorted(names_of(held) + names_of(ran.backup))


def test_what_is_on_hold_here_keeps_its_rolling_name_at_a_remote_by_whatever_name_it_is_here(watched, stepwise):
    """Here it may be called by its id still, since only the remote gave it the name."""
    watched.words.update(remotes=offsite(watched, "one"))
    held = watched.run().backup
    copied = copy_to(watched.app(), watched.app().remotes[0], watched.host.machine, held, "notes-19")
    assert copied.error is None
    hold(watched.app(), watched.host.machine, held.id, "why")
    before = at_remote(watched, "one")
    ran = watched.run(filename="{app}-%d")
    assert ran.exit_code == 0 and ran.backup.stem == "notes-19"
    assert "%s is on hold, so %s keeps its own name at remote one" % (held.id, ran.backup.id) in ran.warnings
    assert set(before) <= set(at_remote(watched, "one")) and ran.backup.id + ".json" in at_remote(watched, "one")


def empty(watched):
    connection = sqlite3.connect(watched.host.at("data/notes.db"))
    connection.execute("DELETE FROM notes")
    connection.commit()
    connection.close()


def turn_back(watched):
    watched.host.time -= datetime.timedelta(hours=2)


@pytest.mark.parametrize("happens, why", [(empty, "lost 100 % of its rows"), (turn_back, "the clock went backwards")])
def test_a_run_that_alarms_replaces_nothing_by_a_rolling_name(watched, stepwise, happens, why):
    """What is there may be the last that is good: it goes as little as by retention."""
    watched.words.update(remotes=offsite(watched, "one"), filename="{app}-%d")
    good = watched.run().backup
    happens(watched)
    ran = watched.run()
    assert why in ran.problem and "%s keeps its own name: nothing is replaced in a run that fails" % ran.backup.id in ran.warnings
    assert set(watched.backups()) == {ran.backup.id, good.id} and ran.backup.stem == ran.backup.id
    assert at_remote(watched, "one") == sorted(names_of(good) + names_of(ran.backup))


def test_a_rolling_name_that_cannot_be_given_is_red_and_the_backup_stays(watched):
    watched.run()
    on_error = [["touch", watched.host.place("log")]]
    words = {"filename": "{app}-%d", "retention": {"keep_last": 1, "timezone": "Mars/Base"}, "hooks": {"on_error": on_error}}
    ran = watched.run(**words)
    assert watched.is_red(ran, "Mars/Base", 78) and ran.backup.id in watched.backups() and len(watched.backups()) == 2
    assert os.path.exists(watched.host.place("log"))
    with open(os.path.join(watched.host.destination, "notes", "notes-19.json"), "w", encoding="ascii") as file:
        file.write("{}")
    ran = watched.run(filename="{app}-%d")
    assert watched.is_red(ran, "is no manifest of this app, so it is not replaced") and ran.backup.id in watched.backups()


def test_an_interruption_during_a_copy(watched):
    watched.host.write("uploads/large.bin", os.urandom(6 << 20))
    watched.words["remotes"] = offsite(watched, "one", bandwidth="1M") + offsite(watched, "two")
    watched.run(remotes=offsite(watched, "two"))
    before = at_remote(watched, "two")

    def interrupt():
        until = time.monotonic() + 20
        while not at_remote(watched, "one") and time.monotonic() < until:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)
    thread = threading.Thread(target=interrupt)
    thread.start()
    ran = watched.run()
    thread.join()
    assert watched.is_red(ran, "the run was interrupted")
    assert ran.backup.id in watched.backups() and at_remote(watched, "one") == [] and at_remote(watched, "two") == before
    told = watched.status()["remotes"]
    assert "interrupted" in told["one"]["problem"] and "interrupted" in told["two"]["problem"] and told["two"]["last_success"]
    assert os.listdir(watched.host.place("state", "remotes")) == []


def test_an_encrypted_run(watched):
    identity, recipient = make_pair()
    watched.words.update(remotes=offsite(watched, "one"), encryption={"recipients": [recipient]}, filename="{app}-%d")
    ran = watched.run()
    assert watched.is_green(ran) and ran.backup.path.endswith(".age")
    assert ran.backup.manifest.content["encryption"] == {"recipients": [recipient]}
    with open(watched.host.place("one", "host", "notes", os.path.basename(ran.backup.path)), "rb") as file:
        data = file.read()
    # Ours, and that of the run, which nobody has any more.
    assert data.startswith(b"age-encryption.org/v1\n") and data.count(b"-> X25519 ") == 2
    assert watched.host.verify(app=watched.app(), identity=identity).ok
    secret = identity.split()[-1].encode()
    for top in (watched.host.state, watched.host.destination, watched.host.place("one"), watched.host.place("metrics")):
        for folder, unused, names in os.walk(top):
            for name in names:
                with open(os.path.join(folder, name), "rb") as file:
                    content = file.read()
                assert secret not in content and b"AGE-SECRET-KEY" not in content
